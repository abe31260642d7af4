/*
 * First process inside a wall: brings the loopback up, opens DNS and the listeners, starts the command without any of its
 * own rights, and stays until the command ends.  One thread, one epoll; as process 1 it also reaps whatever is orphaned.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <net/if.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "backends/gate/gate.h"
#include "lib/egress.h"

#define EVENTS       64
#define LINES_BURST  20   /* lines of a flood that are said, then one a second */
#define CONNECTIONS  256
#define FDS_KEPT     160  /* for listeners and the rest */

static const char usage[] =
    "Examples:\n"
    "  at-rund-gate --socket /run/egress.sock -- deno run main.js\n"
    "  at-rund-gate --socket /run/egress.sock --allow 'api.example.com,*.example.org:8443' -- sh\n"
    "\n"
    "The first process inside a wall: gives the names that are allowed addresses, carries connections to the socket.\n"
    "\n"
    "  --socket PATH   unix socket of the egress process; without it there is no way out\n"
    "  --allow LIST    rules, divided by commas or spaces; without it the egress process tells them\n"
    "  --allow @FILE   the same, from a file\n"
    "  --files N       files the command may have open\n"
    "  --filter FILE   system calls the command may make: a seccomp program\n"
    "  --write PATH    Landlock: what the command may write, all else it may only read; more than once\n"
    "  --help, --version\n";

static int epoll_fd = -1, child_status;
static pid_t child;
static bool child_ended;
static struct watch signals = { -1, NULL };
static sigset_t forwarded, original;
static void **later;
static size_t later_count, later_room;

/* --- what the other files use --- */

int64_t
gate_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void
gate_say(const char *fmt, ...)
{
	static int64_t last;
	static int tokens = LINES_BURST;
	int64_t passed = (gate_now_ms() - last) / 1000;
	char line[700];
	va_list ap;
	int at, n;

	if (passed > 0) {
		last = gate_now_ms();
		tokens = passed < LINES_BURST - tokens ? tokens + (int)passed : LINES_BURST;
	}
	if (tokens <= 0)
		return;
	tokens--;
	at = snprintf(line, sizeof line, "at-rund-gate: ");
	va_start(ap, fmt);
	n = vsnprintf(line + at, sizeof line - (size_t)at - 1, fmt, ap);
	va_end(ap);
	n = n < 0 ? 0 : n < (int)sizeof line - at - 1 ? n : (int)sizeof line - at - 2;
	line[at + n] = '\n';
	if (write(STDERR_FILENO, line, (size_t)(at + n) + 1) < 0)
		return; /* nobody listens */
}

bool
gate_watch(struct watch *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, w->fd, &ev) == 0;
}

bool
gate_rewatch(struct watch *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	return epoll_ctl(epoll_fd, EPOLL_CTL_MOD, w->fd, &ev) == 0;
}

void
gate_free_later(void *p)
{
	if (later_count == later_room) {
		later_room = later_room * 2 + 64;
		later = realloc(later, later_room * sizeof *later);
		if (later == NULL)
			abort();
	}
	later[later_count++] = p;
}

/* --- the start --- */

static int
fail(const char *what)
{
	fprintf(stderr, "at-rund-gate: %s: %s\n", what, strerror(errno));
	return EX_OSERR;
}

static bool
loopback_up(void)
{
	struct ifreq r = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool up = fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &r) == 0;

	if (up && !(r.ifr_flags & IFF_UP)) {
		r.ifr_flags |= IFF_UP;
		up = ioctl(fd, SIOCSIFFLAGS, &r) == 0;
	}
	if (fd >= 0)
		close(fd);
	return up;
}

static int
connections_possible(void)
{
	struct rlimit files;
	long n = CONNECTIONS;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < FDS_KEPT + CONNECTIONS)
		n = (long)files.rlim_cur - FDS_KEPT;
	return n < 1 ? 1 : (int)n;
}

/* The rules of --allow, one a line; NULL: a file that cannot be read. */
static char *
allow_text(const char *list)
{
	char *text, *p;
	ssize_t n;
	int fd;

	if (list[0] != '@') {
		text = strdup(list);
	} else {
		text = calloc(1, EGRESS_RULES_TEXT_MAX + 1);
		fd = open(list + 1, O_RDONLY | O_CLOEXEC);
		n = fd >= 0 && text != NULL ? read(fd, text, EGRESS_RULES_TEXT_MAX) : -1;
		if (fd >= 0)
			close(fd);
		if (n < 0) {
			free(text);
			return NULL;
		}
	}
	for (p = text; p != NULL && *p != '\0'; p++)
		if (strchr(", \t\r", *p) != NULL)
			*p = '\n';
	return text;
}

/* --- the command --- */

static int
start_command(char **argv)
{
	pid_t self = getpid();
	const char *failed;

	child = fork();
	if (child != 0)
		return child < 0 ? fail("fork") : 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != self && getppid() != 0)
		_exit(EX_OSERR);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &original, NULL);
	failed = shut_command();
	if (failed != NULL)
		_exit(fail(failed));
	execvp(argv[0], argv);
	fprintf(stderr, "at-rund-gate: %s: %s\n", argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

static void
reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == child) {
			child_ended = true;
			child_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		}
}

static void
on_signal(struct watch *w, uint32_t events)
{
	struct signalfd_siginfo si;

	(void)events;
	while (read(w->fd, &si, sizeof si) == sizeof si) {
		if (si.ssi_signo == SIGCHLD)
			reap();
		else if (!child_ended)
			kill(child, (int)si.ssi_signo);
	}
}

static bool
watch_signals(void)
{
	static const int which[] = { SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCONT, SIGWINCH };
	size_t i;

	sigemptyset(&forwarded);
	for (i = 0; i < sizeof which / sizeof which[0]; i++)
		sigaddset(&forwarded, which[i]);
	sigprocmask(SIG_BLOCK, &forwarded, &original);
	signal(SIGPIPE, SIG_IGN);
	signals = (struct watch){ signalfd(-1, &forwarded, SFD_CLOEXEC | SFD_NONBLOCK), on_signal };
	return signals.fd >= 0 && gate_watch(&signals, EPOLLIN);
}

static int
run(void)
{
	struct epoll_event ev[EVENTS];
	bool more = false;

	while (!child_ended) {
		int wait = names_turn(), n, i;

		n = epoll_wait(epoll_fd, ev, EVENTS, more ? 0 : wait);
		for (i = 0; i < n; i++) {
			struct watch *w = ev[i].data.ptr;

			w->fn(w, ev[i].events);
		}
		more = haul_turn();
		carry_turn();
		while (later_count > 0)
			free(later[--later_count]);
	}
	return child_status;
}

struct options {
	const char *path, *allow;
};

static int
usage_error(void)
{
	return fputs("Try at-rund-gate --help\n", stderr) < 0 ? EX_IOERR : EX_USAGE;
}

/* -1: go on. */
static int
parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = { { "socket", required_argument, NULL, 's' }, { "allow", required_argument, NULL, 'a' },
		{ "files", required_argument, NULL, 'f' }, { "filter", required_argument, NULL, 'c' },
		{ "write", required_argument, NULL, 'w' }, { "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 } };
	int c;

	while ((c = getopt_long(argc, argv, "+h", longs, NULL)) != -1) {
		if (c == 's')
			o->path = optarg;
		else if (c == 'a')
			o->allow = optarg;
		else if (c == 'h' || c == 'V')
			return fputs(c == 'h' ? usage : "at-rund-gate " AT_RUND_VERSION "\n", stdout) < 0;
		else if (c == 'c' && !shut_filter(optarg))
			return fail(optarg);
		else if ((c == 'w' && !shut_write(optarg)) || (c == 'f' && !shut_files(optarg)) || c == '?')
			return usage_error();
	}
	if (optind == argc || (o->path != NULL && strlen(o->path) >= sizeof((struct sockaddr_un *)0)->sun_path))
		return usage_error();
	return -1;
}

/* The way out, with whatever is known of it by now. */
static int
open_ways(const struct options *o)
{
	char *text = NULL;

	if (o->path == NULL)
		return 0;
	if (o->allow != NULL && (text = allow_text(o->allow)) == NULL)
		return fail(o->allow + 1);
	if (!loopback_up())
		return fail("bring the loopback up");
	if (!ask_open())
		return fail("serve DNS on 127.0.0.1:53");
	carry_open(o->path, connections_possible());
	if (text != NULL)
		names_set(text, strlen(text));
	names_follow(o->path); /* first of all: so the egress process knows us from what we start */
	free(text);
	return 0;
}

int
main(int argc, char **argv)
{
	struct options o = { NULL, NULL };
	int rc = parse_options(argc, argv, &o);

	if (rc >= 0)
		return rc;
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0 || !watch_signals())
		return fail("epoll");
	if ((rc = open_ways(&o)) != 0 || (rc = start_command(argv + optind)) != 0)
		return rc;
	if (!shut_gate())
		return fail("take the gate's own filter on");
	return run();
}
