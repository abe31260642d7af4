/*
 * The telemetry role as the loop sees it: spans, log lines and readings go out and nothing waits for them.  Without a collector
 * there is no process, and all of this is nothing: report_on is the one branch that a call pays.
 */
#ifndef SCHEDULER_REPORT_H
#define SCHEDULER_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/otlp.h"
#include "lib/trace.h"
#include "scheduler/reporter.h"

struct conf;
struct err;

/* Whether this signal goes anywhere. */
extern bool report_on[TELEMETRY_SIGNALS];

/* program: our own executable, absolute.  All is borrowed. */
int report_open(const struct conf *c, const char *program, struct err *e);
/* Whoever was told all that there is ends, soon; report_gone says when. */
void report_stop(void);
bool report_gone(void);
void report_close(void);

/* Once a second. */
void report_tick(void);

/* What the sampler says of a trace that begins here, or goes on below one that begins elsewhere. */
void report_trace(struct trace *t, const struct trace *parent, int64_t start_us);

/* --- one span or line: begin, then its attributes, then end --- */

struct report_span {
	const struct trace *trace;
	const uint8_t *span, *parent; /* 8 bytes; parent NULL: the trace's own root */
	const uint8_t *link;          /* another span of the same trace; NULL: none */
	const char *name;
	enum otlp_kind kind;
	enum otlp_status status;
	const char *message;          /* of an error, or NULL */
	int64_t start_us, end_us;     /* unix */
};
void report_span(const struct report_span *s);
/* level: enum log_level. */
void report_line(int level, int64_t at_us, const char *body, size_t n, const struct trace *t, const uint8_t *span);
void report_text(enum attr key, const char *text); /* NULL is left out */
void report_text_n(enum attr key, const char *text, size_t n);
void report_other(const char *key, size_t key_n, const char *text, size_t n);
void report_int(enum attr key, int64_t n);
void report_bool(enum attr key, bool yes);
void report_end(void);

#endif
