/*
 * What this scheduler has done since its start, for /metrics: counted in memory, a few additions a job, and written to the
 * ledger with the heartbeat as lines of Prometheus' text format, which the front door passes on.
 */
#ifndef SCHEDULER_TALLY_H
#define SCHEDULER_TALLY_H

#include <stdint.h>

#include "lib/job.h"

/* A job has ended: how, on what kind of instance, and how long after its acceptance. */
void tally_end(enum job_outcome outcome, enum job_start start, int64_t ms);
/* An attempt to tell somebody of the end of a job: it was heard, it is to be made again, or it was the last. */
enum tally_callback { CALLBACK_DELIVERED, CALLBACK_PUT_OFF, CALLBACK_FAILED, CALLBACK_ENDS };
void tally_callback(enum tally_callback how);
/* The lines, when they are other ones than those that were taken last; else NULL.  Ours until the next call. */
const char *tally_take(void);

#endif
