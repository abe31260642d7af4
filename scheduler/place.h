/*
 * Jobs meet instances.
 */
#ifndef SCHEDULER_PLACE_H
#define SCHEDULER_PLACE_H

#include "lib/job.h"

struct code;
struct err;
struct instance;
struct job;
struct pool_entry;

/* An admitted job meets an instance, a place in the queue, or stays in the ledger. */
void place_job(struct job *j);
/* It waits in memory for an instance. */
void place_enqueue(struct job *j);
/* Who waits meets who is free; where it is worth it, instances are started. */
void place_turn(void);
/* Ends all jobs that wait for this code. */
void place_fail(struct code *code, enum job_outcome outcome, const struct err *why);
/* A start that came to nothing before any user code ran is tried again, but not for ever. */
void place_failed(struct code *code, const char *why);
/* Ends instances that are to end once they are free. */
void place_retire(void);
/* Starts blanks up to what the config or an order wants. */
void place_blanks(void);

/* Ends what nobody needs: instances and spare blanks idle for too long, idle ones while the machine is short of memory. */
void place_shrink(void);

#endif
