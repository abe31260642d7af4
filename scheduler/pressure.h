/* Is the machine short of memory?  Two files of /proc are read; call it once a second. */
#ifndef SCHEDULER_PRESSURE_H
#define SCHEDULER_PRESSURE_H

#include <stdbool.h>
#include <stdint.h>

/* Less than spare bytes are available (MemAvailable, or what the cgroup we live in leaves), or programs wait for memory (PSI). */
bool pressure_is_high(int64_t spare);

#endif
