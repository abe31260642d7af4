/*
 * One command, from start to end.  It gets a process group of its own, so that the deadline also ends what it started.
 */
#include "lib/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/err.h"
#include "lib/mem.h"

enum { STDERR_MAX = 4096 };

static const char *
search_path(void)
{
	const char *path = getenv("PATH");

	return path != NULL && path[0] != '\0' ? path : "/usr/local/bin:/usr/bin:/bin";
}

static bool
is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

char *
child_which(const char *name)
{
	const char *p = search_path();

	if (strchr(name, '/') != NULL)
		return name[0] == '/' && is_program(name) ? mem_str(name) : NULL;
	while (name[0] != '\0') {
		size_t n = strcspn(p, ":");
		/* An empty or relative entry means the current directory: whose would that be? */
		char *path = n > 0 && p[0] == '/' ? mem_fmt("%.*s/%s", (int)n, p, name) : NULL;

		if (path != NULL && is_program(path))
			return path;
		free(path);
		if (p[n] == '\0')
			return NULL;
		p += n + 1;
	}
	return NULL;
}

/* Starts program with the two pipes as its output. */
static int
start(pid_t *pid, const char *program, const char *const argv[], int out, int err, struct err *e)
{
	const char *home = getenv("HOME");
	char *env[4] = { mem_fmt("PATH=%s", search_path()), mem_fmt("HOME=%s", home != NULL ? home : "/"),
		mem_str("LANG=C.UTF-8"), NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int rc;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, out, 1);
	posix_spawn_file_actions_adddup2(&files, err, 2);
	posix_spawn_file_actions_addclosefrom_np(&files, 3);
	rc = posix_spawn(pid, program, &files, &attr, (char *const *)(uintptr_t)argv, env);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	for (int i = 0; i < 3; i++)
		free(env[i]);
	if (rc == 0)
		return 0;
	errno = rc;
	return err_errno(e, "start %s", program);
}

/* Reads what is there; false at the end of the stream.  What goes over max is dropped and remembered. */
static bool
drain(int fd, struct buf *to, size_t max, bool *over)
{
	char bytes[16384];
	ssize_t n = read(fd, bytes, sizeof bytes);

	if (n <= 0)
		return n < 0 && (errno == EINTR || errno == EAGAIN);
	if ((size_t)n > max - to->len) {
		*over = true;
		n = (ssize_t)(max - to->len);
	}
	buf_add(to, bytes, (size_t)n);
	return true;
}

/* Until it has ended and said all, or the deadline; the process is not reaped here. */
static int
follow(int pidfd, int out, int err, int64_t deadline, size_t max, struct buf *to, struct buf *complaint, struct err *e)
{
	struct pollfd p[3] = { { out, POLLIN, 0 }, { err, POLLIN, 0 }, { pidfd, POLLIN, 0 } };
	bool over = false, lost = false;

	for (;;) {
		int64_t left = deadline - clock_mono_ms();
		bool ended;

		if (left <= 0)
			return err_set(e, ERR_TIMEOUT, "no answer in time");
		if (poll(p, 3, (int)left) < 0 && errno != EINTR)
			return err_errno(e, "poll");
		ended = (p[2].revents & POLLIN) != 0;
		if (p[0].revents != 0 && !drain(out, to, max, &over))
			p[0].fd = -1;
		if (p[1].revents != 0 && !drain(err, complaint, STDERR_MAX, &lost))
			p[1].fd = -1;
		if (over)
			return err_set(e, ERR_INPUT, "more than %zu bytes of output", max);
		/* A grandchild may hold the pipes open: once the child is gone, what is in them is all. */
		if (ended && (p[0].fd < 0 || p[0].revents == 0) && (p[1].fd < 0 || p[1].revents == 0))
			return 0;
		p[0].revents = p[1].revents = p[2].revents = 0;
	}
}

static int
judge(int status, const struct buf *complaint, struct err *e)
{
	const char *all = complaint->len > 0 ? complaint->data : "", *error = strstr(all, "\nError: ");
	const char *text = error != NULL ? error + 1 : all; /* what comes before is warnings */
	int line = (int)strcspn(text, "\n");

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFSIGNALED(status))
		return err_set(e, ERR_INPUT, "ended by signal %d (%s)%s%.*s", WTERMSIG(status),
		    strsignal(WTERMSIG(status)), line > 0 ? ": " : "", line, text);
	return err_set(e, ERR_INPUT, "exit status %d%s%.*s", WEXITSTATUS(status), line > 0 ? ": " : "", line, text);
}

int
child_run_within(const char *const argv[], int timeout_ms, size_t max, size_t memory_bytes, struct buf *out,
    struct err *e)
{
	struct buf complaint = BUF_INIT;
	struct rlimit memory = { memory_bytes, memory_bytes };
	int o[2] = { -1, -1 }, r[2] = { -1, -1 }, pidfd = -1, rc = -1, status = 0;
	int64_t deadline = clock_mono_ms() + timeout_ms;
	char *program = child_which(argv[0]);
	pid_t pid = -1;

	if (program == NULL) {
		err_set(e, ERR_NOTFOUND, "no program %s", argv[0]);
		goto out;
	}
	if (pipe2(o, O_CLOEXEC) != 0 || pipe2(r, O_CLOEXEC) != 0) {
		err_errno(e, "pipe");
		goto out;
	}
	if (start(&pid, program, argv, o[1], r[1], e) != 0)
		goto out;
	close(o[1]);
	close(r[1]);
	o[1] = r[1] = -1;
	/* posix_spawn knows no limits; the program has only just begun, and grows under this one. */
	if (memory_bytes > 0)
		prlimit(pid, RLIMIT_AS, &memory, NULL);
	pidfd = pidfd_open(pid, 0);
	if (pidfd < 0)
		err_errno(e, "pidfd_open");
	else
		rc = follow(pidfd, o[0], r[0], deadline, max, out, &complaint, e);
	kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (rc == 0)
		rc = judge(status, &complaint, e);
	if (rc != 0)
		err_wrap(e, "%s", argv[0]);
out:
	for (int i = 0; i < 2; i++) {
		if (o[i] >= 0)
			close(o[i]);
		if (r[i] >= 0)
			close(r[i]);
	}
	if (pidfd >= 0)
		close(pidfd);
	buf_clear(&complaint);
	free(program);
	return rc;
}

int
child_run(const char *const argv[], int timeout_ms, size_t max, struct buf *out, struct err *e)
{
	return child_run_within(argv, timeout_ms, max, 0, out, e);
}
