/*
 * What a job's way looks like as a trace:
 *
 *     request (or job)   from the door's first byte of it to the answer
 *       admission        from the scheduler's first sight to the yes or no
 *         fetch          each time it was held for a bundle, an identity, the graph
 *       queue | start    until an instance was free | was made or bound for it
 *       run              in the handler, whose calls go on below it (traceparent)
 *       answer           from the handler's end to the commit that lets the door answer
 *
 * Of an accepted job (202) the request ends with its admission, and `job` is the span below it that holds the rest; each
 * attempt has its own start and run, the later linked to the one before.  What comes by itself begins with `job`.
 *
 * All but spans_seen are nothing for a job that has none.
 */
#ifndef SCHEDULER_SPANS_H
#define SCHEDULER_SPANS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/trace.h"

struct buf;
struct code;
struct job;
struct spans;

/* It was read: from now on j->spans is set, when traces go anywhere. */
void spans_seen(struct job *j);
void spans_admitted(struct job *j);
/* It has waited for the fetcher since then (monotonic). */
void spans_fetched(struct job *j, const char *what, int64_t since_us, bool fine);
void spans_accepted(struct job *j); /* its caller is told 202 */
void spans_finished(struct job *j); /* the handler's end, or that of an attempt */
void spans_again(struct job *j);    /* this attempt is over, and another will follow */
void spans_end(struct job *j);
void spans_free(struct job *j);

/* The request's headers, with the trace that the handler runs in. */
void spans_headers(const struct job *j, const char *headers_json, struct buf *out);
/* A line that the handler prints, or the bundle where there is no call (j NULL); code may be NULL too. */
void spans_line(const struct job *j, const struct code *code, const char *level, const char *source, const char *text, size_t n);
#endif
