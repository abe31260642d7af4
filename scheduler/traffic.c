#include "scheduler/traffic.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/mem.h"
#include "lib/store_traffic.h"
#include "scheduler/catalog.h"
#include "scheduler/turn.h"

#define CELLS        4    /* a heartbeat comes every two seconds; what it is very late for goes into the newest */
#define BUCKETS      1024
#define LINES_MAX    4096 /* authors between two writings; the others are counted together */
#define AUTHOR_BEATS 5    /* authors are many: they are written more seldom */
#define DAY_MS       INT64_C(86400000)
#define KEEP_MS      (32 * DAY_MS)
#define KEEP_DAYS    90

/* An author on a day. */
struct line {
	char *author;
	int64_t day, calls, failed, ran_ms;
	struct line *next; /* in its bucket */
	struct line *then; /* of all lines */
};

/* What the ledger does not have yet. */
static struct {
	struct traffic cell[CELLS];
	size_t n;
	struct line *bucket[BUCKETS], *first;
	size_t lines;
	int beats;
	bool with_lines; /* in the transaction that is under way */
} traffic;

/* --- counting --- */

static struct traffic *
cell_at(int64_t now)
{
	int64_t at = now - now % TRAFFIC_MS;
	size_t i;

	for (i = traffic.n; i-- > 0;)
		if (traffic.cell[i].at == at)
			return &traffic.cell[i];
	if (traffic.n == CELLS)
		return &traffic.cell[CELLS - 1];
	memset(&traffic.cell[traffic.n], 0, sizeof traffic.cell[0]);
	traffic.cell[traffic.n].at = at;
	return &traffic.cell[traffic.n++];
}

static struct line *
line_of(const char *author, int64_t day)
{
	uint64_t h = 14695981039346656037u + (uint64_t)day;
	struct line **p, *l;
	const char *s;

	if (traffic.lines >= LINES_MAX)
		author = "";
	for (s = author; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211u;
	p = &traffic.bucket[h % BUCKETS];
	for (l = *p; l != NULL; l = l->next)
		if (l->day == day && strcmp(l->author, author) == 0)
			return l;
	l = mem_alloc(sizeof *l);
	l->author = mem_str(author);
	l->day = day;
	l->next = *p;
	*p = l;
	l->then = traffic.first;
	traffic.first = l;
	traffic.lines++;
	return l;
}

static void
forget_lines(void)
{
	struct line *l = traffic.first;

	while (l != NULL) {
		struct line *then = l->then;

		free(l->author);
		free(l);
		l = then;
	}
	traffic.first = NULL;
	traffic.lines = 0;
	memset(traffic.bucket, 0, sizeof traffic.bucket);
}

static void
count_author(const struct job *j, int64_t now)
{
	struct line *l = line_of(j->code->did, now / DAY_MS);

	l->calls++;
	l->failed += j->outcome != OUTCOME_OK && j->outcome != OUTCOME_CANCELLED;
	if (j->started_us > 0)
		l->ran_ms += (clock_mono_us() - j->started_us) / 1000;
}

void
traffic_end(const struct job *j, int64_t ms, int64_t now)
{
	struct traffic *t = cell_at(now);
	int i = TRAFFIC_BOUNDS;

	t->outcome[j->outcome]++;
	t->start[j->start]++;
	if (j->start == START_NONE || j->code == NULL)
		return;
	if (j->w.mode == JOB_SYNC) {
		t->waited++;
		t->sum_ms += ms > 0 ? ms : 0;
		while (i-- > 0 && ms <= traffic_bound_ms[i])
			t->within[i]++;
	}
	count_author(j, now);
}

void
traffic_more(enum job_outcome outcome, int64_t n, int64_t now)
{
	if (n > 0)
		cell_at(now)->outcome[outcome] += n;
}

/* --- writing --- */

int
traffic_write(struct store *s, struct err *e)
{
	const struct line *l;
	size_t i;

	for (i = 0; i < traffic.n; i++)
		if (work_traffic_add(s, &traffic.cell[i], e) != 0)
			return -1;
	traffic.with_lines = traffic.beats >= AUTHOR_BEATS || traffic.lines >= LINES_MAX;
	for (l = traffic.with_lines ? traffic.first : NULL; l != NULL; l = l->then) {
		struct traffic_author a = { l->author, l->calls, l->failed, l->ran_ms };

		if (work_traffic_author_add(s, l->day, &a, e) != 0)
			return -1;
	}
	return 0;
}

void
traffic_written(void)
{
	traffic.n = 0;
	traffic.beats++;
	if (!traffic.with_lines)
		return;
	traffic.with_lines = false;
	traffic.beats = 0;
	forget_lines();
}

void
traffic_last(void)
{
	traffic.beats = AUTHOR_BEATS;
}

int
traffic_prune(struct store *s, int64_t now, struct err *e)
{
	return work_traffic_prune(s, now - KEEP_MS, now / DAY_MS - KEEP_DAYS, e);
}

void
traffic_clear(void)
{
	forget_lines();
	memset(&traffic, 0, sizeof traffic);
}
