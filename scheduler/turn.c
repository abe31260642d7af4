#include "scheduler/turn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/mem.h"
#include "lib/store.h"
#include "lib/store_callback.h"
#include "lib/store_retry.h"
#include "lib/store_secret.h"
#include "lib/store_token.h"
#include "lib/trace.h"
#include "lib/utf8.h"
#include "scheduler/catalog.h"
#include "scheduler/instance.h"
#include "scheduler/receipts.h"
#include "scheduler/meter.h"
#include "scheduler/spans.h"
#include "scheduler/traffic.h"

struct job *
turn_job_new(struct work_job *w)
{
	struct job *j = mem_alloc(sizeof *j);

	j->w = *w;
	*w = (struct work_job){ 0 };
	return j;
}

void
turn_job_free(struct job *j)
{
	if (j == NULL)
		return;
	loop_stop(&j->timer);
	work_job_clear(&j->w);
	spans_free(j);
	code_unref(j->code);
	free(j->headers_json);
	buf_clear(&j->body);
	receipts_free(j->receipt);
	free(j->err);
	free(j);
}

const char *
turn_job_trace(const struct job *j)
{
	static char text[8 + TRACE_ID_TEXT];

	if (j == NULL || j->w.trace == NULL)
		return "";
	snprintf(text, sizeof text, " trace=%.*s", TRACE_ID_TEXT, j->w.trace);
	return text;
}

void
turn_job_end(struct job *j, enum job_outcome outcome, const struct err *why)
{
	if (j->outcome != OUTCOME_NONE)
		return;
	free(j->err); /* of an attempt */
	j->err = NULL;
	j->outcome = outcome;
	if (why != NULL)
		j->err = mem_dup(why, sizeof *why);
}

/* --- gathering --- */

static void
list_add(struct turn_list *l, struct job *j, bool *mark)
{
	if (*mark)
		return;
	*mark = true;
	if (l->n == l->room) {
		l->room = l->room * 2 + 32;
		l->item = mem_grow(l->item, l->room * sizeof(struct job *));
	}
	l->item[l->n++] = j;
}

void
turn_admit(struct turn *t, struct job *j)
{
	list_add(&t->admits, j, &j->admits);
}

void
turn_drop(struct turn *t, struct job *j)
{
	list_add(&t->drops, j, &j->drops);
}

void
turn_start(struct turn *t, struct job *j)
{
	list_add(&t->starts, j, &j->starts);
}

void
turn_touch(struct turn *t, struct job *j)
{
	list_add(&t->touched, j, &j->touched);
}

/* Rows hold text: what is not UTF-8 becomes U+FFFD, and NUL too, which would end the text for some readers. */
static char *
clean_text(const char *s, size_t *n)
{
	struct buf b = BUF_INIT;
	size_t i = 0;

	if (utf8_valid(s, *n) && memchr(s, '\0', *n) == NULL)
		return mem_strn(s, *n);
	while (i < *n) {
		size_t len = s[i] != '\0' ? utf8_next(s + i, *n - i) : 0;

		if (len > 0)
			buf_add(&b, s + i, len);
		else
			buf_str(&b, "\xef\xbf\xbd");
		i += len > 0 ? len : 1;
	}
	*n = b.len;
	return buf_take(&b);
}

void
turn_untouch(struct turn *t, struct job *j)
{
	size_t i;

	for (i = 0; i < t->touched.n && j->touched; i++) {
		if (t->touched.item[i] != j)
			continue;
		t->touched.item[i] = t->touched.item[--t->touched.n];
		j->touched = false;
	}
}

void
turn_log(struct turn *t, int64_t row, int64_t instance, const char *level, const char *source, const char *text,
    size_t n)
{
	struct turn_log *l;

	if (t->log_count == t->log_room) {
		t->log_room = t->log_room * 2 + 16;
		t->logs = mem_grow(t->logs, t->log_room * sizeof *t->logs);
	}
	l = &t->logs[t->log_count++];
	*l = (struct turn_log){ row, instance, clock_wall_ms(), level, source, NULL, n };
	l->text = clean_text(text, &l->n);
}

static struct turn_change *
change(struct turn *t, enum turn_kind kind, int64_t id)
{
	struct turn_change *c;

	if (t->change_count == t->change_room) {
		t->change_room = t->change_room * 2 + 16;
		t->changes = mem_grow(t->changes, t->change_room * sizeof *t->changes);
	}
	c = &t->changes[t->change_count++];
	memset(c, 0, sizeof *c);
	c->kind = kind;
	c->id = id;
	return c;
}

void
turn_instance_set(struct turn *t, int64_t id, const char *state, const char *cid, int64_t calls)
{
	struct turn_change *c = change(t, TURN_INSTANCE_SET, id);

	c->a = mem_str(state);
	c->b = mem_str(cid);
	c->n = calls;
}

void
turn_instance_pid(struct turn *t, int64_t id, int64_t pid, int64_t pid_start)
{
	struct turn_change *c = change(t, TURN_INSTANCE_PID, id);

	c->n = pid;
	c->m = pid_start;
}

void
turn_instance_end(struct turn *t, int64_t id, const char *why)
{
	change(t, TURN_INSTANCE_END, id)->a = mem_str(why);
}

void
turn_bundle(struct turn *t, struct work_bundle *b, const char *version)
{
	struct turn_change *c = change(t, TURN_BUNDLE, 0);

	c->bundle = *b;
	*b = (struct work_bundle){ 0 };
	c->a = mem_str(version);
}

void
turn_rev(struct turn *t, const char *did, const char *rev)
{
	struct turn_change *c = change(t, TURN_REV, 0);

	c->a = mem_str(did);
	c->b = mem_str(rev);
}

void
turn_author(struct turn *t, const char *handle, const char *did, const char *pds)
{
	struct turn_change *c = change(t, TURN_AUTHOR, 0);

	c->a = mem_str(handle);
	c->b = mem_str(did);
	c->c = mem_str(pds);
}

void
turn_sealed(struct turn *t, const char *did, const char *bundle, const char *cid, const char *json)
{
	struct turn_change *c = change(t, TURN_SEALED, 0);

	c->a = mem_str(did);
	c->b = mem_str(bundle);
	c->c = mem_str(cid);
	c->d = mem_str(json);
}

void
turn_order(struct turn *t, int64_t id, const char *note)
{
	change(t, TURN_ORDER, id)->a = mem_str(note);
}

void
turn_after(struct turn *t, int64_t row, const struct work_after *a)
{
	struct turn_change *c = change(t, TURN_AFTER, row);

	c->n = a->works;
	c->m = a->failed;
	c->k = a->ms;
	c->outcome = a->outcome;
}

void
turn_callback(struct turn *t, int64_t row, const struct work_tried *tried)
{
	struct turn_change *c = change(t, TURN_CALLBACK, row);

	t->told = true;
	c->a = mem_str(tried->state);
	c->b = mem_str(tried->error);
	c->n = tried->next_at;
	c->m = tried->status;
}

bool
turn_empty(const struct turn *t)
{
	return t->admits.n == 0 && t->drops.n == 0 && t->starts.n == 0 && t->touched.n == 0 && t->log_count == 0 &&
	    t->change_count == 0 && !t->beat;
}

/* --- writing --- */

static bool
any_async(const struct turn_list *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (l->item[i]->w.mode == JOB_ASYNC)
			return true;
	return false;
}

enum turn_lasts
turn_lasts(const struct turn *t)
{
	if (any_async(&t->starts))
		return TURN_LASTS;
	return any_async(&t->admits) || any_async(&t->drops) || any_async(&t->touched) ? TURN_LASTS_SOON : TURN_PASSES;
}

static void
fill_end(const struct job *j, struct work_end *end)
{
	end->outcome = j->outcome;
	end->error_kind = j->err != NULL ? err_kind_name(j->err->kind) : NULL;
	end->error_name = j->err != NULL ? err_name(j->err) : NULL;
	end->error = j->err != NULL ? j->err->text : NULL;
	end->retry_at = j->retry_at;
}

static struct work_admission
admission_of(const struct job *j)
{
	return (struct work_admission){ j->code->did, j->code->cid, code_runtime_name(j->code), code_wall_name(j->code),
		j->timeout_ms, j->idempotent, strcmp(j->w.author, j->code->did) != 0, j->task, j->w.trace };
}

/* Each says 1, 0 (somebody was first) or -1. */
static int
write_admit(struct store *s, struct job *j, int64_t now, struct err *e)
{
	struct work_admission a = admission_of(j);

	return work_admit(s, j->w.id.row, &a, now, e);
}

/* How many of the list from i on are neighbours that are admitted alike; a trace is of one alone. */
static size_t
alike(const struct turn_list *l, size_t i)
{
	const struct job *j = l->item[i], *k;
	size_t n;

	if (j->task || j->w.trace != NULL || strcmp(j->w.author, j->code->did) != 0)
		return 1;
	for (n = 1; i + n < l->n; n++) {
		k = l->item[i + n];
		if (k->w.id.row != j->w.id.row + (int64_t)n || k->code != j->code || k->timeout_ms != j->timeout_ms ||
		    k->idempotent != j->idempotent || k->task || k->w.trace != NULL || strcmp(k->w.author, j->w.author) != 0)
			break;
	}
	return n;
}

static int
write_admits(const struct turn_list *l, struct store *s, int64_t now, struct err *e)
{
	struct work_admission a;
	size_t i, n, k;
	int changed;

	for (i = 0; i < l->n; i += n) {
		int64_t row = l->item[i]->w.id.row;

		n = alike(l, i);
		a = admission_of(l->item[i]);
		changed = n == 1 ? work_admit(s, row, &a, now, e) : work_admit_many(s, row, row + (int64_t)n - 1, &a, now, e);
		if (changed < 0)
			return -1;
		for (k = 0; k < n; k++) {
			/* Only we admit: whoever is not admitted now was taken by somebody before. */
			int is = n == 1 || changed == (int)n || changed == 0 ? changed > 0 :
									work_is_admitted(s, row + (int64_t)k, e);
			if (is < 0)
				return -1;
			l->item[i + k]->void_ = is == 0;
		}
	}
	return 0;
}

/* Its end is written: whoever is to be told of it is from now on. */
static int
write_callback(struct turn *t, struct store *s, const struct job *j, struct err *e)
{
	if (j->w.callback == NULL)
		return 0;
	t->calls_back = true;
	return callback_settle(s, j->w.id.row, e);
}

static int
write_drop(struct turn *t, struct store *s, struct job *j, int64_t now, struct err *e)
{
	struct work_end end;
	int n;

	fill_end(j, &end);
	if (j->unproven && work_token_nobody(s, j->w.id.row, e) != 0)
		return -1;
	if ((n = work_drop(s, j->w.id.row, &end, now, e)) == 1 && write_callback(t, s, j, e) != 0)
		return -1;
	return n;
}

static int64_t
ledger_instance(const struct job *j)
{
	return j->instance != NULL ? instance_ledger_id(j->instance) : j->instance_id;
}

static int
write_start(const struct turn *t, struct store *s, struct job *j, int64_t now, struct err *e)
{
	j->lease = j->w.lease; /* a turn may be written again */
	return work_start(s, j->w.id.row, t->run, ledger_instance(j), j->start, t->lease_until(j), now,
	    &j->lease, e);
}

static int
write_answer(struct store *s, const struct job *j, bool end, struct err *e)
{
	int64_t row = j->w.id.row;

	if (!j->has_head)
		return 0;
	if (end && !j->streamed) {
		/* An answer that broke off before anybody saw its head is no answer: only the error is told. */
		if (j->outcome != OUTCOME_OK)
			return 0;
		return work_result(s, row, j->status, j->headers_json, false, j->body.data, j->body.len, e);
	}
	if (!j->streamed && work_result(s, row, j->status, j->headers_json, true, NULL, 0, e) < 0)
		return -1;
	if (j->body.len > 0 && work_chunk(s, row, j->seq, j->body.data, j->body.len, e) < 0)
		return -1;
	return 0;
}

/* What a light job's row does not say yet. */
static int
write_light(const struct turn *t, struct store *s, struct job *j, int64_t now, struct err *e)
{
	struct work_whole w = { j->code->did, j->code->cid, code_runtime_name(j->code), code_wall_name(j->code), j->timeout_ms, t->run,
		ledger_instance(j), now - (clock_mono_us() - j->started_us) / 1000, j->start };
	struct work_end end;
	int n;

	if (j->outcome != OUTCOME_NONE) {
		fill_end(j, &end);
		return work_whole(s, j->w.id.row, &w, &end, now, e);
	}
	n = write_admit(s, j, w.started_at, e);
	return n == 1 ? write_start(t, s, j, w.started_at, e) : n;
}

/* Of a job that is started more than once each attempt is a row. */
static int
write_attempt(const struct turn *t, struct store *s, const struct job *j, int64_t now, struct err *e)
{
	struct work_attempt a = { j->w.attempt, t->run, ledger_instance(j),
		now - (clock_mono_us() - j->started_us) / 1000, now, j->again ? j->again_at : 0,
		j->again ? j->tried : j->outcome, j->err != NULL ? err_name(j->err) : NULL,
		j->err != NULL ? j->err->text : NULL };

	return work_attempt_put(s, j->w.id.row, &a, e);
}

/* Only the holder of the lease writes: the end comes first, and what it refuses is not written. */
static int
write_touch(struct turn *t, struct store *s, struct job *j, int64_t now, struct err *e)
{
	struct work_end end;
	int changed = 1;

	if (j->again) {
		changed = work_again(s, j->w.id.row, j->lease, e);
		return changed == 1 && write_attempt(t, s, j, now, e) != 0 ? -1 : changed;
	}
	if (j->light)
		changed = write_light(t, s, j, now, e);
	else if (j->outcome != OUTCOME_NONE) {
		fill_end(j, &end);
		changed = work_done(s, j->w.id.row, j->lease, &end, now, e);
	}
	if (changed == 1 && j->outcome != OUTCOME_NONE && j->w.attempt > 1 && write_attempt(t, s, j, now, e) != 0)
		return -1;
	if (changed == 1 && write_answer(s, j, j->outcome != OUTCOME_NONE, e) < 0)
		return -1;
	if (changed == 1 && j->outcome != OUTCOME_NONE && receipts_text(j) != NULL &&
	    work_receipt_put(s, j->w.id.row, receipts_text(j), e) != 0)
		return -1;
	if (changed == 1 && j->outcome != OUTCOME_NONE && write_callback(t, s, j, e) != 0)
		return -1;
	return changed;
}

static int
write_change(struct turn *t, struct store *s, struct turn_change *c, int64_t now, struct err *e)
{
	(void)t;
	switch (c->kind) {
	case TURN_INSTANCE_SET:
		return work_instance_set(s, c->id, c->a, c->b, c->n, now, e);
	case TURN_INSTANCE_PID:
		return work_instance_pid(s, c->id, c->n, c->m, e);
	case TURN_INSTANCE_END:
		return work_instance_end(s, c->id, c->a, now, e);
	case TURN_BUNDLE:
		return work_bundle_put(s, &c->bundle, c->a, now, e);
	case TURN_REV:
		return work_rev_put(s, c->a, c->b, now, e);
	case TURN_AUTHOR:
		return work_author_put(s, c->a, c->b, c->c, now, e);
	case TURN_SEALED:
		return work_sealed_put(s, c->a, c->b, c->c, c->d, now, e);
	case TURN_CALLBACK:
		return work_callback_tried(s, c->id, &(struct work_tried){ c->a, c->n, (int)c->m, c->b }, now, e);
	case TURN_AFTER:
		return work_after_put(s, c->id, &(struct work_after){ c->n, c->m, c->k, c->outcome }, e);
	case TURN_ORDER:
		return work_order_done(s, c->id, c->a, now, e);
	}
	return 0;
}

static int
write_all(struct turn *t, struct store *s, struct err *e)
{
	int64_t now = clock_wall_ms();
	const char *lines;
	size_t i;
	int n;

	for (i = 0; i < t->change_count; i++)
		if (write_change(t, s, &t->changes[i], now, e) < 0)
			return -1;
	if (write_admits(&t->admits, s, now, e) < 0)
		return -1;
	for (i = 0; i < t->drops.n; i++)
		if (write_drop(t, s, t->drops.item[i], now, e) < 0)
			return -1;
	for (i = 0; i < t->starts.n; i++) {
		if (t->starts.item[i]->light)
			continue;
		if ((n = write_start(t, s, t->starts.item[i], now, e)) < 0)
			return -1;
		t->starts.item[i]->void_ = n == 0;
	}
	for (i = 0; i < t->touched.n; i++) {
		if ((n = write_touch(t, s, t->touched.item[i], now, e)) < 0)
			return -1;
		t->touched.item[i]->void_ = n == 0;
	}
	for (i = 0; i < t->log_count; i++) {
		const struct turn_log *l = &t->logs[i];
		if (work_log(s, l->row, l->instance, l->at, l->level, l->source, l->text, l->n, e) < 0)
			return -1;
	}
	if (!t->beat)
		return 0;
	lines = meter_text();
	if (work_run_beat(s, t->run, t->draining, e) < 0 || (lines != NULL && work_tally(s, lines, e) < 0) ||
	    traffic_write(s, e) != 0)
		return -1;
	return work_syncs(s, t->syncs, e);
}

/* Is there anything for the ledger?  Light starts are not. */
static bool
has_rows(const struct turn *t)
{
	size_t i;

	if (t->admits.n > 0 || t->drops.n > 0 || t->touched.n > 0 || t->log_count > 0 || t->change_count > 0 || t->beat)
		return true;
	for (i = 0; i < t->starts.n; i++)
		if (!t->starts.item[i]->light)
			return true;
	return false;
}

int
turn_write(struct turn *t, struct store *s, bool durable, struct err *e)
{
	int64_t began;

	if (!has_rows(t))
		return 0;
	began = clock_mono_us();
	if (store_begin(s, durable, e) != 0)
		return -1;
	if (write_all(t, s, e) < 0 || store_commit(s, e) != 0) {
		store_rollback(s);
		return -1;
	}
	meter_time(METER_COMMIT_TIME, 0, clock_mono_us() - began);
	if (t->beat)
		traffic_written();
	return 0;
}

void
turn_reset(struct turn *t)
{
	size_t i;

	for (i = 0; i < t->log_count; i++)
		free(t->logs[i].text);
	for (i = 0; i < t->change_count; i++) {
		free(t->changes[i].a);
		free(t->changes[i].b);
		free(t->changes[i].c);
		free(t->changes[i].d);
		work_bundle_clear(&t->changes[i].bundle);
	}
	t->admits.n = t->drops.n = t->starts.n = t->touched.n = 0;
	t->log_count = t->change_count = 0;
	t->beat = t->calls_back = t->told = false;
}

void
turn_clear(struct turn *t)
{
	turn_reset(t);
	free(t->admits.item);
	free(t->drops.item);
	free(t->starts.item);
	free(t->touched.item);
	free(t->logs);
	free(t->changes);
	memset(t, 0, sizeof *t);
}
