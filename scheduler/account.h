/*
 * What an instance uses, where no cgroup of ours says it: its pid namespace is looked at from outside, often while calls
 * run, now and then while none does, and the one that is over a limit is told of once.
 *
 * Counted are memory of its own (anonymous and shared, not the pages of programs), processes and threads, CPU time of the
 * calls under way, files in /tmp (their bytes the tmpfs bounds itself).
 */
#ifndef SCHEDULER_ACCOUNT_H
#define SCHEDULER_ACCOUNT_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/job.h"

struct account;
struct bundle;
struct conf;
struct err;

/* Called once, from the loop; why names the limit, its value and its key, and is borrowed. */
typedef void account_over_fn(void *arg, enum job_outcome outcome, const struct err *why);

/*
 * outer: the process that holds the namespace (plan.contained).  To be called before code of a bundle runs there: the
 * bound on processes is set here, where the kernel counts them by namespace.  NULL when nothing can be seen: e says why.
 */
struct account *account_new(const struct conf *c, pid_t outer, account_over_fn *fn, void *arg, struct err *e);
void account_free(struct account *a);
/* The bundle's own limits, where they are lower than the operator's; before its code runs.  a may be NULL, as below. */
void account_bind(struct account *a, const struct bundle *b);
/* Calls begin to run, or none runs any more. */
void account_busy(struct account *a, bool busy);
/* CPU time of all that ever ran there, milliseconds. */
int64_t account_cpu_ms(const struct account *a);
/* Looks now: its end has been seen, and what the kernel has to tell of it is soon gone. */
void account_look(struct account *a);

#endif
