/*
 * Makes durable what was committed, without keeping the loop: a thread that syncs the ledger's log, whatever has gathered in
 * it meanwhile in one go.  Whoever waits for that hears of it from the thread itself: a way over the loop would cost two
 * wake-ups more.
 */
#ifndef SCHEDULER_DURABLE_H
#define SCHEDULER_DURABLE_H

#include <stddef.h>
#include <stdint.h>

struct durable;
struct err;

/* What is said to a bell, in the words of lib/news.h. */
typedef void durable_fn(const char *bell, const void *words, size_t n);

/* path: of the ledger, which is open and keeps a log; run_dir: of the bells.  fn is called by the loop with words for which a
 * bell had no room when their time had come. */
struct durable *durable_new(const char *path, const char *run_dir, durable_fn *fn, struct err *e);
void durable_free(struct durable *d);
/* These words go to that bell (of at most 63 bytes) once all is durable that is committed at the next durable_ask. */
void durable_tell(struct durable *d, const char *bell, const void *words, size_t n);
/* All that is committed by now will be made durable; the number of this wish. */
int64_t durable_ask(struct durable *d);
/* The highest wish that came true. */
int64_t durable_done(struct durable *d);
/* How often the log was synced. */
int64_t durable_count(struct durable *d);

#endif
