#include "scheduler/recover.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backends/backend.h"
#include "backends/walls.h"
#include "lib/bundle.h"
#include "lib/cgroup.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/store.h"
#include "lib/store_work.h"
#include "scheduler/spawn.h"
#include "scheduler/traffic.h"

#define DYING_MS    2000
#define WALLS_KNOWN 8

int
recover_lock(const struct conf *c, int *fd, struct err *e)
{
	char *path = mem_fmt("%s/scheduler.lock", c->run_dir);
	char pid[24];
	int rc = -1;

	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (*fd < 0) {
		err_errno(e, "open %s", path);
		goto out;
	}
	if (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EWOULDBLOCK)
			err_set(e, ERR_BUSY, "another scheduler runs here: it holds %s", path);
		else
			err_errno(e, "lock %s", path);
		goto out;
	}
	snprintf(pid, sizeof pid, "%d\n", (int)getpid());
	if (ftruncate(*fd, 0) == 0 && pwrite(*fd, pid, strlen(pid), 0) < 0)
		log_warn("lock", "why=%s", log_q(strerror(errno)));
	rc = 0;
out:
	free(path);
	return rc;
}

struct leftovers {
	int64_t *id;
	pid_t *pid; /* killed; 0: was gone */
	size_t n;
	int killed;
	bool wall[WALLS_KNOWN]; /* an instance lived behind it */
};

static void
kill_group(pid_t pid)
{
	kill(-pid, SIGKILL);
	kill(pid, SIGKILL);
}

static void
leftover(void *arg, int64_t id, const char *wall, int64_t pid, int64_t pid_start)
{
	struct leftovers *l = arg;
	bool alive = pid > 1 && pid_start > 0 && spawn_pid_start((pid_t)pid) == pid_start;
	size_t i;

	for (i = 0; i < WALLS_KNOWN && backend_at(i) != NULL; i++)
		l->wall[i] |= wall != NULL && strcmp(backend_at(i)->name, wall) == 0;
	if (alive) {
		kill_group((pid_t)pid);
		l->killed++;
	}
	l->id = mem_grow(l->id, (l->n + 1) * sizeof *l->id);
	l->pid = mem_grow(l->pid, (l->n + 1) * sizeof *l->pid);
	l->id[l->n] = id;
	l->pid[l->n++] = alive ? (pid_t)pid : 0;
}

/* Does the environment of the process carry our mark, "AT_RUND_INSTANCE=<home>:"? */
static bool
is_marked(pid_t pid, const char *mark)
{
	char path[64], *text;
	size_t len = strlen(mark);
	ssize_t n, at;
	bool yes = false;
	int fd;

	snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	text = mem_alloc(65536);
	n = read(fd, text, 65535);
	close(fd);
	for (at = 0; at < n && !yes; at += (ssize_t)strlen(text + at) + 1)
		yes = strncmp(text + at, mark, len) == 0;
	free(text);
	return yes;
}

/* What escaped the table: a process that was started but not yet written down, or one that a bundle started. */
static int
kill_marked(const struct conf *c)
{
	char *mark = mem_fmt("AT_RUND_INSTANCE=%s:", c->home);
	DIR *proc = opendir("/proc");
	const struct dirent *x;
	int n = 0;

	while (proc != NULL && (x = readdir(proc)) != NULL) {
		pid_t pid = (pid_t)strtol(x->d_name, NULL, 10);

		if (!isdigit((unsigned char)x->d_name[0]) || pid <= 1 || pid == getpid() || !is_marked(pid, mark))
			continue;
		kill(pid, SIGKILL);
		n++;
	}
	if (proc != NULL)
		closedir(proc);
	free(mark);
	return n;
}

/* They write to directories that are removed next. */
static void
wait_dead(const struct conf *c)
{
	int64_t until = clock_mono_ms() + DYING_MS;
	struct timespec pause = { 0, 10 * 1000000L };

	while (kill_marked(c) > 0 && clock_mono_ms() < until)
		nanosleep(&pause, NULL);
}

/* What lies outside of the instances' directories and processes of ours: containers.  Walls that are in use now, too: an
 * instance may have been started and not been written down. */
static int
sweep(const struct conf *c, const struct walls *w, const struct leftovers *l)
{
	const struct backend *b;
	int all = 0;
	size_t i;

	for (i = 0; i < WALLS_KNOWN && (b = backend_at(i)) != NULL; i++) {
		struct err e = ERR_INIT;
		int n = l->wall[i] || walls_uses(w, b) ? b->sweep(c, &e) : 0;

		if (n < 0)
			log_warn("leftovers stay", "wall=%s why=%s", b->name, log_q(e.text));
		else
			all += n;
	}
	return all;
}

static int
clear_dir(const struct conf *c, struct err *e)
{
	char *dir = mem_fmt("%s/i", c->run_dir);
	int rc = bundle_remove(dir, e);

	if (rc == 0 && mkdir(dir, 0700) != 0)
		rc = err_errno(e, "make %s", dir);
	free(dir);
	return rc;
}

int
recover_kill(const struct conf *c, const struct walls *w, struct store *s, int64_t run, struct err *e)
{
	struct leftovers l = { .n = 0 };
	int64_t now = clock_wall_ms();
	size_t i;
	int rc = -1;

	if (work_instance_leftovers(s, run, leftover, &l, e) != 0)
		goto out;
	l.killed += kill_marked(c);
	wait_dead(c);
	l.killed += cgroup_sweep();
	l.killed += sweep(c, w, &l);
	if (store_begin(s, false, e) != 0)
		goto out;
	for (i = 0; i < l.n; i++) {
		if (work_instance_end(s, l.id[i], l.pid[i] != 0 ? "left by a dead scheduler: killed" :
		    "gone with its scheduler", now, e) != 0) {
			store_rollback(s);
			goto out;
		}
	}
	if (store_commit(s, e) != 0)
		goto out;
	if (l.n > 0 || l.killed > 0)
		log_warn("leftovers of an earlier run", "instances=%zu killed=%d", l.n, l.killed);
	rc = clear_dir(c, e);
out:
	free(l.id);
	free(l.pid);
	return rc;
}

int
recover_jobs(struct store *s, int64_t run, struct err *e)
{
	int64_t settled = 0, again = 0;

	if (store_begin(s, true, e) != 0)
		return -1;
	if (work_recover(s, run, clock_wall_ms(), &settled, &again, e) != 0 || store_commit(s, e) != 0) {
		store_rollback(s);
		return -1;
	}
	traffic_more(OUTCOME_LOST, settled, clock_wall_ms());
	if (settled > 0 || again > 0)
		log_warn("jobs of an earlier run", "lost=%lld again=%lld", (long long)settled, (long long)again);
	return 0;
}
