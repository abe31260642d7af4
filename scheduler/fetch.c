#include "scheduler/fetch.h"

#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "scheduler/fetcher.h"
#include "scheduler/loop.h"
#include "scheduler/role.h"

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
#define TEXTS 12
#define SAME  11
static const char **
text_of(struct fetcher_request *r, int i)
{
	const char **const all[TEXTS] = { &r->author, &r->name, &r->version, &r->collection, &r->cursor, &r->member,
		&r->value, &r->only, &r->url, &r->body, &r->signature, &r->known_cid };

	return all[i];
}

struct fetch {
	struct role role;
	struct question *open;
	uint64_t last_id;
	struct loop_timer late;
};

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

/* --- the process --- */

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

static int
on_heard(void *arg, struct err *e)
{
	struct fetch *f = arg;
	struct buf *in = &f->role.in;
	const char *json;
	size_t at = 0, json_n;
	long n = 0;

	while (f->role.fd >= 0 && (n = fetcher_message_next(in->data + at, in->len - at, &json, &json_n, e)) > 0) {
		at += (size_t)n;
		if (take_answer(f, json, json_n) != 0)
			return err_set(e, ERR_REMOTE, "its answer is none");
	}
	if (n == 0 && f->role.fd >= 0)
		buf_drop(in, at);
	return n < 0 ? -1 : 0;
}

static void
ask(struct fetch *f, struct question *q)
{
	int64_t left = q->deadline_ms - clock_mono_ms();

	q->r.deadline_ms = left > 1 ? left : 1;
	q->asked++;
	fetcher_request_add(&f->role.out, &q->r);
}

static void
on_began(void *arg)
{
	struct fetch *f = arg;
	struct err why = ERR_INIT;
	struct question **p, *q;

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
	role_flush(&f->role);
}

struct fetch *
fetch_new(const struct conf *c, const char *program)
{
	static const struct role_kind kind = { .name = "fetcher", .stays = true, .began = on_began, .heard = on_heard };
	struct fetch *f = mem_alloc(sizeof *f);

	role_init(&f->role, &kind, c, program, f);
	return f;
}

int
fetch_start(struct fetch *f, struct err *e)
{
	return role_start(&f->role, e);
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
	if (f->role.fd >= 0) {
		ask(f, q);
		role_flush(&f->role);
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
	role_stop(&f->role);
	loop_stop(&f->late);
	while (f->open != NULL)
		question_free(question_take(f, f->open->r.id));
}

bool
fetch_gone(const struct fetch *f)
{
	return role_gone(&f->role);
}

void
fetch_free(struct fetch *f)
{
	if (f == NULL)
		return;
	fetch_stop(f);
	free(f);
}
