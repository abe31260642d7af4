/*
 * The namespace's own /proc lists exactly its processes, also those that left their parents; a descriptor of it is taken
 * while nothing of the bundle runs and kept, so that a number used again can never lead us astray.
 *
 * A look costs some twenty system calls for an instance with one process: 100 ms between two while calls run are well
 * below a hundredth of a processor, and what can be grabbed between two looks is bounded by RLIMIT_DATA below.
 */
#include "scheduler/account.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/bundle.h"
#include "lib/cgroup.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "scheduler/collect.h"
#include "scheduler/group_usage.h"
#include "scheduler/loop.h"

#define BUSY_MS       100
#define IDLE_MS       1000
#define BYTES_A_FILE  4096 /* of limits.scratch: a file for each page of it */
#define FILES_LEAST   256
#define SCRATCH_LEAST 4096 /* a tmpfs has a page */
#define GROUP_SPARE   (INT64_C(16) << 20) /* the wall itself, page tables, buffers of the kernel */
#define GROUP_TASKS   2                   /* the wall itself */
#define SEALED_TASKS  16 /* threads of its kernel in user space, which come and go */
#define DATA_SPARE    (INT64_C(1) << 30) /* address space that runtimes map writable and never touch */

/* A limit in force and the key that sets it. */
struct bound {
	int64_t max;
	const char *key;
};

struct account {
	const struct conf *conf;
	struct bound memory, tasks, cpu, scratch;
	struct cgroup *group;
	pid_t executor;
	account_over_fn *fn;
	void *arg;
	int proc_fd, tmp_fd; /* inside */
	bool sealed;         /* nothing can be seen but what its control group uses */
	struct group_usage use;
	int64_t idle_memory, idle_tasks; /* of its kernel in user space, before a bundle came */
	int oom_fd;          /* where its own memory cgroup counts what it had to kill; -1: it has none */
	bool busy;
	int64_t busy_from;   /* ms of the loop's clock */
	int64_t cpu_from;    /* ticks at the first look at the calls under way, -1: none yet */
	int64_t cpu_seen, cpu_gone; /* ticks of all who were there at the last look; of those who left and left theirs to nobody */
	struct loop_timer timer;
};

struct usage {
	int64_t memory;    /* bytes */
	int64_t tasks;
	int64_t processes;
	int64_t ticks;
};

/* --- reading --- */

static bool
read_at(int dir, const char *name, char *text, size_t room)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, room - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* "RssAnon:\t  1234 kB" → 1234; 0 when it is not there. */
static int64_t
number_after(const char *text, const char *label)
{
	const char *p = strstr(text, label);

	return p != NULL ? strtoll(p + strlen(label), NULL, 10) : 0;
}

/* utime, stime and those of children that ended: fields 14 to 17. */
static int64_t
ticks_of(const char *stat)
{
	const char *p = strrchr(stat, ')');
	int64_t sum = 0;
	int i;

	for (i = 2; p != NULL && i < 17; i++) {
		p = strchr(p + 1, ' ');
		if (p != NULL && i + 1 >= 14)
			sum += strtoll(p + 1, NULL, 10);
	}
	return sum;
}

static void
add_process(int proc, const char *pid, bool first, struct usage *u)
{
	char name[64], text[4096];

	snprintf(name, sizeof name, "%.20s/stat", pid);
	if (read_at(proc, name, text, sizeof text))
		u->ticks += ticks_of(text);
	if (first)
		return; /* the wall's own process; its children's time was counted with it */
	snprintf(name, sizeof name, "%.20s/status", pid);
	if (!read_at(proc, name, text, sizeof text))
		return;
	u->memory += (number_after(text, "\nRssAnon:") + number_after(text, "\nRssShmem:")) * 1024;
	u->tasks += number_after(text, "\nThreads:");
	u->processes++;
}

/* Each page is counted once, however many share it after a fork; dear, so only who seems to be over is asked. */
static int64_t
shared_out(int proc, const char *pid)
{
	char name[64], text[4096];

	snprintf(name, sizeof name, "%.20s/smaps_rollup", pid);
	if (!read_at(proc, name, text, sizeof text))
		return 0;
	return (number_after(text, "\nPss_Anon:") + number_after(text, "\nPss_Shmem:")) * 1024;
}

static void
look_at_group(const struct account *a, struct usage *u)
{
	int64_t memory = group_usage_memory(&a->use) - a->idle_memory, tasks = group_usage_tasks(&a->use) - a->idle_tasks;

	*u = (struct usage){ memory > 0 ? memory : 0, tasks > SEALED_TASKS ? tasks - SEALED_TASKS : 0, 1,
		group_usage_cpu_ns(&a->use) * sysconf(_SC_CLK_TCK) / INT64_C(1000000000) };
}

static void
look(const struct account *a, bool exact, struct usage *u)
{
	int fd;
	DIR *d;
	const struct dirent *x;

	if (a->sealed) {
		look_at_group(a, u);
		return;
	}
	fd = openat(a->proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = fd >= 0 ? fdopendir(fd) : NULL;
	*u = (struct usage){ 0, 0, 0, 0 };
	if (d == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((x = readdir(d)) != NULL) {
		bool first = strcmp(x->d_name, "1") == 0;

		if (!isdigit((unsigned char)x->d_name[0]))
			continue;
		if (!exact)
			add_process(a->proc_fd, x->d_name, first, u);
		else if (!first)
			u->memory += shared_out(a->proc_fd, x->d_name);
	}
	closedir(d);
}

/* The kernel's count of a group forgets nobody.  Without one, the time of a child that nobody waits for goes with it: what was
 * seen of it stays. */
static void
count_cpu(struct account *a, struct usage *u)
{
	struct usage again;

	if (a->use.cpu_fd >= 0) {
		u->ticks = group_usage_cpu_ns(&a->use) * sysconf(_SC_CLK_TCK) / INT64_C(1000000000);
		return;
	}
	if (u->ticks == 0)
		u->ticks = a->cpu_seen; /* nothing could be seen */
	if (u->ticks < a->cpu_seen) {
		/* Or it was waited for between the looks at its parent and at it. */
		look(a, false, &again);
		u->ticks = again.ticks;
	}
	if (u->ticks < a->cpu_seen)
		a->cpu_gone += a->cpu_seen - u->ticks;
	a->cpu_seen = u->ticks;
	u->ticks += a->cpu_gone;
}

/* --- judging --- */

static int64_t
files_max(const struct account *a)
{
	int64_t n = a->scratch.max / BYTES_A_FILE;

	return n > FILES_LEAST ? n : FILES_LEAST;
}

/* The kernel's bound of the whole cgroup is wider than the limit (scratch counts there too) and quicker than we are. */
static bool
is_out_of_memory(const struct account *a)
{
	char text[1024];
	ssize_t n = a->oom_fd >= 0 ? pread(a->oom_fd, text, sizeof text - 1, 0) : 0;

	text[n > 0 ? n : 0] = '\0';
	return number_after(text, "under_oom ") > 0 || number_after(text, "oom_kill ") > 0;
}

bool
account_starved(const struct account *a, struct err *why)
{
	char limit[64];

	if (a == NULL || !is_out_of_memory(a))
		return false;
	collect_limit_bytes(a->memory.key, a->memory.max, limit, sizeof limit);
	err_named(why, ERR_BUSY, "MemoryLimit", "the bundle's processes used more memory than %s", limit);
	return true;
}

static bool
over_memory(const struct account *a, const struct usage *u, struct err *why)
{
	int64_t max = a->memory.max, used = u->memory;
	char limit[64], value[32];
	struct usage exact;

	if (account_starved(a, why))
		return true;
	if (used <= max)
		return false;
	if (u->processes > 1) {
		look(a, true, &exact);
		if (exact.memory > 0 && exact.memory <= max)
			return false;
		used = exact.memory > 0 ? exact.memory : used;
	}
	collect_limit_bytes(a->memory.key, max, limit, sizeof limit);
	conf_size_print(used >> 20 << 20, value);
	err_named(why, ERR_BUSY, "MemoryLimit", "the bundle's processes used %s of memory, more than %s", value, limit);
	return true;
}

static bool
over_scratch(const struct account *a, struct err *why)
{
	struct statfs fs;
	char limit[64], value[32];
	int64_t files, bytes;

	if (a->tmp_fd < 0 || fstatfs(a->tmp_fd, &fs) != 0)
		return false;
	files = (int64_t)(fs.f_files - fs.f_ffree);
	bytes = (int64_t)(fs.f_blocks - fs.f_bfree) * fs.f_bsize;
	if (files <= files_max(a) && bytes <= a->scratch.max)
		return false;
	collect_limit_bytes(a->scratch.key, a->scratch.max, limit, sizeof limit);
	conf_size_print(bytes >> 10 << 10, value);
	if (files > files_max(a))
		err_named(why, ERR_BUSY, "ScratchLimit", "the bundle made %lld files in /tmp, more than the %lld that go with %s",
		    (long long)files, (long long)files_max(a), limit);
	else
		err_named(why, ERR_BUSY, "ScratchLimit", "the bundle has %s in /tmp, more than %s", value, limit);
	return true;
}

static bool
over_cpu(struct account *a, const struct usage *u, struct err *why)
{
	int64_t max = a->cpu.max, ms;
	char limit[64];

	if (max <= 0 || !a->busy)
		return false;
	/* Not when the call began: a call that is over before somebody looks costs nobody a look. */
	if (a->cpu_from < 0)
		a->cpu_from = u->ticks;
	ms = (u->ticks - a->cpu_from) * 1000 / sysconf(_SC_CLK_TCK);
	if (ms <= max)
		return false;
	collect_limit_ms(a->cpu.key, max, limit, sizeof limit);
	err_named(why, ERR_TIMEOUT, "CpuLimit", "the call used %lld ms of CPU time, more than %s", (long long)ms, limit);
	return true;
}

static bool
over_tasks(const struct account *a, const struct usage *u, struct err *why)
{
	if (u->tasks <= a->tasks.max)
		return false;
	err_named(why, ERR_BUSY, "ProcessLimit", "the bundle ran %lld processes and threads, more than %s = %lld",
	    (long long)u->tasks, a->tasks.key, (long long)a->tasks.max);
	return true;
}

static void
on_look(void *arg)
{
	struct account *a = arg;
	struct err why = ERR_INIT;
	struct usage u;

	look(a, false, &u);
	count_cpu(a, &u);
	if (over_memory(a, &u, &why))
		a->fn(a->arg, OUTCOME_MEMORY, &why);
	else if (over_tasks(a, &u, &why) || over_scratch(a, &why))
		a->fn(a->arg, OUTCOME_KILLED, &why);
	else if (over_cpu(a, &u, &why))
		a->fn(a->arg, OUTCOME_TIMEOUT, &why);
	else
		loop_after(&a->timer, a->busy ? BUSY_MS : IDLE_MS, on_look, a);
}

int64_t
account_cpu_ms(struct account *a)
{
	struct usage u;

	look(a, false, &u);
	count_cpu(a, &u);
	return u.ticks * 1000 / sysconf(_SC_CLK_TCK);
}

void
account_look(struct account *a)
{
	if (a == NULL)
		return;
	loop_stop(&a->timer);
	on_look(a);
}

void
account_answers(struct account *a)
{
	if (a != NULL && a->oom_fd >= 0 && loop_now_ms() > a->busy_from && is_out_of_memory(a))
		account_look(a);
}

/* --- the beginning and the end --- */

static void
groups_of(const char *who, char *text, size_t room)
{
	char name[64];

	snprintf(name, sizeof name, "/proc/%.20s/cgroup", who);
	if (!read_at(AT_FDCWD, name, text, room))
		text[0] = '\0';
}

/* What its group of memory had to kill; its own group's use as well, where nothing else can be seen. */
static void
open_groups(struct account *a, pid_t first)
{
	char pid[24], its[4096], own[4096];

	snprintf(pid, sizeof pid, "%d", (int)first);
	groups_of(pid, its, sizeof its);
	groups_of("self", own, sizeof own);
	a->oom_fd = group_memory_file(GROUPS_DIR, its, own, "memory.oom_control", "memory.events");
	group_usage_open(&a->use, GROUPS_DIR, its, own);
	if (!a->sealed) {
		group_usage_cpu_alone(&a->use);
		return;
	}
	a->idle_memory = group_usage_memory(&a->use);
	a->idle_tasks = group_usage_tasks(&a->use);
}

static pid_t
only_child(pid_t pid)
{
	char path[64], text[64];

	snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
	return read_at(AT_FDCWD, path, text, sizeof text) ? (pid_t)strtol(text, NULL, 10) : 0;
}

static void
set_bound(pid_t pid, __rlimit_resource_t what, int64_t value)
{
	struct rlimit r = { (rlim_t)value, (rlim_t)value };

	prlimit(pid, what, &r, NULL);
}

void
account_bounds(const struct conf *c, int64_t memory, int64_t processes, int64_t *bytes, int64_t *tasks)
{
	*bytes = memory + c->limits.scratch + GROUP_SPARE; /* what lies in /tmp is memory, too */
	*tasks = processes + GROUP_TASKS;
}

static struct account *
begin(const struct conf *c, account_over_fn *fn, void *arg)
{
	struct account *a = mem_alloc(sizeof *a);

	*a = (struct account){ .conf = c, .fn = fn, .arg = arg, .proc_fd = -1, .tmp_fd = -1, .oom_fd = -1, .cpu_from = -1,
		.use = { -1, -1, -1, false },
		.scratch = { c->limits.scratch > SCRATCH_LEAST ? c->limits.scratch : SCRATCH_LEAST, "limits.scratch" },
		.memory = { c->limits.memory, "limits.memory" }, .tasks = { c->limits.processes, "limits.processes" },
		.cpu = { c->limits.cpu, "limits.cpu" } };
	return a;
}

struct account *
account_new(const struct conf *c, pid_t outer, struct cgroup *group, account_over_fn *fn, void *arg, struct err *e)
{
	pid_t first = only_child(outer), executor = first > 0 ? only_child(first) : 0;
	struct account *a;
	char path[64];

	if (executor <= 0) {
		err_set(e, ERR_INTERNAL, "process %d has no namespace to look into", (int)outer);
		return NULL;
	}
	a = begin(c, fn, arg);
	a->group = group;
	a->executor = executor;
	snprintf(path, sizeof path, "/proc/%d/root/proc", (int)first);
	a->proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	snprintf(path, sizeof path, "/proc/%d/root/tmp", (int)first);
	a->tmp_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (a->proc_fd < 0) {
		err_errno(e, "look into the namespace of process %d", (int)outer);
		account_free(a);
		return NULL;
	}
	open_groups(a, first);
	/* Of an ordinary user the kernel counts by namespace, with the wall's own process; of root it never does. */
	set_bound(executor, RLIMIT_NPROC, c->limits.processes + 1);
	set_bound(executor, RLIMIT_DATA, c->limits.memory * 2 + DATA_SPARE);
	loop_after(&a->timer, IDLE_MS, on_look, a);
	return a;
}

struct account *
account_new_sealed(const struct conf *c, pid_t member, account_over_fn *fn, void *arg, struct err *e)
{
	struct account *a = begin(c, fn, arg);

	a->sealed = true;
	open_groups(a, member);
	if (a->use.memory_fd < 0 || a->use.tasks_fd < 0) {
		err_set(e, ERR_INTERNAL, "process %d has no control groups of its own to count by", (int)member);
		account_free(a);
		return NULL;
	}
	loop_after(&a->timer, IDLE_MS, on_look, a);
	return a;
}

void
account_free(struct account *a)
{
	if (a == NULL)
		return;
	loop_stop(&a->timer);
	if (a->proc_fd >= 0)
		close(a->proc_fd);
	if (a->tmp_fd >= 0)
		close(a->tmp_fd);
	if (a->oom_fd >= 0)
		close(a->oom_fd);
	group_usage_close(&a->use);
	free(a);
}

static void
lower(struct bound *b, int64_t own, const char *key)
{
	if (own > 0 && (b->max <= 0 || own < b->max))
		*b = (struct bound){ own, key };
}

void
account_bind(struct account *a, const struct bundle *b)
{
	int64_t bytes, tasks;

	if (a == NULL)
		return;
	lower(&a->memory, b->limits.memory_bytes, "the bundle's limits.memoryMb");
	lower(&a->tasks, b->limits.processes, "the bundle's limits.processes");
	lower(&a->cpu, b->limits.cpu_ms, "the bundle's limits.cpuMs");
	lower(&a->scratch, b->limits.scratch_bytes, "the bundle's limits.scratchMb");
	if (!a->sealed && b->limits.files > 0 && b->limits.files < a->conf->limits.files)
		set_bound(a->executor, RLIMIT_NOFILE, b->limits.files);
	if (b->limits.memory_bytes > 0 || b->limits.processes > 0) {
		account_bounds(a->conf, a->memory.max, a->tasks.max, &bytes, &tasks);
		cgroup_bound(a->group, bytes, tasks);
	}
}

void
account_busy(struct account *a, bool busy)
{
	if (a == NULL || a->busy == busy)
		return;
	a->busy = busy;
	a->busy_from = loop_now_ms();
	a->cpu_from = -1;
	/* The look that is due stays due: calls shorter than the interval cost no timer. */
	if (busy && (a->timer.at == 0 || a->timer.due_ms > loop_now_ms() + BUSY_MS))
		loop_after(&a->timer, BUSY_MS, on_look, a);
}
