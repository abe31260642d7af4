#include "scheduler/wait.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "scheduler/catalog.h"
#include "scheduler/turn.h"

#define LANE_JOBS   64         /* of one lane in memory */
#define AUTHOR_JOBS 256
#define ALL_JOBS    2048
#define ALL_BYTES   (16u << 20)
#define HUNGRY      16         /* ask the ledger for more when fewer are left */

/* --- authors --- */

static struct wait_author *
author_find(const struct wait *w, const char *did)
{
	struct wait_author *a = w->authors;
	size_t i;

	for (i = 0; i < w->authors_n; i++, a = a->next)
		if (strcmp(a->did, did) == 0)
			return a;
	return NULL;
}

/* A new author comes last in the ring: behind the one whose turn it is, seen from the other side. */
static struct wait_author *
author_get(struct wait *w, const char *did)
{
	struct wait_author *a = author_find(w, did), *tail;

	if (a != NULL)
		return a;
	a = mem_alloc(sizeof *a);
	a->did = mem_str(did);
	a->next = a;
	if (w->authors != NULL) {
		for (tail = w->authors; tail->next != w->authors; tail = tail->next)
			;
		tail->next = a;
		a->next = w->authors;
	} else {
		w->authors = a;
	}
	w->authors_n++;
	return a;
}

static void
author_drop(struct wait *w, struct wait_author *a)
{
	struct wait_author *p = a;

	if (a->lanes != NULL)
		return;
	while (p->next != a)
		p = p->next;
	p->next = a->next;
	if (w->authors == a)
		w->authors = a->next != a ? a->next : NULL;
	w->authors_n--;
	free(a->did);
	free(a);
}

/* --- lanes --- */

static struct wait_lane *
lane_of(const struct wait_author *a, const char *name, const char *endpoint)
{
	struct wait_lane *l = a != NULL ? a->lanes : NULL;

	while (l != NULL && (strcmp(l->endpoint, endpoint) != 0 || strcmp(l->name, name) != 0))
		l = l->next;
	return l;
}

static struct wait_lane *
lane_find(const struct wait *w, const struct job *j)
{
	return lane_of(author_find(w, j->code->did), j->w.bundle, j->w.endpoint);
}

static struct wait_lane *
lane_get(struct wait *w, const char *did, const char *name, const char *endpoint)
{
	struct wait_author *a = author_get(w, did);
	struct wait_lane *l = lane_of(a, name, endpoint);

	if (l != NULL)
		return l;
	l = mem_alloc(sizeof *l);
	l->name = mem_str(name);
	l->endpoint = mem_str(endpoint);
	l->author = a;
	l->next = a->lanes;
	a->lanes = l;
	return l;
}

static void
lane_drop(struct wait *w, struct wait_lane *l)
{
	struct wait_lane **p = &l->author->lanes;

	if (l->n > 0 || l->more || l->running > 0)
		return;
	while (*p != l)
		p = &(*p)->next;
	*p = l->next;
	author_drop(w, l->author);
	free(l->name);
	free(l->endpoint);
	free(l);
}

/* --- what runs side by side --- */

static int64_t
bundle_running(const struct wait_lane *l)
{
	const struct wait_lane *k;
	int64_t n = 0;

	for (k = l->author->lanes; k != NULL; k = k->next)
		if (strcmp(k->name, l->name) == 0)
			n += k->running;
	return n;
}

/* May one more job of this lane start? */
static bool
is_open(const struct wait *w, const struct wait_lane *l)
{
	return (l->most == 0 || l->running < l->most) && (w->author_most == 0 || l->author->running < w->author_most) &&
	    (l->bundle_most == 0 || bundle_running(l) < l->bundle_most);
}

bool
wait_counts(const struct wait *w, const struct job *j)
{
	return j->most > 0 || j->bundle_most > 0 || w->author_most > 0;
}

static void
set_limits(struct wait_lane *l, const struct job *j)
{
	l->most = j->most;
	l->bundle_most = j->bundle_most;
}

bool
wait_may_start(const struct wait *w, const struct job *j)
{
	const struct wait_author *a = author_find(w, j->code->did);
	struct wait_lane *l = lane_of(a, j->w.bundle, j->w.endpoint), none = { 0 };

	if (a == NULL)
		return true; /* nothing of its author runs or waits */
	if (l == NULL) {
		none.name = j->w.bundle;
		none.author = (struct wait_author *)(uintptr_t)a;
		l = &none;
	}
	set_limits(l, j);
	return is_open(w, l);
}

void
wait_started(struct wait *w, struct job *j)
{
	struct wait_lane *l = lane_get(w, j->code->did, j->w.bundle, j->w.endpoint);

	set_limits(l, j);
	l->running++;
	l->author->running++;
	j->lane = l;
}

void
wait_ended(struct wait *w, struct job *j)
{
	struct wait_lane *l = j->lane;

	if (l == NULL)
		return;
	j->lane = NULL;
	l->running--;
	l->author->running--;
	lane_drop(w, l);
}

/* --- who waits --- */

static struct waiting *
waiting_of(const struct code *code, const struct wait_lane *l)
{
	struct waiting *x = code->waiting;

	while (x != NULL && x->lane != l)
		x = x->of_code;
	return x;
}

static struct waiting *
waiting_get(struct wait *w, const struct job *j)
{
	struct wait_lane *l = lane_get(w, j->code->did, j->w.bundle, j->w.endpoint);
	struct wait_author *a = l->author;
	struct waiting *x = waiting_of(j->code, l), *tail;

	if (x != NULL)
		return x;
	x = mem_alloc(sizeof *x);
	x->code = code_ref(j->code);
	x->lane = l;
	x->next = x;
	x->of_code = j->code->waiting;
	j->code->waiting = x;
	if (a->codes != NULL) {
		for (tail = a->codes; tail->next != a->codes; tail = tail->next)
			;
		tail->next = x;
		x->next = a->codes;
	} else {
		a->codes = x;
	}
	return x;
}

static void
waiting_drop(struct wait *w, struct waiting *x)
{
	struct wait_lane *l = x->lane;
	struct wait_author *a = l->author;
	struct waiting *p = x, **q = &x->code->waiting;

	if (x->n > 0)
		return;
	while (p->next != x)
		p = p->next;
	p->next = x->next;
	if (a->codes == x)
		a->codes = x->next != x ? x->next : NULL;
	while (*q != x)
		q = &(*q)->of_code;
	*q = x->of_code;
	code_unref(x->code);
	free(x);
	lane_drop(w, l);
}

bool
wait_has_room(const struct wait *w, const struct job *j)
{
	const struct wait_lane *l = lane_find(w, j);

	if (l == NULL || (l->n == 0 && !l->more))
		return true; /* a lane's first job is always there, so that its turn can come */
	if (j->w.id.row < l->last_row)
		return true; /* came late (its bundle was fetched): the ledger's cursor is past it already */
	return !l->more && w->n < ALL_JOBS && w->bytes < ALL_BYTES && l->n < LANE_JOBS && l->author->n < AUTHOR_JOBS;
}

void
wait_add(struct wait *w, struct job *j)
{
	struct waiting *x = waiting_get(w, j);

	j->next = NULL;
	if (x->last != NULL)
		x->last->next = j;
	else
		x->first = j;
	x->last = j;
	x->n++;
	x->priority = j->priority;
	set_limits(x->lane, j);
	x->lane->n++;
	x->lane->author->n++;
	w->n++;
	w->bytes += j->w.body_bytes;
	if (j->w.id.row > x->lane->last_row)
		x->lane->last_row = j->w.id.row;
}

void
wait_leave(struct wait *w, const char *did, const char *name, const char *endpoint)
{
	lane_get(w, did, name, endpoint)->more = true;
}

bool
wait_any_of(const struct wait *w, const char *did)
{
	const struct wait_author *a = w->authors_n > 0 ? author_find(w, did) : NULL;
	const struct wait_lane *l = a != NULL ? a->lanes : NULL;

	/* Lanes are also there for what runs. */
	while (l != NULL && l->n == 0 && !l->more)
		l = l->next;
	return l != NULL;
}

static void
unlink_job(struct wait *w, struct waiting *x, struct job *prev, struct job *j)
{
	if (prev != NULL)
		prev->next = j->next;
	else
		x->first = j->next;
	if (x->last == j)
		x->last = prev;
	j->next = NULL;
	x->n--;
	x->lane->n--;
	x->lane->author->n--;
	w->n--;
	w->bytes -= j->w.body_bytes;
}

struct job *
wait_take(struct wait *w, struct waiting *x)
{
	struct job *j = x->first;

	unlink_job(w, x, NULL, j);
	x->lane->author->codes = x->next;
	waiting_drop(w, x);
	return j;
}

struct job *
wait_take_code(struct wait *w, struct code *code)
{
	return code->waiting != NULL ? wait_take(w, code->waiting) : NULL;
}

bool
wait_remove(struct wait *w, struct job *j)
{
	struct waiting *x = j->code != NULL ? j->code->waiting : NULL;
	struct job *p, *prev;

	for (; x != NULL; x = x->of_code) {
		for (p = x->first, prev = NULL; p != NULL; prev = p, p = p->next) {
			if (p == j) {
				unlink_job(w, x, prev, j);
				waiting_drop(w, x);
				return true;
			}
		}
	}
	return false;
}

struct wait_lane *
wait_hungry(struct wait *w)
{
	const struct wait_author *a = w->authors;
	bool full = w->n >= ALL_JOBS || w->bytes >= ALL_BYTES;
	struct wait_lane *l;
	size_t i;

	for (i = 0; i < w->authors_n; i++, a = a->next)
		for (l = a->lanes; l != NULL; l = l->next)
			if (l->more && (l->n == 0 || (l->n < HUNGRY && !full && a->n < AUTHOR_JOBS)))
				return l;
	return NULL;
}

void
wait_sated(struct wait *w, struct wait_lane *l)
{
	l->more = false;
	lane_drop(w, l);
}

/* --- whose turn it is --- */

/* The highest priority below a bound that anybody who may start has. */
static bool
next_level(const struct wait *w, int below, int *level)
{
	const struct wait_author *a = w->authors;
	bool found = false;
	size_t i;

	for (i = 0; i < w->authors_n; i++, a = a->next) {
		const struct waiting *x = a->codes;

		do {
			if (x != NULL && x->priority < below && (!found || x->priority > *level) && is_open(w, x->lane)) {
				*level = x->priority;
				found = true;
			}
			x = x != NULL ? x->next : NULL;
		} while (x != NULL && x != a->codes);
	}
	return found;
}

/* One author's codes of one level. */
static bool
each_code(struct wait *w, const struct wait_author *a, int level, bool (*fn)(void *arg, struct waiting *x), void *arg)
{
	struct waiting *x = a->codes;
	size_t n = 0, k;

	for (k = 0; x != NULL && (k == 0 || x != a->codes); k++, x = x->next)
		n++;
	for (k = 0, x = a->codes; k < n; k++, x = x->next)
		if (x->priority == level && is_open(w, x->lane) && fn(arg, x))
			return true;
	return false;
}

bool
wait_each(struct wait *w, bool (*fn)(void *arg, struct waiting *x), void *arg)
{
	int below = INT_MAX, level = 0;
	size_t i;

	for (; next_level(w, below, &level); below = level) {
		struct wait_author *a = w->authors;

		for (i = 0; i < w->authors_n; i++, a = a->next) {
			struct wait_author *after = a->next;

			if (!each_code(w, a, level, fn, arg))
				continue;
			/* fn may have taken the last job and with it the author. */
			if (w->authors != NULL)
				w->authors = w->authors_n > 1 ? after : w->authors;
			return true;
		}
	}
	return false;
}

void
wait_jobs(struct wait *w, void (*fn)(void *arg, struct job *j), void *arg)
{
	struct job **all;
	struct wait_author *a = w->authors;
	size_t i, n = 0, count = w->n;

	if (count == 0)
		return;
	all = mem_array(count, sizeof *all);
	for (i = 0; i < w->authors_n; i++, a = a->next) {
		struct waiting *x = a->codes;

		do {
			struct job *j;

			for (j = x != NULL ? x->first : NULL; j != NULL; j = j->next)
				all[n++] = j;
			x = x != NULL ? x->next : NULL;
		} while (x != NULL && x != a->codes);
	}
	for (i = 0; i < n; i++)
		fn(arg, all[i]);
	free(all);
}

static void
free_waiting(void *arg, struct job *j)
{
	wait_remove(arg, j);
	turn_job_free(j);
}

void
wait_clear(struct wait *w)
{
	wait_jobs(w, free_waiting, w);
	while (w->authors != NULL) {
		struct wait_lane *l = w->authors->lanes;

		l->more = false;
		l->running = 0;
		lane_drop(w, l);
	}
}
