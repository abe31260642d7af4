/*
 * What instances do, and what we do to calls that run.
 */
#ifndef SCHEDULER_EVENTS_H
#define SCHEDULER_EVENTS_H

#include <stdint.h>

#include "lib/job.h"

struct err;
struct exits_events;
struct instance;
struct instance_events;
struct job;

#define EVENTS_GRACE_MS 1000 /* from the deadline to the kill of an executor that does not end the call */

/* For instance_setup and exits_new. */
extern const struct instance_events events;
extern const struct exits_events events_of_exits;

/* A blank that is there for a code loads it. */
void events_blank(struct instance *i);
/* Ends a call that runs; its executor has grace_ms to let go of it. */
void events_stop(struct job *j, enum job_outcome outcome, const struct err *why, int64_t grace_ms);
/* A timer's: arg is the job, its time is over. */
void events_deadline(void *arg);
/* The call has ended well, and nothing is left to be waited for. */
void events_done(struct job *j);

#endif
