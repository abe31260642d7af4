/*
 * Claims rows, picks instances, decides every change of a job's state.  Everything else translates the world into an
 * event and tells this file.
 */
#ifndef SCHEDULER_DISPATCH_H
#define SCHEDULER_DISPATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conf;
struct err;
struct runtimes;
struct store;
struct walls;

struct dispatch_setup {
	const struct conf *conf;
	const struct runtimes *runtimes;
	const struct walls *walls;
	struct store *store;
	int64_t run;         /* work_run_start */
	const char *program; /* our own executable, for the fetcher's role */
	void (*alive)(void); /* told with each heartbeat */
};

/* Starts the fetcher, the bell, the timers; takes up what an earlier run left admitted. */
int dispatch_open(const struct dispatch_setup *s, struct err *e);
/* Ends a turn of the loop: reads the queue, decides, commits, sends.  True: there is more to do at once. */
bool dispatch_turn(void *arg);
/* Takes no new work; the loop ends when the running jobs have, or grace_ms have passed.  May be called again with less. */
void dispatch_drain(int64_t grace_ms);
/* Everything is over: instances are killed and reaped, the last rows written. */
void dispatch_close(void);

/* --- orders (orders.c) --- */
/* What became of it, static. */
const char *dispatch_cancel(int64_t row);
/* Ends idle instances now and busy ones after their calls; runtime NULL: all.  Returns how many. */
int dispatch_retire(const char *runtime);
/* Keeps n blanks of a runtime until the next start; -1: no such runtime. */
int dispatch_warm(const char *runtime, int n);
/* After another reading of the config: what pool.warm says now, also over an order; what it names no longer is none. */
void dispatch_warm_again(void);
int dispatch_forget(const char *author, const char *name);
void dispatch_order_done(int64_t id, const char *note);

#endif
