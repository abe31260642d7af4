/*
 * Attempts: what a start that came to a bad end means for its job.
 *
 * A job is started again only when its endpoint is idempotent, has attempts left, has not killed its instance jobs.poison
 * times, and will come to its turn in time.  Whom somebody waits for is started again when its instance died; what was
 * accepted also when the handler threw or took too long.  The wait between is random, up to a bound that doubles (full jitter).
 * Each attempt that is followed by another, and the last of several, is a row of the table attempt.
 */
#ifndef SCHEDULER_RETRY_H
#define SCHEDULER_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/job.h"

struct err;
struct job;

/* A started job came to a bad end: it is marked to be tried again, or that is its end.  The caller touches it. */
void retry_or_end(struct job *j, enum job_outcome outcome, const struct err *why);
/* The runner stops while it runs: what may be started again waits for the next scheduler.  False: it may not. */
bool retry_put_back(struct job *j, const struct err *why);
/* After the commit that put it back: waits out its time and comes again. */
void retry_later(struct job *j);
/* A job that was started before has been read from the ledger again.  True when the caller may go on with it; otherwise its
 * end is set, or it was taken over because its time has not come. */
enum retry_fate { RETRY_NOW, RETRY_LATER, RETRY_NEVER };
enum retry_fate retry_recall(struct job *j);
/* Does this row wait for its next attempt? */
bool retry_waits(int64_t row);
/* Frees those who wait. */
void retry_close(void);

#endif
