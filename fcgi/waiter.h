/*
 * One request thread's ear: its own bell, its own look into the ledger, and an eye on the caller's connection.
 * The scheduler rings the very thread that waits.  A lost bell costs a quarter of a second, never an answer.
 */
#ifndef FCGI_WAITER_H
#define FCGI_WAITER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/store_front.h"

struct conf;
struct err;
struct request;
struct store;
struct news;
struct waiter;

/* number: of the thread in this process. */
struct waiter *waiter_new(const struct conf *c, int number);
void waiter_free(struct waiter *w);

/* Its handle on the ledger and the name of its bell; both made when first asked for, so that idle threads cost little. */
struct store *waiter_store(struct waiter *w, struct err *e);
const char *waiter_bell(struct waiter *w, struct err *e);
/* That bell's descriptor; -1 before it is asked for. */
int waiter_bell_fd(const struct waiter *w);
/* From another thread: its sleep ends. */
void waiter_poke(const struct waiter *w, int ringer);

enum waited { WAITED_ENOUGH, WAITED_TIME, WAITED_GONE, WAITED_FAILED };

/*
 * Waits until enough(view) is true, the deadline (clock_mono_ms) has passed, or the caller has gone.  v holds the last look;
 * the caller clears it.  look_first: the job may be that far already.  The answer may come with the bell.
 */
enum waited waiter_until(struct waiter *w, struct request *r, const struct job_id *id, int64_t deadline, bool light,
    bool look_first, bool (*enough)(const struct front_view *), struct front_view *v, struct err *e);
/* What a look would have shown: from news of an answer or an admission. */
void waiter_view(const struct news *n, struct front_view *v);
/* Sleeps until the bell rings, ms have passed, or the caller has gone (false). */
bool waiter_sleep(struct waiter *w, struct request *r, int64_t ms);

/* Removes bells that processes left behind when they were killed. */
void waiter_sweep(const struct conf *c);

#endif
