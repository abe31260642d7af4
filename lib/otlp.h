/*
 * OTLP 1: spans, log lines and metrics as protobuf or as JSON.  Items are appended to a batch one by one; otlp_request puts
 * around them what belongs around a batch.  The only file that knows nanopb is otlp.c; numbers are those of otlp.proto.
 */
#ifndef LIB_OTLP_H
#define LIB_OTLP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/telemetry.h"

struct otlp_attr {
	const char *key;
	enum otlp_type { OTLP_TEXT, OTLP_INT, OTLP_DOUBLE, OTLP_BOOL } type;
	const char *text; /* UTF-8, not NUL-terminated */
	size_t n;
	int64_t number;   /* of a bool too */
	double real;
};

enum otlp_kind { OTLP_INTERNAL = 1, OTLP_SERVER, OTLP_CLIENT, OTLP_PRODUCER, OTLP_CONSUMER };
enum otlp_status { OTLP_UNSET, OTLP_OK, OTLP_ERROR };

/* Ids of 16 and 8 bytes; NULL: none. */
struct otlp_span {
	const uint8_t *trace, *span, *parent;
	const uint8_t *link_trace, *link_span;
	const char *name;
	enum otlp_kind kind;
	int64_t start_us, end_us; /* unix */
	uint8_t flags;
	const struct otlp_attr *attrs;
	size_t attrs_n;
	enum otlp_status status;
	const char *message;
	size_t message_n;
};

struct otlp_line {
	int64_t at_us;
	int severity; /* SeverityNumber */
	const char *word;
	const char *body; /* UTF-8 */
	size_t body_n;
	const uint8_t *trace, *span;
	uint8_t flags;
	const struct otlp_attr *attrs;
	size_t attrs_n;
};

struct otlp_point {
	const struct otlp_attr *attrs;
	size_t attrs_n;
	bool is_real;
	int64_t number;
	double real;
	/* of a histogram */
	const int64_t *buckets; /* bounds + 1 of them */
	double sum;
};

struct otlp_metric {
	const char *name, *unit, *help;
	enum otlp_metric_type { OTLP_GAUGE, OTLP_COUNTER, OTLP_UP_DOWN, OTLP_HISTOGRAM } type;
	const double *bounds;
	size_t bounds_n;
	int64_t start_us, at_us;
	const struct otlp_point *points;
	size_t points_n;
};

/* Appends one item to a batch. */
void otlp_add_span(struct buf *batch, bool json, const struct otlp_span *s);
void otlp_add_line(struct buf *batch, bool json, const struct otlp_line *l);
void otlp_add_metric(struct buf *batch, bool json, const struct otlp_metric *m);
/* The request around a batch: who says it, and for gRPC the five bytes in front. */
void otlp_request(struct buf *out, enum telemetry_signal s, enum telemetry_protocol p, const struct conf_pairs *resource,
    const struct buf *batch);
/* What a collector that took the request did not take of it.  false: these bytes are no answer of one. */
bool otlp_response(const void *p, size_t n, enum telemetry_signal s, enum telemetry_protocol as, int64_t *rejected,
    char message[160]);

#endif
