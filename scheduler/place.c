/*
 * Where jobs run: a warm instance of the bundle, else a blank one, else a new one, else they wait their turn.
 */
#include "scheduler/place.h"

#include <stdlib.h>
#include <string.h>

#include "backends/backend.h"
#include "backends/runtime.h"
#include "backends/walls.h"
#include "lib/bundle.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/store.h"
#include "lib/store_work.h"
#include "scheduler/catalog.h"
#include "scheduler/events.h"
#include "scheduler/instance.h"
#include "scheduler/pressure.h"
#include "scheduler/shop.h"
#include "scheduler/spans.h"

#define REFILL_MS 100
#define SLICE_MS       500    /* a bound instance is not taken from a busy bundle earlier */
#define GROW_MARGIN_US 20000  /* longer than a run and this: worth another instance */
#define START_TRIES    3
#define START_DELAY_MS 100
#define NO_ROOM_DELAY_MS 500
#define START_RETRY_MS 500    /* after START_TRIES, doubled some times */

static enum job_start
start_kind(const struct instance *i)
{
	if (instance_calls(i) > 0)
		return START_WARM;
	return instance_was_blank(i) ? START_BLANK : START_COLD;
}

/* Each call gets an instance of its own. */
static bool
is_fresh(const struct code *code)
{
	return strcmp(shop.conf->pool.reuse, "never") == 0 || (code != NULL && code->bundle->fresh);
}

/* The place is taken in the pool's line at once; the CALL leaves after the commit. */
static void
start(struct job *j, struct pool_entry *x)
{
	j->instance = x->instance;
	j->start = start_kind(x->instance);
	x->free_places--;
	x->busy++;
	if (is_fresh(x->code))
		x->retiring = true; /* from now on: another call of this turn must not meet it */
	/* The budget of what was accepted is for its run; how long it may wait is another limit. */
	if (j->w.mode == JOB_ASYNC)
		j->deadline_ms = clock_mono_ms() + j->timeout_ms;
	if (wait_counts(&shop.wait, j))
		wait_started(&shop.wait, j);
	turn_start(&shop.turn, j);
}

void
place_enqueue(struct job *j)
{
	j->waits_since_us = clock_mono_us();
	spans_admitted(j);
	if (j->w.mode == JOB_SYNC && j->code->failures >= START_TRIES)
		j->code->retry_at_ms = 0; /* somebody wants to know now */
	wait_add(&shop.wait, j);
	shop_sweep_soon();
}

/* An admitted job meets an instance, a place in the queue, or stays in the ledger. */
void
place_job(struct job *j)
{
	struct pool_entry *x;

	j->light = j->w.mode == JOB_SYNC && !j->idempotent;
	if (j->spans != NULL)
		spans_admitted(j);
	if (!shop.draining && !wait_any_of(&shop.wait, j->code->did) &&
	    (!wait_counts(&shop.wait, j) || wait_may_start(&shop.wait, j)) &&
	    (x = pool_warm(&shop.pool, j->code)) != NULL) {
		start(j, x);
	} else if (wait_has_room(&shop.wait, j)) {
		place_enqueue(j);
	} else {
		wait_leave(&shop.wait, j->code->did, j->w.bundle, j->w.endpoint);
		j->left = true;
		j->light = false;
	}
	if (!j->light)
		turn_admit(&shop.turn, j);
}

void
place_fail(struct code *code, enum job_outcome outcome, const struct err *why)
{
	struct job *j;

	while ((j = wait_take_code(&shop.wait, code)) != NULL) {
		turn_job_end(j, outcome, why);
		shop_drop(j);
	}
}

struct giving_up {
	const struct code *code;
	const struct err *why;
	bool others; /* somebody of the code goes on waiting */
};

static void
give_up(void *arg, struct job *j)
{
	struct giving_up *g = arg;

	if (j->code != g->code)
		return;
	if (j->w.mode == JOB_ASYNC) {
		g->others = true;
		return;
	}
	wait_remove(&shop.wait, j);
	turn_job_end(j, OUTCOME_LOST, g->why);
	shop_drop(j);
}

/* A start that came to nothing before any user code ran is tried again: for who waits some times, for what was accepted as
 * long as it may wait, and when only room is missing so for all. */
void
place_failed(struct code *code, const char *why)
{
	struct err e = ERR_INIT;
	struct giving_up g = { code, &e, false };
	int tries, doubled;

	if (code->no_room) {
		code->no_room = false;
		code->retry_at_ms = clock_mono_ms() + NO_ROOM_DELAY_MS;
		return;
	}
	tries = ++code->failures;
	doubled = tries - START_TRIES < 6 ? tries - START_TRIES : 6;
	code->retry_at_ms = clock_mono_ms() + START_DELAY_MS * tries;
	if (tries < START_TRIES)
		return;
	err_named(&e, ERR_INTERNAL, "StartFailed", "no instance could be started in %d tries: %.300s", tries, why);
	wait_jobs(&shop.wait, give_up, &g);
	code->retry_at_ms = clock_mono_ms() + (START_RETRY_MS << doubled);
	if (!g.others)
		code->failures = 0;
}

/* Codes that wait without any instance, when no new one can be had without taking somebody's. */
static bool
count_starving(void *arg, struct waiting *x)
{
	int coming, *n = arg;

	if (pool_count(&shop.pool, x->code, &coming) == 0 &&
	    pool_blank(&shop.pool, x->code->runtime, x->code->key) == NULL && x->code->retry_at_ms <= loop_now_ms())
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
	while ((x = pool_warm(&shop.pool, w->code)) != NULL && *starving > 0 && x->busy == 0 &&
	    loop_now_ms() - x->bound_ms >= SLICE_MS) {
		--*starving;
		x->retiring = true;
	}
	if (x == NULL)
		return false;
	j = wait_take(&shop.wait, w);
	if (shop_late(j))
		shop_drop(j);
	else
		start(j, x);
	return true;
}

/* The row of the ledger needs the process, and nobody speaks to the instance before: a commit of its own. */
static int
instance_row(struct instance *i, struct err *e)
{
	int64_t started, id, pid = instance_pid(i, &started);

	if (store_begin(shop.s.store, false, e) != 0)
		return -1;
	if (work_instance_new(shop.s.store, shop.s.run, instance_runtime(i)->name, instance_wall(i)->name, pid, started,
	    clock_wall_ms(), &id, e) != 0 || store_commit(shop.s.store, e) != 0) {
		store_rollback(shop.s.store);
		return -1;
	}
	instance_set_ledger_id(i, id);
	pool_of(&shop.pool, i)->pid_written = pid;
	log_info("instance started", "instance=%lld runtime=%s pid=%lld", (long long)id, instance_runtime(i)->name,
	    (long long)pid);
	return 0;
}

static bool
start_instance(const struct backend *wall, const struct runtime *r, struct code *code)
{
	struct err e = ERR_INIT;
	struct instance *i = instance_new(++shop.last_instance_dir, wall, r, code, &e);

	if (i == NULL) {
		log_error("instance does not start", "runtime=%s why=%s", r->name, log_q(e.text));
		if (code != NULL) {
			code->no_room = err_is_full(&e);
			place_failed(code, e.text);
		}
		return false;
	}
	pool_add(&shop.pool, i, code);
	if (instance_row(i, &e) != 0) {
		log_error("instance has no row", "why=%s", log_q(e.text));
		if (code != NULL)
			code->no_room = err_is_full(&e);
		instance_stop(i, "the ledger could not be written");
		return false;
	}
	return true;
}

static void
on_refill(void *arg)
{
	(void)arg;
	shop.new_blanks = true;
}

/* The next blank is started a little later: its start would compete with the very call that took this one. */
static void
bind_blank(struct pool_entry *x, struct code *code)
{
	x->code = code_ref(code);
	events_blank(x->instance);
	pool_sync(x);
	if (shop.refill.at == 0)
		loop_after(&shop.refill, REFILL_MS, on_refill, NULL);
}

/* A bundle's jobs wait: is another instance worth it, and where does it come from? */
static bool
try_grow(void *arg, struct waiting *w)
{
	struct code *code = w->code;
	struct pool_entry *x;
	int coming, have = pool_count(&shop.pool, code, &coming);
	int64_t now = clock_mono_ms(), waited = clock_mono_us() - w->first->waits_since_us;
	int64_t enough = code->run_us + GROW_MARGIN_US;

	(void)arg;
	if (have >= shop.conf->pool.per_bundle || coming > 0)
		return false;
	if (code->retry_at_ms > now) {
		shop_pump_in(code->retry_at_ms - now);
		return false;
	}
	if (have > 0 && shop.short_of_memory)
		return false; /* the next tick looks again */
	if (have > 0 && waited < enough) {
		shop_pump_in((enough - waited) / 1000 + 1);
		return false;
	}
	x = pool_blank(&shop.pool, code->runtime, code->key);
	if (x != NULL) {
		bind_blank(x, code);
		return true;
	}
	if (pool_live(&shop.pool) >= shop.conf->pool.max) {
		/* To grow is no reason to take another's; to begin is. */
		x = have == 0 ? pool_evict(&shop.pool, code, now, SLICE_MS) : NULL;
		if (x == NULL) {
			shop_pump_in(SLICE_MS / 4);
			return false;
		}
		x->state = INSTANCE_ENDING;
		instance_stop(x->instance, "made room for another bundle");
	}
	start_instance(code->wall, code->runtime, code);
	return true; /* also when it failed: whoever waited may have been told so, and w be gone */
}

void
place_turn(void)
{
	int starving = 0;

	if (shop.wait.n == 0 || shop.draining)
		return;
	if (pool_live(&shop.pool) >= shop.conf->pool.max)
		wait_each(&shop.wait, count_starving, &starving);
	while (shop.wait.n > 0 && wait_each(&shop.wait, try_place, &starving))
		;
	while (shop.wait.n > 0 && wait_each(&shop.wait, try_grow, NULL))
		;
}

/* Why an instance takes no more calls; NULL: it does. */
static const char *
why_retire(const struct pool_entry *x)
{
	int64_t most = shop.conf->pool.calls;

	if (most > 0 && instance_calls(x->instance) >= most)
		return "it served pool.calls calls";
	/* It would share its memory and its processor with calls that know nothing of it. */
	if (instance_haunted(x->instance))
		return "a handler went on after its call was cancelled";
	if (x->retiring && x->code != NULL && x->busy == 0 && instance_calls(x->instance) > 0 && is_fresh(x->code))
		return "it served the one call that it was for";
	return x->retiring ? "retired" : NULL;
}

/* Instances that are to end once they are free. */
void
place_retire(void)
{
	size_t i;

	for (i = 0; i < shop.pool.n; i++) {
		struct pool_entry *x = &shop.pool.item[i];
		const char *why = why_retire(x);

		if (why == NULL)
			continue;
		x->retiring = true;
		if (x->busy == 0 && x->state != INSTANCE_ENDING) {
			x->state = INSTANCE_ENDING;
			instance_stop(x->instance, why);
		}
	}
}

static int
wanted_blanks(const char *runtime)
{
	size_t i;

	for (i = 0; i < shop.warm.n; i++)
		if (strcmp(shop.warm.item[i].key, runtime) == 0)
			return (int)strtol(shop.warm.item[i].value, NULL, 10);
	return 0;
}

void
place_blanks(void)
{
	size_t i;

	if (!shop.new_blanks || shop.draining || shop.wait.n > 0 || shop.short_of_memory)
		return;
	shop.new_blanks = false;
	for (i = 0; i < shop.s.runtimes->n; i++) {
		const struct runtime *r = &shop.s.runtimes->item[i];
		const struct backend *wall = r->missing == NULL ? walls_of(shop.s.walls, r, NULL, NULL, NULL) : NULL;
		int want = wanted_blanks(r->name);

		while (wall != NULL && pool_blanks(&shop.pool, r) < want && pool_live(&shop.pool) < shop.conf->pool.max)
			if (!start_instance(wall, r, NULL))
				return;
	}
}

static void
end_entry(struct pool_entry *x, const char *why)
{
	x->state = INSTANCE_ENDING;
	instance_stop(x->instance, why);
}

void
place_shrink(void)
{
	int64_t now = loop_now_ms(), idle = shop.conf->pool.idle;
	struct pool_entry *x;
	size_t i;

	while ((x = pool_idle(&shop.pool, now, idle)) != NULL)
		end_entry(x, "idle longer than pool.idle");
	for (i = 0; i < shop.s.runtimes->n; i++) {
		const struct runtime *r = &shop.s.runtimes->item[i];

		while ((x = pool_spare_blank(&shop.pool, r, wanted_blanks(r->name), now, idle)) != NULL)
			end_entry(x, "a spare blank, idle longer than pool.idle");
	}
	shop.short_of_memory = shop.conf->pool.spare > 0 && pressure_is_high(shop.conf->pool.spare);
	/* One a tick: what the first gives back shows in the next look. */
	if (shop.short_of_memory && (x = pool_evict(&shop.pool, NULL, now, 0)) != NULL)
		end_entry(x, "the machine is short of memory");
}
