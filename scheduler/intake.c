/*
 * How jobs come in.  New rows are read in batches; whose code is known is admitted at once, the others are held until the
 * fetcher has answered.  What an earlier run admitted, or memory could not hold, is read again when its author's turn comes.
 */
#include "scheduler/intake.h"

#include <string.h>

#include "lib/bundle.h"
#include "lib/clock.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/slip.h"
#include "lib/store_work.h"
#include "scheduler/admit.h"
#include "scheduler/callbacks.h"
#include "scheduler/callers.h"
#include "scheduler/catalog.h"
#include "scheduler/collect.h"
#include "scheduler/dev.h"
#include "scheduler/fetch.h"
#include "scheduler/fetcher.h"
#include "scheduler/graph.h"
#include "scheduler/inflow.h"
#include "scheduler/meter.h"
#include "scheduler/people.h"
#include "scheduler/place.h"
#include "scheduler/quota.h"
#include "scheduler/report.h"
#include "scheduler/retry.h"
#include "scheduler/schedule.h"
#include "scheduler/shop.h"
#include "scheduler/spans.h"
#include "scheduler/vault.h"

#define HELD_MAX  1024
#define BODY_BYTES_PER_MS 16 /* as fcgi/request.c has it */
#define SLIPS_MAX 256  /* in one turn; the rest is read from the ledger */

static void
refuse(struct job *j, const struct err *why)
{
	turn_job_end(j, collect_outcome(why->kind), why);
	shop_drop(j);
}

static void
fill_admission(struct job *j, const struct admission *a)
{
	/* From here on nobody waits for a task: it is durable, and its budget begins with its run. */
	j->task = a->task;
	if (a->task)
		j->w.mode = JOB_ASYNC;
	shop_set_deadline(j, a->timeout_ms);
	j->limit_key = a->limit_key;
	j->idempotent = a->idempotent;
	j->attempts = a->attempts;
	j->priority = a->priority;
	j->most = a->most;
	j->bundle_most = a->bundle_most;
}

/* The call says by a name that does not change whose bundle it wants. */
static bool
is_his(const struct job *j)
{
	return strncmp(j->w.author, "did:", 4) == 0 || strcmp(j->w.author, "local") == 0;
}

/* The door has held limits.request; a bundle may want less. */
static int
request_fits(const struct job *j, struct err *e)
{
	int64_t own = j->code->bundle->limits.request_bytes, bytes = j->w.upload ? j->w.upload_bytes : (int64_t)j->w.body_bytes;
	char limit[96];

	if (own == 0 || bytes <= own)
		return 0;
	collect_limit_bytes("the bundle's limits.requestBytes", own, limit, sizeof limit);
	return err_named(e, ERR_INPUT, "PayloadTooLarge", "the request body is larger than %s", limit);
}

static int
admit(struct job *j, struct err *e)
{
	struct admit_rules rules = { shop.conf, shop.s.runtimes };
	struct admission a;

	if (request_fits(j, e) != 0 || admit_code(&rules, j->code, j->w.endpoint, j->w.timeout_ms, &a, e) != 0 ||
	    vault_admit(j->code, e) != 0)
		return -1;
	fill_admission(j, &a);
	return 0;
}

static void
fail_broken(struct job *j)
{
	turn_job_end(j, j->code->broken_outcome, &j->code->broken);
	shop_drop(j);
}

/* --- jobs that are held until the fetcher has answered --- */

static void
hold(struct job *j, enum job_wants what, const char *of)
{
	j->wants = what;
	j->wants_of = of;
	j->held_us = clock_mono_us();
	j->next = shop.held;
	shop.held = j;
	shop.held_n++;
	shop_sweep_soon();
}

/* Is the author (of that DID), or the caller, let in?  false: held until the graph says so, or refused. */
static bool
is_let_in(struct job *j, const char *author)
{
	const struct access_facts facts = { graph_fact, shop.graph };
	enum access_said said = ACCESS_YES;
	const char *did = author != NULL ? author : j->w.caller;
	struct err e = ERR_INIT;

	said = author != NULL ? admit_author(shop.conf, &facts, author, &e) : admit_caller(shop.conf, &facts, did, &e);
	if (said == ACCESS_YES)
		return true;
	if (said == ACCESS_NOT_KNOWN && !graph_cannot(shop.graph, did, &e))
		hold(j, WANTS_GRAPH, NULL);
	else
		refuse(j, &e);
	return false;
}

/* What may be started again, or is accepted, needs its body at hand: the door sends it all before anything else is done.  That
 * takes its own time, which the door watches over (web.body_timeout, and so much for each byte); the job's begins after it. */
static void
hold_for_body(struct job *j)
{
	int64_t bytes = j->w.upload_bytes >= 0 ? j->w.upload_bytes : shop.conf->limits.request;

	j->deadline_ms = clock_mono_ms() + 2 * shop.conf->web.body_timeout + bytes / BODY_BYTES_PER_MS;
	shop.bodies++;
	hold(j, WANTS_BODY, NULL);
	inflow_whole(j);
}

/* The bundle is known and proven: the rest of admission. */
static void
take_code(struct job *j, struct code *code)
{
	struct err e = ERR_INIT;

	if (!is_his(j) && !is_let_in(j, code->did))
		return; /* else it was asked before */
	j->code = code_ref(code);
	if (admit(j, &e) != 0 || callbacks_admit(j, &e) != 0) {
		refuse(j, &e);
		return;
	}
	if (shop_late(j))
		shop_drop(j);
	else if (j->w.upload && (j->idempotent || j->w.mode == JOB_ASYNC))
		hold_for_body(j);
	else if (code->broken_until_ms > loop_now_ms())
		fail_broken(j);
	else if (quota_enter(j, &e) != 0)
		refuse(j, &e);
	else
		place_job(j);
}

/* Takes those out that want this, oldest first. */
static struct job *
held_for(enum job_wants what, bool (*match)(const struct job *j, const void *arg), const void *arg)
{
	struct job **p = &shop.held, *out = NULL, *j;

	while ((j = *p) != NULL) {
		struct job **at = &out;

		if (j->wants != what || !match(j, arg)) {
			p = &j->next;
			continue;
		}
		*p = j->next;
		shop.held_n--;
		/* The list grew at its head, so that this is mostly the head of the new one. */
		while (*at != NULL && (*at)->w.id.row < j->w.id.row)
			at = &(*at)->next;
		j->next = *at;
		*at = j;
	}
	shop.look = true;
	return out;
}

static void
let_go(struct job *j, bool fine)
{
	static const char *const words[] = { [WANTS_CODE] = "bundle", [WANTS_PERSON] = "identity", [WANTS_GRAPH] = "graph" };

	meter_time(METER_FETCH_TIME, fine ? METER_FINE : METER_FAILURE, clock_mono_us() - j->held_us);
	spans_fetched(j, words[j->wants], j->held_us, fine);
}

static struct job *
next_of(struct job **list)
{
	struct job *j = *list;

	if (j != NULL) {
		*list = j->next;
		j->next = NULL;
	}
	return j;
}

static void go_on(struct job *j);

static bool
is_of_person(const struct job *j, const void *name)
{
	return strcmp(j->wants_of, name) == 0;
}

void
intake_person(const char *name)
{
	struct job *list = held_for(WANTS_PERSON, is_of_person, name), *j;

	while ((j = next_of(&list)) != NULL) {
		let_go(j, true);
		go_on(j);
	}
}

static bool
is_anybody(const struct job *j, const void *arg)
{
	(void)j;
	(void)arg;
	return true;
}

void
intake_graph(void)
{
	struct job *list = held_for(WANTS_GRAPH, is_anybody, NULL), *j;

	while ((j = next_of(&list)) != NULL) {
		let_go(j, true);
		go_on(j);
	}
}

/* The body is there: the job goes on as if it had just come. */
static void
take_body(struct job *j, struct work_job *w)
{
	struct code *code = j->code;

	j->code = NULL;
	j->w.upload = false;
	j->w.body = w->body;
	j->w.body_bytes = w->body_bytes;
	j->w.created_mono = clock_mono_ms();
	w->body = NULL;
	take_code(j, code);
	code_unref(code);
}

void
intake_bodies(void)
{
	struct job *list = NULL, *j;

	if (shop.bodies == 0 || !shop.knocked)
		return;
	shop.bodies = 0;
	list = held_for(WANTS_BODY, is_anybody, NULL);
	while ((j = next_of(&list)) != NULL) {
		struct work_job w = { 0 };
		struct err e = ERR_INIT;

		if (work_job_load(shop.s.store, j->w.id.row, &w, &e) == 0 && w.state == JOB_QUEUED && !w.upload) {
			take_body(j, &w);
		} else {
			shop.bodies++;
			hold(j, WANTS_BODY, NULL);
		}
		work_job_clear(&w);
	}
}

/* --- bundles --- */

static bool
is_of_bundle(const struct job *j, const void *arg)
{
	const struct fetcher_request *r = arg;

	return strcmp(j->w.author, r->author) == 0 && strcmp(j->w.bundle, r->name) == 0 &&
	    strcmp(j->w.version, r->version) == 0;
}

static void
held_answer(const struct fetcher_request *r, struct code *code, const struct err *why)
{
	struct job *list = held_for(WANTS_CODE, is_of_bundle, r), *j;

	while ((j = next_of(&list)) != NULL) {
		let_go(j, code != NULL);
		if (code != NULL)
			take_code(j, code);
		else
			refuse(j, why);
	}
}

static void
on_bundle(void *arg, const struct fetcher_request *r, struct fetcher_answer *answer, const struct fetcher_answer *failed,
    const struct err *why)
{
	struct err e = ERR_INIT;
	struct code *code = NULL;
	bool unsealed = false;

	(void)arg;
	/* What a repository has not any more is believed of its newest revision alone. */
	if (failed != NULL && failed->rev != NULL) {
		if (catalog_rev(shop.catalog, failed->did, failed->rev, &e) == 0)
			turn_rev(&shop.turn, failed->did, failed->rev);
		else
			why = &e;
	}
	if (answer != NULL) {
		code = catalog_take(shop.catalog, r->author, r->name, r->version, answer, &shop.turn, &unsealed, &e);
		if (code != NULL && unsealed)
			vault_renew(code);
		if (code != NULL && strcmp(r->version, "latest") == 0)
			schedule_take(code);
		if (code != NULL)
			log_info("bundle", "author=%s name=%s version=%s cid=%s identity_ms=%lld record_ms=%lld blob_ms=%lld",
			    log_q(r->author), log_q(r->name), log_q(r->version), code->cid, (long long)answer->identity_ms,
			    (long long)answer->record_ms, (long long)answer->blob_ms);
		why = &e;
	}
	if (code == NULL) {
		log_warn("fetch failed", "author=%s name=%s version=%s kind=%s why=%s", log_q(r->author), log_q(r->name),
		    log_q(r->version), err_kind_name(why->kind), log_q(why->text));
		catalog_failed(shop.catalog, r->author, r->name, r->version, why);
		if (why->kind == ERR_NOTFOUND && strcmp(r->version, "latest") == 0)
			schedule_drop(r->author, r->name);
	}
	held_answer(r, code, why);
}

void
intake_ask(const char *author, const char *name, const char *version)
{
	struct fetcher_request r = { .op = FETCHER_BUNDLE, .author = author, .name = name, .version = version,
		.known_cid = catalog_known_cid(shop.catalog, author, name, version) };

	fetch_ask(shop.fetch, &r, shop.conf->atproto.fetch_timeout, on_bundle, NULL);
}

/* --- new rows --- */

/* Whose bundle is it, if that is all that is to be known yet?  false: held, or refused. */
static bool
author_may(struct job *j)
{
	const struct person *who;

	if (strncmp(j->w.author, "did:", 4) == 0 || strcmp(shop.conf->access.mode, "open") == 0)
		return true;
	if ((who = people_who(shop.people, j->w.author)) == NULL) {
		hold(j, WANTS_PERSON, j->w.author);
		return false;
	}
	if (who->did != NULL)
		return is_let_in(j, who->did);
	refuse(j, &who->failure);
	return false;
}

static void
find_code(struct job *j)
{
	struct err e = ERR_INIT;
	struct code *code = NULL;
	const char *author = j->w.author, *name = j->w.bundle, *version = j->w.version;
	enum catalog_found found;

	if (shop.dev != NULL && strcmp(author, "local") == 0) {
		code = dev_find(shop.dev, name, version, &e);
		if (code == NULL)
			refuse(j, &e);
		else
			take_code(j, code);
		return;
	}
	found = catalog_find(shop.catalog, author, name, version, &code);
	if (found == CATALOG_MISSING && !author_may(j))
		return;
	if (found != CATALOG_FRESH)
		intake_ask(author, name, version);
	if (found == CATALOG_MISSING)
		hold(j, WANTS_CODE, NULL);
	else
		take_code(j, code);
}

/* Who calls, who wrote it, may they; then the code. */
static void
go_on(struct job *j)
{
	enum callers_said who;
	struct err e = ERR_INIT;

	if (j->unproven && (who = callers_prove(j, &e)) != CALLERS_PROVEN) {
		if (who == CALLERS_WAIT)
			hold(j, WANTS_PERSON, j->w.caller);
		else
			refuse(j, &e);
		return;
	}
	/* Nobody calls what comes by itself. */
	if ((!is_his(j) || is_let_in(j, j->w.author)) && (schedule_made(j) || is_let_in(j, NULL)))
		find_code(j);
}

static bool
is_held(int64_t row)
{
	const struct job *j;

	for (j = shop.held; j != NULL; j = j->next)
		if (j->w.id.row == row)
			return true;
	return false;
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

/* Light jobs say "queued" while they wait and run here. */
static bool
is_ours(int64_t row)
{
	struct search s = { row, NULL };
	size_t i;

	for (i = 0; i < shop.running.n; i++)
		match_row(&s, shop.running.item[i]);
	wait_jobs(&shop.wait, match_row, &s);
	return s.found != NULL;
}

static void
consider(void *arg, struct work_job *w)
{
	struct job *j;

	(void)arg;
	if (w->id.row > shop.last_row)
		shop.last_row = w->id.row;
	if ((shop.held_n > 0 && is_held(w->id.row)) || (shop.rescan && is_ours(w->id.row))) {
		work_job_clear(w);
		return;
	}
	j = turn_job_new(w);
	if (report_on[TELEMETRY_TRACES])
		spans_seen(j);
	shop_set_deadline(j, j->w.timeout_ms);
	j->unproven = j->w.caller != NULL;
	if (shop_cancelled(j) || shop_late(j))
		shop_drop(j);
	else
		go_on(j);
}

static bool
has_room(void)
{
	return !shop.draining && shop.held_n < HELD_MAX; /* at HELD_MAX the fetcher is behind: it is looked again when it has answered */
}

bool
intake_slips(const char *p, size_t n)
{
	int64_t row, next;
	bool any = false;

	for (; (row = slip_row(p, n)) != 0; any = true) {
		struct work_job w;

		slip_next(&p, &n, &w);
		next = shop.last_row + (int64_t)shop.slips_n + 1;
		if (row == next && !shop.look && !shop.rescan && has_room() && shop.slips_n < SLIPS_MAX) {
			if (shop.slips_n == shop.slips_room)
				shop.slips = mem_grow(shop.slips, (shop.slips_room = shop.slips_room * 2 + 32) * sizeof w);
			shop.slips[shop.slips_n++] = w;
			continue;
		}
		/* A row between is missing, or it is not the time for more. */
		if (row >= next)
			shop.look = true;
		work_job_clear(&w);
	}
	return any;
}

static void
take_slips(void)
{
	size_t i, n = shop.slips_n;

	if (n == 0)
		return;
	dev_batch(shop.dev);
	shop.slips_n = 0;
	for (i = 0; i < n; i++)
		consider(NULL, &shop.slips[i]);
}

/* Returns true when there may be more. */
bool
intake_new(void)
{
	struct err e = ERR_INIT;
	int64_t batch = shop.conf->scheduler.batch;
	int n;

	take_slips();
	if (!shop.look || !has_room())
		return false;
	dev_batch(shop.dev);
	n = work_queued(shop.s.store, shop.last_row, (int)batch, consider, NULL, &e);
	if (n < 0) {
		log_error("read the queue", "why=%s", log_q(e.text));
		return false;
	}
	shop.look = n >= batch;
	shop.rescan = shop.rescan && shop.look;
	return shop.look;
}

struct job *
intake_held(int64_t row)
{
	struct job **p = &shop.held, *j;

	while (*p != NULL && (*p)->w.id.row != row)
		p = &(*p)->next;
	j = *p;
	if (j != NULL) {
		*p = j->next;
		j->next = NULL;
		shop.held_n--;
	}
	return j;
}

/* The code that was admitted, not what its name means by now. */
static struct code *
admitted_code(const struct work_job *w, struct err *e)
{
	struct code *code;

	if (strcmp(w->author, "local") == 0 && shop.dev != NULL)
		code = dev_find(shop.dev, w->bundle, "latest", e);
	else
		code = catalog_by_cid(shop.catalog, w->cid, e);
	if (code != NULL && strcmp(code->cid, w->cid) != 0) {
		err_set(e, ERR_INTERNAL, "the bundle's files have changed since it was admitted");
		code = NULL;
	}
	return code != NULL ? code_ref(code) : NULL;
}

void
intake_again(struct work_job *w)
{
	const struct access_facts facts = { graph_fact, shop.graph };
	struct err e = ERR_INIT;
	struct job *j = turn_job_new(w);
	enum retry_fate fate = RETRY_NOW;

	if (report_on[TELEMETRY_TRACES])
		spans_seen(j);
	quota_again(j);
	shop_set_deadline(j, j->w.timeout_ms);
	j->code = admitted_code(&j->w, &e);
	/* It was let in once; only a plain no turns it away now. */
	if (j->code == NULL || admit_author(shop.conf, &facts, j->code->did, &e) == ACCESS_NO || admit(j, &e) != 0)
		refuse(j, &e);
	else if (shop_cancelled(j) || shop_late(j) || (fate = retry_recall(j)) == RETRY_NEVER)
		shop_drop(j);
	else if (fate == RETRY_NOW)
		place_enqueue(j);
}

/* What the ledger holds beyond memory, lane by lane.  Before this turn's own admissions: those are not written yet. */
void
intake_refill(void)
{
	struct wait_lane *l;
	int i;

	for (i = 0; i < 32 && (l = wait_hungry(&shop.wait)) != NULL; i++) {
		struct work_job w = { 0 };
		struct err e = ERR_INIT;

		dev_batch(shop.dev);
		if (work_next_admitted_of(shop.s.store, l->author->did, l->name, l->endpoint, l->last_row, &w, &e) != 0) {
			wait_sated(&shop.wait, l);
			continue;
		}
		l->last_row = w.id.row;
		if (retry_waits(w.id.row))
			work_job_clear(&w);
		else
			intake_again(&w);
	}
}

struct job *
intake_take(int64_t row)
{
	struct search s = { row, intake_held(row) };

	if (s.found != NULL)
		return s.found;
	wait_jobs(&shop.wait, match_row, &s);
	if (s.found != NULL)
		wait_remove(&shop.wait, s.found);
	return s.found;
}
