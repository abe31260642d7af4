/*
 * The heart of the workshop.  One thread; a turn of the loop has three parts:
 *
 *   1. events: frames, dead processes, answers of the fetcher and timers change jobs in memory and mark them (turn.h);
 *   2. decisions: new rows are read and admitted, waiting jobs meet free instances, instances are started;
 *   3. one transaction writes all of it, and only then CALL frames leave, bells ring and ended jobs are freed.
 *
 * So user code is started only when the ledger already says so (at most once), and nobody hears of what is not durable.
 *
 * Jobs are held in memory in three places: `held` (queued, waiting for the fetcher), `wait` (admitted, waiting for an
 * instance), and `running`.  A backlog beyond what wait.h keeps stays in the ledger.
 */
#include "scheduler/dispatch.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "backends/backend.h"
#include "backends/runtime.h"
#include "lib/bell.h"
#include "lib/buf.h"
#include "lib/bundle.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/news.h"
#include "lib/store.h"
#include "lib/store_work.h"
#include "scheduler/admit.h"
#include "scheduler/catalog.h"
#include "scheduler/checkpoint.h"
#include "scheduler/collect.h"
#include "scheduler/dev.h"
#include "scheduler/fetch.h"
#include "scheduler/fetcher.h"
#include "scheduler/instance.h"
#include "scheduler/loop.h"
#include "scheduler/orders.h"
#include "scheduler/pool.h"
#include "scheduler/spawn.h"
#include "scheduler/turn.h"
#include "scheduler/wait.h"

#define TICK_MS          1000   /* the slow poll: data never depends on bells */
#define BEAT_TICKS       2
#define INSTANCE_TICKS   5      /* calls and used_at of instances go to the ledger this often */
#define SWEEP_MS         200
#define ORDERS_MS        50     /* a bell looks for orders at most this often */
#define LEASE_SPARE_MS   5000
#define TIMEOUT_GRACE_MS 1000   /* from the deadline to the kill of an executor that does not end the call */
#define CANCEL_GRACE_MS  2000
#define SLICE_MS         500    /* a bound instance is not taken from a busy bundle earlier */
#define GROW_MARGIN_US   20000  /* longer than a run and this: worth another instance */
#define START_TRIES      3
#define START_DELAY_MS   100
#define BROKEN_MS        3000   /* a bundle that does not load is not tried again so soon */
#define HELD_MAX         1024
#define COMMIT_TRIES     100
#define COMMIT_DELAY_MS  50
#define LINGER_US        150    /* while all are busy, for more events to share a transaction */
#define PRUNE_ROWS       100
#define PRUNE_US         10000  /* of a tick */
#define TIDY_TICKS       30

static struct {
	struct dispatch_setup s;
	const struct conf *conf;
	struct catalog *catalog;
	struct dev *dev;
	struct fetch *fetch;
	struct checkpoint *checkpoint;
	struct pool pool;
	struct wait wait;
	struct turn turn;
	struct turn_list running;
	struct job *held;
	size_t held_n;
	struct conf_pairs warm;        /* runtime → blanks wanted; values are numbers in text */
	struct instance **graves;      /* gone in this turn */
	size_t graves_n;
	int64_t last_row, last_instance_dir;
	int64_t ticks, orders_at_ms;
	int ringer, bell;
	bool look, orders, draining, new_blanks;
	struct loop_timer tick, sweep, pump, late_orders, grace;
} d;

/* --- small things --- */

static const char *
id_of(const struct job *j)
{
	static char text[JOB_ID_LEN + 1];

	job_id_print(&j->w.id, text);
	return text;
}

static void
end_with(struct job *j, enum job_outcome outcome, enum err_kind kind, const char *name, const char *text)
{
	struct err e = ERR_INIT;

	err_named(&e, kind, name, "%s", text);
	turn_job_end(j, outcome, &e);
}

static void
on_pump(void *arg)
{
	(void)arg; /* the end of the turn does the work */
}

/* Another look at who waits, ms from now at the latest. */
static void
pump_in(int64_t ms)
{
	if (d.pump.at == 0 || d.pump.due_ms > clock_mono_ms() + ms)
		loop_after(&d.pump, ms, on_pump, NULL);
}

static int64_t
lease_until(const struct job *j)
{
	return j->deadline_ms + LEASE_SPARE_MS;
}

static void on_sweep(void *arg);

static void
sweep_soon(void)
{
	if (d.sweep.at == 0)
		loop_after(&d.sweep, SWEEP_MS, on_sweep, NULL);
}

/* A job that never started: its end is written with this turn. */
static void
drop(struct job *j)
{
	turn_drop(&d.turn, j);
}

static void
refuse(struct job *j, const struct err *why)
{
	turn_job_end(j, collect_outcome(why->kind), why);
	drop(j);
}

static bool
is_late(struct job *j)
{
	const char *key = j->limit_key;
	char limit[64];
	struct err e = ERR_INIT;

	if (j->deadline_ms > clock_mono_ms())
		return false;
	if (key == NULL) /* not admitted yet: what the door wrote */
		key = j->timeout_ms < d.conf->limits.timeout ? "the caller's wait" : "limits.timeout";
	collect_limit_ms(key, j->timeout_ms, limit, sizeof limit);
	err_named(&e, ERR_TIMEOUT, "JobExpired", "the job's time was over before its turn came: %s", limit);
	turn_job_end(j, OUTCOME_EXPIRED, &e);
	return true;
}

static void
set_deadline(struct job *j, int64_t timeout_ms)
{
	j->timeout_ms = timeout_ms;
	j->deadline_ms = clock_mono_ms() + j->w.created_at + timeout_ms - clock_wall_ms();
}

static bool
was_cancelled(struct job *j)
{
	if (!j->w.cancel)
		return false;
	end_with(j, OUTCOME_CANCELLED, ERR_DENIED, "JobCancelled", "the job was cancelled before it started");
	return true;
}

/* --- starting jobs on instances --- */

static enum job_start
start_kind(const struct instance *i)
{
	if (instance_calls(i) > 0)
		return START_WARM;
	return instance_was_blank(i) ? START_BLANK : START_COLD;
}

/* The place is taken in the pool's line at once; the CALL leaves after the commit. */
static void
start(struct job *j, struct pool_entry *x)
{
	j->instance = x->instance;
	j->start = start_kind(x->instance);
	x->free_places--;
	x->busy++;
	turn_start(&d.turn, j);
}

static void
enqueue(struct job *j)
{
	j->waits_since_us = clock_mono_us();
	wait_add(&d.wait, j);
	sweep_soon();
}

/* An admitted job meets an instance, a place in the queue, or stays in the ledger. */
static void
place_new(struct job *j)
{
	struct pool_entry *x;

	if (!d.draining && !wait_any_of(&d.wait, j->code->did) && (x = pool_warm(&d.pool, j->code)) != NULL) {
		start(j, x);
	} else if (wait_has_room(&d.wait, j->code->did, j->w.id.row)) {
		enqueue(j);
	} else {
		wait_leave(&d.wait, j->code->did);
		j->left = true;
	}
}

static void
fill_admission(struct job *j, const struct admission *a)
{
	set_deadline(j, a->timeout_ms);
	j->limit_key = a->limit_key;
	j->idempotent = a->idempotent;
	j->attempts = a->attempts;
}

static int
admit(struct job *j, struct err *e)
{
	struct admit_rules rules = { d.conf, d.s.runtimes, d.s.wall };
	struct admission a;

	if (admit_author(d.conf, j->code->did, e) != 0 ||
	    admit_code(&rules, j->code, j->w.endpoint, j->w.timeout_ms, &a, e) != 0)
		return -1;
	fill_admission(j, &a);
	return 0;
}

static void
fail_broken(struct job *j)
{
	turn_job_end(j, OUTCOME_ERROR, &j->code->broken);
	drop(j);
}

/* The bundle is known and proven: the rest of admission. */
static void
take_code(struct job *j, struct code *code)
{
	struct err e = ERR_INIT;

	j->code = code_ref(code);
	if (admit(j, &e) != 0)
		refuse(j, &e);
	else if (is_late(j))
		drop(j);
	else if (code->broken_until_ms > loop_now_ms())
		fail_broken(j);
	else {
		turn_admit(&d.turn, j);
		place_new(j);
	}
}

/* --- new jobs --- */

static void
hold(struct job *j)
{
	j->next = d.held;
	d.held = j;
	d.held_n++;
	sweep_soon();
}

static void
find_code(struct job *j)
{
	struct err e = ERR_INIT;
	struct code *code = NULL;
	const char *author = j->w.author, *name = j->w.bundle, *version = j->w.version;
	enum catalog_found found;

	if (d.dev != NULL && strcmp(author, "local") == 0) {
		code = dev_find(d.dev, name, version, &e);
		if (code == NULL)
			refuse(j, &e);
		else
			take_code(j, code);
		return;
	}
	found = catalog_find(d.catalog, author, name, version, &code);
	if (found != CATALOG_FRESH)
		fetch_ask(d.fetch, author, name, version, catalog_known_cid(d.catalog, author, name, version),
		    d.conf->atproto.fetch_timeout);
	if (found == CATALOG_MISSING)
		hold(j);
	else
		take_code(j, code);
}

static bool
is_held(int64_t row)
{
	const struct job *j;

	for (j = d.held; j != NULL; j = j->next)
		if (j->w.id.row == row)
			return true;
	return false;
}

static void
consider(void *arg, struct work_job *w)
{
	struct err e = ERR_INIT;
	struct job *j;
	bool his;

	(void)arg;
	if (w->id.row > d.last_row)
		d.last_row = w->id.row;
	if (d.held_n > 0 && is_held(w->id.row)) {
		work_job_clear(w);
		return;
	}
	j = turn_job_new(w);
	set_deadline(j, j->w.timeout_ms);
	his = strcmp(j->w.author, "local") == 0 || strncmp(j->w.author, "did:", 4) == 0;
	if (was_cancelled(j) || is_late(j))
		drop(j);
	else if (admit_caller(d.conf, j->w.caller, &e) != 0 || (his && admit_author(d.conf, j->w.author, &e) != 0))
		refuse(j, &e);
	else
		find_code(j);
}

/* Returns true when there may be more. */
static bool
take_new(void)
{
	struct err e = ERR_INIT;
	int64_t batch = d.conf->scheduler.batch;
	int n;

	if (!d.look || d.draining)
		return false;
	if (d.held_n >= HELD_MAX)
		return false; /* the fetcher is behind: look again when it has answered */
	dev_batch(d.dev);
	n = work_queued(d.s.store, d.last_row, (int)batch, consider, NULL, &e);
	if (n < 0) {
		log_error("read the queue", "why=%s", log_q(e.text));
		return false;
	}
	d.look = n >= batch;
	return d.look;
}

/* --- answers of the fetcher --- */

static void
held_answer(const char *author, const char *name, const char *version, struct code *code, const struct err *why)
{
	struct job **p = &d.held, *j, *mine = NULL, **tail = &mine;

	while ((j = *p) != NULL) {
		if (strcmp(j->w.author, author) != 0 || strcmp(j->w.bundle, name) != 0 ||
		    strcmp(j->w.version, version) != 0) {
			p = &j->next;
			continue;
		}
		*p = j->next;
		d.held_n--;
		j->next = NULL;
		*tail = j;
		tail = &j->next;
	}
	/* The list grew at its head: the oldest is the last. */
	while (mine != NULL) {
		struct job *oldest = mine, **q;

		for (q = &mine, j = mine; j != NULL; j = j->next)
			if (j->w.id.row < oldest->w.id.row)
				oldest = j;
		while (*q != oldest)
			q = &(*q)->next;
		*q = oldest->next;
		oldest->next = NULL;
		if (code != NULL)
			take_code(oldest, code);
		else
			refuse(oldest, why);
	}
	d.look = true;
}

static void
on_fetched(void *arg, const char *author, const char *name, const char *version, struct fetcher_answer *answer,
    const struct err *why)
{
	struct err e = ERR_INIT;
	struct code *code = NULL;

	(void)arg;
	if (answer != NULL) {
		code = catalog_take(d.catalog, author, name, version, answer, &d.turn, &e);
		if (code != NULL)
			log_info("bundle", "author=%s name=%s version=%s cid=%s identity_ms=%lld record_ms=%lld blob_ms=%lld",
			    log_q(author), log_q(name), log_q(version), code->cid, (long long)answer->identity_ms,
			    (long long)answer->record_ms, (long long)answer->blob_ms);
		why = &e;
	}
	if (code == NULL) {
		log_warn("fetch failed", "author=%s name=%s version=%s kind=%s why=%s", log_q(author), log_q(name),
		    log_q(version), err_kind_name(why->kind), log_q(why->text));
		catalog_failed(d.catalog, author, name, version, why);
	}
	held_answer(author, name, version, code, why);
}

/* --- what instances do --- */

static int64_t
response_limit(const struct job *j, const char **key)
{
	int64_t own = j->code->bundle->limits.response_bytes;

	*key = own > 0 && own < d.conf->limits.response ? "the bundle's limits.responseBytes" : "limits.response";
	return own > 0 && own < d.conf->limits.response ? own : d.conf->limits.response;
}

/* A running job comes to its end, by itself or by us. */
static void
finish(struct job *j)
{
	int64_t us = clock_mono_us() - j->started_us;

	loop_stop(&j->timer);
	if (j->outcome == OUTCOME_OK)
		j->code->run_us = j->code->run_us == 0 ? us : (j->code->run_us * 7 + us) / 8;
	turn_touch(&d.turn, j);
}

static void
on_blank(struct instance *i)
{
	struct pool_entry *x = pool_of(&d.pool, i);
	struct err e = ERR_INIT;

	if (x->code != NULL && instance_load(i, x->code, &e) != 0) {
		log_warn("bundle cannot be placed", "instance=%lld why=%s", (long long)instance_ledger_id(i),
		    log_q(e.text));
		instance_stop(i, e.text);
	} else if (x->code != NULL) {
		turn_instance_set(&d.turn, instance_ledger_id(i), instance_word(i), x->code->cid, 0);
	} else {
		turn_instance_set(&d.turn, instance_ledger_id(i), instance_word(i), NULL, 0);
	}
}

static void
on_warm(struct instance *i)
{
	struct code *code = instance_code(i);

	code->failures = 0;
	pool_of(&d.pool, i)->was_warm = true;
	turn_instance_set(&d.turn, instance_ledger_id(i), instance_word(i), code->cid, 0);
}

static void
fail_waiting(struct code *code, enum job_outcome outcome, const struct err *why)
{
	struct job *j;

	while ((j = wait_take(&d.wait, code)) != NULL) {
		turn_job_end(j, outcome, why);
		drop(j);
	}
}

static void
on_broken(struct instance *i, const struct err *why)
{
	struct code *code = instance_code(i);

	code->broken = *why;
	err_wrap(&code->broken, "the bundle does not load");
	code->broken_until_ms = loop_now_ms() + BROKEN_MS;
	log_info("bundle does not load", "cid=%s why=%s", code->cid, log_q(why->text));
	fail_waiting(code, OUTCOME_ERROR, &code->broken);
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
	turn_touch(&d.turn, j);
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
		instance_abandon(i, j, TIMEOUT_GRACE_MS, e.text);
		finish(j);
		return;
	}
	buf_add(&j->body, p, n);
	turn_touch(&d.turn, j);
}

static void
on_finished(struct instance *i, struct job *j)
{
	(void)i;
	if (j->outcome != OUTCOME_NONE)
		return;
	turn_job_end(j, OUTCOME_OK, NULL);
	finish(j);
}

static void
on_failed(struct instance *i, struct job *j, const struct err *why)
{
	struct err e = *why;
	enum job_outcome outcome = OUTCOME_ERROR;

	(void)i;
	if (j->outcome != OUTCOME_NONE)
		return;
	/* When the record lists no endpoints, only the executor knows that there is none of that name. */
	if (j->code->bundle->any_endpoint && strcmp(e.name, "EndpointNotFound") == 0) {
		e.kind = ERR_NOTFOUND;
		outcome = OUTCOME_REFUSED;
	}
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
	instance_abandon(i, j, TIMEOUT_GRACE_MS, e.text);
	finish(j);
}

static void
on_freed(struct instance *i)
{
	(void)i; /* the end of the turn sees the free place */
}

static void
on_log(struct instance *i, struct job *j, const char *level, const char *source, const char *text, size_t n)
{
	int64_t max = d.conf->limits.log, line = d.conf->limits.log_line, row = j != NULL ? j->w.id.row : 0;
	struct pool_entry *x = pool_of(&d.pool, i);
	int64_t *logged = j != NULL ? &j->logged : x != NULL ? &x->logged : NULL;
	bool *cut = j != NULL ? &j->log_cut : x != NULL ? &x->log_cut : NULL;
	char notice[128], limit[64];

	if (logged == NULL || *cut)
		return;
	if ((int64_t)n > line)
		n = (size_t)line;
	if (*logged + (int64_t)n > max) {
		*cut = true;
		collect_limit_bytes("limits.log", max, limit, sizeof limit);
		snprintf(notice, sizeof notice, "the rest of the log is cut: %s", limit);
		turn_log(&d.turn, row, instance_ledger_id(i), "warn", "runner", notice, strlen(notice));
		return;
	}
	*logged += (int64_t)n;
	turn_log(&d.turn, row, instance_ledger_id(i), level, source, text, n);
}

/* The process died under a call.  Idempotent endpoints get another try while there was no answer yet. */
static void
on_lost(struct instance *i, struct job *j, enum job_outcome outcome, const struct err *why)
{
	(void)i;
	if (j->outcome != OUTCOME_NONE)
		return;
	if (j->idempotent && j->w.attempt < j->attempts && !j->streamed && !d.draining) {
		j->again = true;
		loop_stop(&j->timer);
		turn_touch(&d.turn, j);
		return;
	}
	turn_job_end(j, outcome, why);
	finish(j);
}

/* A start that came to nothing before any user code ran is tried again, but not for ever. */
static void
start_failed(struct code *code, const char *why)
{
	struct err e = ERR_INIT;

	code->failures++;
	code->retry_at_ms = clock_mono_ms() + START_DELAY_MS * code->failures;
	if (code->failures < START_TRIES)
		return;
	err_named(&e, ERR_INTERNAL, "StartFailed", "no instance could be started in %d tries: %.300s", code->failures, why);
	code->failures = 0;
	fail_waiting(code, OUTCOME_LOST, &e);
}

static void
on_gone(struct instance *i, const char *why)
{
	struct pool_entry *x = pool_of(&d.pool, i);
	bool never_warm = x != NULL && x->code != NULL && !x->was_warm && x->code->broken_until_ms <= loop_now_ms();

	log_info("instance ended", "instance=%lld runtime=%s calls=%lld why=%s", (long long)instance_ledger_id(i),
	    instance_runtime(i)->name, (long long)instance_calls(i), log_q(why));
	turn_instance_set(&d.turn, instance_ledger_id(i), "ended", NULL, instance_calls(i));
	turn_instance_end(&d.turn, instance_ledger_id(i), why);
	if (never_warm && !x->retiring)
		start_failed(x->code, why);
	pool_remove(&d.pool, i);
	d.graves = mem_grow(d.graves, (d.graves_n + 1) * sizeof(struct instance *));
	d.graves[d.graves_n++] = i;
}

static const struct instance_events events = {
	.blank = on_blank,
	.warm = on_warm,
	.broken = on_broken,
	.head = on_head,
	.body = on_body,
	.finished = on_finished,
	.failed = on_failed,
	.bad = on_bad,
	.freed = on_freed,
	.log = on_log,
	.lost = on_lost,
	.gone = on_gone,
};

/* --- deadlines and cancelling of what runs --- */

static void
stop_job(struct job *j, enum job_outcome outcome, const struct err *why, int64_t grace_ms)
{
	if (j->outcome != OUTCOME_NONE || j->again)
		return;
	turn_job_end(j, outcome, why);
	instance_abandon(j->instance, j, grace_ms, why->text);
	finish(j);
}

static void
on_deadline(void *arg)
{
	struct job *j = arg;
	struct err e = ERR_INIT;
	char limit[96];

	collect_limit_ms(j->limit_key, j->timeout_ms, limit, sizeof limit);
	err_named(&e, ERR_TIMEOUT, "JobTimeout", "the call ran longer than %s", limit);
	stop_job(j, OUTCOME_TIMEOUT, &e, TIMEOUT_GRACE_MS);
}

static struct job *
held_take(int64_t row)
{
	struct job **p = &d.held, *j;

	while (*p != NULL && (*p)->w.id.row != row)
		p = &(*p)->next;
	j = *p;
	if (j != NULL) {
		*p = j->next;
		j->next = NULL;
		d.held_n--;
	}
	return j;
}

struct search {
	int64_t row;
	struct job *found;
};

static void
match_row(void *arg, struct job *j)
{
	struct search *s = arg;

	if (j->w.id.row == s->row)
		s->found = j;
}

/* A job that only the ledger knows: admitted, beyond what memory holds. */
static const char *
cancel_in_ledger(int64_t row)
{
	struct work_job w = { 0 };
	struct job *j;

	if (work_job_load(d.s.store, row, &w, NULL) != 0)
		return "no such job";
	if (w.state == JOB_DONE || w.state == JOB_RUNNING) {
		work_job_clear(&w);
		return "the job is done already";
	}
	j = turn_job_new(&w);
	end_with(j, OUTCOME_CANCELLED, ERR_DENIED, "JobCancelled", "the job was cancelled before it started");
	drop(j);
	return "cancelled before it started";
}

const char *
dispatch_cancel(int64_t row)
{
	struct search s = { row, held_take(row) };
	struct err e = ERR_INIT;
	size_t i;

	if (s.found == NULL) {
		wait_jobs(&d.wait, match_row, &s);
		if (s.found != NULL)
			wait_remove(&d.wait, s.found);
	}
	if (s.found != NULL) {
		s.found->w.cancel = true;
		was_cancelled(s.found);
		drop(s.found);
		return "cancelled before it started";
	}
	for (i = 0; i < d.running.n; i++) {
		if (d.running.item[i]->w.id.row != row)
			continue;
		err_named(&e, ERR_DENIED, "JobCancelled", "the job was cancelled while it ran");
		stop_job(d.running.item[i], OUTCOME_CANCELLED, &e, CANCEL_GRACE_MS);
		return "cancelled while it ran";
	}
	return cancel_in_ledger(row);
}

/* --- who waits and who is free --- */

/* Codes that wait without any instance, when no new one can be had without taking somebody's. */
static bool
count_starving(void *arg, struct waiting *x)
{
	int coming, *n = arg;

	if (pool_count(&d.pool, x->code, &coming) == 0 &&
	    pool_blank(&d.pool, x->code->runtime, x->code->key) == NULL && x->code->retry_at_ms <= loop_now_ms())
		++*n;
	return false;
}

static bool
try_place(void *arg, struct waiting *w)
{
	int *starving = arg;
	struct pool_entry *x;
	struct job *j;

	/* Others have nothing: an instance whose time is over ends, and what follows takes its room. */
	while ((x = pool_warm(&d.pool, w->code)) != NULL && *starving > 0 && x->busy == 0 &&
	    loop_now_ms() - x->bound_ms >= SLICE_MS) {
		--*starving;
		x->retiring = true;
	}
	if (x == NULL)
		return false;
	j = wait_take(&d.wait, w->code);
	if (is_late(j))
		drop(j);
	else
		start(j, x);
	return true;
}

/* The row of the ledger needs the process, and nobody speaks to the instance before: a commit of its own. */
static int
instance_row(struct instance *i, struct err *e)
{
	int64_t started, id, pid = instance_pid(i, &started);

	if (store_begin(d.s.store, false, e) != 0)
		return -1;
	if (work_instance_new(d.s.store, d.s.run, instance_runtime(i)->name, d.s.wall->name, pid, started,
	    clock_wall_ms(), &id, e) != 0 || store_commit(d.s.store, e) != 0) {
		store_rollback(d.s.store);
		return -1;
	}
	instance_set_ledger_id(i, id);
	log_info("instance started", "instance=%lld runtime=%s pid=%lld", (long long)id, instance_runtime(i)->name,
	    (long long)pid);
	return 0;
}

static bool
start_instance(const struct runtime *r, struct code *code)
{
	struct err e = ERR_INIT;
	struct instance *i = instance_new(++d.last_instance_dir, r, code, &e);

	if (i == NULL) {
		log_error("instance does not start", "runtime=%s why=%s", r->name, log_q(e.text));
		if (code != NULL)
			start_failed(code, e.text);
		return false;
	}
	pool_add(&d.pool, i, code);
	if (instance_row(i, &e) != 0) {
		log_error("instance has no row", "why=%s", log_q(e.text));
		instance_stop(i, "the ledger could not be written");
		return false;
	}
	return true;
}

static void
bind_blank(struct pool_entry *x, struct code *code)
{
	x->code = code_ref(code);
	on_blank(x->instance);
	pool_sync(x);
	d.new_blanks = true;
}

/* A bundle's jobs wait: is another instance worth it, and where does it come from? */
static bool
try_grow(void *arg, struct waiting *w)
{
	struct code *code = w->code;
	struct pool_entry *x;
	int coming, have = pool_count(&d.pool, code, &coming);
	int64_t now = clock_mono_ms(), waited = clock_mono_us() - w->first->waits_since_us;
	int64_t enough = code->run_us + GROW_MARGIN_US;

	(void)arg;
	if (have >= d.conf->pool.per_bundle || coming > 0)
		return false;
	if (code->retry_at_ms > now) {
		pump_in(code->retry_at_ms - now);
		return false;
	}
	if (have > 0 && waited < enough) {
		pump_in((enough - waited) / 1000 + 1);
		return false;
	}
	x = pool_blank(&d.pool, code->runtime, code->key);
	if (x != NULL) {
		bind_blank(x, code);
		return true;
	}
	if (pool_live(&d.pool) >= d.conf->pool.max) {
		/* To grow is no reason to take another's; to begin is. */
		x = have == 0 ? pool_evict(&d.pool, code, now, SLICE_MS) : NULL;
		if (x == NULL) {
			pump_in(SLICE_MS / 4);
			return false;
		}
		x->state = INSTANCE_ENDING;
		instance_stop(x->instance, "made room for another bundle");
	}
	return start_instance(code->runtime, code);
}

static void
place_waiting(void)
{
	int starving = 0;

	if (d.wait.n == 0 || d.draining)
		return;
	if (pool_live(&d.pool) >= d.conf->pool.max)
		wait_each(&d.wait, count_starving, &starving);
	while (d.wait.n > 0 && wait_each(&d.wait, try_place, &starving))
		;
	while (d.wait.n > 0 && wait_each(&d.wait, try_grow, NULL))
		;
}

/* What the ledger holds beyond memory, author by author.  Before this turn's own admissions: those are not written yet. */
static void
refill(void)
{
	struct wait_author *a;
	int i;

	for (i = 0; i < 32 && (a = wait_hungry(&d.wait)) != NULL; i++) {
		struct work_job w = { 0 };
		struct err e = ERR_INIT;
		struct job *j;

		dev_batch(d.dev);
		if (work_next_admitted_of(d.s.store, a->did, a->last_row, &w, &e) != 0) {
			wait_sated(&d.wait, a);
			continue;
		}
		a->last_row = w.id.row;
		j = turn_job_new(&w);
		set_deadline(j, j->w.timeout_ms);
		if (strcmp(j->w.author, "local") == 0 && d.dev != NULL)
			j->code = dev_find(d.dev, j->w.bundle, "latest", &e);
		else
			j->code = catalog_by_cid(d.catalog, j->w.cid, &e);
		if (j->code != NULL && strcmp(j->code->cid, j->w.cid) != 0) {
			err_set(&e, ERR_INTERNAL, "the bundle's files have changed since it was admitted");
			j->code = NULL;
		}
		if (j->code != NULL)
			code_ref(j->code);
		if (j->code == NULL || admit(j, &e) != 0)
			refuse(j, &e);
		else if (was_cancelled(j) || is_late(j))
			drop(j);
		else
			enqueue(j);
	}
}

/* --- after the commit --- */

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
		bell_tell(d.ringer, d.conf->run_dir, j->w.bell, b.data, b.len);
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
	bell_ring(d.ringer, d.conf->run_dir, name);
}

static void
log_end(const struct job *j)
{
	int64_t now = clock_wall_ms();

	if (j->outcome == OUTCOME_NONE)
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

	for (i = 0; i < d.running.n; i++) {
		if (d.running.item[i] == j) {
			d.running.item[i] = d.running.item[--d.running.n];
			return;
		}
	}
}

static void
running_add(struct job *j)
{
	if (d.running.n == d.running.room) {
		d.running.room = d.running.room * 2 + 32;
		d.running.item = mem_grow(d.running.item, d.running.room * sizeof(struct job *));
	}
	d.running.item[d.running.n++] = j;
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

static void
after_start(struct job *j)
{
	j->starts = false;
	if (j->void_) {
		log_end(j);
		turn_job_free(j);
		return;
	}
	instance_call(j->instance, j);
	j->w.attempt++;
	j->started = true;
	j->started_us = clock_mono_us();
	loop_after(&j->timer, j->deadline_ms - clock_mono_ms(), on_deadline, j);
	running_add(j);
	forget_request(j);
	instance_flush(j->instance);
	log_debug("job started", "job=%s instance=%lld", id_of(j), (long long)instance_ledger_id(j->instance));
}

static void
on_backoff(void *arg)
{
	struct job *j = arg, *fresh;
	struct work_job w = { 0 };
	struct err e = ERR_INIT;

	/* The row says admitted; read it again with its request. */
	if (work_job_load(d.s.store, j->w.id.row, &w, &e) == 0 && w.state == JOB_ADMITTED) {
		fresh = turn_job_new(&w);
		fresh->code = code_ref(j->code);
		fresh->idempotent = j->idempotent;
		fresh->attempts = j->attempts;
		fresh->limit_key = j->limit_key;
		set_deadline(fresh, j->timeout_ms);
		if (was_cancelled(fresh) || is_late(fresh))
			drop(fresh);
		else
			enqueue(fresh);
	}
	turn_job_free(j);
}

/* Exponential back-off with full jitter, in the time that is left. */
static void
try_again(struct job *j)
{
	int64_t most = 100LL << (j->w.attempt < 8 ? j->w.attempt : 8);

	running_remove(j);
	j->again = false;
	loop_after(&j->timer, 1 + (int64_t)((uint64_t)clock_mono_us() * 2654435761u % (uint64_t)most), on_backoff, j);
}

static void
after_touch(struct job *j, struct rung *r)
{
	bool ended = j->outcome != OUTCOME_NONE;

	j->touched = false;
	if (j->void_ && !ended && !j->again) {
		/* Somebody else settled it (front_lapse): what runs is nobody's any more. */
		instance_abandon(j->instance, j, TIMEOUT_GRACE_MS, "its job was settled by another");
		ended = true;
	}
	if (j->again && !j->void_) {
		try_again(j);
		return;
	}
	ring(r, j);
	if (ended || j->void_) {
		log_end(j);
		running_remove(j);
		turn_job_free(j);
		return;
	}
	j->streamed = true;
	if (j->body.len > 0)
		j->seq++;
	buf_reset(&j->body);
}

static void
after_commit(void)
{
	struct rung r = { .n = 0 };
	struct turn *t = &d.turn;
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
static void
after_admits(void)
{
	struct turn *t = &d.turn;
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
			wait_remove(&d.wait, j);
			turn_job_free(j);
		}
	}
}

/* Commits the turn.  The ledger may be busy or the disk full for a while; when it stays so we end, and the supervisor
 * starts us again: rows are durable, and what ran is settled by recovery. */
static void
commit(void)
{
	struct timespec pause = { 0, COMMIT_DELAY_MS * 1000000L };
	struct err e = ERR_INIT;
	int tries;

	for (tries = 1; turn_write(&d.turn, d.s.store, &e) != 0; tries++) {
		log_error("commit", "try=%d why=%s", tries, log_q(e.text));
		if (tries == COMMIT_TRIES)
			exit(70);
		nanosleep(&pause, NULL);
	}
}

static void
bury(void)
{
	size_t i;

	for (i = 0; i < d.graves_n; i++)
		instance_free(d.graves[i]);
	d.graves_n = 0;
}

static void
flush_instances(void)
{
	size_t i;

	for (i = 0; i < d.pool.n; i++)
		instance_flush(d.pool.item[i].instance);
}

/* Instances that are to end once they are free. */
static void
retire_idle(void)
{
	size_t i;

	for (i = 0; i < d.pool.n; i++) {
		struct pool_entry *x = &d.pool.item[i];
		int64_t most = d.conf->pool.calls;

		if (most > 0 && instance_calls(x->instance) >= most)
			x->retiring = true;
		if (x->retiring && x->busy == 0 && x->state != INSTANCE_ENDING) {
			x->state = INSTANCE_ENDING;
			instance_stop(x->instance, most > 0 && instance_calls(x->instance) >= most ?
			    "it served pool.calls calls" : "retired");
		}
	}
}

static int
wanted_blanks(const char *runtime)
{
	size_t i;

	for (i = 0; i < d.warm.n; i++)
		if (strcmp(d.warm.item[i].key, runtime) == 0)
			return (int)strtol(d.warm.item[i].value, NULL, 10);
	return 0;
}

static void
keep_blanks(void)
{
	size_t i;

	if (!d.new_blanks || d.draining || d.wait.n > 0)
		return;
	d.new_blanks = false;
	for (i = 0; i < d.s.runtimes->n; i++) {
		const struct runtime *r = &d.s.runtimes->item[i];
		int want = wanted_blanks(r->name);

		while (r->missing == NULL && pool_blanks(&d.pool, r) < want && pool_live(&d.pool) < d.conf->pool.max)
			if (!start_instance(r, NULL))
				return;
	}
}

static void
take_orders(void)
{
	struct err e = ERR_INIT;

	if (!d.orders)
		return;
	d.orders = false;
	d.orders_at_ms = loop_now_ms();
	if (orders_take(d.s.store, &e) < 0)
		log_error("read the orders", "why=%s", log_q(e.text));
}

bool
dispatch_turn(void *arg)
{
	size_t i;
	bool more;

	(void)arg;
	for (i = 0; i < d.pool.n; i++)
		pool_sync(&d.pool.item[i]);
	take_orders();
	refill();
	more = take_new();
	place_waiting();
	retire_idle();
	keep_blanks();
	if (!turn_empty(&d.turn)) {
		commit();
		after_admits();
		after_commit();
		turn_reset(&d.turn);
		checkpoint_turn(d.checkpoint, d.s.store);
	}
	flush_instances();
	bury();
	/* Nobody waits longer for it: the instances are all busy, and the next job is here. */
	loop_linger(d.wait.n > 0 && d.running.n > 1 ? LINGER_US : 0);
	if (d.draining && d.running.n == 0)
		loop_end();
	return more;
}

/* --- timers --- */

static void
sweep_one(void *arg, struct job *j)
{
	(void)arg;
	if (is_late(j)) {
		wait_remove(&d.wait, j);
		drop(j);
	}
}

/* Who waited too long. */
static void
on_sweep(void *arg)
{
	struct job **p = &d.held, *j;

	(void)arg;
	while ((j = *p) != NULL) {
		if (!is_late(j)) {
			p = &j->next;
			continue;
		}
		*p = j->next;
		j->next = NULL;
		d.held_n--;
		drop(j);
	}
	wait_jobs(&d.wait, sweep_one, NULL);
	if (d.held != NULL || d.wait.n > 0)
		sweep_soon();
}

static void
refresh_instances(void)
{
	size_t i;

	for (i = 0; i < d.pool.n; i++) {
		struct pool_entry *x = &d.pool.item[i];
		int64_t calls = instance_calls(x->instance);

		if (x->state == INSTANCE_ENDING || x->calls_written == calls)
			continue;
		x->calls_written = calls;
		turn_instance_set(&d.turn, instance_ledger_id(x->instance), instance_word(x->instance),
		    x->code != NULL ? x->code->cid : NULL, calls);
	}
}

static void
end_idle(void)
{
	struct pool_entry *x;

	while ((x = pool_idle(&d.pool, loop_now_ms(), d.conf->pool.idle)) != NULL) {
		x->state = INSTANCE_ENDING;
		instance_stop(x->instance, "idle longer than pool.idle");
	}
}

/* A few old rows at a time. */
static void
keep_house(void)
{
	struct err e = ERR_INIT;
	int64_t now = clock_wall_ms(), until = clock_mono_us() + PRUNE_US, newest;
	int n;

	do {
		n = work_prune(d.s.store, now - d.conf->scheduler.keep_sync, now - d.conf->scheduler.keep_async,
		    PRUNE_ROWS, &e);
	} while (n > 0 && clock_mono_us() < until);
	/* When even the newest row went, numbers come again: those that are open may lie below. */
	if (n >= 0 && work_last(d.s.store, &newest, &e) == 0 && newest < d.last_row)
		n = work_before_open(d.s.store, &d.last_row, &e);
	if (n < 0)
		log_warn("housekeeping", "why=%s", log_q(e.text));
}

static void
on_tick(void *arg)
{
	(void)arg;
	d.ticks++;
	d.look = d.orders = d.new_blanks = true;
	if (d.ticks % BEAT_TICKS == 0) {
		d.turn.beat = true;
		d.s.alive();
	}
	if (d.ticks % INSTANCE_TICKS == 0)
		refresh_instances();
	if (d.ticks % TIDY_TICKS == 0)
		catalog_tidy(d.catalog);
	end_idle();
	keep_house();
	loop_after(&d.tick, TICK_MS, on_tick, NULL);
}

static void
on_late_orders(void *arg)
{
	(void)arg;
	d.orders = true;
}

static void
on_bell(void *arg, uint32_t ev)
{
	(void)arg;
	(void)ev;
	if (!bell_hear(d.bell))
		return;
	d.look = true;
	if (loop_now_ms() - d.orders_at_ms >= ORDERS_MS)
		d.orders = true;
	else if (d.late_orders.at == 0)
		loop_after(&d.late_orders, ORDERS_MS, on_late_orders, NULL);
}

/* --- orders --- */

int
dispatch_retire(const char *runtime)
{
	size_t i;
	int n = 0;

	for (i = 0; i < d.pool.n; i++) {
		struct pool_entry *x = &d.pool.item[i];

		if (x->retiring || x->state == INSTANCE_ENDING ||
		    (runtime != NULL && strcmp(x->runtime->name, runtime) != 0))
			continue;
		x->retiring = true;
		n++;
	}
	return n;
}

static void
warm_set(const char *runtime, char *number /* taken over */)
{
	size_t i;

	for (i = 0; i < d.warm.n && strcmp(d.warm.item[i].key, runtime) != 0; i++)
		;
	if (i == d.warm.n) {
		d.warm.item = mem_grow(d.warm.item, ++d.warm.n * sizeof *d.warm.item);
		d.warm.item[i] = (struct conf_pair){ mem_str(runtime), NULL };
	}
	free(d.warm.item[i].value);
	d.warm.item[i].value = number;
	d.new_blanks = true;
}

int
dispatch_warm(const char *runtime, int n)
{
	int found = -1;
	size_t i;

	for (i = 0; i < d.s.runtimes->n; i++) {
		const struct runtime *r = &d.s.runtimes->item[i];

		if ((runtime != NULL && strcmp(r->name, runtime) != 0) || r->missing != NULL)
			continue;
		warm_set(r->name, mem_fmt("%d", n));
		found = n;
	}
	return found;
}

int
dispatch_forget(const char *author, const char *name)
{
	return catalog_forget(d.catalog, author, name);
}

void
dispatch_order_done(int64_t id, const char *note)
{
	turn_order(&d.turn, id, note);
}

/* --- beginning and end --- */

static void
code_key(const struct code *code, char **out)
{
	struct buf b = BUF_INIT;

	d.s.wall->key(d.conf, code->runtime, code->bundle, &b);
	*out = buf_take(&b);
}

/* Authors with jobs that an earlier run admitted: refill reads them. */
static void
take_up_admitted(void)
{
	char *did = mem_str("");
	struct work_job w = { 0 };

	while (work_next_admitted(d.s.store, did, 0, &w, NULL) == 0) {
		if (w.did == NULL || strcmp(w.did, did) <= 0) {
			work_job_clear(&w);
			break;
		}
		free(did);
		did = mem_str(w.did);
		wait_leave(&d.wait, did);
		work_job_clear(&w);
	}
	free(did);
}

static void
warm_from_conf(void)
{
	size_t i;

	for (i = 0; i < d.conf->pool.warm.n; i++) {
		const char *key = d.conf->pool.warm.item[i].key;

		if (strncmp(key, "warm.", 5) == 0)
			key += 5;
		warm_set(key, mem_str(d.conf->pool.warm.item[i].value));
	}
}

int
dispatch_open(const struct dispatch_setup *s, struct err *e)
{
	memset(&d, 0, sizeof d);
	d.s = *s;
	d.conf = s->conf;
	d.turn.run = s->run;
	d.turn.wall = s->wall->name;
	d.turn.lease_until = lease_until;
	d.look = d.orders = true;
	d.catalog = catalog_new(s->conf, s->runtimes, s->store);
	catalog_set_key(d.catalog, code_key);
	if (s->conf->dev && s->conf->dev_conf.bundles != NULL)
		d.dev = dev_new(s->conf, s->runtimes, d.catalog);
	instance_setup(s->conf, s->wall, &events);
	d.bell = bell_listen(s->conf->run_dir, BELL_SCHEDULER, e);
	d.ringer = bell_ringer();
	if (d.bell < 0 || d.ringer < 0)
		return -1;
	loop_watch(d.bell, EPOLLIN, on_bell, NULL);
	d.fetch = fetch_new(s->conf, s->program, on_fetched, NULL);
	if (fetch_start(d.fetch, e) != 0)
		return -1;
	if (work_before_open(s->store, &d.last_row, e) != 0)
		return -1;
	d.checkpoint = checkpoint_new(s->conf->database, (int)s->conf->scheduler.checkpoint_pages, e);
	if (d.checkpoint == NULL)
		return -1;
	warm_from_conf();
	take_up_admitted();
	d.turn.beat = true;
	loop_after(&d.tick, TICK_MS, on_tick, NULL);
	return 0;
}

static void
on_grace_over(void *arg)
{
	struct err e = ERR_INIT;
	char limit[64];
	size_t i;

	(void)arg;
	collect_limit_ms("scheduler.grace", d.conf->scheduler.grace, limit, sizeof limit);
	err_named(&e, ERR_BUSY, "RunnerStops", "the runner is being stopped and the call did not end within %s", limit);
	for (i = 0; i < d.running.n; i++)
		stop_job(d.running.item[i], OUTCOME_KILLED, &e, 0);
}

void
dispatch_drain(int64_t grace_ms)
{
	d.draining = d.turn.draining = d.turn.beat = true;
	log_info("drain", "running=%zu grace_ms=%lld", d.running.n, (long long)grace_ms);
	loop_after(&d.grace, grace_ms, on_grace_over, NULL);
}

static bool
all_gone(void *arg)
{
	(void)arg;
	if (!turn_empty(&d.turn)) {
		commit();
		after_admits();
		after_commit();
		turn_reset(&d.turn);
	}
	bury();
	if (d.pool.n == 0 && (d.fetch == NULL || fetch_gone(d.fetch)))
		loop_end();
	return false;
}

static void
on_give_up(void *arg)
{
	(void)arg;
	loop_end();
}

void
dispatch_close(void)
{
	struct loop_timer patience = { 0 };
	size_t i;

	loop_stop(&d.tick);
	loop_stop(&d.sweep);
	loop_stop(&d.pump);
	loop_stop(&d.late_orders);
	loop_stop(&d.grace);
	if (d.fetch != NULL)
		fetch_stop(d.fetch);
	for (i = 0; i < d.pool.n; i++)
		instance_stop(d.pool.item[i].instance, "the scheduler stops");
	loop_after(&patience, 3000, on_give_up, NULL);
	loop_run(all_gone, NULL, NULL);
	loop_stop(&patience);
	if (d.bell >= 0) {
		loop_forget(d.bell);
		bell_close(d.bell, d.conf->run_dir, BELL_SCHEDULER);
	}
	if (d.ringer >= 0)
		close(d.ringer);
	fetch_free(d.fetch);
	checkpoint_free(d.checkpoint);
	wait_clear(&d.wait);
	while (d.held != NULL)
		turn_job_free(held_take(d.held->w.id.row));
	dev_free(d.dev);
	pool_clear(&d.pool);
	turn_clear(&d.turn);
	catalog_free(d.catalog);
	for (i = 0; i < d.warm.n; i++) {
		free(d.warm.item[i].key);
		free(d.warm.item[i].value);
	}
	free(d.warm.item);
	free(d.running.item);
	free(d.graves);
}
