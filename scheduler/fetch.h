/*
 * The fetcher as the loop sees it: questions go out, answers come back as events.  The role is a process of its own;
 * when it dies it is started again and what it had not answered is asked again.
 */
#ifndef SCHEDULER_FETCH_H
#define SCHEDULER_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conf;
struct err;
struct fetch;
struct fetcher_answer;
struct fetcher_request;

/* Exactly one of answer and why; failed, when it is one of the fetcher's own and not of the wire, is the answer that holds
 * why (for did and rev), else NULL.  Everything is borrowed. */
typedef void fetch_fn(void *arg, const struct fetcher_request *asked, struct fetcher_answer *answer,
    const struct fetcher_answer *failed, const struct err *why);

/* program: our own executable, absolute. */
struct fetch *fetch_new(const struct conf *c, const char *program);
int fetch_start(struct fetch *f, struct err *e);
/* Strings of r are copied; its id and deadline_ms are not looked at.  A question that is open already, with the same fn and
 * arg, is not asked again: fn is told once. */
void fetch_ask(struct fetch *f, const struct fetcher_request *r, int64_t timeout_ms, fetch_fn *fn, void *arg);
size_t fetch_open(const struct fetch *f); /* questions without an answer */
void fetch_stop(struct fetch *f);         /* ends the role; no answers any more */
bool fetch_gone(const struct fetch *f);   /* after fetch_stop: its process was reaped */
void fetch_free(struct fetch *f);         /* after that, or when the loop runs no more */

#endif
