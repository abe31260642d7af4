/*
 * The desk (desk.c) takes all connections and gives to the threads what has to wait.  A thread more is started whenever there
 * is something to do and none is idle, up to web.threads, so an idle process stays small.
 *
 * Signals: all are blocked but SIGUSR2, which does nothing except end the desk's wait with EINTR; the first thread waits for
 * the others with sigtimedwait and sends it once the end has come.
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
#include <time.h>
#include <unistd.h>
#include <fcntl.h>

#include "fcgi/desk.h"
#include "fcgi/request.h"
#include "fcgi/route.h"
#include "fcgi/waiter.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/notify.h"

/* Bell, ledger and its log; one to spare.  libfcgi may select(), so no number may reach FD_SETSIZE; what is left of them is
 * for connections, one for each thread at least. */
#define FDS_A_THREAD 5
#define FDS_SHARED   24

#if defined(__SANITIZE_ADDRESS__)
#define STACK_BYTES (2u << 20)
#else
#define STACK_BYTES (256u << 10)
#endif

struct errand {
	struct conn *conn;
	bool kept;
	struct guest *guest;
	struct errand *next;
};

struct thread {
	pthread_t id;
	atomic_bool ended;
	int number;
};

static struct {
	const struct door *door;
	int max;
	atomic_bool stop, closed; /* closed: nothing more comes from the desk */
	pthread_t desk;
	atomic_bool desk_ended;
	pthread_mutex_t lock;     /* of what follows */
	pthread_cond_t come;
	struct thread *thread;
	int started, idle;
	struct errand *head, **tail;
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER, .come = PTHREAD_COND_INITIALIZER };

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

void
threads_serve(void *arg, struct request *r)
{
	route_serve(pool.door, arg, r);
}

static void
run(struct errand *e, struct waiter *w)
{
	if (e->guest != NULL)
		desk_serve(e->guest, w);
	else
		conn_serve(e->conn, e->kept, &pool.stop, threads_serve, w);
	free(e);
}

/* The next errand, NULL: there will be none.  With the lock held. */
static struct errand *
take(void)
{
	struct errand *e;

	while (pool.head == NULL && !atomic_load(&pool.closed)) {
		pool.idle++;
		pthread_cond_wait(&pool.come, &pool.lock);
		pool.idle--;
	}
	e = pool.head;
	if (e != NULL && (pool.head = e->next) == NULL)
		pool.tail = &pool.head;
	return e;
}

static void *
work(void *arg)
{
	struct thread *t = arg;
	struct waiter *w = waiter_new(pool.door->conf, t->number);
	struct errand *e;

	pthread_mutex_lock(&pool.lock);
	while ((e = take()) != NULL) {
		pthread_mutex_unlock(&pool.lock);
		run(e, w);
		pthread_mutex_lock(&pool.lock);
	}
	pthread_mutex_unlock(&pool.lock);
	waiter_free(w);
	atomic_store(&t->ended, true);
	return NULL;
}

/* With the lock held.  When there can be none, those that are there come to it in time. */
static void
start_one(void)
{
	struct thread *t = &pool.thread[pool.started];
	pthread_attr_t attr;

	t->number = pool.started + 1; /* the desk's waiter is 0 */
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	if (pthread_create(&t->id, &attr, work, t) == 0)
		pool.started++;
	else
		log_error("no thread", "threads=%d", pool.started);
	pthread_attr_destroy(&attr);
}

void
threads_give(struct conn *c, bool kept, struct guest *g)
{
	struct errand *e = mem_alloc(sizeof *e);
	int waiting = 1;

	*e = (struct errand){ c, kept, g, NULL };
	pthread_mutex_lock(&pool.lock);
	for (struct errand *p = pool.head; p != NULL && waiting <= pool.idle; p = p->next)
		waiting++;
	*pool.tail = e;
	pool.tail = &e->next;
	if (waiting > pool.idle && pool.started < pool.max)
		start_one();
	pthread_cond_signal(&pool.come);
	pthread_mutex_unlock(&pool.lock);
}

static void *
run_desk(void *arg)
{
	desk_run(arg);
	atomic_store(&pool.desk_ended, true);
	return NULL;
}

static void
nothing(int sig)
{
	(void)sig;
}

/* The desk first, which still has callers and may give them to the threads; these when nothing is left to do. */
static bool
ended(void)
{
	int i, n;

	if (!atomic_load(&pool.desk_ended)) {
		pthread_kill(pool.desk, SIGUSR2);
		return false;
	}
	pthread_mutex_lock(&pool.lock);
	atomic_store(&pool.closed, true);
	pthread_cond_broadcast(&pool.come);
	n = pool.started;
	pthread_mutex_unlock(&pool.lock);
	for (i = 0; i < n; i++)
		if (!atomic_load(&pool.thread[i].ended))
			return false;
	return true;
}

static void
finish(int64_t grace_ms)
{
	int64_t until = clock_mono_ms() + grace_ms;
	int i;

	atomic_store(&pool.stop, true);
	while (!ended()) {
		if (clock_mono_ms() >= until) {
			/* Their jobs go on in the scheduler; what they hold here ends with the process. */
			log_warn("requests cut", "why=%s", "scheduler.grace");
			_exit(0);
		}
		poll(NULL, 0, 10);
	}
	pthread_join(pool.desk, NULL);
	for (i = 0; i < pool.started; i++)
		pthread_join(pool.thread[i].id, NULL);
	desk_close();
	free(pool.thread);
}

/* The descriptors there are, divided up. */
static int
open_desk(int listen_fd, struct err *e)
{
	struct desk_setup s = { .door = pool.door, .listen_fd = listen_fd, .stop = &pool.stop,
		.room = FD_SETSIZE - FDS_SHARED - pool.max * FDS_A_THREAD };
	int domain = 0;
	socklen_t len = sizeof domain;

	if (s.room < pool.max)
		return err_set(e, ERR_INPUT, "web.threads = %d is too many: libfcgi works with descriptors below %d, enough "
		    "for %d threads; use web.processes for more", pool.max, FD_SETSIZE,
		    (FD_SETSIZE - FDS_SHARED) / (FDS_A_THREAD + 1));
	s.unix_socket = getsockopt(listen_fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
	return desk_open(&s, e);
}

/* Waits for one of the signals; meanwhile systemd, where it watches us, hears that we live. */
static int
wait_for(const sigset_t *signals)
{
	int64_t ms = notify_watchdog_ms();
	struct timespec often = { ms / 1000, ms % 1000 * 1000000 };
	int sig;

	for (;;) {
		sig = ms > 0 ? sigtimedwait(signals, NULL, &often) : sigwaitinfo(signals, NULL);
		if (sig > 0)
			return sig;
		if (ms > 0)
			notify_send("WATCHDOG=1");
	}
}

int
threads_run(const struct door *d, int listen_fd, struct err *e)
{
	struct sigaction sa = { .sa_handler = nothing };
	sigset_t end;
	int sig;

	pool.door = d;
	pool.max = (int)d->conf->web.threads;
	pool.tail = &pool.head;
	if (open_desk(listen_fd, e) != 0)
		return -1;
	pool.thread = mem_array((size_t)pool.max, sizeof *pool.thread);
	sigaction(SIGUSR2, &sa, NULL); /* no SA_RESTART: that is its use */
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigaddset(&end, SIGINT);
	sigaddset(&end, SIGHUP);
	sigaddset(&end, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &end, NULL);
	if (pthread_create(&pool.desk, NULL, run_desk, NULL) != 0)
		return err_errno(e, "start a thread");
	log_info("listening", "threads=%d pid=%ld", pool.max, (long)getpid());
	notify_send("READY=1\nSTATUS=takes requests");
	sig = wait_for(&end);
	notify_send("STOPPING=1\nSTATUS=finishes requests");
	log_info("ending", "signal=%d", sig);
	finish(d->conf->scheduler.grace);
	return 0;
}
