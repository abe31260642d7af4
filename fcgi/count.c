#include "fcgi/count.h"

#include <stdatomic.h>

#include "lib/bell.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/knock.h"

#define TELL_US 1000000

static struct {
	atomic_int_fast64_t answered[KNOCKS], within[TRAFFIC_BOUNDS + 1], us;
	atomic_bool pending, telling;
	_Atomic int64_t told_us;
	int ringer; /* of who tells; 0: none yet, which is nobody's bell */
} all;

static void
add(atomic_int_fast64_t *to, int64_t n)
{
	atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

void
count_request(const struct conf *c, int status, int64_t took_us)
{
	int i = 0;

	while (i < TRAFFIC_BOUNDS && took_us > traffic_bound_ms[i] * 1000)
		i++;
	add(&all.answered[knock_of(status)], 1);
	add(&all.within[i], 1);
	add(&all.us, took_us);
	atomic_store_explicit(&all.pending, true, memory_order_relaxed);
	if (clock_mono_us() - atomic_load_explicit(&all.told_us, memory_order_relaxed) >= TELL_US)
		count_tell(c);
}

bool
count_pending(void)
{
	return atomic_load_explicit(&all.pending, memory_order_relaxed);
}

static int64_t
take(atomic_int_fast64_t *from)
{
	return atomic_exchange_explicit(from, 0, memory_order_relaxed);
}

void
count_tell(const struct conf *c)
{
	struct knocks k = { .magic = KNOCK_MAGIC, .bytes = sizeof k };

	if (atomic_exchange(&all.telling, true))
		return; /* another thread is at it */
	atomic_store(&all.told_us, clock_mono_us());
	if (atomic_exchange(&all.pending, false)) {
		for (int i = 0; i < KNOCKS; i++)
			k.answered[i] = take(&all.answered[i]);
		for (int i = 0; i <= TRAFFIC_BOUNDS; i++)
			k.within[i] = take(&all.within[i]);
		k.us = take(&all.us);
		if (all.ringer <= 0)
			all.ringer = bell_ringer();
		if (!bell_tell(all.ringer, c->run_dir, BELL_SCHEDULER, &k, sizeof k)) {
			/* Its queue is full: they come with the next. */
			for (int i = 0; i < KNOCKS; i++)
				add(&all.answered[i], k.answered[i]);
			for (int i = 0; i <= TRAFFIC_BOUNDS; i++)
				add(&all.within[i], k.within[i]);
			add(&all.us, k.us);
			atomic_store(&all.pending, true);
		}
	}
	atomic_store(&all.telling, false);
}
