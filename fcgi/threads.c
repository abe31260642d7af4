/*
 * Every thread accepts for itself: the kernel wakes one of them, and no lock is held while a slow peer sends.  A thread
 * more is started whenever the last idle one gets work, up to web.threads, so an idle process stays small.
 *
 * Signals: all are blocked but SIGUSR2, which does nothing except end a blocking accept4 with EINTR; the first thread
 * waits for the others with sigtimedwait and sends it to those that are idle once the end has come.
 */
#include "fcgi/threads.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <fcntl.h>

#include "fcgi/request.h"
#include "fcgi/route.h"
#include "fcgi/waiter.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/mem.h"

#define FIRST_THREADS 2
/* Connection, bell, ledger and its log; one to spare.  libfcgi may select(), so no number may reach FD_SETSIZE. */
#define FDS_A_THREAD 6
#define FDS_SHARED   24

#if defined(__SANITIZE_ADDRESS__)
#define STACK_BYTES (2u << 20)
#else
#define STACK_BYTES (256u << 10)
#endif

struct thread {
	pthread_t id;
	atomic_bool used, idle, ended;
	int number;
};

static struct {
	const struct door *door;
	int listen_fd, max;
	bool unix_socket;
	struct thread *thread;
	atomic_int started, idle;
	atomic_bool stop;
	pthread_mutex_t growing;
} pool = { .growing = PTHREAD_MUTEX_INITIALIZER };

/* --- the socket --- */

static bool
listens(int fd)
{
	int yes = 0;
	socklen_t n = sizeof yes;

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &n) == 0 && yes != 0;
}

static bool
answered(const struct sockaddr_un *sa)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool yes = fd >= 0 && connect(fd, (const struct sockaddr *)sa, sizeof *sa) == 0;

	if (fd >= 0)
		close(fd);
	return yes;
}

static int
listen_own(const char *path, const char *mode_text, struct err *e)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	mode_t mode = (mode_t)strtol(mode_text != NULL ? mode_text : "0660", NULL, 8) & 0777, old;
	int fd, rc;

	if (strlen(path) >= sizeof sa.sun_path)
		return err_set(e, ERR_INPUT, "the socket path %s is longer than %zu bytes", path, sizeof sa.sun_path - 1);
	memcpy(sa.sun_path, path, strlen(path) + 1);
	if (answered(&sa))
		return err_set(e, ERR_BUSY, "somebody listens on %s already", path);
	unlink(path);
	if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0)
		return err_errno(e, "socket");
	/* The umask decides the mode of the file from its first moment; chmod alone would leave a gap. */
	old = umask(~mode & 0777);
	rc = bind(fd, (struct sockaddr *)&sa, sizeof sa);
	umask(old);
	if (rc != 0 || listen(fd, 1024) != 0) {
		err_errno(e, "listen on %s", path);
		close(fd);
		return -1;
	}
	return fd;
}

int
threads_listen(const char *path, const char *mode, struct err *e)
{
	const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
	int fd = -1;

	if (path != NULL)
		return listen_own(path, mode, e);
	if (pid != NULL && n != NULL && strtol(pid, NULL, 10) == getpid() && strtol(n, NULL, 10) >= 1 && listens(3))
		fd = 3;
	else if (listens(STDIN_FILENO))
		fd = STDIN_FILENO;
	if (fd >= 0) {
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		return fd;
	}
	/* FCGX_IsCGI would say FastCGI for any socket on descriptor 0, but some servers give a CGI program a connected one. */
	if (getenv("GATEWAY_INTERFACE") != NULL || getenv("REQUEST_METHOD") != NULL)
		return THREADS_CGI;
	return err_set(e, ERR_INPUT,
	    "no socket to listen on: start me from a web server, or with --listen PATH, or with a socket as descriptor 0");
}

/* --- the threads --- */

static void *work(void *arg);

static void
start_one(void)
{
	pthread_attr_t attr;
	struct thread *t;
	int n;

	pthread_mutex_lock(&pool.growing);
	n = atomic_load(&pool.started);
	if (n < pool.max && !atomic_load(&pool.stop)) {
		t = &pool.thread[n];
		t->number = n;
		pthread_attr_init(&attr);
		pthread_attr_setstacksize(&attr, STACK_BYTES);
		atomic_fetch_add(&pool.idle, 1);
		if (pthread_create(&t->id, &attr, work, t) == 0) {
			atomic_store(&t->used, true);
			atomic_store(&pool.started, n + 1);
		} else {
			atomic_fetch_sub(&pool.idle, 1);
		}
		pthread_attr_destroy(&attr);
	}
	pthread_mutex_unlock(&pool.growing);
}

/* A connection, or -1 when the end has come. */
static int
take(struct thread *t)
{
	int fd = -1;

	atomic_store(&t->idle, true);
	while (!atomic_load(&pool.stop)) {
		fd = accept4(pool.listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0 && fd < FD_SETSIZE)
			break;
		if (fd >= 0) {
			close(fd);
			fd = -1;
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			poll(NULL, 0, 50);
		} else if (errno == EAGAIN) { /* the parent's socket does not block */
			struct pollfd p = { pool.listen_fd, POLLIN, 0 };
			poll(&p, 1, -1);
		} else if (errno != EINTR && errno != ECONNABORTED) {
			log_error("accept failed", "why=%s", log_q(strerror(errno)));
			kill(getpid(), SIGTERM);
			break;
		}
	}
	atomic_store(&t->idle, false);
	return fd;
}

static void
serve(void *arg, struct request *r)
{
	route_serve(pool.door, arg, r);
}

static void *
work(void *arg)
{
	struct thread *t = arg;
	struct waiter *w = waiter_new(pool.door->conf, pool.door->writer, t->number);
	int fd;

	while ((fd = take(t)) >= 0) {
		if (atomic_fetch_sub(&pool.idle, 1) == 1)
			start_one();
		request_serve(fd, pool.unix_socket, pool.door->conf, &pool.stop, serve, w);
		atomic_fetch_add(&pool.idle, 1);
	}
	waiter_free(w);
	atomic_store(&t->ended, true);
	return NULL;
}

static void
nothing(int sig)
{
	(void)sig;
}

/* Idle ones are woken, busy ones are given the time they have; true when all have ended. */
static bool
ended(void)
{
	bool all = true;
	int i;

	for (i = 0; i < atomic_load(&pool.started); i++) {
		struct thread *t = &pool.thread[i];

		if (atomic_load(&t->ended))
			continue;
		all = false;
		if (atomic_load(&t->idle))
			pthread_kill(t->id, SIGUSR2);
	}
	return all;
}

static void
finish(int64_t grace_ms)
{
	int64_t until = clock_mono_ms() + grace_ms;
	int i;

	atomic_store(&pool.stop, true);
	pthread_mutex_lock(&pool.growing); /* nobody is in the middle of starting one */
	pthread_mutex_unlock(&pool.growing);
	while (!ended()) {
		if (clock_mono_ms() >= until) {
			/* Their jobs go on in the scheduler; what they hold here ends with the process. */
			log_warn("requests cut", "why=%s", "scheduler.grace");
			_exit(0);
		}
		poll(NULL, 0, 10);
	}
	for (i = 0; i < atomic_load(&pool.started); i++)
		pthread_join(pool.thread[i].id, NULL);
	free(pool.thread);
}

int
threads_run(const struct door *d, int listen_fd, struct err *e)
{
	struct sigaction sa = { .sa_handler = nothing };
	sigset_t all, end;
	int i, sig = 0, domain = 0;
	socklen_t len = sizeof domain;

	pool.door = d;
	pool.listen_fd = listen_fd;
	pool.unix_socket = getsockopt(listen_fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
	pool.max = (int)d->conf->web.threads;
	if (pool.max * FDS_A_THREAD + FDS_SHARED > FD_SETSIZE)
		return err_set(e, ERR_INPUT, "web.threads = %d is too many: libfcgi works with descriptors below %d, enough "
		    "for %d threads; use web.processes for more", pool.max, FD_SETSIZE,
		    (FD_SETSIZE - FDS_SHARED) / FDS_A_THREAD);
	pool.thread = mem_array((size_t)pool.max, sizeof *pool.thread);
	sigaction(SIGUSR2, &sa, NULL); /* no SA_RESTART: that is its use */
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigaddset(&end, SIGINT);
	sigaddset(&end, SIGHUP);
	sigaddset(&end, SIGUSR1);
	all = end;
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	for (i = 0; i < FIRST_THREADS; i++)
		start_one();
	if (atomic_load(&pool.started) == 0)
		return err_errno(e, "start a thread");
	log_info("listening", "threads=%d pid=%ld", pool.max, (long)getpid());
	while (sigwait(&end, &sig) != 0)
		;
	log_info("ending", "signal=%d", sig);
	finish(d->conf->scheduler.grace);
	return 0;
}
