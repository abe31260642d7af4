/*
 * What may happen only after the commit: CALL frames leave, bells ring, ended jobs go.
 */
#include "scheduler/settle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/runtime.h"
#include "lib/bell.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/news.h"
#include "lib/store_work.h"
#include "scheduler/catalog.h"
#include "scheduler/events.h"
#include "scheduler/instance.h"
#include "scheduler/retry.h"
#include "scheduler/shop.h"

#define RECORD_MS 100 /* a call that runs longer stands in the ledger as running */

static const char *
id_of(const struct job *j)
{
	static char text[JOB_ID_LEN + 1];

	job_id_print(&j->w.id, text);
	return text;
}

#define BELLS_A_TURN 16

struct rung {
	char name[BELLS_A_TURN][64];
	size_t n;
};

/* Names come from rows: nothing but a plain name may become a path. */
static bool
bell_name_ok(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n < 64 && s[0] != '.' &&
	    s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")] == '\0';
}

/* A whole small answer goes along with the bell; anything else is looked up. */
static bool
tell(struct job *j)
{
	struct buf b = BUF_INIT;
	int64_t now = clock_wall_ms();
	struct news n;
	bool fits;

	if (j->outcome != OUTCOME_OK || j->void_ || !j->has_head || j->streamed || j->w.mode != JOB_SYNC)
		return false; /* and a refused one has no code */
	n = (struct news){ .id = j->w.id, .start = j->start, .status = j->status, .created_at = j->w.created_at,
		.admitted_at = now, .started_at = now - (clock_mono_us() - j->started_us) / 1000, .done_at = now,
		.cid = j->code->cid, .headers_json = j->headers_json, .body = j->body.data, .body_bytes = j->body.len };
	fits = news_print(&b, &n);
	if (fits)
		bell_tell(shop.ringer, shop.conf->run_dir, j->w.bell, b.data, b.len);
	buf_clear(&b);
	return fits;
}

/* One ring a turn for each bell: who hears it looks at all its jobs. */
static void
ring(struct rung *r, struct job *j)
{
	const char *name = j->w.bell;
	size_t i;

	if (name == NULL || !bell_name_ok(name) || tell(j))
		return;
	for (i = 0; i < r->n; i++)
		if (strcmp(r->name[i], name) == 0)
			return;
	if (r->n < BELLS_A_TURN)
		snprintf(r->name[r->n++], 64, "%s", name);
	bell_ring(shop.ringer, shop.conf->run_dir, name);
}

static void
log_end(const struct job *j)
{
	int64_t now = clock_wall_ms();

	if (j->void_ || j->outcome == OUTCOME_NONE)
		log_warn("job was settled by another", "job=%s", id_of(j));
	else if (j->outcome == OUTCOME_OK)
		log_debug("job done", "job=%s outcome=ok start=%s ms=%lld", id_of(j), job_start_name(j->start),
		    (long long)(now - j->w.created_at));
	else
		log_info("job done", "job=%s outcome=%s ms=%lld why=%s", id_of(j), job_outcome_name(j->outcome),
		    (long long)(now - j->w.created_at), log_q(j->err != NULL ? j->err->text : ""));
}

static void
running_remove(struct job *j)
{
	size_t i;

	wait_ended(&shop.wait, j);
	for (i = 0; i < shop.running.n; i++) {
		if (shop.running.item[i] == j) {
			shop.running.item[i] = shop.running.item[--shop.running.n];
			return;
		}
	}
}

static void
running_add(struct job *j)
{
	if (shop.running.n == shop.running.room) {
		shop.running.room = shop.running.room * 2 + 32;
		shop.running.item = mem_grow(shop.running.item, shop.running.room * sizeof(struct job *));
	}
	shop.running.item[shop.running.n++] = j;
}

/* The request has left for the instance: its memory goes.  Another attempt reads it from the ledger again. */
static void
forget_request(struct job *j)
{
	free(j->w.body);
	free(j->w.headers_json);
	free(j->w.url);
	free(j->w.path);
	free(j->w.query);
	j->w.body = NULL;
	j->w.headers_json = j->w.url = j->w.path = j->w.query = NULL;
	j->w.body_bytes = 0;
}

/* Light jobs that run for longer are written: people see them, and from now on they have a lease. */
static void
on_record(void *arg)
{
	int64_t old = clock_mono_us() - RECORD_MS * 1000 / 2;
	bool more = false;
	size_t i;

	(void)arg;
	for (i = 0; i < shop.running.n; i++) {
		struct job *j = shop.running.item[i];

		if (j->light && j->started_us < old)
			turn_touch(&shop.turn, j);
		else if (j->light)
			more = true;
	}
	if (more)
		loop_after(&shop.record, RECORD_MS, on_record, NULL);
}

static void
after_start(struct job *j)
{
	j->starts = false;
	if (j->void_) {
		wait_ended(&shop.wait, j);
		log_end(j);
		turn_job_free(j);
		return;
	}
	instance_call(j->instance, j);
	j->w.attempt++;
	j->started = true;
	j->started_us = clock_mono_us();
	loop_after(&j->timer, j->deadline_ms - clock_mono_ms(), events_deadline, j);
	running_add(j);
	if (j->light && shop.record.at == 0)
		loop_after(&shop.record, RECORD_MS, on_record, NULL);
	forget_request(j);
	instance_flush(j->instance);
	log_debug("job started", "job=%s instance=%lld", id_of(j), (long long)instance_ledger_id(j->instance));
}

static void
after_touch(struct job *j, struct rung *r)
{
	bool ended = j->outcome != OUTCOME_NONE;

	j->touched = j->light = false;
	if (j->void_ && !ended && !j->again) {
		/* Somebody else settled it (front_lapse): what runs is nobody's any more. */
		instance_abandon(j->instance, j, EVENTS_GRACE_MS, "its job was settled by another");
		ended = true;
	}
	if (j->again && !j->void_) {
		running_remove(j);
		retry_later(j);
		return;
	}
	ring(r, j);
	if (ended || j->void_) {
		log_end(j);
		running_remove(j);
		turn_job_free(j);
		return;
	}
	if (!j->has_head)
		return;
	j->streamed = true;
	if (j->body.len > 0)
		j->seq++;
	buf_reset(&j->body);
}

void
settle_commit(void)
{
	struct rung r = { .n = 0 };
	struct turn *t = &shop.turn;
	size_t i;

	for (i = 0; i < t->starts.n; i++)
		after_start(t->starts.item[i]);
	for (i = 0; i < t->touched.n; i++)
		after_touch(t->touched.item[i], &r);
	for (i = 0; i < t->drops.n; i++) {
		ring(&r, t->drops.item[i]);
		log_end(t->drops.item[i]);
		turn_job_free(t->drops.item[i]);
	}
}

/* Before the drops and voided starts are freed: admits may share jobs with both. */
void
settle_admits(void)
{
	struct turn *t = &shop.turn;
	struct rung r = { .n = 0 };
	size_t i;

	for (i = 0; i < t->admits.n; i++) {
		struct job *j = t->admits.item[i];

		j->admits = false;
		if (!j->void_ && j->w.mode == JOB_ASYNC)
			ring(&r, j);
		if (j->drops || j->starts)
			continue;
		if (j->left || j->void_) {
			wait_remove(&shop.wait, j);
			turn_job_free(j);
		}
	}
}
