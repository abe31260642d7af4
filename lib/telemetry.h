/*
 * Where traces, metrics and logs go: the config's [observability], and over it OpenTelemetry's own environment variables
 * (OTEL_*, as its specification has them).  Door, scheduler, the telemetry role and doctor read the same.
 */
#ifndef LIB_TELEMETRY_H
#define LIB_TELEMETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/conf.h"

struct trace;

enum telemetry_signal { TELEMETRY_TRACES, TELEMETRY_METRICS, TELEMETRY_LOGS, TELEMETRY_SIGNALS };
enum telemetry_protocol { TELEMETRY_GRPC, TELEMETRY_PROTOBUF, TELEMETRY_JSON };

/* Where one signal goes. */
struct telemetry_target {
	bool on;
	enum telemetry_protocol protocol;
	char *url;                /* whole, with the path of the signal or of the gRPC method */
	struct conf_list headers; /* "name: value"; may hold secrets, so it is never logged */
	int64_t timeout_ms;       /* of one request */
	char *ca, *certificate, *key; /* PEM files for https; NULL: the system's, none */
};

/* Of spans and of log lines. */
struct telemetry_batch {
	int64_t delay_ms, queue, most; /* a batch goes after this long, or when it is full; the queue holds so many items */
};

struct telemetry {
	bool on; /* at least one signal is */
	struct telemetry_target target[TELEMETRY_SIGNALS];
	struct conf_pairs resource;
	struct telemetry_batch spans, lines;
	int64_t metrics_ms;
	struct { bool by_parent; uint64_t bound; } sampler; /* bound: of 2^63, how many traces that begin here are recorded */
	struct buf problems; /* what was ignored and why, a line each */
};

/* Never fails: what cannot be understood is ignored, as the specification wants it, and said in problems. */
void telemetry_load(struct telemetry *t, const struct conf *c);
void telemetry_clear(struct telemetry *t);

const char *telemetry_signal_name(enum telemetry_signal s);     /* "traces" */
const char *telemetry_protocol_name(enum telemetry_protocol p); /* "http/protobuf" */
/* The flags of a trace that goes on below parent, or begins (NULL) with this id. */
uint8_t telemetry_sample(const struct telemetry *t, const struct trace *parent, const uint8_t *id);

#endif
