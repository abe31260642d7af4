/*
 * MemAvailable is the kernel's own estimate of what can be had without swapping.  PSI's "some avg10" is the share of the last
 * ten seconds in which somebody waited for memory; a tenth of the time is misery on a small machine, and means that the
 * estimate was wrong.
 */
#include "scheduler/pressure.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAITING_MAX 10.0 /* percent of the time */

static bool
read_file(const char *path, char *text, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, room - 1) : -1;

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n > 0;
}

bool
pressure_is_high(int64_t spare)
{
	char text[4096];
	const char *p;

	if (read_file("/proc/meminfo", text, sizeof text) && (p = strstr(text, "MemAvailable:")) != NULL &&
	    strtoll(p + strlen("MemAvailable:"), NULL, 10) * 1024 < spare)
		return true;
	return read_file("/proc/pressure/memory", text, sizeof text) && (p = strstr(text, "some avg10=")) != NULL &&
	    strtod(p + strlen("some avg10="), NULL) >= WAITING_MAX;
}
