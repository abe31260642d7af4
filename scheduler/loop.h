/*
 * The loop: descriptors and timers; knows nothing of jobs.  One thread, one loop for the whole process.
 *
 * A turn is: wait once, call everything that is ready, call the timers that are due, then loop_turn's function.
 * Callbacks may watch and forget any descriptor, also their own, and set and stop any timer.
 */
#ifndef SCHEDULER_LOOP_H
#define SCHEDULER_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

typedef void loop_fn(void *arg, uint32_t events); /* EPOLLIN, EPOLLOUT, EPOLLHUP, ... */
typedef void loop_timer_fn(void *arg);

/* Zero-initialised and at rest; lives inside the struct it belongs to, which stops it before it goes. */
struct loop_timer {
	int64_t due_ms; /* monotonic */
	size_t at;      /* place in the heap plus one; 0: at rest */
	loop_timer_fn *fn;
	void *arg;
};

int loop_open(struct err *e);
void loop_close(void);
/* Watches fd from now on, or changes what is wanted of it. */
void loop_watch(int fd, uint32_t events, loop_fn *fn, void *arg);
/* Before the descriptor is closed.  Events of this turn that were not delivered yet are dropped. */
void loop_forget(int fd);
/* Calls fn once, ms from now; a timer that is set already is moved. */
void loop_after(struct loop_timer *t, int64_t ms, loop_timer_fn *fn, void *arg);
void loop_stop(struct loop_timer *t);
/* Runs turns until loop_end; fn ends each turn and says whether another one must follow without waiting. */
int loop_run(bool (*fn)(void *arg), void *arg, struct err *e);
void loop_end(void);
/*
 * Something will come within us microseconds: the next wait looks for it for so long before it sleeps (lib/awake.h).
 */
void loop_expect(int64_t us);
/* Monotonic milliseconds as they were when this turn began: cheap. */
int64_t loop_now_ms(void);

#endif
