/*
 * What instances do, translated into what it means for their jobs.
 */
#include "scheduler/events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "backends/runtime.h"
#include "lib/bundle.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/secret.h"
#include "lib/store_retry.h"
#include "scheduler/catalog.h"
#include "scheduler/collect.h"
#include "scheduler/exits.h"
#include "scheduler/inflow.h"
#include "scheduler/instance.h"
#include "scheduler/meter.h"
#include "scheduler/place.h"
#include "scheduler/quota.h"
#include "scheduler/ration.h"
#include "scheduler/receipts.h"
#include "scheduler/report.h"
#include "scheduler/retry.h"
#include "scheduler/shop.h"
#include "scheduler/spans.h"
#include "scheduler/vault.h"

#define BROKEN_MS        3000 /* a bundle that does not load is not tried again so soon */

static int64_t
response_limit(const struct job *j, const char **key)
{
	int64_t own = j->code->bundle->limits.response_bytes;

	*key = own > 0 && own < shop.conf->limits.response ? "the bundle's limits.responseBytes" : "limits.response";
	return own > 0 && own < shop.conf->limits.response ? own : shop.conf->limits.response;
}

/* A running job comes to its end, or to that of an attempt, by itself or by us. */
static void
finish(struct job *j)
{
	int64_t us = clock_mono_us() - j->started_us;

	quota_over(j);
	if (receipts_fail(j))
		return; /* it comes here again */
	loop_stop(&j->timer);
	meter_time(METER_RUN_TIME, (int)j->start, us);
	spans_finished(j);
	if (j->outcome == OUTCOME_OK)
		j->code->run_us = j->code->run_us == 0 ? us : (j->code->run_us * 7 + us) / 8;
	turn_touch(&shop.turn, j);
}

void
events_blank(struct instance *i)
{
	struct pool_entry *x = pool_of(&shop.pool, i);
	struct err e = ERR_INIT;
	int64_t started, pid = instance_pid(i, &started);

	quota_ready(x);
	if (x->pid_written != pid) {
		turn_instance_pid(&shop.turn, instance_ledger_id(i), pid, started);
		x->pid_written = pid;
	}
	if (x->code != NULL && code_wants_secrets(x->code) && instance_secrets(i) == NULL) {
		vault_bind(i, x->code);
		return;
	}
	if (x->code != NULL && instance_load(i, x->code, &e) != 0) {
		log_warn("bundle cannot be placed", "instance=%lld why=%s", (long long)instance_ledger_id(i),
		    log_q(e.text));
		x->code->no_room = err_is_full(&e);
		instance_stop(i, e.text);
	} else if (x->code != NULL) {
		turn_instance_set(&shop.turn, instance_ledger_id(i), instance_word(i), x->code->cid, 0);
	} else {
		turn_instance_set(&shop.turn, instance_ledger_id(i), instance_word(i), NULL, 0);
	}
}

static void
on_warm(struct instance *i)
{
	struct code *code = instance_code(i);

	code->failures = 0;
	pool_of(&shop.pool, i)->was_warm = true;
	turn_instance_set(&shop.turn, instance_ledger_id(i), instance_word(i), code->cid, 0);
}

/* Errors go where the log goes. */
static void
redact_err(const struct instance *i, struct err *e)
{
	const struct secret_env *env = instance_secrets(i);
	struct buf clean = BUF_INIT;

	if (env != NULL && secret_redact(env, e->text, strlen(e->text), &clean))
		snprintf(e->text, sizeof e->text, "%s", clean.data);
	buf_clear(&clean);
}

static void
on_broken(struct instance *i, const struct err *why)
{
	struct code *code = instance_code(i);

	code->broken = *why;
	code->broken_outcome = OUTCOME_ERROR;
	redact_err(i, &code->broken);
	err_wrap(&code->broken, "the bundle does not load");
	code->broken_until_ms = loop_now_ms() + BROKEN_MS;
	log_info("bundle does not load", "cid=%s why=%s", code->cid, log_q(why->text));
	place_fail(code, OUTCOME_ERROR, &code->broken);
}

static void
on_head(struct instance *i, struct job *j, int status, char *headers_json)
{
	(void)i;
	if (j->outcome != OUTCOME_NONE) {
		free(headers_json);
		return;
	}
	j->has_head = true;
	j->status = status;
	j->headers_json = headers_json;
	turn_touch(&shop.turn, j);
}

static void
on_body(struct instance *i, struct job *j, const char *p, size_t n)
{
	const char *key;
	int64_t max = response_limit(j, &key);
	char limit[96];
	struct err e = ERR_INIT;

	if (j->outcome != OUTCOME_NONE)
		return;
	j->received += (int64_t)n;
	if (j->received > max) {
		collect_limit_bytes(key, max, limit, sizeof limit);
		err_named(&e, ERR_REMOTE, "OutputLimitExceeded", "the answer is larger than %s", limit);
		turn_job_end(j, OUTCOME_OUTPUT, &e);
		instance_abandon(i, j, EVENTS_GRACE_MS, e.text);
		finish(j);
		return;
	}
	receipts_body(j, p, n);
	buf_add(&j->body, p, n);
	turn_touch(&shop.turn, j);
}

static void
on_finished(struct instance *i, struct job *j)
{
	(void)i;
	if (j->outcome == OUTCOME_NONE && !receipts_end(j))
		events_done(j);
}

void
events_done(struct job *j)
{
	turn_job_end(j, OUTCOME_OK, NULL);
	finish(j);
}

static void
on_failed(struct instance *i, struct job *j, const struct err *why)
{
	struct err e = *why;
	enum job_outcome outcome = OUTCOME_ERROR;

	if (j->outcome != OUTCOME_NONE)
		return;
	redact_err(i, &e);
	/* When the record lists no endpoints, only the executor knows that there is none of that name. */
	if (j->code->bundle->any_endpoint && strcmp(e.name, "EndpointNotFound") == 0) {
		e.kind = ERR_NOTFOUND;
		outcome = OUTCOME_REFUSED;
	}
	if (outcome == OUTCOME_ERROR)
		retry_or_end(j, outcome, &e);
	else
		turn_job_end(j, outcome, &e);
	finish(j);
}

static void
on_bad(struct instance *i, struct job *j, const struct err *why)
{
	struct err e = *why;

	if (j->outcome != OUTCOME_NONE)
		return;
	e.kind = ERR_REMOTE;
	snprintf(e.name, sizeof e.name, "BadAnswer");
	err_wrap(&e, "the handler's answer is not one HTTP allows");
	turn_job_end(j, OUTCOME_ERROR, &e);
	instance_abandon(i, j, EVENTS_GRACE_MS, e.text);
	finish(j);
}

static void
on_freed(struct instance *i)
{
	(void)i; /* the end of the turn sees the free place */
}

static void
on_more(struct instance *i, struct job *j)
{
	(void)i;
	inflow_more(j);
}

static enum ration_said
ask_ration(const struct instance *i, size_t n)
{
	const struct code *code = instance_code(i);

	return code == NULL ? RATION_GIVEN : ration_take(shop.ration, code->did, n, loop_now_ms());
}

static void
keep_line(struct instance *i, struct job *j, struct instance_rest *rest, const char *level, const char *source,
    const char *text, size_t n)
{
	int64_t own = instance_code(i) != NULL ? instance_code(i)->bundle->limits.log_bytes : 0, most = shop.conf->limits.log;
	int64_t max = own > 0 && own < most ? own : most, line = shop.conf->limits.log_line;
	int64_t row = j != NULL ? j->w.id.row : rest != NULL ? rest->row : 0;
	struct pool_entry *x = pool_of(&shop.pool, i);
	int64_t *logged = j != NULL ? &j->logged : rest != NULL ? &rest->logged : x != NULL ? &x->logged : NULL;
	bool *cut = j != NULL ? &j->log_cut : rest != NULL ? &rest->cut : x != NULL ? &x->log_cut : NULL;
	enum ration_said said = RATION_GIVEN;
	char notice[160], limit[96];

	if (logged == NULL || *cut)
		return;
	if ((int64_t)n > line)
		n = (size_t)line;
	if (*logged + (int64_t)n > max || (said = ask_ration(i, n)) != RATION_GIVEN) {
		*cut = true;
		if (said == RATION_NONE)
			return;
		if (said == RATION_OVER)
			collect_limit_bytes("limits.log_author", shop.conf->limits.log_author, limit, sizeof limit);
		else
			collect_limit_bytes(max < most ? "the bundle's limits.logBytes" : "limits.log", max, limit, sizeof limit);
		snprintf(notice, sizeof notice, "the rest of the log is cut: %s", limit);
		turn_log(&shop.turn, row, instance_ledger_id(i), "warn", "runner", notice, strlen(notice));
		return;
	}
	*logged += (int64_t)n;
	turn_log(&shop.turn, row, instance_ledger_id(i), level, source, text, n);
	meter_add(METER_LOG_BYTES, 0, (int64_t)n);
	if (report_on[TELEMETRY_LOGS])
		spans_line(j, instance_code(i), level, source, text, n);
}

/* Values of secrets are cut out before anything is counted, cut or written. */
static void
on_log(struct instance *i, struct job *j, struct instance_rest *rest, const char *level, const char *source, const char *text,
    size_t n)
{
	const struct secret_env *env = instance_secrets(i);
	struct buf clean = BUF_INIT;

	if (env != NULL && secret_redact(env, text, n, &clean))
		keep_line(i, j, rest, level, source, clean.data, clean.len);
	else
		keep_line(i, j, rest, level, source, text, n);
	secret_wipe(clean.data, clean.len);
	buf_clear(&clean);
}

/* The job's own log says how long work after its answer went on, and whether it was let. */
static void
on_rested(struct instance *i, const struct instance_rest *rest, const char *why)
{
	struct work_after a = { rest->works, rest->failed, loop_now_ms() - rest->since_ms, rest->outcome };
	char text[400];

	turn_after(&shop.turn, rest->row, &a);
	meter_add(METER_AFTER, (int)a.outcome, 1);
	meter_time(METER_AFTER_TIME, 0, a.ms * 1000);
	if (why != NULL)
		snprintf(text, sizeof text, "work after the answer was cut: %s", why);
	else if (a.failed > 0)
		snprintf(text, sizeof text, "work after the answer took %lld ms, and %lld of %lld failed", (long long)a.ms,
		    (long long)a.failed, (long long)a.works);
	else
		snprintf(text, sizeof text, "work after the answer took %lld ms", (long long)a.ms);
	turn_log(&shop.turn, rest->row, instance_ledger_id(i), why != NULL ? "warn" : "debug", "runner", text, strlen(text));
}

/* The process died under a call. */
static void
on_lost(struct instance *i, struct job *j, enum job_outcome outcome, const struct err *why)
{
	(void)i;
	if (j->outcome != OUTCOME_NONE)
		return;
	retry_or_end(j, outcome, why);
	finish(j);
}

static void
on_gone(struct instance *i, const char *why)
{
	struct pool_entry *x = pool_of(&shop.pool, i);
	bool never_warm = x != NULL && x->code != NULL && !x->was_warm && x->code->broken_until_ms <= loop_now_ms();

	log_info("instance ended", "instance=%lld runtime=%s calls=%lld why=%s", (long long)instance_ledger_id(i),
	    instance_runtime(i)->name, (long long)instance_calls(i), log_q(why));
	turn_instance_set(&shop.turn, instance_ledger_id(i), "ended", NULL, instance_calls(i));
	turn_instance_end(&shop.turn, instance_ledger_id(i), why);
	if (never_warm && !x->retiring)
		place_failed(x->code, why);
	pool_remove(&shop.pool, i);
	shop.graves = mem_grow(shop.graves, (shop.graves_n + 1) * sizeof(struct instance *));
	shop.graves[shop.graves_n++] = i;
}

const struct instance_events events = {
	.blank = events_blank,
	.warm = on_warm,
	.broken = on_broken,
	.head = on_head,
	.body = on_body,
	.finished = on_finished,
	.more = on_more,
	.failed = on_failed,
	.bad = on_bad,
	.freed = on_freed,
	.rested = on_rested,
	.log = on_log,
	.lost = on_lost,
	.gone = on_gone,
};

void
events_stop(struct job *j, enum job_outcome outcome, const struct err *why, int64_t grace_ms)
{
	if (j->outcome != OUTCOME_NONE || j->again)
		return;
	if (outcome == OUTCOME_TIMEOUT)
		retry_or_end(j, outcome, why);
	else if (!shop.draining || outcome != OUTCOME_KILLED || !retry_put_back(j, why))
		turn_job_end(j, outcome, why);
	if (!receipts_pending(j))
		instance_abandon(j->instance, j, grace_ms, why->text);
	finish(j);
}

void
events_deadline(void *arg)
{
	struct job *j = arg;
	struct err e = ERR_INIT;
	char limit[96];

	collect_limit_ms(j->limit_key, j->timeout_ms, limit, sizeof limit);
	err_named(&e, ERR_TIMEOUT, "JobTimeout", "the call ran longer than %s", limit);
	events_stop(j, OUTCOME_TIMEOUT, &e, EVENTS_GRACE_MS);
}

/* --- the way out --- */

static struct instance *
instance_of(int64_t number)
{
	size_t i;

	for (i = 0; i < shop.pool.n; i++)
		if (instance_number(shop.pool.item[i].instance) == number)
			return shop.pool.item[i].instance;
	return NULL;
}

static void
on_told(void *arg, int64_t number)
{
	struct instance *i = instance_of(number);

	(void)arg;
	if (i != NULL)
		instance_told(i);
}

/* The job of that id that runs in an instance; NULL: none does. */
static struct job *
job_there(int64_t number, const char *job)
{
	struct job_id id;
	size_t i;

	if (job == NULL || !job_id_parse(job, &id))
		return NULL;
	for (i = 0; i < shop.running.n; i++) {
		struct job *j = shop.running.item[i];

		if (j->w.id.row == id.row && j->started && j->instance != NULL && instance_number(j->instance) == number)
			return j;
	}
	return NULL;
}

static void
on_connection(void *arg, const struct exits_line *l)
{
	const struct instance *i = instance_of(l->instance);
	const struct job *j = job_there(l->instance, l->job);
	struct job_id id;

	(void)arg;
	meter_add(METER_EGRESS, strcmp(l->verdict, "open") == 0 ? METER_CONNECTED : METER_REFUSED, 1);
	meter_add(METER_EGRESS_BYTES, METER_SENT, l->sent);
	meter_add(METER_EGRESS_BYTES, METER_RECEIVED, l->received);
	log_info("egress", "job=%s%s instance=%lld bundle=%s host=%s port=%d verdict=%s end=%s sent=%lld received=%lld ms=%lld "
	    "address=%s why=%s", log_q(l->job != NULL ? l->job : ""), turn_job_trace(j),
	    (long long)(i != NULL ? instance_ledger_id(i) : 0),
	    log_q(l->bundle != NULL ? l->bundle : ""), log_q(l->host), l->port, log_q(l->verdict), log_q(l->end),
	    (long long)l->sent, (long long)l->received, (long long)l->ms, log_q(l->address != NULL ? l->address : ""),
	    log_q(l->why != NULL ? l->why : ""));
	quota_egress(i, l->job != NULL && job_id_parse(l->job, &id) ? id.row : 0, l->sent + l->received);
}

/* The job's bytes are used up. */
static void
on_spent(void *arg, int64_t number, const char *job, const struct err *why)
{
	struct job *j = job_there(number, job);

	(void)arg;
	if (j != NULL)
		events_stop(j, OUTCOME_KILLED, why, EVENTS_GRACE_MS);
}

const struct exits_events events_of_exits = { .ready = on_told, .connection = on_connection, .over = on_spent };
