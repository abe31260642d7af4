/*
 * What ended, for the status page: counted in memory, a few additions and one look into a hash table a job, and added to the
 * ledger with the heartbeat, in its transaction.  It is no log: what was counted since the last one dies with a scheduler that
 * is killed.
 */
#ifndef SCHEDULER_TRAFFIC_H
#define SCHEDULER_TRAFFIC_H

#include <stdint.h>

#include "lib/job.h"

struct err;
struct job;
struct store;

/* A job has ended, ms after its acceptance; now: wall ms. */
void traffic_end(const struct job *j, int64_t ms, int64_t now);
/* So many whom nobody held here. */
void traffic_more(enum job_outcome outcome, int64_t n, int64_t now);
/* Adds what is new; within a transaction, which may fail and be tried again. */
int traffic_write(struct store *s, struct err *e);
/* It is committed. */
void traffic_written(void);
/* The next writing is the last: nothing may stay behind. */
void traffic_last(void);
/* Drops what is old. */
int traffic_prune(struct store *s, int64_t now, struct err *e);
void traffic_clear(void);

#endif
