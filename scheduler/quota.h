/*
 * What an author, a bundle and a caller may use: calls that are not done, calls at once, starts a minute, CPU time and
 * network bytes a day (UTC).  A caller is a DID, or an address (of IPv6 its /64).  Counted in memory; what is counted by the
 * day stands in the ledger too (table usage).  Costs nothing while no key asks for it.
 */
#ifndef SCHEDULER_QUOTA_H
#define SCHEDULER_QUOTA_H

#include <stdint.h>

struct err;
struct instance;
struct job;
struct pool_entry;

/* Reads what was used today and which calls are open. */
int quota_open(struct err *e);
void quota_close(void);
/* The last word of admission: counts the job, or ERR_BUSY "RateLimitExceeded" and j->retry_at, when it would be taken. */
int quota_enter(struct job *j, struct err *e);
/* A job that was counted by an earlier run, or before it left memory. */
void quota_again(struct job *j);
void quota_started(struct job *j);
void quota_stopped(struct job *j); /* its call is over, it may start again */
void quota_leave(struct job *j);   /* it is done; nothing for one that was not counted */
/* A connection out of an instance ended; row: of the job that opened it, which may be over; 0: of none. */
void quota_egress(const struct instance *i, int64_t row, int64_t bytes);
/* An instance that is ready has used what its runtime's start takes: what comes from now on is the bundle's. */
void quota_ready(struct pool_entry *x);
/* Its call comes to its end: what it used is read while one can tell whose it was. */
void quota_over(const struct job *j);
/* Each second: reads what instances used, and writes it down now and then. */
void quota_tick(void);

#endif
