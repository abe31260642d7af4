/*
 * Before the first turn: one scheduler for each home, and nothing left alive of a dead one.
 */
#ifndef SCHEDULER_RECOVER_H
#define SCHEDULER_RECOVER_H

#include <stdint.h>

struct conf;
struct err;
struct store;
struct walls;

/* Takes run/scheduler.lock, which is never unlinked; *fd stays open as long as it is held.  ERR_BUSY: another has it. */
int recover_lock(const struct conf *c, int *fd, struct err *e);
/* Kills what earlier runs left behind, behind whatever wall, and clears run/i. */
int recover_kill(const struct conf *c, const struct walls *w, struct store *s, int64_t run, struct err *e);
/* Settles the jobs of earlier runs. */
int recover_jobs(struct store *s, int64_t run, struct err *e);

#endif
