#include "scheduler/survey.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "scheduler/durable.h"
#include "scheduler/instance.h"
#include "scheduler/meter.h"
#include "scheduler/shop.h"

/* The second number of /proc/self/statm, in pages. */
static int64_t
resident_bytes(void)
{
	char text[128], *rest;
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	(void)strtoll(text, &rest, 10);
	return strtoll(rest, NULL, 10) * sysconf(_SC_PAGESIZE);
}

static int64_t
open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	const struct dirent *f;
	int64_t n = -1; /* the directory's own */

	while (d != NULL && (f = readdir(d)) != NULL)
		n += f->d_name[0] != '.';
	if (d != NULL)
		closedir(d);
	return n > 0 ? n : 0;
}

static void
look_at_process(void)
{
	struct rusage r;

	if (getrusage(RUSAGE_SELF, &r) == 0)
		meter_set(METER_CPU, 0, ((int64_t)r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000 + r.ru_utime.tv_usec + r.ru_stime.tv_usec);
	meter_set(METER_MEMORY, 0, resident_bytes());
	meter_set(METER_FILES, 0, open_files());
}

static enum meter_state
state_of(const struct pool_entry *x)
{
	switch (instance_state(x->instance)) {
	case INSTANCE_STARTING:
		return METER_STARTING;
	case INSTANCE_BLANK:
		return METER_BLANK;
	case INSTANCE_LOADING:
		return METER_LOADING;
	case INSTANCE_WARM:
		return instance_busy(x->instance) > 0 ? METER_BUSY : METER_WARM;
	default:
		return METER_ENDING;
	}
}

static void
look_at_pool(void)
{
	int64_t n[METER_STATES] = { 0 };

	for (size_t i = 0; i < shop.pool.n; i++)
		n[state_of(&shop.pool.item[i])]++;
	for (int s = 0; s < METER_STATES; s++)
		meter_set(METER_INSTANCES, s, n[s]);
}

void
survey(void)
{
	meter_set(METER_QUEUE, METER_HELD, (int64_t)shop.held_n);
	meter_set(METER_QUEUE, METER_WAITING, (int64_t)shop.wait.n);
	meter_set(METER_QUEUE, METER_RUNNING, (int64_t)shop.running.n);
	meter_set(METER_SYNCS, 0, shop.syncs + (shop.durable != NULL ? durable_count(shop.durable) : 0));
	look_at_pool();
	look_at_process();
}
