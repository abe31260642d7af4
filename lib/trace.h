/*
 * W3C Trace Context (Recommendation 1, and what level 2 adds): one trace goes through many programs, each of which says by
 * `traceparent` in which span of it the next one was called.
 */
#ifndef LIB_TRACE_H
#define LIB_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_ID_BYTES   16
#define TRACE_SPAN_BYTES 8
#define TRACE_SAMPLED    0x01 /* of flags: somebody records it */
#define TRACE_ID_TEXT    32
#define TRACE_HEADER_TEXT 55  /* 00-trace-span-flags */
#define TRACE_ROW_TEXT   96   /* room for trace_row */

struct trace {
	uint8_t id[TRACE_ID_BYTES], span[TRACE_SPAN_BYTES]; /* span: of the request here */
	uint8_t parent[TRACE_SPAN_BYTES];                   /* of whom sent it; all 0: it begins here */
	uint8_t flags;
	int64_t start_us;                                   /* when the request came, unix microseconds; 0: not known */
};

/* The sender's traceparent: id, flags, and its span as `parent`.  false when it is none, and then it says nothing. */
bool trace_parse(const char *header, struct trace *t);
/* What follows it: a span of its own below the parent, or a trace of its own when parent is NULL. */
void trace_begin(struct trace *t, const struct trace *parent, uint8_t flags, int64_t start_us);
/* traceparent for whoever is called from this span of the trace. */
void trace_header(const struct trace *t, const uint8_t span[TRACE_SPAN_BYTES], char out[TRACE_HEADER_TEXT + 1]);
/*
 * The text that stands in job.trace: trace-span-flags, then -parent when there is one, then +N when the request came N microseconds
 * before `by`, the millisecond that follows the one in which the job was made (unix, microseconds).
 */
void trace_row(const struct trace *t, int64_t by_us, char out[TRACE_ROW_TEXT]);
bool trace_row_parse(const char *row, int64_t by_us, struct trace *t);
/* Ids: not secret, only never the same twice.  Never all 0. */
void trace_random(uint8_t *out, size_t n);
/* The n-th span below one, the same each time: whoever makes it and whoever speaks of it earlier agree. */
void trace_child(const uint8_t span[TRACE_SPAN_BYTES], unsigned n, uint8_t out[TRACE_SPAN_BYTES]);
bool trace_none(const uint8_t *id, size_t n); /* all 0 */
/* n bytes in lower case hex, with a NUL. */
void trace_hex(const uint8_t *p, size_t n, char *out);

#endif
