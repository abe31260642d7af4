/*
 * What comes by itself: schedules of enrolled bundles become jobs when their time has come.
 */
#ifndef SCHEDULER_SCHEDULE_H
#define SCHEDULER_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cJSON;
struct code;
struct err;
struct job;

/* Reads what the ledger has. */
int schedule_open(struct err *e);
void schedule_close(void);
/* Once a second: what is due is started, skipped or queued. */
void schedule_tick(void);
/* "latest" of a bundle means this code now: its schedules are what its record says, if it is enrolled. */
void schedule_take(const struct code *code);
/* "latest" of it means nothing any more, or it is enrolled no longer.  name NULL: all of the author's that are not enrolled. */
void schedule_drop(const char *did, const char *name);
/* Calls fn for each bundle that has schedules here. */
void schedule_bundles(void (*fn)(void *arg, const char *did, const char *name), void *arg);
/* Was this job made here? */
bool schedule_made(const struct job *j);

/* Orders: {"schedule":3} */
void schedule_order_run(const struct cJSON *args, char *note, size_t n);
void schedule_order_pause(const struct cJSON *args, char *note, size_t n);
void schedule_order_resume(const struct cJSON *args, char *note, size_t n);

#endif
