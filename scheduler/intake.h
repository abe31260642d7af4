/*
 * How jobs come in: from new rows, from the fetcher, from what the ledger kept.
 */
#ifndef SCHEDULER_INTAKE_H
#define SCHEDULER_INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct job;
struct work_job;

/* Takes copies of new rows from a bell, as far as no row is missing between them and what is known; where one is, the ledger
 * will be read.  False when these bytes are no slips. */
bool intake_slips(const char *p, size_t n);
/* Takes new rows, from slips or from the ledger, and admits, holds or refuses them; true when there may be more. */
bool intake_new(void);
/* What the ledger holds beyond memory, lane by lane.  Before this turn's own admissions: those are not written yet. */
void intake_refill(void);
/* An admitted job that was read from the ledger; its request with it.  Takes over what w owns. */
void intake_again(struct work_job *w);
/* Asks the fetcher for a bundle; what it says goes where all such answers go. */
void intake_ask(const char *author, const char *name, const char *version);
/* Something was learnt of a DID or a handle: who was held for that goes on. */
void intake_person(const char *name);
/* Something was learnt of the social graph. */
void intake_graph(void);
/* Takes a held job out, NULL: none of that row is held. */
struct job *intake_held(int64_t row);
/* Takes a job that has not started out of wherever it waits in memory, NULL: there is none. */
struct job *intake_take(int64_t row);
/* Somebody rang: bodies that are wanted whole may be there. */
void intake_bodies(void);

#endif
