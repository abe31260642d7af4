#include <sys/epoll.h>
#include <unistd.h>

#include "lib/awake.h"
#include "lib/clock.h"
#include "tests/t.h"

TEST(what_comes_is_seen_and_nothing_is_waited_for_no_longer_than_asked)
{
	struct epoll_event ev = { .events = EPOLLIN }, got;
	int epoll = epoll_create1(EPOLL_CLOEXEC), fd[2];
	int64_t began = clock_mono_us();

	CHECK(pipe(fd) == 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd[0], &ev) == 0);
	CHECK_INT(awake_wait(epoll, &got, 1, began + 2000), 0);
	CHECK(clock_mono_us() - began >= 2000);
	CHECK(write(fd[1], "x", 1) == 1);
	CHECK_INT(awake_wait(epoll, &got, 1, clock_mono_us() + INT64_C(60000000)), 1);
	CHECK_INT(awake_wait(epoll, &got, 1, 0), 1); /* it looks once, however late it is */
	CHECK_INT(awake_wait(-1, &got, 1, 0), -1);
	close(fd[0]);
	close(fd[1]);
	close(epoll);
}
