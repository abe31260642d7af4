/*
 * The heart of the workshop.  One thread; a turn of the loop has three parts:
 *
 *   1. events: frames, dead processes, answers of the fetcher and timers change jobs in memory and mark them (turn.h);
 *   2. decisions: new rows are read and admitted, waiting jobs meet free instances, instances are started;
 *   3. one transaction writes all of it, and only then CALL frames leave, bells ring and ended jobs are freed.
 *
 * So nobody hears of what is not durable, and user code is started at most once.  For a job that was accepted (202), and for
 * an idempotent one, the ledger says "running" before it is started.  A call that somebody waits for is *light*: its row stays
 * "queued" until it has run for RECORD_MS, begins a stream, or ends, and is then written whole.  A scheduler that comes after
 * one that was killed starts no queued call of the time before (work_recover): its caller hears that it may have run.  That
 * saves a transaction, a third of what a warm call costs here.
 *
 * Jobs are held in memory in three places: `held` (queued, waiting for the fetcher), `wait` (admitted, waiting for an
 * instance), and `running`.  A backlog beyond what wait.h keeps stays in the ledger.
 */
#include "scheduler/dispatch.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "backends/backend.h"
#include "backends/runtime.h"
#include "backends/walls.h"
#include "lib/bell.h"
#include "lib/buf.h"
#include "lib/cgroup.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/slip.h"
#include "lib/store.h"
#include "lib/store_key.h"
#include "lib/store_schedule.h"
#include "lib/store_token.h"
#include "lib/store_usage.h"
#include "lib/store_work.h"
#include "scheduler/callbacks.h"
#include "scheduler/callers.h"
#include "scheduler/catalog.h"
#include "scheduler/checkpoint.h"
#include "scheduler/collect.h"
#include "scheduler/dev.h"
#include "scheduler/durable.h"
#include "scheduler/enrol.h"
#include "scheduler/events.h"
#include "scheduler/exits.h"
#include "scheduler/fetch.h"
#include "scheduler/flow.h"
#include "scheduler/graph.h"
#include "scheduler/hoard.h"
#include "scheduler/inflow.h"
#include "scheduler/instance.h"
#include "scheduler/intake.h"
#include "scheduler/meter.h"
#include "scheduler/orders.h"
#include "scheduler/people.h"
#include "scheduler/place.h"
#include "scheduler/proofs.h"
#include "scheduler/quota.h"
#include "scheduler/report.h"
#include "scheduler/retry.h"
#include "scheduler/schedule.h"
#include "scheduler/seen.h"
#include "scheduler/ration.h"
#include "scheduler/settle.h"
#include "scheduler/shop.h"
#include "scheduler/spawn.h"
#include "scheduler/survey.h"
#include "scheduler/traffic.h"
#include "scheduler/vault.h"

#define TICK_MS         1000   /* the slow poll: data never depends on bells */
#define BEAT_TICKS      2
#define INSTANCE_TICKS  5      /* calls and used_at of instances go to the ledger this often */
#define ORDERS_MS       50     /* a bell looks for orders at most this often */
#define LEASE_SPARE_MS  5000
#define CANCEL_GRACE_MS 2000
#define COMMIT_TRIES    100
#define COMMIT_DELAY_MS 50
#define BELLS_A_TURN    64
#define PRUNE_ROWS      32     /* a step, with all that hangs on them: well below a millisecond */
#define PRUNE_KEYS      500
#define PRUNE_TOKENS    500
#define USAGE_KEPT_MS   (INT64_C(90) * 86400000)
#define PRUNE_US        1000   /* at once; then others have their turn */
#define HOARD_US        500    /* to look at whose history it is */
#define HOUSE_MS        25     /* and this much later it goes on, when more is old */
#define TIDY_TICKS      30
#define ALONE           8      /* calls in a row with no other beside them */
#define SOON_US         100    /* to wait for a slip that was announced, awake: as long as a commit takes */

static bool
asked_to_end(void)
{
	sigset_t set;

	return sigpending(&set) == 0 && (sigismember(&set, SIGTERM) || sigismember(&set, SIGINT));
}

/*
 * Commits the turn.  The ledger may be busy for a while; when it stays so we end, and the supervisor starts us again: rows are
 * durable, and what ran is settled by recovery.  While the disk is full nothing can be accepted anyway, so we wait for room
 * with what has come to its end meanwhile in our hands; whoever stops us then has to do without it.
 */
static void
commit(void)
{
	struct timespec pause = { 0, COMMIT_DELAY_MS * 1000000L };
	enum turn_lasts lasts = turn_lasts(&shop.turn);
	bool now = lasts == TURN_LASTS || (lasts == TURN_LASTS_SOON && shop.durable == NULL);
	struct err e = ERR_INIT;
	int tries;

	for (tries = 1; turn_write(&shop.turn, shop.s.store, now, &e) != 0; tries++) {
		bool full = err_is_full(&e);

		if (tries % COMMIT_TRIES == 1 || !full)
			log_error("commit", "try=%d why=%s", tries, log_q(e.text));
		if (tries >= COMMIT_TRIES && (!full || asked_to_end()))
			exit(70);
		shop.s.alive();
		nanosleep(&pause, NULL);
	}
	shop.lasts_soon = lasts == TURN_LASTS_SOON && !now;
	shop.syncs += now;
}

static void
bury(void)
{
	size_t i;

	for (i = 0; i < shop.graves_n; i++)
		instance_free(shop.graves[i]);
	shop.graves_n = 0;
}

static void
flush_instances(void)
{
	size_t i;

	for (i = 0; i < shop.pool.n; i++)
		instance_flush(shop.pool.item[i].instance);
}

static void
take_orders(void)
{
	struct err e = ERR_INIT;

	if (!shop.orders)
		return;
	shop.orders = false;
	shop.orders_at_ms = loop_now_ms();
	if (orders_take(shop.s.store, &shop.orders, &e) < 0)
		log_error("read the orders", "why=%s", log_q(e.text));
}

/* Work after an answer may go on while we drain, as calls may. */
static bool
any_resting(void)
{
	size_t i;

	for (i = 0; i < shop.pool.n; i++)
		if (instance_resting(shop.pool.item[i].instance) > 0)
			return true;
	return false;
}

/* Calls come one by one: while this one runs there is time to read where its end will be written. */
static void
look_ahead(size_t begun)
{
	static int alone;

	alone = begun == 1 && shop.running.n == 1 ? alone + 1 : 0;
	if (alone >= ALONE)
		store_warm(shop.s.store);
}

bool
dispatch_turn(void *arg)
{
	size_t i, begun;
	bool more;

	(void)arg;
	for (i = 0; i < shop.pool.n; i++)
		pool_sync(&shop.pool.item[i]);
	take_orders();
	flow_look();
	intake_bodies();
	inflow_look();
	intake_refill();
	more = intake_new() || shop.orders;
	place_turn();
	place_retire();
	place_blanks();
	begun = settle_light();
	if (!turn_empty(&shop.turn)) {
		commit();
		settle_admits();
		settle_commit();
		if (shop.turn.calls_back)
			callbacks_soon();
		turn_reset(&shop.turn);
		callers_turn();
		shop.wrote = true;
	}
	proofs_turn();
	if (shop.wrote)
		checkpoint_turn(shop.checkpoint, shop.s.store);
	shop.wrote = false;
	flush_instances();
	bury();
	if (begun > 0 && !more)
		look_ahead(begun);
	if (shop.draining && shop.running.n == 0 && !any_resting())
		loop_end();
	return more;
}

static void
refresh_instances(void)
{
	size_t i;

	for (i = 0; i < shop.pool.n; i++) {
		struct pool_entry *x = &shop.pool.item[i];
		int64_t calls = instance_calls(x->instance);

		if (x->state == INSTANCE_ENDING || x->calls_written == calls)
			continue;
		x->calls_written = calls;
		turn_instance_set(&shop.turn, instance_ledger_id(x->instance), instance_word(x->instance),
		    x->code != NULL ? x->code->cid : NULL, calls);
	}
}

/* A few old rows at a time. */
static void on_house(void *arg);

static void
keep_house(void)
{
	struct err e = ERR_INIT;
	int64_t now = clock_wall_ms(), until = clock_mono_us() + PRUNE_US, newest;
	int n, more;

	callers_keep();
	do {
		n = work_prune(shop.s.store, now - shop.conf->scheduler.keep_sync, now - shop.conf->scheduler.keep_async,
		    shop.conf->scheduler.keep_size, PRUNE_ROWS, &e);
	} while (n > 0 && clock_mono_us() < until);
	more = n < 0 ? 0 : hoard_step(shop.hoard, shop.s.store, clock_mono_us() + HOARD_US, clock_mono_ms(), &e);
	if (more < 0)
		log_warn("housekeeping", "why=%s", log_q(e.text));
	if (n > 0 || more > 0) /* more is old, but nobody is to wait for it */
		loop_after(&shop.house, HOUSE_MS, on_house, NULL);
	if (n >= 0 && work_usage_prune(shop.s.store, (now - USAGE_KEPT_MS) / 86400000, &e) != 0)
		n = -1;
	if (n >= 0 && traffic_prune(shop.s.store, now, &e) != 0)
		n = -1;
	if (n >= 0 && work_spent_prune(shop.s.store, now, PRUNE_TOKENS, &e) < 0)
		n = -1;
	if (n >= 0 && work_proof_prune(shop.s.store, now, &e) != 0)
		n = -1;
	if (n >= 0 && key_prune(shop.s.store, now - shop.conf->jobs.keep_keys, PRUNE_KEYS, &e) < 0)
		n = -1;
	if (n >= 0 && work_firing_prune(shop.s.store, now - shop.conf->scheduler.keep_async, PRUNE_KEYS, &e) < 0)
		n = -1;
	/* When even the newest row went, numbers come again: those that are open may lie below. */
	if (n >= 0 && work_last(shop.s.store, &newest, &e) == 0 && newest < shop.last_row) {
		n = work_before_open(shop.s.store, &shop.last_row, &e);
		shop.rescan = true;
		callers_renumbered();
	}
	if (n < 0)
		log_warn("housekeeping", "why=%s", log_q(e.text));
}

static void
on_house(void *arg)
{
	(void)arg;
	keep_house();
}

static void
on_tick(void *arg)
{
	(void)arg;
	shop.ticks++;
	shop.look = shop.orders = shop.new_blanks = shop.rung = shop.knocked = true;
	report_tick();
	proofs_look();
	if (shop.ticks % BEAT_TICKS == 0) {
		survey();
		shop.turn.beat = true;
		shop.turn.syncs = shop.syncs + (shop.durable != NULL ? durable_count(shop.durable) : 0);
		shop.s.alive();
	}
	if (shop.ticks % INSTANCE_TICKS == 0)
		refresh_instances();
	vault_tick();
	if (shop.ticks % TIDY_TICKS == 0)
		catalog_tidy(shop.catalog);
	graph_tick(shop.graph);
	quota_tick();
	place_shrink();
	cgroup_tidy();
	enrol_tick();
	schedule_tick();
	callbacks_tick();
	keep_house();
	loop_after(&shop.tick, TICK_MS, on_tick, NULL);
}

static void
on_late_orders(void *arg)
{
	(void)arg;
	shop.orders = true;
}

static void
on_person(const char *name)
{
	proofs_person(name);
	intake_person(name);
}

/* A word about a token. */
static bool
hear_token(const char *p, size_t n)
{
	size_t token_n;
	bool soon;
	const char *token = slip_ahead(p, n, &token_n, &soon);

	if (slip_question(p, n)) {
		proofs_look();
		return true;
	}
	if (token == NULL)
		return false;
	callers_ahead(token, token_n);
	if (soon)
		loop_expect(SOON_US);
	return true;
}

static bool
hear_soon(const char *p, size_t n)
{
	if (!slip_soon(p, n))
		return false;
	loop_expect(SOON_US);
	return true;
}

/* Slips say all there is to know of new rows; for anything else the ledger is looked at. */
static void
on_bell(void *arg, uint32_t ev)
{
	static char heard[SLIP_MAX];
	bool bare = false;
	long n;
	int i;

	(void)arg;
	(void)ev;
	for (i = 0; i < BELLS_A_TURN && (n = bell_next(shop.bell, heard, sizeof heard)) >= 0; i++)
		bare = !(intake_slips(heard, (size_t)n) || hear_soon(heard, (size_t)n) || hear_token(heard, (size_t)n) ||
		    meter_knocks(heard, (size_t)n)) || bare;
	if (!bare)
		return;
	shop.look = shop.rung = shop.knocked = true;
	if (loop_now_ms() - shop.orders_at_ms >= ORDERS_MS)
		shop.orders = true;
	else if (shop.late_orders.at == 0)
		loop_after(&shop.late_orders, ORDERS_MS, on_late_orders, NULL);
}

/* A job that only the ledger knows: admitted, beyond what memory holds. */
static const char *
cancel_in_ledger(int64_t row)
{
	struct work_job w = { 0 };
	struct job *j;

	if (work_job_load(shop.s.store, row, &w, NULL) != 0)
		return "no such job";
	if (w.state == JOB_DONE || w.state == JOB_RUNNING) {
		work_job_clear(&w);
		return "the job is done already";
	}
	j = turn_job_new(&w);
	shop_end(j, OUTCOME_CANCELLED, ERR_DENIED, "JobCancelled", "the job was cancelled before it started");
	shop_drop(j);
	return "cancelled before it started";
}

const char *
dispatch_cancel(int64_t row)
{
	struct job *j = intake_take(row);
	struct err e = ERR_INIT;
	size_t i;

	if (j != NULL) {
		if (inflow_fault(j, &e))
			turn_job_end(j, OUTCOME_CANCELLED, &e);
		j->w.cancel = true;
		shop_cancelled(j);
		shop_drop(j);
		return "cancelled before it started";
	}
	for (i = 0; i < shop.running.n; i++) {
		if (shop.running.item[i]->w.id.row != row)
			continue;
		if (!inflow_fault(shop.running.item[i], &e))
			err_named(&e, ERR_DENIED, "JobCancelled", "the job was cancelled while it ran");
		events_stop(shop.running.item[i], OUTCOME_CANCELLED, &e, CANCEL_GRACE_MS);
		return "cancelled while it ran";
	}
	return cancel_in_ledger(row);
}

int
dispatch_retire(const char *runtime)
{
	size_t i;
	int n = 0;

	for (i = 0; i < shop.pool.n; i++) {
		struct pool_entry *x = &shop.pool.item[i];

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

	for (i = 0; i < shop.warm.n && strcmp(shop.warm.item[i].key, runtime) != 0; i++)
		;
	if (i == shop.warm.n) {
		shop.warm.item = mem_grow(shop.warm.item, ++shop.warm.n * sizeof *shop.warm.item);
		shop.warm.item[i] = (struct conf_pair){ mem_str(runtime), NULL };
	}
	free(shop.warm.item[i].value);
	shop.warm.item[i].value = number;
	shop.new_blanks = true;
}

int
dispatch_warm(const char *runtime, int n)
{
	int found = -1;
	size_t i;

	for (i = 0; i < shop.s.runtimes->n; i++) {
		const struct runtime *r = &shop.s.runtimes->item[i];

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
	return catalog_forget(shop.catalog, author, name);
}

void
dispatch_order_done(int64_t id, const char *note)
{
	turn_order(&shop.turn, id, note);
}

static void
code_key(struct code *code)
{
	const struct task wanted = { .runtime = code->runtime, .bundle = code->bundle, .author = code->did, .name = code->name };

	code->wall = walls_of(shop.s.walls, code->runtime, code->did, code->name, &code->no_wall);
	code->key = code->wall != NULL ? instance_key_of(code->wall, &wanted) : NULL;
}

/* Lanes with jobs that an earlier run admitted: refill reads them. */
static void
take_up_admitted(void)
{
	struct work_job at = { 0 }, next = { 0 };

	while (work_next_lane(shop.s.store, at.author, at.bundle, at.endpoint, &next, NULL) == 0) {
		wait_leave(&shop.wait, next.author, next.bundle, next.endpoint);
		work_job_clear(&at);
		at = next;
		next = (struct work_job){ 0 };
	}
	work_job_clear(&at);
}

static void
warm_from_conf(void)
{
	size_t i;

	for (i = 0; i < shop.conf->pool.warm.n; i++) {
		const char *key = shop.conf->pool.warm.item[i].key;

		if (strncmp(key, "warm.", 5) == 0)
			key += 5;
		warm_set(key, mem_str(shop.conf->pool.warm.item[i].value));
	}
}

void
dispatch_warm_again(void)
{
	for (size_t i = 0; i < shop.warm.n; i++)
		warm_set(shop.warm.item[i].key, mem_str("0"));
	warm_from_conf();
}

/* Only a wall that has nothing inside has a gate. */
static bool
any_closed(const struct walls *w)
{
	const struct backend *b;
	size_t i;

	for (i = 0; (b = backend_at(i)) != NULL; i++)
		if (b->closed && walls_uses(w, b))
			return true;
	return false;
}

static int64_t
lease_until(const struct job *j)
{
	return j->deadline_ms + LEASE_SPARE_MS;
}

int
dispatch_open(const struct dispatch_setup *s, struct err *e)
{
	memset(&shop, 0, sizeof shop);
	shop.s = *s;
	shop.conf = s->conf;
	shop.turn.run = s->run;
	shop.turn.lease_until = lease_until;
	shop.wait.author_most = s->conf->limits.author_running;
	shop.look = shop.orders = true;
	if (report_open(s->conf, s->program, e) != 0)
		return -1;
	shop.ration = ration_new(s->conf->limits.log_author);
	shop.hoard = hoard_new(s->conf->scheduler.keep_author, s->conf->scheduler.keep_log);
	shop.catalog = catalog_new(s->conf, s->runtimes, s->store);
	catalog_set_key(shop.catalog, code_key);
	if (s->conf->dev && s->conf->dev_conf.bundles != NULL)
		shop.dev = dev_new(s->conf, s->runtimes, shop.catalog);
	shop.exits = exits_new(s->conf, s->program, &events_of_exits, NULL);
	instance_setup(s->conf, shop.exits, &events);
	shop.bell = bell_listen(s->conf->run_dir, BELL_SCHEDULER, e);
	shop.ringer = bell_ringer();
	if (shop.bell < 0 || shop.ringer < 0)
		return -1;
	loop_watch(shop.bell, EPOLLIN, on_bell, NULL);
	shop.fetch = fetch_new(s->conf, s->program);
	if (fetch_start(shop.fetch, e) != 0)
		return -1;
	vault_open();
	if (any_closed(s->walls) && exits_start(shop.exits, e) != 0)
		return -1;
	shop.people = people_new(s->conf, shop.fetch, on_person);
	shop.seen = seen_new();
	if (enrol_open(e) != 0 || schedule_open(e) != 0)
		return -1;
	if (callers_open(e) != 0 || quota_open(e) != 0 || callbacks_open(e) != 0)
		return -1;
	shop.graph = graph_new(s->conf, s->store, shop.fetch, intake_graph);
	if (work_before_open(s->store, &shop.last_row, e) != 0 || work_boot_job(s->store, &shop.boot_row, e) != 0)
		return -1;
	shop.checkpoint = checkpoint_new(s->conf->database, (int)s->conf->scheduler.checkpoint_pages, e);
	if (shop.checkpoint == NULL)
		return -1;
	if (store_has_log(s->store) && (shop.durable = durable_new(s->conf->database, s->conf->run_dir, settle_late, e)) == NULL)
		return -1;
	warm_from_conf();
	take_up_admitted();
	shop.turn.beat = true;
	loop_after(&shop.tick, TICK_MS, on_tick, NULL);
	return 0;
}

static void
on_grace_over(void *arg)
{
	struct err e = ERR_INIT;
	char limit[64];
	size_t i;

	(void)arg;
	collect_limit_ms("scheduler.grace", shop.conf->scheduler.grace, limit, sizeof limit);
	err_named(&e, ERR_BUSY, "RunnerStops", "the runner is being stopped and the call did not end within %s", limit);
	for (i = 0; i < shop.running.n; i++)
		events_stop(shop.running.item[i], OUTCOME_KILLED, &e, 0);
	for (i = 0; i < shop.pool.n; i++)
		if (instance_resting(shop.pool.item[i].instance) > 0)
			instance_stop(shop.pool.item[i].instance, e.text);
}

void
dispatch_drain(int64_t grace_ms)
{
	shop.draining = shop.turn.draining = shop.turn.beat = true;
	log_info("drain", "running=%zu grace_ms=%lld", shop.running.n, (long long)grace_ms);
	loop_after(&shop.grace, grace_ms, on_grace_over, NULL);
}

static bool
all_gone(void *arg)
{
	(void)arg;
	if (!turn_empty(&shop.turn)) {
		commit();
		settle_admits();
		settle_commit();
		turn_reset(&shop.turn);
	}
	bury();
	if (shop.pool.n == 0 && !spawn_undoing() && (shop.fetch == NULL || fetch_gone(shop.fetch)) && vault_gone() &&
	    (shop.exits == NULL || exits_gone(shop.exits))) {
		/* The last, so that it hears of all. */
		if (!shop.told_all)
			report_stop();
		shop.told_all = true;
		if (report_gone())
			loop_end();
	}
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

	loop_stop(&shop.tick);
	loop_stop(&shop.sweep);
	loop_stop(&shop.pump);
	loop_stop(&shop.late_orders);
	loop_stop(&shop.grace);
	loop_stop(&shop.record);
	loop_stop(&shop.house);
	loop_stop(&shop.refill);
	if (shop.fetch != NULL)
		fetch_stop(shop.fetch);
	vault_stop();
	for (i = 0; i < shop.pool.n; i++)
		instance_stop(shop.pool.item[i].instance, "the scheduler stops");
	if (shop.exits != NULL)
		exits_stop(shop.exits);
	traffic_last();
	shop.turn.beat = true;
	loop_after(&patience, 3000, on_give_up, NULL);
	loop_run(all_gone, NULL, NULL);
	loop_stop(&patience);
	durable_free(shop.durable);
	shop.durable = NULL;
	if (shop.bell >= 0) {
		loop_forget(shop.bell);
		bell_close(shop.bell, shop.conf->run_dir, BELL_SCHEDULER);
	}
	if (shop.ringer >= 0)
		close(shop.ringer);
	report_close();
	fetch_free(shop.fetch);
	vault_close();
	exits_free(shop.exits);
	people_free(shop.people);
	graph_free(shop.graph);
	proofs_close();
	callers_close();
	seen_free(shop.seen);
	quota_close();
	checkpoint_free(shop.checkpoint);
	retry_close();
	callbacks_close();
	enrol_close();
	schedule_close();
	wait_clear(&shop.wait);
	while (shop.held != NULL)
		turn_job_free(intake_held(shop.held->w.id.row));
	dev_free(shop.dev);
	pool_clear(&shop.pool);
	turn_clear(&shop.turn);
	ration_free(shop.ration);
	hoard_free(shop.hoard);
	traffic_clear();
	catalog_free(shop.catalog);
	for (i = 0; i < shop.warm.n; i++) {
		free(shop.warm.item[i].key);
		free(shop.warm.item[i].value);
	}
	free(shop.warm.item);
	free(shop.slips);
	free(shop.running.item);
	free(shop.graves);
}
