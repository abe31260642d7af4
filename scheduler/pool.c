#include "scheduler/pool.h"

#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "scheduler/catalog.h"
#include "scheduler/instance.h"

struct pool_entry *
pool_add(struct pool *p, struct instance *i, struct code *wanted_for)
{
	struct pool_entry *x;

	if (p->n == p->room) {
		p->room = p->room * 2 + 16;
		p->item = mem_grow(p->item, p->room * sizeof *p->item);
	}
	x = &p->item[p->n++];
	*x = (struct pool_entry){ .instance = i, .runtime = instance_runtime(i), .key = instance_key(i) };
	x->code = wanted_for != NULL ? code_ref(wanted_for) : NULL;
	pool_sync(x);
	return x;
}

void
pool_remove(struct pool *p, struct instance *i)
{
	struct pool_entry *x = pool_of(p, i);

	if (x == NULL)
		return;
	code_unref(x->code);
	*x = p->item[--p->n];
}

struct pool_entry *
pool_of(struct pool *p, const struct instance *i)
{
	size_t k;

	for (k = 0; k < p->n; k++)
		if (p->item[k].instance == i)
			return &p->item[k];
	return NULL;
}

void
pool_sync(struct pool_entry *x)
{
	x->state = instance_state(x->instance);
	x->was_warm |= x->state == INSTANCE_WARM;
	x->free_places = instance_free_places(x->instance);
	x->busy = instance_busy(x->instance);
	x->used_ms = instance_used_ms(x->instance);
	x->bound_ms = instance_bound_ms(x->instance);
	if (x->code == NULL && instance_code(x->instance) != NULL)
		x->code = code_ref(instance_code(x->instance));
}

void
pool_clear(struct pool *p)
{
	while (p->n > 0)
		code_unref(p->item[--p->n].code);
	free(p->item);
	*p = (struct pool){ NULL, 0, 0 };
}

struct pool_entry *
pool_warm(struct pool *p, const struct code *code)
{
	struct pool_entry *best = NULL;
	size_t k;

	for (k = 0; k < p->n; k++) {
		struct pool_entry *x = &p->item[k];

		if (x->code == code && x->free_places > 0 && !x->retiring &&
		    (best == NULL || x->used_ms > best->used_ms))
			best = x;
	}
	return best;
}

struct pool_entry *
pool_blank(struct pool *p, const struct runtime *r, const char *key)
{
	size_t k;

	for (k = 0; k < p->n; k++) {
		struct pool_entry *x = &p->item[k];

		if (x->state == INSTANCE_BLANK && x->code == NULL && x->runtime == r && !x->retiring &&
		    strcmp(x->key, key) == 0)
			return x;
	}
	return NULL;
}

int
pool_count(const struct pool *p, const struct code *code, int *coming)
{
	int n = 0;
	size_t k;

	*coming = 0;
	for (k = 0; k < p->n; k++) {
		const struct pool_entry *x = &p->item[k];

		if (x->code != code || x->state == INSTANCE_ENDING || x->retiring)
			continue;
		n++;
		*coming += x->state != INSTANCE_WARM;
	}
	return n;
}

int
pool_live(const struct pool *p)
{
	int n = 0;
	size_t k;

	for (k = 0; k < p->n; k++)
		n += p->item[k].state != INSTANCE_ENDING;
	return n;
}

int
pool_blanks(const struct pool *p, const struct runtime *r)
{
	int n = 0;
	size_t k;

	for (k = 0; k < p->n; k++)
		n += p->item[k].runtime == r && p->item[k].code == NULL && p->item[k].state <= INSTANCE_BLANK &&
		    !p->item[k].retiring;
	return n;
}

struct pool_entry *
pool_evict(struct pool *p, const struct code *code, int64_t now_ms, int64_t slice_ms)
{
	struct pool_entry *best = NULL;
	size_t k;

	for (k = 0; k < p->n; k++) {
		struct pool_entry *x = &p->item[k];
		bool blank = x->state == INSTANCE_BLANK && x->code == NULL;
		bool idle = x->state == INSTANCE_WARM && x->busy == 0;

		if (!(blank || (idle && x->code != code && now_ms - x->bound_ms >= slice_ms)))
			continue;
		if (best == NULL || (best->code == NULL && !blank) ||
		    ((best->code == NULL) == blank && x->used_ms < best->used_ms))
			best = x;
	}
	return best;
}

struct pool_entry *
pool_idle(struct pool *p, int64_t now_ms, int64_t idle_ms)
{
	size_t k;

	for (k = 0; k < p->n; k++) {
		struct pool_entry *x = &p->item[k];

		if (x->state == INSTANCE_WARM && x->busy == 0 && now_ms - x->used_ms >= idle_ms)
			return x;
	}
	return NULL;
}

struct pool_entry *
pool_spare_blank(struct pool *p, const struct runtime *r, int keep, int64_t now_ms, int64_t idle_ms)
{
	size_t k;

	if (pool_blanks(p, r) <= keep)
		return NULL;
	for (k = 0; k < p->n; k++) {
		struct pool_entry *x = &p->item[k];

		if (x->runtime == r && x->state == INSTANCE_BLANK && x->code == NULL && now_ms - x->used_ms >= idle_ms)
			return x;
	}
	return NULL;
}
