/*
 * Memory holds what the ledger says, read anew after each change of it.  A time (due_at) of a schedule is dealt with once, which
 * the ledger sees to (UNIQUE): a scheduler that dies in between, or a clock that is set back, starts nothing twice.
 */
#include "scheduler/schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/buf.h"
#include "lib/bundle.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/cron.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/store_retry.h"
#include "lib/store_schedule.h"
#include "lib/zone.h"
#include "scheduler/catalog.h"
#include "scheduler/enrol.h"
#include "scheduler/shop.h"

#define LATE_MS    60000 /* later than this a time was missed */
#define QUEUED_MAX 10    /* firings of one schedule that wait for the job before */

struct schedule {
	int64_t id;
	char *did, *bundle, *endpoint, *cron, *zone;
	unsigned overlap, missed;
	struct cron times;
	struct zone *clock; /* NULL: there is no such zone here */
	bool paused;
	int64_t next_at, last_job;
	int queued;
};

static struct {
	struct schedule *item;
	size_t n;
	int64_t ticked_at; /* wall */
} all;

static void
clear(void)
{
	size_t i;

	for (i = 0; i < all.n; i++) {
		free(all.item[i].did);
		free(all.item[i].bundle);
		free(all.item[i].endpoint);
		free(all.item[i].cron);
		free(all.item[i].zone);
		zone_free(all.item[i].clock);
	}
	free(all.item);
	all.item = NULL;
	all.n = 0;
}

static unsigned
overlap_of(const char *word)
{
	unsigned o = 0;

	while (o + 1 < BUNDLE_OVERLAPS && strcmp(bundle_overlap_name((enum bundle_overlap)o), word) != 0)
		o++;
	return o;
}

static void
add(void *arg, const struct work_schedule *w)
{
	struct schedule *s;
	struct err e = ERR_INIT;

	(void)arg;
	all.item = mem_grow(all.item, (all.n + 1) * sizeof *all.item);
	s = &all.item[all.n++];
	*s = (struct schedule){ .id = w->id, .did = mem_str(w->did), .bundle = mem_str(w->bundle),
		.endpoint = mem_str(w->endpoint), .cron = mem_str(w->cron), .zone = mem_str(w->zone),
		.overlap = overlap_of(w->overlap), .paused = w->paused, .next_at = w->next_at, .last_job = w->last_job,
		.queued = w->queued };
	s->missed = strcmp(w->missed, bundle_missed_name(BUNDLE_MISSED_ONCE)) == 0 ? BUNDLE_MISSED_ONCE : BUNDLE_MISSED_SKIP;
	s->clock = cron_parse(&s->times, s->cron, &e) == 0 ? zone_load(s->zone, &e) : NULL;
}

static int
load(struct err *e)
{
	clear();
	return work_schedules(shop.s.store, add, NULL, e);
}

static void
reload(void)
{
	struct err e = ERR_INIT;

	if (load(&e) != 0)
		log_error("read the schedules", "why=%s", log_q(e.text));
}

int
schedule_open(struct err *e)
{
	all.ticked_at = clock_wall_ms();
	return load(e);
}

void
schedule_close(void)
{
	clear();
}

/* The next time after a moment, in milliseconds; 0: never. */
static int64_t
next_after(const struct schedule *s, int64_t ms)
{
	int64_t t = s->clock != NULL ? cron_next(&s->times, s->clock, ms / 1000) : -1;

	return t < 0 ? 0 : t * 1000;
}

/* --- starting --- */

static void
print_time(int64_t ms, char out[32])
{
	time_t s = (time_t)(ms / 1000);
	struct tm tm;

	gmtime_r(&s, &tm);
	strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* 1 started, 0 this time was dealt with before, -1. */
static int
start(struct schedule *s, int64_t due, int64_t next, int queued, const char *what, struct job_id *made, struct err *e)
{
	const char *base = shop.conf->web.public_url != NULL ? shop.conf->web.public_url : "http://localhost";
	struct buf url = BUF_INIT, headers = BUF_INIT;
	char at[32];
	struct work_fire f = { s->id, due, next, shop.conf->limits.timeout, queued, what, s->did, s->bundle, s->endpoint, NULL,
		NULL };
	int rc;

	print_time(due, at);
	buf_fmt(&url, "%s%s/bundle/%s/%s/latest/%s", base, shop.conf->web.base_path != NULL ? shop.conf->web.base_path : "", s->did,
	    s->bundle, s->endpoint);
	buf_str(&headers, "[[\"at-run-schedule\",");
	buf_json_str(&headers, s->cron);
	buf_fmt(&headers, "],[\"at-run-due\",\"%s\"]]", at);
	f.url = url.data;
	f.headers_json = headers.data;
	rc = work_fire(shop.s.store, &f, clock_wall_ms(), made, e);
	if (rc == 1) {
		s->last_job = made->row;
		s->queued = queued;
		s->next_at = next;
		shop.look = true;
	}
	buf_clear(&url);
	buf_clear(&headers);
	return rc;
}

static void
tell(const struct schedule *s, const char *what, int64_t due)
{
	char at[32];

	print_time(due, at);
	log_info("schedule", "id=%lld what=%s due=%s endpoint=%s/%s/%s", (long long)s->id, what, at, s->did, s->bundle, s->endpoint);
}

/* Nothing is started at this time; why is written down. */
static int
pass(struct schedule *s, int64_t due, int64_t next, const char *what, struct err *e)
{
	int queued = s->queued, n = work_firing(shop.s.store, s->id, due, what, clock_wall_ms(), e);

	if (n == 1 && strcmp(what, "queued") == 0)
		queued++;
	if (n < 0 || work_schedule_set(shop.s.store, s->id, next, queued, e) != 0)
		return -1;
	s->next_at = next;
	s->queued = queued;
	tell(s, what, due);
	return 0;
}

static int
come(struct schedule *s, int64_t now, struct err *e)
{
	bool late = now - s->next_at > LATE_MS;
	int64_t due = s->next_at, next = next_after(s, late ? now : due);
	struct job_id made;
	int n;

	if (late && s->missed == BUNDLE_MISSED_SKIP)
		return pass(s, due, next, "missed", e);
	if (s->overlap != BUNDLE_OVERLAP_PARALLEL && (s->queued > 0 || !work_is_over(shop.s.store, s->last_job)))
		return pass(s, due, next, s->overlap == BUNDLE_OVERLAP_QUEUE && s->queued < QUEUED_MAX ? "queued" : "skipped", e);
	n = start(s, due, next, s->queued, "started", &made, e);
	if (n == 0) {
		s->next_at = next;
		return work_schedule_set(shop.s.store, s->id, next, s->queued, e);
	}
	if (n == 1)
		tell(s, "started", due);
	return n < 0 ? -1 : 0;
}

/* The job before is over: the oldest time that waits has its turn. */
static int
come_up(struct schedule *s, struct err *e)
{
	struct job_id made;
	int64_t due;

	if (!work_is_over(shop.s.store, s->last_job))
		return 0;
	if (work_firing_queued(shop.s.store, s->id, &due, e) != 0) {
		s->queued = 0;
		return e->kind == ERR_NOTFOUND ? work_schedule_set(shop.s.store, s->id, s->next_at, 0, e) : -1;
	}
	return start(s, due, s->next_at, s->queued - 1, "started", &made, e) < 0 ? -1 : 0;
}

void
schedule_tick(void)
{
	int64_t now = clock_wall_ms();
	bool back = now < all.ticked_at - LATE_MS;
	size_t i;

	all.ticked_at = now;
	if (shop.draining)
		return;
	for (i = 0; i < all.n; i++) {
		struct schedule *s = &all.item[i];
		struct err e = ERR_INIT;
		int rc = 0;

		if (s->paused || s->clock == NULL)
			continue;
		if (back) /* the clock was set back: what comes next comes sooner than we thought */
			s->next_at = next_after(s, now);
		if (s->queued > 0)
			rc = come_up(s, &e);
		if (rc == 0 && s->next_at > 0 && s->next_at <= now)
			rc = come(s, now, &e);
		if (rc != 0)
			log_error("schedule", "id=%lld why=%s", (long long)s->id, log_q(e.text));
	}
}

bool
schedule_made(const struct job *j)
{
	return j->w.client != NULL && strcmp(j->w.client, "schedule") == 0 && work_was_fired(shop.s.store, j->w.id.row);
}

/* --- what records say --- */

static struct schedule *
find(const char *did, const char *bundle, const char *endpoint)
{
	size_t i;

	for (i = 0; i < all.n; i++)
		if (strcmp(all.item[i].endpoint, endpoint) == 0 && strcmp(all.item[i].bundle, bundle) == 0 &&
		    strcmp(all.item[i].did, did) == 0)
			return &all.item[i];
	return NULL;
}

static bool
same(const struct schedule *s, const struct bundle_endpoint *ep, const char *zone)
{
	return strcmp(s->cron, ep->schedule) == 0 && strcmp(s->zone, zone) == 0 && s->overlap == ep->overlap &&
	    s->missed == ep->missed && s->clock != NULL;
}

static int
put(const struct code *code, const struct bundle_endpoint *ep, const struct schedule *old, struct err *e)
{
	struct err why = ERR_INIT;
	struct schedule fresh = { 0 };
	struct work_schedule w = { .did = code->did, .bundle = code->name, .endpoint = ep->name, .cron = ep->schedule,
		.zone = ep->zone != NULL ? ep->zone : "UTC", .overlap = bundle_overlap_name((enum bundle_overlap)ep->overlap),
		.missed = bundle_missed_name((enum bundle_missed)ep->missed) };
	bool as_before = old != NULL && strcmp(old->cron, w.cron) == 0 && strcmp(old->zone, w.zone) == 0 && old->clock != NULL;
	int rc;

	fresh.clock = cron_parse(&fresh.times, ep->schedule, &why) == 0 ? zone_load(w.zone, &why) : NULL;
	w.error = fresh.clock == NULL ? why.text : NULL;
	w.next_at = as_before ? old->next_at : next_after(&fresh, clock_wall_ms());
	rc = work_schedule_put(shop.s.store, &w, clock_wall_ms(), e);
	if (rc == 0)
		log_info("schedule", "what=%s endpoint=%s/%s/%s cron=%s zone=%s why=%s", w.error != NULL ? "refused" : "taken", w.did,
		    w.bundle, w.endpoint, log_q(w.cron), w.zone, log_q(w.error != NULL ? w.error : ""));
	zone_free(fresh.clock);
	return rc;
}

/* Endpoints that the record has no longer, or without a schedule by now. */
static bool
drop_others(const struct code *code, struct err *e)
{
	bool changed = false;
	size_t i;

	for (i = 0; i < all.n; i++) {
		const struct schedule *s = &all.item[i];
		const struct bundle_endpoint *ep;

		if (strcmp(s->did, code->did) != 0 || strcmp(s->bundle, code->name) != 0)
			continue;
		ep = bundle_endpoint(code->bundle, s->endpoint);
		if (ep == NULL || ep->schedule == NULL)
			changed |= work_schedule_drop(shop.s.store, s->id, e) > 0;
	}
	return changed;
}

void
schedule_take(const struct code *code)
{
	struct err e = ERR_INIT;
	bool changed;
	size_t i;

	if (!enrol_has(code->did, code->name))
		return;
	changed = drop_others(code, &e);
	for (i = 0; i < code->bundle->endpoints; i++) {
		const struct bundle_endpoint *ep = &code->bundle->endpoint[i];
		const struct schedule *old = ep->schedule != NULL ? find(code->did, code->name, ep->name) : NULL;

		if (ep->schedule == NULL || (old != NULL && same(old, ep, ep->zone != NULL ? ep->zone : "UTC")))
			continue;
		if (put(code, ep, old, &e) != 0)
			log_error("schedule", "why=%s", log_q(e.text));
		changed = true;
	}
	if (changed)
		reload();
}

void
schedule_drop(const char *did, const char *name)
{
	struct err e = ERR_INIT;
	bool changed = false;
	size_t i;

	for (i = 0; i < all.n; i++) {
		const struct schedule *s = &all.item[i];

		if (strcmp(s->did, did) == 0 &&
		    (name != NULL ? strcmp(s->bundle, name) == 0 : !enrol_has(s->did, s->bundle)))
			changed |= work_schedule_drop(shop.s.store, s->id, &e) > 0;
	}
	if (changed)
		reload();
}

void
schedule_bundles(void (*fn)(void *arg, const char *did, const char *name), void *arg)
{
	size_t i;

	/* They come in the order of did and bundle. */
	for (i = 0; i < all.n; i++)
		if (i == 0 || strcmp(all.item[i].bundle, all.item[i - 1].bundle) != 0 ||
		    strcmp(all.item[i].did, all.item[i - 1].did) != 0)
			fn(arg, all.item[i].did, all.item[i].bundle);
}

/* --- orders --- */

static struct schedule *
ordered(const cJSON *args, char *note, size_t n)
{
	struct err e = ERR_INIT;
	int64_t id = 0;
	size_t i;

	if (json_int(args, "schedule", 1, INT64_MAX >> 10, &id, &e) == 0)
		for (i = 0; i < all.n; i++)
			if (all.item[i].id == id)
				return &all.item[i];
	snprintf(note, n, "there is no schedule %lld", (long long)id);
	return NULL;
}

void
schedule_order_run(const cJSON *args, char *note, size_t n)
{
	struct schedule *s = ordered(args, note, n);
	char id[JOB_ID_LEN + 1];
	struct err e = ERR_INIT;
	struct job_id made;

	if (s == NULL)
		return;
	if (start(s, clock_wall_ms(), s->next_at, s->queued, "asked", &made, &e) != 1) {
		snprintf(note, n, "not started: %s", e.text);
		return;
	}
	job_id_print(&made, id);
	snprintf(note, n, "started as job %s", id);
}

static void
pause_it(const cJSON *args, bool paused, char *note, size_t n)
{
	struct schedule *s = ordered(args, note, n);
	struct err e = ERR_INIT;

	if (s == NULL)
		return;
	/* What passed while it was paused was not missed. */
	if (work_schedule_pause(shop.s.store, s->id, paused, next_after(s, clock_wall_ms()), &e) < 0)
		snprintf(note, n, "%s", e.text);
	else
		snprintf(note, n, "schedule %lld %s", (long long)s->id, paused ? "is paused" : "goes on");
	reload();
}

void
schedule_order_pause(const cJSON *args, char *note, size_t n)
{
	pause_it(args, true, note, n);
}

void
schedule_order_resume(const cJSON *args, char *note, size_t n)
{
	pause_it(args, false, note, n);
}
