/*
 * Request bodies that come while their handlers run: pieces go from the ledger to the executor as it has room for them
 * (MORE), and only then the door may put others, so neither we nor the ledger hold more than a window of a body.
 */
#ifndef SCHEDULER_INFLOW_H
#define SCHEDULER_INFLOW_H

#include <stdbool.h>

struct err;
struct job;

/* CALL has left: its body may come. */
void inflow_begin(struct job *j);
/* Somebody rang: pieces may have come. */
void inflow_look(void);
/* Its executor has room for more. */
void inflow_more(struct job *j);
/* The job is over: what came of its body goes. */
void inflow_end(struct job *j);
/* The door says that the body has come to a bad end: then *why. */
bool inflow_fault(const struct job *j, struct err *why);
/* Its body is wanted whole, before anything runs: the door hears it. */
void inflow_whole(struct job *j);

#endif
