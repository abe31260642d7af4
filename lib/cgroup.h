/*
 * Control groups for instances, where the host lets us make some: version 2 when it has the controllers, else the hierarchies
 * of version 1.  What is delegated to us is used, never what is somebody else's: our own group when it is ours to divide, and as
 * root without one a group of our own at the top, as container engines do.
 */
#ifndef LIB_CGROUP_H
#define LIB_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct cgroup;
struct conf_list;

/*
 * Looks what there is.  home: names our groups, so that several runners on one host leave one another's alone.
 * how gets one line: what is used, or why nothing is and what mends it.  take: also divides our own group (version 2: moves who is
 * in it into a group below).  false: there are none.
 */
bool cgroup_open(const char *home, bool take, struct buf *how);
void cgroup_close(void);
/* Kills who is left in groups of this home and removes them; returns how many were killed. */
int cgroup_sweep(void);

/* A group for an instance: hard bounds for memory and for processes and threads.  NULL when there are none. */
struct cgroup *cgroup_new(int64_t instance, int64_t memory_bytes, int64_t tasks);
void cgroup_bound(const struct cgroup *g, int64_t memory_bytes, int64_t tasks);
/*
 * How a process gets in.  Version 1: it writes 0 to each of these files (added to the list, allocated).  They are "tasks", not
 * "cgroup.procs": for a thread that moves itself alone the kernel waits for nobody, for a whole process some 10 ms.
 */
void cgroup_join(const struct cgroup *g, struct conf_list *out);
/* Version 2: it is born there (CLONE_INTO_CGROUP), which waits for nobody either.  The directory, or NULL. */
const char *cgroup_cradle(const struct cgroup *g);
/* Removes it, now or, when somebody is still dying in it, at a later call of cgroup_tidy.  NULL is fine. */
void cgroup_free(struct cgroup *g);
void cgroup_tidy(void);

#endif
