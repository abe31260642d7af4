/*
 * Nothing is counted where calls are written: each page more would cost every one of them.  A walk over all jobs adds up what
 * belongs to whom; when somebody is over his share a second one, from the oldest job on, takes away as much.  What comes
 * meanwhile is met by the next.  Walks rest the longer the longer they took, so that a large history costs no more than a
 * small one.
 */
#include "scheduler/hoard.h"

#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/store_hoard.h"

#define STRETCH   128   /* rows in one step: some tenths of a millisecond */
#define REST_MS   5000  /* between two walks at least */
#define REST_MORE 20    /* and so many times as long as the last one took */
#define BUCKETS   256

struct author {
	char *name;
	int64_t bytes; /* counting: what he holds; shedding: what is to go */
	struct author *next;
};

struct hoard {
	int64_t author_most, log_most;
	enum { RESTS, COUNTS, SHEDS, COUNTS_LOG, SHEDS_LOG } phase;
	int64_t at, rests_until_ms, began_ms;
	struct author *bucket[BUCKETS];
	int64_t log_bytes;
	int64_t row[STRETCH]; /* to go */
	size_t rows, gone;
	int64_t shed;         /* jobs, for the line that tells of them */
};

struct hoard *
hoard_new(int64_t author_most, int64_t log_most)
{
	struct hoard *h = mem_alloc(sizeof *h);

	h->author_most = author_most;
	h->log_most = log_most;
	return h;
}

static void
forget_authors(struct hoard *h)
{
	struct author *a;
	int i;

	for (i = 0; i < BUCKETS; i++) {
		while ((a = h->bucket[i]) != NULL) {
			h->bucket[i] = a->next;
			free(a->name);
			free(a);
		}
	}
}

void
hoard_free(struct hoard *h)
{
	if (h == NULL)
		return;
	forget_authors(h);
	free(h);
}

static struct author *
author_of(struct hoard *h, const char *name)
{
	uint32_t n = 2166136261u;
	struct author *a, **b;
	const char *p;

	for (p = name; *p != '\0'; p++)
		n = (n ^ (unsigned char)*p) * 16777619u;
	b = &h->bucket[n % BUCKETS];
	for (a = *b; a != NULL; a = a->next)
		if (strcmp(a->name, name) == 0)
			return a;
	a = mem_alloc(sizeof *a);
	a->name = mem_str(name);
	a->next = *b;
	return *b = a;
}

/* --- jobs --- */

static void
count_one(void *arg, const struct work_size *w)
{
	struct hoard *h = arg;

	author_of(h, w->author)->bytes += w->bytes;
	h->at = w->row;
}

/* What each has too much; true when anybody has. */
static bool
excess(struct hoard *h)
{
	struct author *a;
	bool any = false;
	int i;

	for (i = 0; i < BUCKETS; i++) {
		for (a = h->bucket[i]; a != NULL; a = a->next) {
			a->bytes -= h->author_most;
			any |= a->bytes > 0;
		}
	}
	return any;
}

static void
pick_one(void *arg, const struct work_size *w)
{
	struct hoard *h = arg;
	struct author *a = author_of(h, w->author);

	h->at = w->row;
	if (!w->done || a->bytes <= 0)
		return;
	a->bytes -= w->bytes;
	h->row[h->rows++] = w->row;
}

/* 1: there is more to do in this phase. */
static int
shed_one(struct hoard *h, struct store *s, struct err *e)
{
	int n;

	if (h->gone < h->rows) {
		if ((n = work_shed(s, h->row[h->gone], e)) < 0)
			return -1;
		h->gone += n == 0;
		h->shed += n == 0;
		return 1;
	}
	h->rows = h->gone = 0;
	return work_sizes(s, h->at, STRETCH, pick_one, h, e);
}

/* --- lines --- */

static int
count_lines(struct hoard *h, struct store *s, struct err *e)
{
	int64_t last = 0, bytes = 0;
	int n = work_log_sizes(s, h->at, STRETCH, &last, &bytes, e);

	if (n <= 0)
		return n;
	h->at = last;
	h->log_bytes += bytes;
	return 1;
}

static int
shed_lines(struct hoard *h, struct store *s, struct err *e)
{
	int64_t last = 0, bytes = 0;
	int n = h->log_bytes > h->log_most ? work_log_sizes(s, 0, STRETCH, &last, &bytes, e) : 0;

	if (n <= 0 || work_log_drop(s, last, e) != 0)
		return n <= 0 ? n : -1;
	h->log_bytes -= bytes;
	return 1;
}

/* --- walks --- */

static void
rest(struct hoard *h, int64_t now_ms)
{
	int64_t took = now_ms - h->began_ms;

	if (h->shed > 0)
		log_info("history shed", "jobs=%lld why=%s", (long long)h->shed, "scheduler.keep_author");
	h->shed = 0;
	forget_authors(h);
	h->rests_until_ms = now_ms + (took * REST_MORE > REST_MS ? took * REST_MORE : REST_MS);
	h->phase = RESTS;
}

/* The phase is over. */
static void
next(struct hoard *h, int64_t now_ms)
{
	bool over;

	h->at = 0;
	switch (h->phase) {
	case RESTS:
		h->began_ms = now_ms;
		h->log_bytes = 0;
		h->phase = h->author_most > 0 ? COUNTS : COUNTS_LOG;
		return;
	case COUNTS:
		over = excess(h);
		h->rows = h->gone = 0;
		h->phase = over ? SHEDS : COUNTS_LOG;
		break;
	case SHEDS:
		h->phase = COUNTS_LOG;
		break;
	case COUNTS_LOG:
		h->phase = SHEDS_LOG;
		return;
	case SHEDS_LOG:
		rest(h, now_ms);
		return;
	}
	if (h->phase == COUNTS_LOG && h->log_most == 0)
		rest(h, now_ms);
}

static int
walk(struct hoard *h, struct store *s, struct err *e)
{
	switch (h->phase) {
	case COUNTS:
		return work_sizes(s, h->at, STRETCH, count_one, h, e);
	case SHEDS:
		return shed_one(h, s, e);
	case COUNTS_LOG:
		return count_lines(h, s, e);
	case SHEDS_LOG:
		return shed_lines(h, s, e);
	default:
		return 0;
	}
}

int
hoard_step(struct hoard *h, struct store *s, int64_t until_us, int64_t now_ms, struct err *e)
{
	int n;

	if (h->phase == RESTS && (now_ms < h->rests_until_ms || (h->author_most == 0 && h->log_most == 0)))
		return 0;
	do {
		if ((n = walk(h, s, e)) < 0)
			return -1;
		if (n == 0)
			next(h, now_ms);
	} while (h->phase != RESTS && clock_mono_us() < until_us);
	return h->phase != RESTS;
}
