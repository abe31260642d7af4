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
#include "lib/frame.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/news.h"
#include "lib/store_work.h"
#include "scheduler/catalog.h"
#include "scheduler/durable.h"
#include "scheduler/events.h"
#include "scheduler/flow.h"
#include "scheduler/inflow.h"
#include "scheduler/instance.h"
#include "scheduler/quota.h"
#include "scheduler/receipts.h"
#include "scheduler/retry.h"
#include "scheduler/shop.h"
#include "scheduler/meter.h"
#include "scheduler/spans.h"
#include "scheduler/traffic.h"

#define RECORD_MS 100 /* a call that runs longer stands in the ledger as running */

static const char *
id_of(const struct job *j)
{
	static char text[JOB_ID_LEN + 1];

	job_id_print(&j->w.id, text);
	return text;
}

/* --- bells --- */

#define BELLS        16  /* doors that are told in one datagram each; more are told one by one */
#define TELL_AGAIN_MS 1

/* What a bell is to be told.  Names come from rows; one place serves many in turn. */
static struct told {
	char name[64];
	struct buf news; /* kept from turn to turn */
	struct bell_line line;
} told[BELLS];

/* Names come from rows: nothing but a plain name may become a path. */
static bool
bell_name_ok(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n < 64 && s[0] != '.' &&
	    s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")] == '\0';
}

static void
on_tell_again(void *arg)
{
	(void)arg;
	settle_bells();
}

/* Tells it what has gathered.  A full queue is tried again soon; what its owner has not heard by then he looks up. */
static void
ring(struct told *t)
{
	static struct loop_timer again;

	if (t->news.len == 0)
		return;
	if (bell_line_tell(&t->line, shop.conf->run_dir, t->name, t->news.data, t->news.len))
		buf_reset(&t->news);
	else if (again.at == 0)
		loop_after(&again, TELL_AGAIN_MS, on_tell_again, NULL);
}

void
settle_bells(void)
{
	size_t i;

	for (i = 0; i < BELLS; i++)
		ring(&told[i]);
}

static struct told *
told_of(const char *name)
{
	static size_t next;
	struct told *t;
	size_t i;

	for (i = 0; i < BELLS; i++)
		if (strcmp(told[i].name, name) == 0)
			return &told[i];
	t = &told[next++ % BELLS];
	ring(t);
	buf_reset(&t->news);
	snprintf(t->name, sizeof t->name, "%s", name);
	return t;
}

static void
tell(const char *name, const struct news *n)
{
	struct news look = { .kind = NEWS_LOOK, .id = n->id };
	struct told *t;

	if (name == NULL || !bell_name_ok(name))
		return;
	t = told_of(name);
	if (news_print(&t->news, n))
		return;
	ring(t); /* the datagram is full */
	buf_reset(&t->news);
	if (!news_print(&t->news, n))
		news_print(&t->news, &look);
}

void
settle_tell(const struct job *j)
{
	struct news n = { .kind = NEWS_LOOK, .id = j->w.id };

	tell(j->w.bell, &n);
	settle_bells();
}

/* A whole small answer, or the beginning of a stream, goes along with the bell; anything else is looked up. */
static void
tell_change(const struct job *j)
{
	int64_t now = clock_wall_ms();
	struct news n = { .kind = NEWS_LOOK, .id = j->w.id };

	/* One that was refused has no code. */
	if ((j->outcome == OUTCOME_OK || j->outcome == OUTCOME_NONE) && !j->void_ && j->has_head && !j->streamed &&
	    j->w.mode == JOB_SYNC)
		n = (struct news){ .kind = j->outcome == OUTCOME_OK ? NEWS_ANSWER : NEWS_BEGUN,
			.id = j->w.id, .start = j->start, .status = j->status,
			.created_at = j->w.created_at, .admitted_at = now,
			.started_at = now - (clock_mono_us() - j->started_us) / 1000, .done_at = j->outcome == OUTCOME_OK ? now : 0,
			.cid = j->code->cid,
			.headers_json = j->headers_json, .body = j->body.data, .body_bytes = j->body.len };
	tell(j->w.bell, &n);
}

/* --- acceptances that the disk does not have yet --- */

/* A door had no room for them a moment ago. */
void
settle_late(const char *bell, const void *news, size_t n)
{
	struct told *t = told_of(bell);

	if (t->news.len + n > NEWS_MAX) {
		ring(t);
		buf_reset(&t->news);
	}
	buf_add(&t->news, news, n);
	ring(t);
}

/* Of the turn that was committed, by bell; only the doors of a few. */
static struct told accepted[BELLS];

static void
hand_over(struct told *t)
{
	if (t->news.len > 0)
		durable_tell(shop.durable, t->name, t->news.data, t->news.len);
	buf_reset(&t->news);
}

static void
tell_when_durable(const char *bell, const struct news *n)
{
	static size_t next;
	struct told *t;
	size_t i;

	for (i = 0; i < BELLS && strcmp(accepted[i].name, bell) != 0; i++)
		;
	t = &accepted[i < BELLS ? i : next++ % BELLS];
	if (i == BELLS) {
		hand_over(t);
		snprintf(t->name, sizeof t->name, "%s", bell);
	}
	if (news_print(&t->news, n))
		return;
	hand_over(t); /* the datagram is full */
	news_print(&t->news, n);
}

static void
tell_admission(const struct job *j)
{
	struct news n = { .kind = NEWS_ADMITTED, .id = j->w.id, .status = j->task ? 202 : 0, .created_at = j->w.created_at,
		.admitted_at = clock_wall_ms() };

	if (!shop.lasts_soon)
		tell(j->w.bell, &n);
	else if (j->w.bell != NULL && bell_name_ok(j->w.bell))
		tell_when_durable(j->w.bell, &n);
}

static void
accepted_now(struct job *j)
{
	tell_admission(j);
	spans_accepted(j);
}

static void
ask_for_disk(void)
{
	size_t i;

	if (!shop.lasts_soon)
		return;
	for (i = 0; i < BELLS; i++)
		hand_over(&accepted[i]);
	durable_ask(shop.durable);
	shop.lasts_soon = false;
}

/* --- jobs --- */

static void
count_end(struct job *j, int64_t ms)
{
	meter_add(METER_JOBS, (int)j->outcome, 1);
	meter_add(METER_STARTS, (int)j->start, 1);
	meter_time(METER_JOB_TIME, 0, ms * 1000);
	meter_add(METER_INVOCATIONS, 0, j->outcome == OUTCOME_OK);
	meter_add(METER_ERRORS, 0, j->outcome == OUTCOME_ERROR);
	meter_add(METER_TIMEOUTS, 0, j->outcome == OUTCOME_TIMEOUT);
	meter_add(METER_COLDSTARTS, 0, j->start == START_COLD);
	if (j->spans != NULL)
		spans_end(j);
}

static void
log_end(struct job *j)
{
	int64_t now = clock_wall_ms();

	if (!j->void_) {
		count_end(j, now - j->w.created_at);
		traffic_end(j, now - j->w.created_at, now);
	}
	if (j->void_ || j->outcome == OUTCOME_NONE)
		log_warn("job was settled by another", "job=%s%s", id_of(j), turn_job_trace(j));
	else if (j->outcome == OUTCOME_OK)
		log_debug("job done", "job=%s outcome=ok start=%s ms=%lld%s", id_of(j), job_start_name(j->start),
		    (long long)(now - j->w.created_at), turn_job_trace(j));
	else
		log_info("job done", "job=%s outcome=%s ms=%lld%s why=%s", id_of(j), job_outcome_name(j->outcome),
		    (long long)(now - j->w.created_at), turn_job_trace(j), log_q(j->err != NULL ? j->err->text : ""));
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

		if (receipts_pending(j))
			continue;
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
		quota_leave(j);
		inflow_end(j);
		turn_job_free(j);
		return;
	}
	instance_call(j->instance, j);
	quota_started(j);
	j->w.attempt++;
	j->started = true;
	j->started_us = clock_mono_us();
	j->allowed = FRAME_WINDOW;
	if (j->waits_since_us != 0)
		meter_time(j->start == START_WARM ? METER_WAIT_TIME : METER_START_TIME, j->start == START_WARM ? 0 : (int)j->start,
		    j->started_us - j->waits_since_us);
	loop_after(&j->timer, j->deadline_ms - clock_mono_ms(), events_deadline, j);
	running_add(j);
	if (j->light && shop.record.at == 0)
		loop_after(&shop.record, RECORD_MS, on_record, NULL);
	receipts_begin(j);
	inflow_begin(j);
	forget_request(j);
	instance_flush(j->instance);
	log_debug("job started", "job=%s instance=%lld%s", id_of(j), (long long)instance_ledger_id(j->instance), turn_job_trace(j));
}

static void
after_touch(struct job *j)
{
	bool ended = j->outcome != OUTCOME_NONE;

	j->touched = j->light = false;
	if (j->void_ && !ended && !j->again) {
		/* Somebody else settled it (front_lapse): what runs is nobody's any more. */
		if (!receipts_pending(j))
			instance_abandon(j->instance, j, EVENTS_GRACE_MS, "its job was settled by another");
		ended = true;
	}
	if (j->again && !j->void_) {
		spans_again(j);
		running_remove(j);
		quota_stopped(j);
		retry_later(j);
		return;
	}
	tell_change(j);
	if (ended || j->void_) {
		log_end(j);
		running_remove(j);
		quota_leave(j);
		inflow_end(j);
		turn_job_free(j);
		return;
	}
	if (!j->has_head)
		return;
	j->streamed = true;
	if (j->body.len > 0)
		j->seq++;
	buf_reset(&j->body);
	flow_written(j);
}

size_t
settle_light(void)
{
	struct turn_list *l = &shop.turn.starts;
	size_t i, left = 0, all = l->n;

	for (i = 0; i < l->n; i++) {
		if (l->item[i]->light)
			after_start(l->item[i]);
		else
			l->item[left++] = l->item[i];
	}
	l->n = left;
	return all - left;
}

void
settle_commit(void)
{
	struct turn *t = &shop.turn;
	size_t i;

	for (i = 0; i < t->starts.n; i++)
		after_start(t->starts.item[i]);
	for (i = 0; i < t->touched.n; i++)
		after_touch(t->touched.item[i]);
	for (i = 0; i < t->drops.n; i++) {
		tell_change(t->drops.item[i]);
		log_end(t->drops.item[i]);
		quota_leave(t->drops.item[i]);
		inflow_end(t->drops.item[i]);
		turn_job_free(t->drops.item[i]);
	}
	settle_bells();
}

/* Before the drops and voided starts are freed: admits may share jobs with both. */
void
settle_admits(void)
{
	struct turn *t = &shop.turn;
	size_t i;

	for (i = 0; i < t->admits.n; i++) {
		struct job *j = t->admits.item[i];

		j->admits = false;
		if (!j->void_ && j->w.mode == JOB_ASYNC)
			accepted_now(j);
		if (j->drops || j->starts)
			continue;
		if (j->left || j->void_) {
			wait_remove(&shop.wait, j);
			turn_job_free(j);
		}
	}
	ask_for_disk();
}
