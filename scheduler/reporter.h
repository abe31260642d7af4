/*
 * The telemetry role: takes spans, log lines and readings of the meters from the scheduler, and brings them to the collector
 * (lib/telemetry.h).  It has neither keys nor database, and nobody waits for it: what it cannot take, it counts and drops.
 *
 * On the socket both ways: records, each a struct with `bytes`, its whole length, in front.  Both ends are one program.
 */
#ifndef SCHEDULER_REPORTER_H
#define SCHEDULER_REPORTER_H

#include <stdint.h>

#include "lib/telemetry.h"
#include "lib/trace.h"

enum record_kind { RECORD_SPAN, RECORD_LINE, RECORD_READING, RECORD_STATE };

struct record_head {
	uint32_t bytes;
	uint16_t kind, attrs; /* how many follow */
};

/* Behind it: name, message, attributes. */
struct record_span {
	struct record_head head;
	uint8_t trace[TRACE_ID_BYTES], span[TRACE_SPAN_BYTES], parent[TRACE_SPAN_BYTES];
	uint8_t link_trace[TRACE_ID_BYTES], link_span[TRACE_SPAN_BYTES]; /* all 0: none */
	uint8_t kind, status, flags, spare;
	uint16_t name_n, message_n;
	int64_t start_us, end_us;
};

/* Behind it: body, attributes. */
struct record_line {
	struct record_head head;
	uint8_t trace[TRACE_ID_BYTES], span[TRACE_SPAN_BYTES]; /* all 0: none */
	uint8_t flags, level, spare[2];
	uint32_t body_n;
	int64_t at_us;
};

/* Behind it: the values of all meters (scheduler/meter.h). */
struct record_reading {
	struct record_head head;
	int64_t start_us, at_us;
};

/* An attribute: this, then the key's text when key is ATTR_OTHER, then the text of a text, or eight bytes of a number. */
struct record_attr {
	uint8_t key, type; /* enum attr, enum otlp_type */
	uint8_t key_n, spare;
	uint32_t n;
};

enum attr { ATTR_OTHER, ATTR_FAAS_NAME, ATTR_FAAS_VERSION, ATTR_FAAS_INSTANCE, ATTR_FAAS_COLDSTART, ATTR_FAAS_TRIGGER,
	ATTR_FAAS_INVOCATION, ATTR_METHOD, ATTR_ROUTE, ATTR_STATUS, ATTR_ERROR_TYPE, ATTR_STREAM, ATTR_AUTHOR, ATTR_BUNDLE,
	ATTR_ENDPOINT, ATTR_CID, ATTR_RUNTIME, ATTR_WALL, ATTR_OUTCOME, ATTR_START, ATTR_MODE, ATTR_ATTEMPT, ATTR_WHAT,
	ATTR_CALLER, ATTR_COUNT };
extern const char *const attr_names[ATTR_COUNT];

/* From the role, once a second while something changes. */
struct record_state {
	struct record_head head;
	int64_t sent[TELEMETRY_SIGNALS], dropped[TELEMETRY_SIGNALS], failed[TELEMETRY_SIGNALS], queued[TELEMETRY_SIGNALS];
	int64_t failing; /* 1: the last request was not taken */
	char why[160];
};

/* Runs the role on this descriptor until the other end is closed; its exit status. */
int reporter_main(int fd, const struct telemetry *t);

#endif
