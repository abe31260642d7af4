/*
 * Back-pressure before anything is stored: is a scheduler alive, is there room in the queue?  One for all threads; what it
 * knows is a moment old when it lets somebody in, and fresh when it refuses.
 */
#ifndef FCGI_GAUGE_H
#define FCGI_GAUGE_H

#include "lib/store_front.h"

struct conf;
struct err;
struct gauge;
struct store;

struct gauge *gauge_new(const struct conf *c);
void gauge_free(struct gauge *g);

/* The scheduler's pulse, at most a second old. */
int gauge_pulse(struct gauge *g, struct store *s, struct front_pulse *out, struct err *e);
/* ERR_BUSY when no scheduler is alive or it drains. */
int gauge_alive(struct gauge *g, struct store *s, struct err *e);
/* ERR_BUSY "QueueFull" or "RateLimitExceeded", and *again_s, the seconds after which there is a place again if nobody else takes
 * it; on success one more job of this author and bundle is counted. */
int gauge_enter(struct gauge *g, struct store *s, const char *author, const char *bundle, int64_t *again_s, struct err *e);
/* The ledger knows of one that has entered, or it will never come there. */
void gauge_stored(struct gauge *g, const char *author, const char *bundle);

#endif
