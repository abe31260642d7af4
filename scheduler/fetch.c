#include "scheduler/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backends/backend.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "scheduler/fetcher.h"
#include "scheduler/loop.h"
#include "scheduler/spawn.h"

#define READ_ROOM   65536
#define RETRY_MS    500     /* after a death in the first seconds of its life */
#define ASKS_MAX    3       /* a question that killed the fetcher twice is not asked a fourth time */
#define LATE_MS     3000    /* the fetcher keeps its own deadlines; this is for one that hangs */

struct question {
	struct fetcher_request r; /* its strings are ours */
	int64_t deadline_ms;
	int asked;
	fetch_fn *fn;
	void *arg;
	struct question *next;
};

/* The strings of a request, all that are ever said; all but the last make a question what it is. */
#define TEXTS 9
#define SAME  8
static const char **
text_of(struct fetcher_request *r, int i)
{
	const char **const all[TEXTS] = { &r->author, &r->name, &r->version, &r->collection, &r->cursor, &r->member,
		&r->value, &r->only, &r->known_cid };

	return all[i];
}

struct fetch {
	const struct conf *conf;
	const char *program;
	struct spawned process;
	int fd;
	bool writes, stopping;
	struct buf in, out;
	struct question *open;
	uint64_t last_id;
	int64_t started_ms;
	struct loop_timer restart, late;
};

static void question_free(struct question *q);

struct fetch *
fetch_new(const struct conf *c, const char *program)
{
	struct fetch *f = mem_alloc(sizeof *f);

	f->conf = c;
	f->program = program;
	f->fd = -1;
	return f;
}

static void
question_free(struct question *q)
{
	int i;

	for (i = 0; i < TEXTS; i++)
		free((char *)(uintptr_t)*text_of(&q->r, i));
	free(q);
}

static struct question *
question_take(struct fetch *f, uint64_t id)
{
	struct question **p = &f->open, *q;

	while (*p != NULL && (*p)->r.id != id)
		p = &(*p)->next;
	q = *p;
	if (q != NULL)
		*p = q->next;
	return q;
}

static void
give_up(struct question *q, const struct err *why)
{
	q->fn(q->arg, &q->r, NULL, NULL, why);
	question_free(q);
}

/* --- the socket --- */

static void on_socket(void *arg, uint32_t events);

static void
flush(struct fetch *f)
{
	while (f->fd >= 0 && f->out.len > 0) {
		ssize_t n = send(f->fd, f->out.data, f->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		buf_drop(&f->out, (size_t)n);
	}
	if (f->fd >= 0 && f->writes != (f->out.len > 0)) {
		f->writes = f->out.len > 0;
		loop_watch(f->fd, EPOLLIN | (f->writes ? EPOLLOUT : 0), on_socket, f);
	}
}

static void
hang_up(struct fetch *f, const char *why)
{
	if (f->fd < 0)
		return;
	if (!f->stopping)
		log_warn("fetcher ends", "why=%s", log_q(why));
	loop_forget(f->fd);
	close(f->fd);
	f->fd = -1;
	buf_clear(&f->in);
	buf_clear(&f->out);
	f->writes = false;
	spawn_kill(&f->process, SIGKILL);
}

/* An answer that is none ends the fetcher, and the question is answered: it may be the one that confuses it. */
static int
take_answer(struct fetch *f, const char *json, size_t n)
{
	struct fetcher_answer a;
	struct err e = ERR_INIT;
	struct question *q;
	int rc = 0;

	memset(&a, 0, sizeof a);
	if (fetcher_answer_parse(json, n, &a, &e) != 0) {
		log_warn("fetcher's answer is none", "why=%s", log_q(e.text));
		rc = -1;
	} else if ((q = question_take(f, a.id)) != NULL) {
		if (a.ok && a.op != q->r.op)
			rc = err_set(&a.error, ERR_REMOTE, "the fetcher answers another question");
		q->fn(q->arg, &q->r, a.ok && rc == 0 ? &a : NULL, a.ok ? NULL : &a, a.ok && rc == 0 ? NULL : &a.error);
		question_free(q);
	}
	fetcher_answer_clear(&a);
	return rc;
}

static void
take_messages(struct fetch *f)
{
	struct err e = ERR_INIT;
	const char *json;
	size_t at = 0, json_n;
	long n = 0;

	while (f->fd >= 0 && (n = fetcher_message_next(f->in.data + at, f->in.len - at, &json, &json_n, &e)) > 0) {
		at += (size_t)n;
		if (take_answer(f, json, json_n) != 0) {
			hang_up(f, "its answer is none");
			return;
		}
	}
	if (n < 0)
		hang_up(f, e.text);
	else if (f->fd >= 0)
		buf_drop(&f->in, at);
}

static void
on_socket(void *arg, uint32_t events)
{
	struct fetch *f = arg;
	ssize_t n;

	if (events & EPOLLOUT)
		flush(f);
	if (f->fd < 0 || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	n = read(f->fd, buf_room(&f->in, READ_ROOM), READ_ROOM);
	if (n > 0) {
		f->in.len += (size_t)n;
		take_messages(f);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		hang_up(f, "it closed its socket");
	}
}

/* --- the process --- */

static void
ask(struct fetch *f, struct question *q)
{
	int64_t left = q->deadline_ms - clock_mono_ms();

	q->r.deadline_ms = left > 1 ? left : 1;
	q->asked++;
	fetcher_request_add(&f->out, &q->r);
}

static void
on_restart(void *arg)
{
	struct fetch *f = arg;
	struct err e = ERR_INIT;

	if (!f->stopping && f->process.pid == 0 && fetch_start(f, &e) != 0) {
		log_error("fetcher does not start", "why=%s", log_q(e.text));
		loop_after(&f->restart, RETRY_MS, on_restart, f);
	}
}

static void
on_exit_of(void *arg, int status)
{
	struct fetch *f = arg;
	char how[80];

	f->process.pid = 0;
	if (f->stopping)
		return;
	log_warn("fetcher ended", "how=%s", log_q(spawn_status(status, how, sizeof how)));
	hang_up(f, "its process ended");
	if (clock_mono_ms() - f->started_ms > 5000)
		on_restart(f);
	else
		loop_after(&f->restart, RETRY_MS, on_restart, f);
}

static void
make_plan(const struct fetch *f, struct plan *p)
{
	const char *argv[] = { f->program, "--role", "fetcher", "--home", f->conf->home, NULL, NULL, NULL, NULL };
	const char *env[] = { "PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8" };
	size_t n = 5, i;

	if (f->conf->file != NULL) {
		argv[n++] = "--config";
		argv[n++] = f->conf->file;
	}
	if (f->conf->dev)
		argv[n++] = "--dev";
	memset(p, 0, sizeof *p);
	p->argv.item = mem_array(n, sizeof(char *));
	for (i = 0; i < n; i++)
		p->argv.item[p->argv.n++] = mem_str(argv[i]);
	p->env.item = mem_array(2, sizeof(char *));
	for (i = 0; i < 2; i++)
		p->env.item[p->env.n++] = mem_str(env[i]);
	p->cwd = mem_str("/");
	p->limit[p->limits++] = (struct plan_limit){ RLIMIT_CORE, 0 };
}

int
fetch_start(struct fetch *f, struct err *e)
{
	struct err why = ERR_INIT;
	struct question **p, *q;
	struct plan plan;
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		return err_errno(e, "socketpair");
	fcntl(pair[1], F_SETFL, 0); /* the role's end blocks: it may poll as it likes */
	make_plan(f, &plan);
	rc = spawn_start(&plan, pair[1], false, on_exit_of, f, &f->process, e);
	plan_clear(&plan);
	close(pair[1]);
	if (rc != 0) {
		close(pair[0]);
		return -1;
	}
	f->fd = pair[0];
	f->started_ms = clock_mono_ms();
	loop_watch(f->fd, EPOLLIN, on_socket, f);
	log_info("fetcher started", "pid=%d", (int)f->process.pid);
	for (p = &f->open; *p != NULL;) {
		q = *p;
		if (q->asked < ASKS_MAX) {
			ask(f, q);
			p = &q->next;
			continue;
		}
		*p = q->next;
		err_set(&why, ERR_REMOTE, "the fetcher died %d times over this question", q->asked);
		give_up(q, &why);
	}
	flush(f);
	return 0;
}

/* Questions whose time is over although the fetcher should have said so. */
static void
on_late(void *arg)
{
	struct fetch *f = arg;
	struct question **p = &f->open;
	struct err why = ERR_INIT;

	while (*p != NULL) {
		struct question *q = *p;

		if (q->deadline_ms + LATE_MS > loop_now_ms()) {
			p = &q->next;
			continue;
		}
		*p = q->next;
		err_set(&why, ERR_TIMEOUT, "the fetcher did not answer in time");
		give_up(q, &why);
		p = &f->open; /* fn may have asked something new */
	}
	if (f->open != NULL)
		loop_after(&f->late, 1000, on_late, f);
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
asked_already(struct fetch *f, struct fetcher_request *r, fetch_fn *fn, const void *arg)
{
	struct question *q;
	int i;

	for (q = f->open; q != NULL; q = q->next) {
		for (i = 0; i < SAME && same_text(*text_of(&q->r, i), *text_of(r, i)); i++)
			;
		if (i == SAME && q->r.op == r->op && q->r.renew == r->renew && q->fn == fn && q->arg == arg)
			return true;
	}
	return false;
}

void
fetch_ask(struct fetch *f, const struct fetcher_request *r, int64_t timeout_ms, fetch_fn *fn, void *arg)
{
	struct question *q = mem_alloc(sizeof *q);
	int i;

	q->r = *r;
	if (asked_already(f, &q->r, fn, arg)) {
		free(q);
		return;
	}
	for (i = 0; i < TEXTS; i++)
		*text_of(&q->r, i) = mem_str(*text_of(&q->r, i));
	q->r.last_rev = NULL; /* the role remembers, and catalog.c looks itself */
	q->r.id = ++f->last_id;
	q->fn = fn;
	q->arg = arg;
	q->deadline_ms = clock_mono_ms() + timeout_ms;
	q->next = f->open;
	f->open = q;
	if (f->late.at == 0)
		loop_after(&f->late, 1000, on_late, f);
	if (f->fd >= 0) {
		ask(f, q);
		flush(f);
	}
}

size_t
fetch_open(const struct fetch *f)
{
	const struct question *q;
	size_t n = 0;

	for (q = f->open; q != NULL; q = q->next)
		n++;
	return n;
}

void
fetch_stop(struct fetch *f)
{
	f->stopping = true;
	loop_stop(&f->restart);
	loop_stop(&f->late);
	hang_up(f, "the end");
	while (f->open != NULL)
		question_free(question_take(f, f->open->r.id));
}

bool
fetch_gone(const struct fetch *f)
{
	return f->process.pid == 0;
}

void
fetch_free(struct fetch *f)
{
	if (f == NULL)
		return;
	fetch_stop(f);
	free(f);
}
