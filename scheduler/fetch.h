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

/* Exactly one of answer and why.  The strings are borrowed; known by (author, name, version). */
typedef void fetch_fn(void *arg, const char *author, const char *name, const char *version,
    struct fetcher_answer *answer, const struct err *why);

/* program: our own executable, absolute. */
struct fetch *fetch_new(const struct conf *c, const char *program, fetch_fn *fn, void *arg);
int fetch_start(struct fetch *f, struct err *e);
/* Asks once for each (author, name, version), however many want it. */
void fetch_ask(struct fetch *f, const char *author, const char *name, const char *version, const char *known_cid,
    int64_t timeout_ms);
bool fetch_asked(const struct fetch *f, const char *author, const char *name, const char *version);
size_t fetch_open(const struct fetch *f); /* questions without an answer */
void fetch_stop(struct fetch *f);         /* ends the role; no answers any more */
bool fetch_gone(const struct fetch *f);   /* after fetch_stop: its process was reaped */
void fetch_free(struct fetch *f);         /* after that, or when the loop runs no more */

#endif
