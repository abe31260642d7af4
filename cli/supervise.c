#include "cli/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/mem.h"

enum {
	CREW_MAX = 80,
	START_MS = 60000,     /* until everything answers */
	LOOK_MS = 20,
	BACKOFF_MIN_MS = 100,
	BACKOFF_MAX_MS = 5000,
	STEADY_MS = 10000,    /* who lived that long starts again at once */
	HURRY_MS = 2000,
};

struct member {
	const char *name;
	int stage;
	char **argv;
	int stdin_fd, stop;
	bool tells;
	int64_t stop_ms;

	pid_t pid;            /* 0: not running */
	int ready_fd;         /* -1: nothing more to hear */
	bool ready, stopping;
	int64_t started, due, kill_at;
	int64_t backoff;
	bool renewed; /* it was told to take a new config */
};

struct crew {
	struct member m[CREW_MAX];
	int n, stages;
	bool (*good)(void *arg); /* at a hangup; NULL: a reason to end */
	void *arg;
	int stage;            /* started up to here */
	int signals;
	bool up, stopping, hurry;
	int code;             /* what crew_run returns */
	struct err *e;
};

struct crew *
crew_new(void)
{
	struct crew *w = mem_alloc(sizeof *w);

	w->signals = -1;
	return w;
}

void
crew_free(struct crew *w)
{
	if (w == NULL)
		return;
	for (int i = 0; i < w->n; i++) {
		for (char **a = w->m[i].argv; *a != NULL; a++)
			free(*a);
		free(w->m[i].argv);
	}
	free(w);
}

void
crew_add(struct crew *w, const char *name, int stage, const struct conf_list *argv, int stdin_fd, bool tells, int stop,
    int64_t stop_ms)
{
	struct member *m = &w->m[w->n];

	if (w->n == CREW_MAX)
		return;
	w->n++;
	*m = (struct member){ .name = name, .stage = stage, .stdin_fd = stdin_fd, .tells = tells, .stop = stop,
		.stop_ms = stop_ms, .ready_fd = -1 };
	m->argv = mem_array(argv->n + 1, sizeof *m->argv);
	for (size_t i = 0; i < argv->n; i++)
		m->argv[i] = mem_str(argv->item[i]);
	if (stage >= w->stages)
		w->stages = stage + 1;
}

void
crew_on_hangup(struct crew *w, bool (*good)(void *arg))
{
	w->good = good;
}

/* In the child.  It dies with us: a supervisor that is killed leaves nothing behind. */
static void
become(const struct member *m, pid_t parent, int ready_fd)
{
	char number[16];
	sigset_t none;
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(EX_TEMPFAIL);
	setpgid(0, 0); /* Ctrl-C is for the supervisor, which knows the order */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	fd = m->stdin_fd >= 0 ? m->stdin_fd : open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || dup2(fd, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		_exit(EX_OSERR);
	if (ready_fd >= 0) {
		fcntl(ready_fd, F_SETFD, 0);
		snprintf(number, sizeof number, "%d", ready_fd);
		setenv("AT_RUND_READY_FD", number, 1);
	}
	execv(m->argv[0], m->argv);
	dprintf(STDERR_FILENO, "at-rund: start %s: %s\n", m->argv[0], strerror(errno));
	_exit(EX_OSFILE);
}

static void
start(struct crew *w, struct member *m)
{
	int pair[2] = { -1, -1 };
	pid_t parent = getpid(), pid;

	(void)w;
	if (m->tells && pipe2(pair, O_CLOEXEC) != 0) {
		log_error("pipe failed", "why=%s", log_q(strerror(errno)));
		m->due = clock_mono_ms() + BACKOFF_MAX_MS;
		return;
	}
	pid = fork();
	if (pid == 0)
		become(m, parent, pair[1]);
	if (pair[1] >= 0)
		close(pair[1]);
	if (pid < 0) {
		log_error("fork failed", "program=%s why=%s", m->name, log_q(strerror(errno)));
		if (pair[0] >= 0)
			close(pair[0]);
		m->due = clock_mono_ms() + BACKOFF_MAX_MS;
		return;
	}
	m->pid = pid;
	m->ready_fd = pair[0];
	m->ready = !m->tells;
	m->stopping = false;
	m->started = clock_mono_ms();
	log_debug("started", "program=%s pid=%d", m->name, (int)pid);
}

static void
deaf(struct member *m)
{
	if (m->ready_fd >= 0)
		close(m->ready_fd);
	m->ready_fd = -1;
}

static void
hear_ready(struct member *m)
{
	char bytes[64];
	ssize_t n = read(m->ready_fd, bytes, sizeof bytes);

	if (n > 0)
		m->ready = true;
	if (n >= 0 || errno != EINTR)
		deaf(m);
}

/* ---- ends ---- */

/* An end that a new start would only repeat: wrong words, no permission, bad config, no such program. */
static bool
is_hopeless(int status)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;

	return code == EX_USAGE || code == EX_NOPERM || code == EX_CONFIG || code == EX_OSFILE || code == EX_DATAERR;
}

static void
begin_stop(struct crew *w, int code)
{
	w->stopping = true;
	w->code = code;
}

static void
describe(int status, char out[64])
{
	if (WIFSIGNALED(status))
		snprintf(out, 64, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(out, 64, "exit status %d", WEXITSTATUS(status));
}

static void
ended(struct crew *w, struct member *m, int status)
{
	int64_t now = clock_mono_ms();
	char how[64];

	m->pid = 0;
	m->ready = false;
	deaf(m);
	describe(status, how);
	if (w->stopping) {
		log_debug("ended", "program=%s how=%s", m->name, log_q(how));
		return;
	}
	if (!w->up && is_hopeless(status)) {
		err_set(w->e, ERR_INTERNAL, "%s ended with %s; its reason stands above", m->name, how);
		begin_stop(w, WEXITSTATUS(status));
		return;
	}
	if (m->renewed && status == 0) {
		m->renewed = false;
		m->due = now;
		log_info("program starts with the new config", "program=%s", m->name);
		return;
	}
	m->backoff = now - m->started > STEADY_MS || m->backoff == 0 ? BACKOFF_MIN_MS : m->backoff * 2;
	if (m->backoff > BACKOFF_MAX_MS)
		m->backoff = BACKOFF_MAX_MS;
	m->due = now + m->backoff;
	log_warn("program ended, it starts again", "program=%s how=%s after_ms=%lld", m->name, log_q(how), (long long)m->backoff);
}

static void
reap(struct crew *w)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (int i = 0; i < w->n; i++) {
			if (w->m[i].pid == pid)
				ended(w, &w->m[i], status);
		}
	}
}

/* ---- stages ---- */

static bool
stage_ready(const struct crew *w, int stage)
{
	for (int i = 0; i < w->n; i++) {
		if (w->m[i].stage == stage && !w->m[i].ready)
			return false;
	}
	return true;
}

/* Starts what is due: of the stages reached so far, and of the next one once they are ready. */
static void
go_on(struct crew *w)
{
	int64_t now = clock_mono_ms();

	while (w->stage < w->stages - 1 && stage_ready(w, w->stage))
		w->stage++;
	for (int i = 0; i < w->n; i++) {
		struct member *m = &w->m[i];

		if (m->stage <= w->stage && m->pid == 0 && m->due <= now)
			start(w, m);
	}
}

/* The highest stage that still lives is asked to end; true when nobody is left. */
static bool
wind_down(struct crew *w)
{
	int64_t now = clock_mono_ms();
	int top = -1;

	for (int i = 0; i < w->n; i++) {
		if (w->m[i].pid > 0 && w->m[i].stage > top)
			top = w->m[i].stage;
	}
	for (int i = 0; i < w->n; i++) {
		struct member *m = &w->m[i];

		if (m->pid == 0 || m->stage != top)
			continue;
		if (!m->stopping) {
			kill(m->pid, w->hurry ? SIGTERM : m->stop);
			m->stopping = true;
			m->kill_at = now + (w->hurry ? HURRY_MS : m->stop_ms);
		} else if (now >= m->kill_at) {
			log_warn("killed, for it did not end", "program=%s pid=%d", m->name, (int)m->pid);
			kill(m->pid, SIGKILL);
			m->kill_at = now + HURRY_MS;
		}
	}
	return top < 0;
}

/* Stopping by SIGTERM is what our own programs do, and those know SIGHUP. */
static void
renew(struct crew *w)
{
	if (!w->good(w->arg))
		return;
	for (int i = 0; i < w->n; i++) {
		if (w->m[i].pid > 0 && w->m[i].stop == SIGTERM) {
			w->m[i].renewed = true;
			kill(w->m[i].pid, SIGHUP);
		}
	}
}

static void
hear_signals(struct crew *w)
{
	struct signalfd_siginfo si;

	while (read(w->signals, &si, sizeof si) == (ssize_t)sizeof si) {
		if (si.ssi_signo == SIGCHLD)
			continue;
		/* The kernel tells of a terminal that is gone; people and scripts mean the config. */
		if (si.ssi_signo == SIGHUP && si.ssi_code != SI_KERNEL && w->good != NULL && !w->stopping) {
			renew(w);
			continue;
		}
		if (!w->stopping) {
			log_info("stopping", "signal=%s", strsignal((int)si.ssi_signo));
			begin_stop(w, 0);
		} else if (!w->hurry) {
			int64_t by = clock_mono_ms() + HURRY_MS;

			w->hurry = true;
			for (int i = 0; i < w->n; i++) {
				if (w->m[i].pid > 0 && w->m[i].stopping && w->m[i].kill_at > by) {
					kill(w->m[i].pid, SIGTERM);
					w->m[i].kill_at = by;
				}
			}
		}
	}
	reap(w);
}

/* Milliseconds until something has to be looked at; -1: nothing. */
static int
patience(const struct crew *w)
{
	int64_t least = -1, now = clock_mono_ms();

	if (w->stopping || !w->up)
		return LOOK_MS;
	for (int i = 0; i < w->n; i++) {
		if (w->m[i].pid == 0 && (least < 0 || w->m[i].due - now < least))
			least = w->m[i].due > now ? w->m[i].due - now : 0;
	}
	return (int)least;
}

static void
wait_once(struct crew *w)
{
	struct pollfd p[CREW_MAX + 1] = { { w->signals, POLLIN, 0 } };

	for (int i = 0; i < w->n; i++)
		p[i + 1] = (struct pollfd){ w->m[i].ready_fd, POLLIN, 0 };
	if (poll(p, (nfds_t)w->n + 1, patience(w)) <= 0)
		return;
	for (int i = 0; i < w->n; i++) {
		if (p[i + 1].revents != 0)
			hear_ready(&w->m[i]);
	}
	if (p[0].revents != 0)
		hear_signals(w);
}

static int
take_signals(sigset_t *old)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, old);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int
crew_run(struct crew *w, bool (*all_up)(void *arg), void (*up)(void *arg), void *arg, struct err *e)
{
	int64_t give_up = clock_mono_ms() + START_MS;
	sigset_t old;

	w->e = e;
	w->arg = arg;
	w->signals = take_signals(&old);
	if (w->signals < 0) {
		err_errno(e, "signalfd");
		return EX_OSERR;
	}
	for (;;) {
		if (w->stopping ? wind_down(w) : (go_on(w), false))
			break;
		wait_once(w);
		if (w->stopping || w->up)
			continue;
		if (w->stage == w->stages - 1 && stage_ready(w, w->stage) && all_up(arg)) {
			w->up = true;
			up(arg);
		} else if (clock_mono_ms() > give_up) {
			err_set(e, ERR_INTERNAL, "not everything was up within %d s; the log says what failed", START_MS / 1000);
			begin_stop(w, EX_UNAVAILABLE);
		}
	}
	close(w->signals);
	w->signals = -1;
	sigprocmask(SIG_SETMASK, &old, NULL);
	return w->code;
}
