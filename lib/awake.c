#include "lib/awake.h"

#include <sched.h>
#include <sys/epoll.h>

#include "lib/clock.h"

int
awake_wait(int epoll, struct epoll_event *ev, int most, int64_t until_us)
{
	int n;

	while ((n = epoll_wait(epoll, ev, most, 0)) == 0 && clock_mono_us() < until_us)
		sched_yield();
	return n;
}
