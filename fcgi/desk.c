/*
 * Whatever would have to wait is given to the threads (threads.c): a request that is not all here yet, every route but calls
 * of bundles, streams, errors with a long story, callers who have gone, deadlines.  All others cost the desk a look at their
 * bytes, a share of a commit, and an answer: no wake-up of a thread, which on a busy machine costs more than all of it.
 *
 * The scheduler rings the desk's bell also for a call that was given away; the desk pokes the thread that has it.
 */
#include "fcgi/desk.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <fcntl.h>
#include <unistd.h>

#include "fcgi/count.h"
#include "fcgi/invoke.h"
#include "fcgi/request.h"
#include "fcgi/route.h"
#include "fcgi/threads.h"
#include "fcgi/waiter.h"
#include "fcgi/writer.h"
#include "lib/awake.h"
#include "lib/bell.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/news.h"

#define EVENTS        64
#define ACCEPTS       16    /* in one go, and so in one commit: while the scheduler has it and the disk, the next come */
#define BUCKETS       256
#define PEEK_BYTES    16384 /* a longer request is a thread's */
#define PATIENCE      16    /* looks for the first bytes of a lone connection */
#define ROUND_MS      50    /* between two looks at who waits long */
#define LONG_MS       250   /* from here on: is the caller still there, did a bell get lost? */
#define LOOK_AGAIN_MS 1000
#define COUNT_MS      1000  /* when nobody comes any more, what was counted is told */
#define KEPT_IDLE_MS  5000  /* a connection that the web server keeps */
#define AWAKE_US      250   /* as long as a quick handler's call takes: to sleep and be woken would cost a lone one a tenth more */
#define AWAKE_SKIPS   63    /* at most, before it is tried again */

enum seat {
	SEAT_FRESH, /* nothing has come yet */
	SEAT_COMES, /* its row is not committed yet */
	SEAT_WAITS, /* for news of its job */
	SEAT_GIVEN  /* a thread has it */
};

struct guest {
	struct conn *conn;
	struct call call;
	enum seat seat;
	bool kept, watched;
	int64_t since_ms, look_ms;   /* look_ms: when to look into the ledger, or to close a fresh one */
	struct guest *prev, *next;   /* all guests */
	struct job_id id;            /* of a call that waits here, or stays */
	struct guest *row_next;      /* of one bucket */
	struct guest *batch_next;
	/* given: what thread and desk share */
	bool stays;                  /* the desk's to free */
	_Atomic(struct waiter *) ear;
	atomic_bool over;
};

static struct {
	struct desk_setup s;
	int epoll, ringer;
	bool listening, bell_watched;
	struct waiter *waiter;
	struct guest *first, *last, *bucket[BUCKETS];
	int guests;
	bool cold; /* others have written since the writer last looked */
	struct guest *batch, **batch_tail; /* to be committed together */
	int64_t round_ms;
	bool spare;     /* another processor may work while this one looks */
	bool awake;     /* for the answer to the call that has just been committed */
	int skip, late; /* lone calls to sleep for, and how many that grew to */
} desk;

/* --- who is here --- */

static struct guest **
bucket_of(int64_t row)
{
	return &desk.bucket[(uint64_t)row % BUCKETS];
}

/* From now on news of its job find it. */
static void
seat(struct guest *g)
{
	struct guest **b;

	g->id = invoke_ticket(&g->call)->job.id;
	b = bucket_of(g->id.row);
	g->row_next = *b;
	*b = g;
}

static void
unseat(struct guest *g)
{
	struct guest **p = bucket_of(g->id.row);

	while (*p != NULL && *p != g)
		p = &(*p)->row_next;
	if (*p == g)
		*p = g->row_next;
}

static struct guest *
guest_new(struct conn *c)
{
	struct guest *g = mem_alloc(sizeof *g);

	g->conn = c;
	g->since_ms = clock_mono_ms();
	g->prev = desk.last;
	if (desk.last != NULL)
		desk.last->next = g;
	else
		desk.first = g;
	desk.last = g;
	desk.guests++;
	return g;
}

static void
unlist(struct guest *g)
{
	if (g->prev != NULL)
		g->prev->next = g->next;
	else
		desk.first = g->next;
	if (g->next != NULL)
		g->next->prev = g->prev;
	else
		desk.last = g->prev;
	desk.guests--;
}

static void
leave(struct guest *g)
{
	unlist(g);
	conn_free(g->conn);
	free(g);
}

/* Something comes on its connection, or it ends. */
static void
watch(struct guest *g)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, .data.ptr = g };

	epoll_ctl(desk.epoll, g->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, conn_fd(g->conn), &ev);
	g->watched = true;
}

static void
listen_on(bool on)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLEXCLUSIVE, .data.ptr = &desk.s.listen_fd };

	if (desk.listening != on)
		epoll_ctl(desk.epoll, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, desk.s.listen_fd, &ev);
	desk.listening = on;
}

/* --- to the threads --- */

static void
forget_watch(struct guest *g)
{
	if (g->watched)
		epoll_ctl(desk.epoll, EPOLL_CTL_DEL, conn_fd(g->conn), NULL);
	g->watched = false;
}

static void
give_conn(struct guest *g)
{
	forget_watch(g);
	unlist(g);
	threads_give(g->conn, g->kept, NULL);
	free(g);
}

/* stays: news of its job come here, and it is listed until the thread is through. */
static void
give(struct guest *g, bool stays)
{
	forget_watch(g);
	g->seat = SEAT_GIVEN;
	g->stays = stays;
	if (!stays)
		unlist(g);
	threads_give(NULL, false, g);
}

void
desk_serve(struct guest *g, struct waiter *w)
{
	struct err e = ERR_INIT;
	struct call *c = &g->call;
	int rc;

	c->waiter = w;
	c->may_park = false;
	if (g->stays && waiter_bell(w, &e) != NULL)
		atomic_store(&g->ear, w);
	rc = g->stays ? invoke_wait(c, &e) : c->route->run(c, &e);
	atomic_store(&g->ear, NULL);
	route_end(c, rc, &e);
	if (conn_finish(g->conn))
		conn_serve(g->conn, true, desk.s.stop, threads_serve, w);
	else
		conn_free(g->conn);
	g->conn = NULL;
	if (g->stays)
		atomic_store(&g->over, true); /* the desk frees it */
	else
		free(g);
}

/* --- a request --- */

static void greet(struct guest *g);

static void
answered(struct guest *g, int rc, struct err *e)
{
	route_end(&g->call, rc, e);
	if (!conn_finish(g->conn)) {
		leave(g);
		return;
	}
	g->seat = SEAT_FRESH;
	g->kept = true;
	g->since_ms = clock_mono_ms();
	watch(g);
}

static void
begin(struct guest *g)
{
	struct err e = ERR_INIT;
	struct request *r = conn_read(g->conn);
	struct call *c = &g->call;
	int rc;

	if (r == NULL) {
		leave(g);
		return;
	}
	rc = route_begin(c, desk.s.door, desk.waiter, r, &e);
	if (rc == 0 && !c->route->parks) {
		give(g, false);
		return;
	}
	c->may_park = true;
	if (rc == 0)
		rc = c->route->run(c, &e);
	if (rc != CALL_PARKED) {
		answered(g, rc, &e);
		return;
	}
	g->seat = SEAT_COMES;
	g->batch_next = NULL;
	*desk.batch_tail = g;
	desk.batch_tail = &g->batch_next;
}

/* A web server connects and then writes: a moment's patience is cheaper than to sleep and be woken once more. */
static enum conn_has
peek(struct guest *g)
{
	static char bytes[PEEK_BYTES];
	enum conn_has has = conn_peek(g->conn, bytes, sizeof bytes);
	int i;

	for (i = 0; has == CONN_NOTHING && desk.batch == NULL && !g->watched && i < PATIENCE; i++) {
		sched_yield();
		has = conn_peek(g->conn, bytes, sizeof bytes);
	}
	return has;
}

/* A connection on which no request has begun. */
static void
greet(struct guest *g)
{
	switch (peek(g)) {
	case CONN_NOTHING:
		watch(g);
		break;
	case CONN_PART:
		give_conn(g);
		break;
	case CONN_WHOLE:
		begin(g);
	}
}

static void
accept_all(void)
{
	int i, fd;

	for (i = 0; i < ACCEPTS && desk.guests < desk.s.room; i++) {
		fd = accept4(desk.s.listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0 && fd < FD_SETSIZE) {
			greet(guest_new(conn_new(fd, desk.s.unix_socket, desk.s.door->conf)));
		} else if (fd >= 0) {
			close(fd);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			poll(NULL, 0, 50);
			return;
		} else if (errno == EAGAIN || errno == EINTR) {
			return;
		} else if (errno != ECONNABORTED) {
			log_error("accept failed", "why=%s", log_q(strerror(errno)));
			kill(getpid(), SIGTERM);
			return;
		}
	}
	if (desk.guests >= desk.s.room)
		listen_on(false);
}

/* --- commits and news --- */

static void
watch_bell(void)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = &desk.bell_watched };
	int fd = waiter_bell_fd(desk.waiter);

	if (!desk.bell_watched && fd >= 0)
		desk.bell_watched = epoll_ctl(desk.epoll, EPOLL_CTL_ADD, fd, &ev) == 0;
}

/* For one call alone, when those before it were soon over. */
static bool
stay_awake(void)
{
	if (!desk.spare || desk.guests > 1)
		return false;
	if (desk.skip == 0)
		return true;
	desk.skip--;
	return false;
}

/* What the scheduler can do while the batch is committed: verify a token, if it is only one; and wake up. */
static void
say_ahead(void)
{
	const char *token = desk.batch->batch_next == NULL ? invoke_ticket(&desk.batch->call)->job.token : NULL;

	if (token != NULL)
		writer_ahead(desk.s.door->writer, token, desk.awake);
	else if (desk.awake)
		writer_soon(desk.s.door->writer);
}

/* All calls that have come since the last time, in one transaction. */
static void
commit_batch(void)
{
	struct ticket *list = NULL, **tail = &list;
	struct guest *g, *next;

	if (desk.batch == NULL)
		return;
	watch_bell();
	desk.awake = stay_awake();
	say_ahead();
	for (g = desk.batch; g != NULL; g = g->batch_next) {
		*tail = invoke_ticket(&g->call);
		(*tail)->next = NULL;
		tail = &(*tail)->next;
	}
	writer_submit(desk.s.door->writer, list);
	for (g = desk.batch; g != NULL; g = next) {
		next = g->batch_next;
		invoke_stored(&g->call);
		g->seat = SEAT_WAITS;
		seat(g);
		g->look_ms = g->since_ms + LONG_MS;
		if (invoke_needs_thread(&g->call))
			give(g, true);
	}
	desk.batch = NULL;
	desk.batch_tail = &desk.batch;
}

static void
poke(struct guest *g)
{
	struct waiter *ear = atomic_load(&g->ear);

	if (ear != NULL)
		waiter_poke(ear, desk.ringer);
}

static void
tell(struct guest *g, const struct news *n)
{
	struct err e = ERR_INIT;
	bool begun;
	int rc;

	if (g->seat == SEAT_GIVEN) {
		poke(g);
		return;
	}
	begun = invoke_begin(&g->call, n);
	if (!begun && invoke_hear(&g->call, n, &rc, &e)) {
		unseat(g);
		answered(g, rc, &e);
	} else if (begun || invoke_due(&g->call)) {
		give(g, true);
	}
}

static void
hear_news(const struct news *n)
{
	struct guest *g = *bucket_of(n->id.row);

	while (g != NULL && (g->id.row != n->id.row || memcmp(g->id.nonce, n->id.nonce, JOB_NONCE_LEN) != 0))
		g = g->row_next;
	if (g != NULL)
		tell(g, n);
}

/* A bare ring: it may be for anybody. */
static void
look_at_all(void)
{
	struct guest *g;

	for (g = desk.first; g != NULL; g = g->next) {
		if (g->seat == SEAT_GIVEN)
			poke(g);
		else if (g->seat == SEAT_WAITS && invoke_due(&g->call))
			give(g, true);
	}
}

static void
hear(void)
{
	static char heard[NEWS_MAX];
	bool bare = false;
	struct news news;
	long n;
	int i;

	for (i = 0; i < EVENTS && (n = bell_next(waiter_bell_fd(desk.waiter), heard, sizeof heard)) >= 0; i++) {
		const char *p = heard;
		size_t left = (size_t)n;

		bare = bare || n <= 1;
		while (news_next(&p, &left, &news))
			hear_news(&news);
	}
	if (bare)
		look_at_all();
}

/* --- those who wait long --- */

static void
visit(struct guest *g, int64_t now)
{
	const struct conf *conf = desk.s.door->conf;

	switch (g->seat) {
	case SEAT_FRESH:
		if (now - g->since_ms >= (g->kept ? KEPT_IDLE_MS : conf->web.body_timeout) || atomic_load(desk.s.stop))
			leave(g);
		break;
	case SEAT_COMES:
		break;
	case SEAT_WAITS:
		if (now < g->look_ms)
			break;
		if (now >= invoke_deadline(&g->call) || invoke_due(&g->call)) {
			give(g, true);
			break;
		}
		watch(g); /* also when it was before: its one event was the request */
		g->look_ms = now + LOOK_AGAIN_MS;
		break;
	case SEAT_GIVEN:
		if (atomic_load(&g->over)) {
			unseat(g);
			unlist(g);
			free(g);
		}
	}
}

static void
make_round(void)
{
	int64_t now = clock_mono_ms();
	struct guest *g, *next;

	if (now - desk.round_ms < ROUND_MS)
		return;
	desk.round_ms = now;
	for (g = desk.first; g != NULL; g = next) {
		next = g->next;
		visit(g, now);
	}
	listen_on(desk.guests < desk.s.room && !atomic_load(desk.s.stop));
}

static void
on_conn(struct guest *g)
{
	if (g->seat == SEAT_FRESH)
		greet(g);
	else if (g->seat == SEAT_WAITS)
		give(g, true); /* the caller has gone, most likely: a thread finds out */
}

/* Guests first: whom the bell lets go, of him no event may be left.  The door last, so that what comes is committed at once. */
static void
deliver(const struct epoll_event *ev, int n)
{
	bool rang = false, knocked = false;
	int i;

	for (i = 0; i < n; i++) {
		if (ev[i].data.ptr == &desk.s.listen_fd)
			knocked = true;
		else if (ev[i].data.ptr == &desk.bell_watched)
			rang = true;
		else
			on_conn(ev[i].data.ptr);
	}
	if (rang) {
		hear();
		desk.cold = true;
	}
	if (knocked && !atomic_load(desk.s.stop))
		accept_all();
}

/* --- beginning and end --- */

static int
processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

int
desk_open(const struct desk_setup *s, struct err *e)
{
	int flags = fcntl(s->listen_fd, F_GETFL);

	memset(&desk, 0, sizeof desk);
	desk.s = *s;
	desk.batch_tail = &desk.batch;
	desk.ringer = bell_ringer();
	desk.spare = processors() > 1;
	desk.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (desk.epoll < 0 || fcntl(s->listen_fd, F_SETFL, flags | O_NONBLOCK) != 0)
		return err_errno(e, "watch the socket");
	desk.waiter = waiter_new(s->door->conf, 0);
	listen_on(true);
	return 0;
}

/* The last has gone: the pages that the next call needs are read before it comes. */
static void
rest(void)
{
	if (desk.guests > 0 || !desk.cold)
		return;
	desk.cold = false;
	writer_warm(desk.s.door->writer);
}

/*
 * The answer to a lone call is looked for, not slept for, as long as such answers come at once: each that does not makes the desk
 * sleep for twice as many, so that slow handlers cost next to nothing.
 */
static int
look_for_answer(struct epoll_event *ev)
{
	int n = awake_wait(desk.epoll, ev, EVENTS, clock_mono_us() + AWAKE_US);

	desk.late = n > 0 ? 0 : desk.late < AWAKE_SKIPS ? 2 * desk.late + 1 : AWAKE_SKIPS;
	desk.skip = desk.late;
	return n;
}

static int
wait_events(struct epoll_event *ev)
{
	int n = desk.awake && desk.guests == 1 ? look_for_answer(ev) : 0;

	desk.awake = false;
	return n != 0 ? n : epoll_wait(desk.epoll, ev, EVENTS, desk.guests > 0 ? ROUND_MS : count_pending() ? COUNT_MS : -1);
}

void *
desk_run(void *arg)
{
	struct epoll_event ev[EVENTS];
	int n;

	(void)arg;
	while (!atomic_load(desk.s.stop) || desk.guests > 0) {
		n = wait_events(ev);
		if (n == 0 && desk.guests == 0)
			count_tell(desk.s.door->conf);
		deliver(ev, n);
		commit_batch();
		make_round();
		rest();
	}
	return NULL;
}

void
desk_close(void)
{
	waiter_free(desk.waiter);
	close(desk.epoll);
	close(desk.ringer);
}
