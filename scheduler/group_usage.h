/*
 * What the processes of a control group use, as the kernel counts it: for instances whose processes are no processes of this
 * kernel (gVisor), and for what a group had to kill.  Version 1 or 2, whichever the process is in.
 */
#ifndef SCHEDULER_GROUP_USAGE_H
#define SCHEDULER_GROUP_USAGE_H

#include <stdbool.h>
#include <stdint.h>

#define GROUPS_DIR "/sys/fs/cgroup"

struct group_usage {
	int memory_fd, tasks_fd, cpu_fd; /* -1: not counted */
	bool two;                        /* version 2 */
};

/*
 * The groups of a process: `its` and `own` are the texts of its /proc/PID/cgroup and of ours, top is GROUPS_DIR.  A group that
 * is also ours counts us, and is left out.
 */
void group_usage_open(struct group_usage *g, const char *top, const char *its, const char *own);
void group_usage_close(struct group_usage *g);
/* Nothing but CPU time is to be asked. */
void group_usage_cpu_alone(struct group_usage *g);
/* Bytes, processes and threads, nanoseconds; 0 where nothing is counted. */
int64_t group_usage_memory(const struct group_usage *g);
int64_t group_usage_tasks(const struct group_usage *g);
int64_t group_usage_cpu_ns(const struct group_usage *g);

/* Opens a file of the group that holds a process's memory, unless it is ours too: one name in version 1, one in 2.  -1: none. */
int group_memory_file(const char *top, const char *its, const char *own, const char *one, const char *two);

#endif
