#include "scheduler/ration.h"

#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"

#define HOUR_MS 3600000

struct author {
	char *did;
	int64_t since_ms, bytes;
	bool over;
};

struct ration {
	int64_t most;
	struct author *list;
	size_t n, last; /* last: who printed last prints most likely next */
};

struct ration *
ration_new(int64_t most)
{
	struct ration *r = mem_alloc(sizeof *r);

	r->most = most;
	return r;
}

void
ration_free(struct ration *r)
{
	size_t i;

	if (r == NULL)
		return;
	for (i = 0; i < r->n; i++)
		free(r->list[i].did);
	free(r->list);
	free(r);
}

static struct author *
find(struct ration *r, const char *did, int64_t now_ms)
{
	size_t i, old = r->n;

	if (r->last < r->n && strcmp(r->list[r->last].did, did) == 0)
		return &r->list[r->last];
	for (i = 0; i < r->n && strcmp(r->list[i].did, did) != 0; i++)
		if (now_ms - r->list[i].since_ms >= HOUR_MS)
			old = i;
	if (i < r->n) {
		r->last = i;
		return &r->list[i];
	}
	/* A place whose hour is over is as good as a new one. */
	if (old == r->n)
		r->list = mem_grow(r->list, ++r->n * sizeof *r->list);
	else
		free(r->list[old].did);
	r->list[old] = (struct author){ mem_str(did), now_ms, 0, false };
	r->last = old;
	return &r->list[old];
}

enum ration_said
ration_take(struct ration *r, const char *did, size_t bytes, int64_t now_ms)
{
	struct author *a = find(r, did, now_ms);

	if (now_ms - a->since_ms >= HOUR_MS) {
		a->since_ms = now_ms;
		a->bytes = 0;
		a->over = false;
	}
	if (a->bytes + (int64_t)bytes <= r->most) {
		a->bytes += (int64_t)bytes;
		return RATION_GIVEN;
	}
	if (a->over)
		return RATION_NONE;
	a->over = true;
	return RATION_OVER;
}
