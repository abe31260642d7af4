#include "lib/clock.h"

#include <fcntl.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

static int64_t frozen_wall = -1, frozen_mono = -1;
static char boot_id[40];

static int64_t
read_us(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t
clock_wall_ms(void)
{
	return frozen_wall >= 0 ? frozen_wall : read_us(CLOCK_REALTIME) / 1000;
}

int64_t
clock_wall_us(void)
{
	return frozen_wall >= 0 ? frozen_wall * 1000 : read_us(CLOCK_REALTIME);
}

int64_t
clock_mono_us(void)
{
	return frozen_mono >= 0 ? frozen_mono * 1000 : read_us(CLOCK_BOOTTIME);
}

int64_t
clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

static void
read_boot_id(void)
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, boot_id, 36) : 0;

	if (fd >= 0)
		close(fd);
	if (n != 36)
		boot_id[0] = '\0';
}

const char *
clock_boot_id(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, read_boot_id);
	return boot_id;
}

void
clock_freeze(int64_t wall_ms, int64_t mono_ms)
{
	frozen_wall = wall_ms;
	frozen_mono = mono_ms;
}
