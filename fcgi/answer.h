/* From a job's row to an HTTP answer: whole, streamed, or why there is none. */
#ifndef FCGI_ANSWER_H
#define FCGI_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct call;
struct err;
struct front_view;

/*
 * Answers c with what v holds: v is done, or its answer has begun.  A stream is sent from here, until its end or until
 * deadline (clock_mono_ms).  v stays the caller's, and must live until the reply is sent.
 */
int answer_job(struct call *c, struct front_view *v, int64_t deadline, struct err *e);

/* Nothing came until the deadline: settles the row and says so.  Always -1. */
int answer_late(struct call *c, const struct front_view *v, struct err *e);

/* Asks for the job's end, because nobody waits for it any more. */
void answer_cancel(struct call *c, const struct front_view *v);

/*
 * The head of a stream and its first chunk at once, as news of it have come; answer_rest has the rest, from the second chunk on.
 * False, and nothing is sent, when it cannot be sent so: then answer_job has all of it.
 */
bool answer_begin(struct call *c, const struct front_view *v, const void *p, size_t n);
/* n: bytes of the first chunk; gone: the caller went meanwhile. */
void answer_rest(struct call *c, struct front_view *v, int64_t deadline, size_t n, bool gone);

#endif
