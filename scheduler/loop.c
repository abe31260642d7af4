#include "scheduler/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "lib/awake.h"
#include "lib/clock.h"
#include "lib/err.h"
#include "lib/mem.h"

#define EVENTS_A_TURN 128
#define ROUNDS_A_TURN 3

struct watch {
	loop_fn *fn; /* NULL: nobody watches */
	void *arg;
	uint32_t events, turn; /* turn: counts watchers of this number, so that a late event finds nobody */
};

static int epoll_fd = -1;
static struct watch *watches; /* by descriptor */
static size_t watch_room;
static struct loop_timer **heap;
static size_t heap_count, heap_room;
static bool ending;
static int64_t now_ms;
static int64_t expected_until_us; /* 0: nothing is */

int
loop_open(struct err *e)
{
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	ending = false;
	now_ms = clock_mono_ms();
	return epoll_fd < 0 ? err_errno(e, "epoll_create1") : 0;
}

void
loop_close(void)
{
	if (epoll_fd >= 0)
		close(epoll_fd);
	epoll_fd = -1;
	free(watches);
	free(heap);
	watches = NULL;
	heap = NULL;
	watch_room = heap_room = heap_count = 0;
}

void
loop_watch(int fd, uint32_t events, loop_fn *fn, void *arg)
{
	struct epoll_event ev = { .events = events };
	struct watch *w;
	bool fresh;

	assert(fd >= 0 && fn != NULL);
	if ((size_t)fd >= watch_room) {
		size_t room = (size_t)fd * 2 + 64, i;
		watches = mem_grow(watches, room * sizeof *watches);
		for (i = watch_room; i < room; i++)
			watches[i] = (struct watch){ NULL, NULL, 0, 0 };
		watch_room = room;
	}
	w = &watches[fd];
	fresh = w->fn == NULL;
	w->fn = fn;
	w->arg = arg;
	if (!fresh && w->events == events)
		return;
	w->events = events;
	if (fresh)
		w->turn++;
	ev.data.u64 = (uint64_t)w->turn << 32 | (uint32_t)fd;
	if (epoll_ctl(epoll_fd, fresh ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &ev) != 0)
		abort(); /* a descriptor of ours that is none: a broken promise of our own */
}

void
loop_forget(int fd)
{
	if (fd < 0 || (size_t)fd >= watch_room || watches[fd].fn == NULL)
		return;
	watches[fd].fn = NULL;
	epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

/* --- timers: a binary heap; each timer knows its place, so that stopping is cheap --- */

static void
place(struct loop_timer *t, size_t i)
{
	heap[i] = t;
	t->at = i + 1;
}

static void
sift_up(struct loop_timer *t, size_t i)
{
	for (; i > 0 && heap[(i - 1) / 2]->due_ms > t->due_ms; i = (i - 1) / 2)
		place(heap[(i - 1) / 2], i);
	place(t, i);
}

static void
sift_down(struct loop_timer *t, size_t i)
{
	for (;;) {
		size_t kid = 2 * i + 1;

		if (kid >= heap_count)
			break;
		if (kid + 1 < heap_count && heap[kid + 1]->due_ms < heap[kid]->due_ms)
			kid++;
		if (heap[kid]->due_ms >= t->due_ms)
			break;
		place(heap[kid], i);
		i = kid;
	}
	place(t, i);
}

void
loop_stop(struct loop_timer *t)
{
	size_t i = t->at - 1;
	struct loop_timer *last;

	if (t->at == 0)
		return;
	t->at = 0;
	last = heap[--heap_count];
	if (last == t)
		return;
	if (i > 0 && heap[(i - 1) / 2]->due_ms > last->due_ms)
		sift_up(last, i);
	else
		sift_down(last, i);
}

void
loop_after(struct loop_timer *t, int64_t ms, loop_timer_fn *fn, void *arg)
{
	loop_stop(t);
	t->due_ms = clock_mono_ms() + (ms > 0 ? ms : 1); /* never due in this turn: run_timers ends */
	t->fn = fn;
	t->arg = arg;
	if (heap_count == heap_room) {
		heap_room = heap_room * 2 + 64;
		heap = mem_grow(heap, heap_room * sizeof(struct loop_timer *));
	}
	sift_up(t, heap_count++);
}

static void
run_timers(void)
{
	while (heap_count > 0 && heap[0]->due_ms <= now_ms) {
		struct loop_timer *t = heap[0];

		loop_stop(t);
		t->fn(t->arg);
	}
}

static int
wait_time(bool again)
{
	int64_t left;

	if (again)
		return 0;
	if (heap_count == 0)
		return -1;
	left = heap[0]->due_ms - clock_mono_ms();
	return left <= 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

static void
deliver(const struct epoll_event *ev, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		struct watch *w = &watches[(uint32_t)ev[i].data.u64];

		if (w->fn != NULL && w->turn == (uint32_t)(ev[i].data.u64 >> 32))
			w->fn(w->arg, ev[i].events);
	}
}

/* As epoll_wait; what is expected is looked for first. */
static int
wait_events(struct epoll_event *ev, bool again)
{
	int n = 0;

	if (expected_until_us > 0 && !again) {
		n = awake_wait(epoll_fd, ev, EVENTS_A_TURN, expected_until_us);
		expected_until_us = 0;
	}
	return n != 0 ? n : epoll_wait(epoll_fd, ev, EVENTS_A_TURN, wait_time(again));
}

int
loop_run(bool (*fn)(void *arg), void *arg, struct err *e)
{
	struct epoll_event ev[EVENTS_A_TURN];
	bool again = true;
	int n, rounds;

	for (ending = false; !ending;) {
		n = wait_events(ev, again);
		if (n < 0 && errno != EINTR)
			return err_errno(e, "epoll_wait");
		now_ms = clock_mono_ms();
		deliver(ev, n);
		/* What came meanwhile shares the turn: a transaction costs more than a look. */
		for (rounds = 1; n > 0 && rounds < ROUNDS_A_TURN; rounds++) {
			n = epoll_wait(epoll_fd, ev, EVENTS_A_TURN, 0);
			deliver(ev, n);
		}
		run_timers();
		again = fn(arg);
	}
	return 0;
}

void
loop_end(void)
{
	ending = true;
}

void
loop_expect(int64_t us)
{
	expected_until_us = clock_mono_us() + us;
}

int64_t
loop_now_ms(void)
{
	return now_ms;
}
