#include "scheduler/wait.h"

#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "scheduler/catalog.h"
#include "scheduler/turn.h"

#define AUTHOR_JOBS 64                /* of one author in memory */
#define ALL_JOBS    2048
#define ALL_BYTES   (16u << 20)
#define HUNGRY      16                /* ask the ledger for more when fewer are left */

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

	if (a->codes != NULL || a->more)
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

static struct waiting *
waiting_get(struct wait *w, struct code *code)
{
	struct waiting *x = code->waiting, *tail;
	struct wait_author *a;

	if (x != NULL)
		return x;
	a = author_get(w, code->did);
	x = mem_alloc(sizeof *x);
	x->code = code_ref(code);
	x->author = a;
	x->next = x;
	if (a->codes != NULL) {
		for (tail = a->codes; tail->next != a->codes; tail = tail->next)
			;
		tail->next = x;
		x->next = a->codes;
	} else {
		a->codes = x;
	}
	code->waiting = x;
	return x;
}

static void
waiting_drop(struct wait *w, struct waiting *x)
{
	struct wait_author *a = x->author;
	struct waiting *p = x;

	if (x->n > 0)
		return;
	while (p->next != x)
		p = p->next;
	p->next = x->next;
	if (a->codes == x)
		a->codes = x->next != x ? x->next : NULL;
	x->code->waiting = NULL;
	code_unref(x->code);
	free(x);
	author_drop(w, a);
}

bool
wait_has_room(const struct wait *w, const char *did, int64_t row)
{
	const struct wait_author *a = author_find(w, did);

	if (a != NULL && row < a->last_row)
		return true; /* came late (its bundle was fetched): the ledger's cursor is past it already */
	if (a != NULL && a->more)
		return false;
	return w->n < ALL_JOBS && w->bytes < ALL_BYTES && (a == NULL || a->n < AUTHOR_JOBS);
}

void
wait_add(struct wait *w, struct job *j)
{
	struct waiting *x = waiting_get(w, j->code);

	j->next = NULL;
	if (x->last != NULL)
		x->last->next = j;
	else
		x->first = j;
	x->last = j;
	x->n++;
	x->author->n++;
	w->n++;
	w->bytes += j->w.body_bytes;
	if (j->w.id.row > x->author->last_row)
		x->author->last_row = j->w.id.row;
}

void
wait_leave(struct wait *w, const char *did)
{
	author_get(w, did)->more = true;
}

bool
wait_any_of(const struct wait *w, const char *did)
{
	return w->authors_n > 0 && author_find(w, did) != NULL;
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
	x->author->n--;
	w->n--;
	w->bytes -= j->w.body_bytes;
}

struct job *
wait_take(struct wait *w, struct code *code)
{
	struct waiting *x = code->waiting;
	struct job *j;

	if (x == NULL)
		return NULL;
	j = x->first;
	unlink_job(w, x, NULL, j);
	x->author->codes = x->next;
	waiting_drop(w, x);
	return j;
}

bool
wait_remove(struct wait *w, struct job *j)
{
	struct waiting *x = j->code != NULL ? j->code->waiting : NULL;
	struct job *p, *prev = NULL;

	for (p = x != NULL ? x->first : NULL; p != NULL; prev = p, p = p->next) {
		if (p == j) {
			unlink_job(w, x, prev, j);
			waiting_drop(w, x);
			return true;
		}
	}
	return false;
}

struct wait_author *
wait_hungry(struct wait *w)
{
	struct wait_author *a = w->authors;
	size_t i;

	if (w->n >= ALL_JOBS || w->bytes >= ALL_BYTES)
		return NULL;
	for (i = 0; i < w->authors_n; i++, a = a->next)
		if (a->more && a->n < HUNGRY)
			return a;
	return NULL;
}

void
wait_sated(struct wait *w, struct wait_author *a)
{
	a->more = false;
	author_drop(w, a);
}

bool
wait_each(struct wait *w, bool (*fn)(void *arg, struct waiting *x), void *arg)
{
	struct wait_author *a = w->authors, *after;
	size_t i, k, n;

	for (i = 0; i < w->authors_n; i++, a = a->next) {
		struct waiting *x = a->codes;

		for (k = 0, n = 0; x != NULL && (k == 0 || x != a->codes); k++, x = x->next)
			n++;
		for (k = 0, x = a->codes; k < n; k++, x = x->next) {
			after = a->next;
			if (fn(arg, x)) {
				/* fn may have taken the last job and with it the author. */
				if (w->authors != NULL)
					w->authors = w->authors_n > 1 ? after : w->authors;
				return true;
			}
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
		w->authors->more = false;
		author_drop(w, w->authors);
	}
}
