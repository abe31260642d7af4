/*
 * What an instance uses: its pid namespace is looked at from outside, often while calls run, now and then while none does, and
 * the one that is over a limit is told of once.
 *
 * Counted are memory of its own (anonymous and shared, not the pages of programs), processes and threads, CPU time of the
 * calls under way, files and bytes in /tmp (which the tmpfs bounds at limits.scratch).  Where there are control groups, the kernel
 * holds memory and processes as well, between two looks; who was killed by it is told here.
 */
#ifndef SCHEDULER_ACCOUNT_H
#define SCHEDULER_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/job.h"

struct account;
struct bundle;
struct cgroup;
struct conf;
struct err;

/* Called once, from the loop; why names the limit, its value and its key, and is borrowed. */
typedef void account_over_fn(void *arg, enum job_outcome outcome, const struct err *why);

/*
 * outer: the process that holds the namespace (plan.contained).  To be called before code of a bundle runs there: the
 * bound on processes is set here, where the kernel counts them by namespace.  NULL when nothing can be seen: e says why.
 * group may be NULL and stays the caller's, as long as the account is there.
 */
struct account *account_new(const struct conf *c, pid_t outer, struct cgroup *group, account_over_fn *fn, void *arg, struct err *e);
/*
 * Of an instance whose processes are none of this kernel's (plan.sealed): what its control group uses is all that can be seen, and
 * of processes and memory what came on top since now, when nothing of a bundle runs there.  member: a process of the group.
 */
struct account *account_new_sealed(const struct conf *c, pid_t member, account_over_fn *fn, void *arg, struct err *e);
/* What a group for an instance with these limits is to bound, beside what its processes may use themselves. */
void account_bounds(const struct conf *c, int64_t memory, int64_t processes, int64_t *bytes, int64_t *tasks);
/* Did the kernel end it for want of memory?  Then the job's error. */
bool account_starved(const struct account *a, struct err *why);
void account_free(struct account *a);
/* The bundle's own limits, where they are lower than the operator's; before its code runs.  a may be NULL, as below. */
void account_bind(struct account *a, const struct bundle *b);
/* Calls begin to run, or none runs any more. */
void account_busy(struct account *a, bool busy);
/* CPU time of all that ever ran there, milliseconds. */
int64_t account_cpu_ms(struct account *a);
/*
 * Before an answer is believed: has the kernel killed one of its processes for want of memory, and the handler gone on without
 * it?  Then it is over (account_over_fn).  Costs nothing in the first millisecond of a call: so much is not grabbed in one.
 */
void account_answers(struct account *a);
/* Looks now: its end has been seen, and what the kernel has to tell of it is soon gone. */
void account_look(struct account *a);

#endif
