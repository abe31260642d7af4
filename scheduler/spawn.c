/*
 * vfork: the child borrows our memory until it executes, so that starting a process costs the same however large
 * the daemon is (facts/performance.md: fork from 200 MB is ten times slower).  Therefore everything the child needs
 * is made ready before, the child makes system calls only, and no signal handler may run in it.  Who is to be born in a control
 * group of version 2 is cloned instead, with a copy of the page tables: 0.5 ms for 20 MB, where to move there takes ten.
 *
 * Children are reaped in one place, on SIGCHLD: those in the table are told, all others were left behind by an
 * instance and came to us because we are its subreaper; they are killed.
 *
 * A plan may say that its process only starts the instance (podman run --detach).  The process that then holds it comes to us
 * in the same way; its number is in a file, and its line in the table takes the starter's place.
 */
#include "scheduler/spawn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/backend.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "scheduler/loop.h"

/* Bits that Debian 12's headers do not know yet; the kernel's ABI number says which of them exist. */
#define FS_REFER     (1ULL << 13) /* ABI 2 */
#define FS_TRUNCATE  (1ULL << 14) /* ABI 3 */
#define FS_IOCTL_DEV (1ULL << 15) /* ABI 5 */
#define JOIN_MAX 4
#define HIGH_FD 32 /* above whatever number the child wants it under */
#define FS_READ (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_ALL  ((1ULL << 13) - 1)
#define FS_FILE (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE \
		| FS_TRUNCATE | FS_IOCTL_DEV)

struct child {
	pid_t pid;
	int pidfd;
	spawn_end_fn *fn;  /* NULL: nobody wants to know */
	void *arg;
	struct spawned *out;
	/* Of a plan whose process only starts the instance. */
	char *holder, *first;
	int first_fd;      /* pidfd of the first process inside, -1: not known yet */
	bool held;         /* pid is the holder's by now */
	bool undoes;       /* removes what another left */
	struct conf_list undo, undo_env;
};

static struct child *children;
static size_t child_count, child_room;
static int signal_fd = -1;

static struct child *
remember(pid_t pid, int pidfd, spawn_end_fn *fn, void *arg)
{
	if (child_count == child_room) {
		child_room = child_room * 2 + 16;
		children = mem_grow(children, child_room * sizeof *children);
	}
	children[child_count] = (struct child){ .pid = pid, .pidfd = pidfd, .fn = fn, .arg = arg, .first_fd = -1 };
	return &children[child_count++];
}

static void
list_clear(struct conf_list *l)
{
	while (l->n > 0)
		free(l->item[--l->n]);
	free(l->item);
	l->item = NULL;
}

static void
list_copy(struct conf_list *to, const struct conf_list *from)
{
	to->item = mem_array(from->n + 1, sizeof *to->item);
	for (to->n = 0; to->n < from->n; to->n++)
		to->item[to->n] = mem_str(from->item[to->n]);
}

/* --- plans whose process only starts the instance --- */

static pid_t
number_in(const char *path)
{
	char text[24];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return (pid_t)strtol(text, NULL, 10);
}

pid_t
spawn_parent(pid_t pid)
{
	char path[64], text[1024], *p;
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof text - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	p = strrchr(text, ')');
	return p != NULL && strlen(p) > 4 ? (pid_t)strtol(p + 4, NULL, 10) : 0;
}

/* The holder's line takes the place of the starter's, which nobody hears of any more. */
static bool
hand_over(struct child *c, bool starter_lives)
{
	pid_t holder = number_in(c->holder), first = number_in(c->first), starter = c->pid;
	int starter_fd = c->pidfd;

	if (holder <= 1 || spawn_parent(holder) != getpid() || first <= 1 || spawn_parent(first) != holder)
		return false;
	c->first_fd = (int)syscall(SYS_pidfd_open, first, 0);
	c->pid = holder;
	c->pidfd = (int)syscall(SYS_pidfd_open, holder, 0);
	c->held = true;
	c->out->pid = holder;
	c->out->pidfd = c->pidfd;
	c->out->start = spawn_pid_start(holder);
	if (starter_lives)
		remember(starter, starter_fd, NULL, NULL); /* c may have moved */
	else
		close(starter_fd);
	return true;
}

static struct child *
child_of(pid_t pid)
{
	size_t i;

	for (i = 0; i < child_count; i++)
		if (children[i].pid == pid)
			return &children[i];
	return NULL;
}

/* What is left of it is removed by a command that nobody waits for. */
static void
undo(struct child *c)
{
	struct plan p = { .argv = c->undo, .env = c->undo_env, .trusted = true };
	struct spawned out;

	if (c->first_fd >= 0)
		syscall(SYS_pidfd_send_signal, c->first_fd, SIGKILL, NULL, 0);
	if (spawn_start(&p, -1, false, NULL, NULL, &out, NULL) == 0)
		child_of(out.pid)->undoes = true;
}

bool
spawn_undoing(void)
{
	size_t i;

	for (i = 0; i < child_count && !children[i].undoes; i++)
		;
	return i < child_count;
}

/* --- reaping --- */

static void
child_clear(struct child *c)
{
	if (c->pidfd >= 0)
		close(c->pidfd);
	if (c->first_fd >= 0)
		close(c->first_fd);
	free(c->holder);
	free(c->first);
	list_clear(&c->undo);
	list_clear(&c->undo_env);
}

/* A holder ends with the status of what it held, in the way of shells: 128 and the signal. */
static int
plain_status(const struct child *c, int status)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;

	return c->held && code > 128 && code < 128 + 65 ? code - 128 : status;
}

static void
reaped(pid_t pid, int status)
{
	struct child *x = child_of(pid), c;

	if (x == NULL)
		return;
	if (x->holder != NULL && !x->held && WIFEXITED(status) && WEXITSTATUS(status) == 0 && hand_over(x, false))
		return;
	c = *x;
	*x = children[--child_count];
	/* A command that stayed to the end and was not killed has removed everything itself. */
	if (c.undo.n > 0 && (WIFSIGNALED(status) || (c.holder != NULL && !c.held)))
		undo(&c);
	if (c.fn != NULL)
		c.fn(c.arg, plain_status(&c, status));
	child_clear(&c);
}

/* A child that is not in the table was started by an instance and outlived its parent. */
static void
kill_strays(void)
{
	char path[64], list[4096], *p, *end;
	size_t i;
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, list, sizeof list - 1);
	close(fd);
	/* A holder is ours before its number is known; who comes meanwhile and is none is seen the next time. */
	for (i = 0; i < child_count; i++)
		if (children[i].holder != NULL && !children[i].held)
			return;
	if (n <= 0)
		return;
	list[n] = '\0';
	for (p = list; *p != '\0'; p = end) {
		long pid = strtol(p, &end, 10);

		if (end == p || (*end != ' ' && *end != '\0'))
			return;
		while (*end == ' ')
			end++;
		if (child_of((pid_t)pid) == NULL && pid > 1)
			kill((pid_t)pid, SIGKILL);
	}
}

static void
on_child(void *arg, uint32_t events)
{
	struct signalfd_siginfo si;
	siginfo_t who = { .si_pid = 0 };
	int status;

	(void)arg;
	(void)events;
	while (read(signal_fd, &si, sizeof si) == sizeof si)
		;
	while (waitid(P_ALL, 0, &who, WEXITED | WNOHANG | WNOWAIT) == 0 && who.si_pid > 0) {
		/* As long as it is not reaped, the number of its group is nobody else's. */
		kill(-who.si_pid, SIGKILL);
		if (waitpid(who.si_pid, &status, WNOHANG) == who.si_pid)
			reaped(who.si_pid, status);
		who.si_pid = 0;
	}
	kill_strays();
}

int
spawn_open(struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
		return err_errno(e, "become subreaper");
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signal_fd < 0)
		return err_errno(e, "signalfd");
	loop_watch(signal_fd, EPOLLIN, on_child, NULL);
	return 0;
}

void
spawn_close(void)
{
	loop_forget(signal_fd);
	close(signal_fd);
	signal_fd = -1;
	while (child_count > 0)
		child_clear(&children[--child_count]);
	free(children);
	children = NULL;
	child_room = 0;
}

/* --- Landlock: the rules are made here, the child only takes them upon itself --- */

int
spawn_landlock_abi(void)
{
	long v = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return v > 0 ? (int)v : 0;
}

static void
landlock_allow(int ruleset, const struct conf_list *paths, uint64_t access)
{
	size_t i;

	for (i = 0; i < paths->n; i++) {
		struct landlock_path_beneath_attr rule = { .allowed_access = access };
		struct stat st;

		rule.parent_fd = open(paths->item[i], O_PATH | O_CLOEXEC);
		if (rule.parent_fd < 0)
			continue; /* what is not there needs no permission */
		if (fstat(rule.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
			rule.allowed_access &= FS_FILE;
		syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
		close(rule.parent_fd);
	}
}

/* A ruleset, or -1 when the kernel has none: best effort, the log says which ABI it is. */
static int
landlock_prepare(const struct plan *p)
{
	struct landlock_ruleset_attr attr = { .handled_access_fs = FS_ALL };
	int abi = p->landlock ? spawn_landlock_abi() : 0, fd;

	if (abi < 1)
		return -1;
	attr.handled_access_fs |= abi >= 2 ? FS_REFER : 0;
	attr.handled_access_fs |= abi >= 3 ? FS_TRUNCATE : 0;
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
	if (fd < 0)
		return -1;
	landlock_allow(fd, &p->read_only, FS_READ);
	landlock_allow(fd, &p->read_write, attr.handled_access_fs);
	return fd;
}

/* --- starting --- */

struct start {
	char **argv, **env;
	const struct plan *plan;
	int null_fd, out_fd, err_fd, fd3, landlock_fd;
	int given[PLAN_OPEN_MAX + 1]; /* for PLAN_ARGS_FD and on */
	unsigned givens;
	int join[JOIN_MAX];
	unsigned joins;
	int cradle;           /* the control group that it is born in, -1: none */
	sigset_t mask;
	pid_t parent;
	struct failure *failure;
};

/* What the child could not do: in memory that is shared, however it was made. */
struct failure {
	const char *what;
	int error;
};

static void
child_fail(struct start *s, const char *what)
{
	s->failure->error = errno;
	s->failure->what = what;
	_exit(127);
}

static struct failure *
shared_failure(struct err *e)
{
	static struct failure *f;

	if (f == NULL)
		f = mmap(NULL, sizeof *f, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (f == MAP_FAILED) {
		f = NULL;
		err_errno(e, "a page to share with what is started");
		return NULL;
	}
	*f = (struct failure){ NULL, 0 };
	return f;
}

/* In the child, in our memory: system calls only. */
static void
child_run_plan(struct start *s)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	size_t i;
	int sig;

	for (i = 0; i < s->joins; i++)
		if (write(s->join[i], "0", 1) != 1)
			child_fail(s, "join its control group");
	setsid();
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != s->parent)
		_exit(127);
	for (sig = 1; sig < 32; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			sigaction(sig, &dfl, NULL);
	if (dup2(s->null_fd, 0) < 0 || dup2(s->out_fd, 1) < 0 || dup2(s->err_fd, 2) < 0)
		child_fail(s, "dup2");
	if (s->fd3 >= 0 && dup2(s->fd3, 3) < 0)
		child_fail(s, "dup2");
	for (i = 0; i < s->givens; i++)
		if (dup2(s->given[i], PLAN_ARGS_FD + (int)i) < 0)
			child_fail(s, "dup2");
	if (s->plan->cwd != NULL && chdir(s->plan->cwd) != 0)
		child_fail(s, "chdir");
	for (i = 0; i < s->plan->limits; i++) {
		struct rlimit r = { s->plan->limit[i].value, s->plan->limit[i].value };

		if (setrlimit((__rlimit_resource_t)s->plan->limit[i].resource, &r) != 0)
			child_fail(s, "setrlimit");
	}
	if (!s->plan->trusted)
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (s->landlock_fd >= 0 && syscall(SYS_landlock_restrict_self, s->landlock_fd, 0) != 0)
		child_fail(s, "landlock_restrict_self");
	if (syscall(SYS_close_range, s->fd3 >= 0 ? 4u : 3u + s->givens, ~0u, 0) != 0)
		child_fail(s, "close_range");
	sigprocmask(SIG_SETMASK, &s->mask, NULL);
	execve(s->argv[0], s->argv, s->env);
	child_fail(s, "execute");
}

/* A system call, for the C library has no function that knows of control groups.  The parent waits, as with vfork. */
static pid_t
fork_into(int cradle)
{
	struct clone_args a = { .flags = CLONE_VFORK | CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)cradle };

	return (pid_t)syscall(SYS_clone3, &a, sizeof a);
}

/* vfork wants a frame of its own: what the child writes to locals is ours. */
static pid_t __attribute__((noinline))
fork_and_exec(struct start *s)
{
	sigset_t all, mine;
	pid_t pid;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &mine);
	sigemptyset(&s->mask);
	s->parent = getpid();
	pid = s->cradle >= 0 ? fork_into(s->cradle) : vfork();
	if (pid == 0)
		child_run_plan(s);
	sigprocmask(SIG_SETMASK, &mine, NULL);
	return pid;
}

/* Descriptors that the child gets must not lie where dup2 puts others. */
static int
high_fd(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);

	close(fd);
	return high;
}

/* The arguments in a file of their own, and the plan's files, in the order of their numbers in the child. */
static int
open_given(const struct plan *p, struct start *s, struct err *e)
{
	struct buf text = BUF_INIT;
	size_t i;
	int fd;

	if (p->args.n == 0 && p->open.n == 0)
		return 0;
	assert(p->open.n <= PLAN_OPEN_MAX && s->fd3 < 0);
	for (i = 0; i < p->args.n; i++)
		buf_add(&text, p->args.item[i], strlen(p->args.item[i]) + 1);
	fd = high_fd(memfd_create("args", MFD_CLOEXEC));
	if (fd >= 0)
		s->given[s->givens++] = fd;
	if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len || lseek(fd, 0, SEEK_SET) != 0) {
		buf_clear(&text);
		return err_errno(e, "arguments");
	}
	buf_clear(&text);
	for (i = 0; i < p->open.n; i++) {
		fd = high_fd(open(p->open.item[i], O_RDONLY | O_CLOEXEC));
		if (fd < 0)
			return err_errno(e, "open %s", p->open.item[i]);
		s->given[s->givens++] = fd;
	}
	return 0;
}

static int
open_join(const struct plan *p, struct start *s, struct err *e)
{
	size_t i;

	assert(p->join.n <= JOIN_MAX);
	for (i = 0; i < p->join.n; i++) {
		s->join[s->joins] = open(p->join.item[i], O_WRONLY | O_CLOEXEC);
		if (s->join[s->joins] < 0)
			return err_errno(e, "open %s", p->join.item[i]);
		s->joins++;
	}
	return 0;
}

static int
open_cradle(const struct plan *p, struct start *s, struct err *e)
{
	if (p->cradle == NULL)
		return 0;
	s->cradle = open(p->cradle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return s->cradle >= 0 ? 0 : err_errno(e, "open %s", p->cradle);
}

static char **
vector(const struct conf_list *l)
{
	char **v = mem_array(l->n + 1, sizeof *v);
	size_t i;

	for (i = 0; i < l->n; i++)
		v[i] = l->item[i];
	return v;
}

static int
open_output(bool pipes, int *ours, int *theirs, struct err *e)
{
	int p[2];

	*ours = -1;
	if (!pipes) {
		*theirs = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, HIGH_FD);
		return *theirs < 0 ? err_errno(e, "dup of standard error") : 0;
	}
	if (pipe2(p, O_CLOEXEC) != 0)
		return err_errno(e, "pipe");
	fcntl(p[0], F_SETFL, O_NONBLOCK);
	*ours = p[0];
	*theirs = high_fd(p[1]);
	return *theirs < 0 ? err_errno(e, "dup") : 0;
}

static void
close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

int
spawn_start(const struct plan *p, int fd3, bool pipes, spawn_end_fn *fn, void *arg, struct spawned *out, struct err *e)
{
	struct start s = { .plan = p, .null_fd = -1, .out_fd = -1, .err_fd = -1, .fd3 = -1, .landlock_fd = -1, .cradle = -1 };
	struct child *c;
	int rc = -1;

	*out = (struct spawned){ 0, -1, 0, -1, -1 };
	s.argv = vector(&p->argv);
	s.env = vector(&p->env);
	s.null_fd = high_fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
	s.fd3 = fd3 >= 0 ? fcntl(fd3, F_DUPFD_CLOEXEC, HIGH_FD) : -1;
	if (s.null_fd < 0 || (fd3 >= 0 && s.fd3 < 0)) {
		err_errno(e, "open /dev/null");
		goto out;
	}
	if (open_output(pipes, &out->out_fd, &s.out_fd, e) != 0 || open_output(pipes, &out->err_fd, &s.err_fd, e) != 0)
		goto out;
	if (open_given(p, &s, e) != 0 || open_join(p, &s, e) != 0 || open_cradle(p, &s, e) != 0)
		goto out;
	if ((s.failure = shared_failure(e)) == NULL)
		goto out;
	s.landlock_fd = landlock_prepare(p);
	out->pid = fork_and_exec(&s);
	if (out->pid < 0) {
		out->pid = 0;
		err_errno(e, "fork");
		goto out;
	}
	if (s.failure->what != NULL) {
		waitpid(out->pid, NULL, 0);
		errno = s.failure->error;
		err_errno(e, "start %s: %s", p->argv.item[0], s.failure->what);
		out->pid = 0;
		goto out;
	}
	out->pidfd = (int)syscall(SYS_pidfd_open, out->pid, 0);
	out->start = spawn_pid_start(out->pid);
	c = remember(out->pid, out->pidfd, fn, arg);
	c->out = out;
	if (p->holder != NULL) {
		c->holder = mem_str(p->holder);
		c->first = mem_str(p->first);
	}
	list_copy(&c->undo, &p->undo);
	list_copy(&c->undo_env, &p->env);
	rc = 0;
out:
	if (rc != 0) {
		close_fd(out->out_fd);
		close_fd(out->err_fd);
		out->out_fd = out->err_fd = -1;
	}
	close_fd(s.null_fd);
	close_fd(s.out_fd);
	close_fd(s.err_fd);
	close_fd(s.fd3);
	close_fd(s.landlock_fd);
	close_fd(s.cradle);
	while (s.givens > 0)
		close_fd(s.given[--s.givens]);
	while (s.joins > 0)
		close_fd(s.join[--s.joins]);
	free(s.argv);
	free(s.env);
	return rc;
}

bool
spawn_hand_over(const struct spawned *s)
{
	struct child *c = child_of(s->pid);

	return c != NULL && (c->holder == NULL || c->held || hand_over(c, true));
}

void
spawn_kill(const struct spawned *s, int sig)
{
	struct child *c = s->pid > 1 ? child_of(s->pid) : NULL;

	if (c == NULL)
		return; /* reaped: the number may be somebody else's by now */
	/* The holder tidies up when what it holds is dead, and ends then. */
	if (c->held && c->first_fd >= 0) {
		syscall(SYS_pidfd_send_signal, c->first_fd, sig, NULL, 0);
		return;
	}
	kill(-s->pid, sig);
	if (c->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, c->pidfd, sig, NULL, 0);
}

const char *
spawn_status(int status, char *buf, size_t n)
{
	if (WIFEXITED(status))
		snprintf(buf, n, "exit status %d", WEXITSTATUS(status));
	else
		snprintf(buf, n, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	return buf;
}

/* The text of a process's stat behind its name, which may hold anything, also spaces and brackets: ") S 1 …"; NULL: gone. */
static const char *
stat_of(pid_t pid, char *text, size_t room)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	n = read(fd, text, room - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return strrchr(text, ')');
}

int64_t
spawn_pid_start(pid_t pid)
{
	char text[1024];
	const char *p = stat_of(pid, text, sizeof text);
	int i;

	for (i = 2; p != NULL && i < 22; i++)
		p = strchr(p + 1, ' ');
	return p != NULL ? strtoll(p + 1, NULL, 10) : 0;
}

int64_t
spawn_cpu_ms(pid_t pid)
{
	char text[1024];
	const char *p = stat_of(pid, text, sizeof text);
	int64_t sum = 0;
	int i;

	/* utime, stime and those of children that ended: fields 14 to 17. */
	for (i = 2; p != NULL && i < 17; i++) {
		p = strchr(p + 1, ' ');
		if (p != NULL && i + 1 >= 14)
			sum += strtoll(p + 1, NULL, 10);
	}
	return sum * 1000 / sysconf(_SC_CLK_TCK);
}
