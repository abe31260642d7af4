/*
 * Makes durable what was committed, without keeping the loop: a thread that syncs the ledger's log, whatever has gathered in
 * it meanwhile in one go.
 */
#ifndef SCHEDULER_DURABLE_H
#define SCHEDULER_DURABLE_H

#include <stdint.h>

struct durable;
struct err;

/* path: of the ledger, which is open and keeps a log.  fn is called by the loop after each sync. */
struct durable *durable_new(const char *path, void (*fn)(void), struct err *e);
void durable_free(struct durable *d);
/* All that is committed by now will be made durable; the number of this wish. */
int64_t durable_ask(struct durable *d);
/* The highest wish that came true. */
int64_t durable_done(struct durable *d);
/* How often the log was synced. */
int64_t durable_count(struct durable *d);

#endif
