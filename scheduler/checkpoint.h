/*
 * Moves the ledger's log into the database beside the loop, which never waits for the disk: the one thread of the
 * scheduler, with a connection of its own.  lib/store_work.c says why and when that is safe.
 */
#ifndef SCHEDULER_CHECKPOINT_H
#define SCHEDULER_CHECKPOINT_H

struct checkpoint;
struct err;
struct store;

/* path: of the database; pages: how many frames the log grows by until it is worth it. */
struct checkpoint *checkpoint_new(const char *path, int pages, struct err *e);
/* Stops the thread; a checkpoint that runs is waited for. */
void checkpoint_free(struct checkpoint *c);
/* Once a turn, after its commit on s: hears what was done and asks for the next.  Never waits. */
void checkpoint_turn(struct checkpoint *c, struct store *s);

#endif
