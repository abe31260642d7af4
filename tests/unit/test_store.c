/* The ledger through its faces, and with sqlite3 from beside, as a person would look at it. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/store.h"
#include "lib/store_desk.h"
#include "lib/store_front.h"
#include "lib/store_bundle.h"
#include "lib/store_work.h"
#include "schema.h"
#include "tests/t.h"

#define DID  "did:plc:abcdefghijklmnopqrstuvwx"
#define CID  "bafyreib2rxk3rh6kzwq"
#define BOOT clock_boot_id()

/* --- helpers --- */

static sqlite3 *
beside(void)
{
	sqlite3 *db;

	CHECK_INT(sqlite3_open(t_store_path(), &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	return db;
}

static int
sql(const char *text)
{
	sqlite3 *db = beside();
	int rc = sqlite3_exec(db, text, NULL, NULL, NULL);

	sqlite3_close(db);
	return rc;
}

/* The first cell of the first row; lives until the next call. */
static const char *
cell(const char *text)
{
	static char value[4096];
	sqlite3 *db = beside();
	sqlite3_stmt *q;

	value[0] = '\0';
	if (sqlite3_prepare_v2(db, text, -1, &q, NULL) != SQLITE_OK)
		snprintf(value, sizeof value, "%s", sqlite3_errmsg(db));
	else if (sqlite3_step(q) == SQLITE_ROW && sqlite3_column_text(q, 0) != NULL)
		snprintf(value, sizeof value, "%s", (const char *)sqlite3_column_text(q, 0));
	sqlite3_finalize(q);
	sqlite3_close(db);
	return value;
}

static struct job_id
enqueue_as(struct store *s, const char *author, const char *bundle, enum job_mode mode)
{
	struct err e = ERR_INIT;
	struct front_job j = { .mode = mode, .author = author, .bundle = bundle, .version = "latest", .endpoint = "ep",
		.method = "POST", .url = "http://h/bundle/x?a=b", .path = "/more", .query = "a=b",
		.headers_json = "[[\"host\",\"h\"]]", .body = "bo\0dy", .body_bytes = 5, .client = "127.0.0.1", .bell = "f1-1",
		.timeout_ms = 30000, .created_at = 1700000000123 };

	job_nonce(j.id.nonce);
	CHECK_INT(front_enqueue(s, &j, &e), 0);
	CHECK(j.id.row > 0);
	return j.id;
}

static struct job_id
enqueue(struct store *s)
{
	return enqueue_as(s, DID, "hello", JOB_SYNC);
}

static int
admit_as(struct store *s, struct job_id id, const char *did, bool idempotent)
{
	struct work_admission a = { did, CID, "node", "none", 20000, idempotent, true, false, NULL };
	struct err e = ERR_INIT;

	return work_admit(s, id.row, &a, 1700000000200, &e);
}

static int
admit(struct store *s, struct job_id id)
{
	return admit_as(s, id, DID, false);
}

static int64_t
start(struct store *s, struct job_id id, int64_t run)
{
	struct err e = ERR_INIT;
	struct work_job j = { 0 };
	int64_t lease;

	CHECK_INT(work_job_load(s, id.row, &j, &e), 0);
	lease = j.lease;
	work_job_clear(&j);
	CHECK_INT(work_start(s, id.row, run, 5, START_WARM, 1000, 1700000000300, &lease, &e), 1);
	return lease;
}

static int
finish(struct store *s, struct job_id id, int64_t lease)
{
	struct work_end end = { OUTCOME_OK, NULL, NULL, NULL, 0 };
	struct err e = ERR_INIT;

	return work_done(s, id.row, lease, &end, 1700000000400, &e);
}

static int64_t
new_run(struct store *s)
{
	struct err e = ERR_INIT;
	int64_t run = 0;

	CHECK_INT(work_run_start(s, &run, &e), 0);
	return run;
}

static struct front_view
look(struct store *s, struct job_id id)
{
	struct err e = ERR_INIT;
	struct front_view v;

	CHECK_INT(front_look(s, &id, true, &v, &e), 0);
	return v;
}

static enum job_outcome
outcome_of(struct store *s, struct job_id id)
{
	struct front_view v = look(s, id);
	enum job_outcome o = v.outcome;

	front_view_clear(&v);
	return o;
}

static enum job_state
state_of(struct store *s, struct job_id id)
{
	struct front_view v = look(s, id);
	enum job_state state = v.state;

	front_view_clear(&v);
	return state;
}

struct list {
	struct work_job job[128];
	int n;
};

static void
keep(void *arg, struct work_job *j)
{
	struct list *l = arg;

	CHECK(l->n < 128);
	l->job[l->n++] = *j;
}

static void
list_clear(struct list *l)
{
	while (l->n > 0)
		work_job_clear(&l->job[--l->n]);
}

/* --- the statements --- */

/* Walking through an index that holds only live jobs is what it is for. */
static bool
walks(const char *detail)
{
	static const char *const big[] = { "SCAN j", "SCAN job", "SCAN r", "SCAN request", "SCAN result", "SCAN a", "SCAN c",
		"SCAN chunk", "SCAN log", "SCAN l" };
	const char *const *s;

	for (T_EACH(s, big)) {
		size_t n = strlen(*s);
		if (strncmp(detail, *s, n) == 0 && (detail[n] == '\0' || detail[n] == ' '))
			return strstr(detail, "INDEX job_open") == NULL;
	}
	return false;
}

static int
bad_plans(sqlite3 *db, enum sql which)
{
	char *text = mem_fmt("EXPLAIN QUERY PLAN %s", sql_text[which]);
	sqlite3_stmt *q = NULL;
	int bad = 0;

	if (sqlite3_prepare_v2(db, text, -1, &q, NULL) != SQLITE_OK) {
		t_note("%s: %s", sql_name[which], sqlite3_errmsg(db));
		bad++;
	}
	while (q != NULL && sqlite3_step(q) == SQLITE_ROW) {
		const char *detail = (const char *)sqlite3_column_text(q, 3);
		if (walks(detail)) {
			t_note("%s: %s", sql_name[which], detail);
			bad++;
		}
	}
	sqlite3_finalize(q);
	free(text);
	return bad;
}

TEST(every_statement_prepares_and_none_walks_through_the_jobs)
{
	sqlite3 *db;
	int bad = 0, i;

	t_store();
	db = beside();
	for (i = 0; i < SQL_COUNT; i++)
		/* The oldest or newest row, found by walking an index from its end, is no walk: they name their order. */
		if (strncmp(sql_name[i], "desk_scan_", 10) != 0 && strncmp(sql_name[i], "open_", 5) != 0)
			bad += bad_plans(db, (enum sql)i);
	sqlite3_close(db);
	CHECK_INT(bad, 0);
}

TEST(parameters_have_the_numbers_their_constants_say)
{
	sqlite3 *db;
	int i, n;

	t_store();
	db = beside();
	for (i = 0; i < SQL_COUNT; i++) {
		struct buf names = BUF_INIT;
		sqlite3_stmt *q = NULL;

		CHECK_INT(sqlite3_prepare_v2(db, sql_text[i], -1, &q, NULL), SQLITE_OK);
		for (n = 1; n <= sqlite3_bind_parameter_count(q); n++)
			buf_fmt(&names, "%s%s", n > 1 ? " " : "", sqlite3_bind_parameter_name(q, n) + 1);
		CHECK_STR(names.data != NULL ? names.data : "", sql_params[i]);
		buf_clear(&names);
		sqlite3_finalize(q);
	}
	sqlite3_close(db);
}

TEST(every_view_reads)
{
	static const char *const views[] = { "v_jobs", "v_queue", "v_failed", "v_attempts", "v_after", "v_schedules", "v_firings",
		"v_today", "v_log", "v_bundles", "v_instances", "v_runs", "v_runtimes", "v_orders", "v_graph", "v_people", "v_usage",
		"v_traffic", "v_authors", "v_tokens",
		"v_views" };
	struct store *s = t_store();
	const char *const *v;

	enqueue(s);
	for (T_EACH(v, views)) {
		char *text = mem_fmt("SELECT * FROM %s", *v);
		CHECK_INT(sql(text), SQLITE_OK);
		free(text);
	}
}

/* --- the life of a job --- */

TEST(a_job_lives_from_the_door_to_its_answer)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct list l = { .n = 0 };
	struct front_view v;
	int64_t run = new_run(s), lease;
	struct job_id id = enqueue_as(s, DID, "hello", JOB_ASYNC);
	const struct work_job *j = &l.job[0];

	CHECK_INT(work_queued(s, 0, 10, keep, &l, &e), 1);
	CHECK(j->id.row == id.row && j->mode == JOB_ASYNC && j->state == JOB_QUEUED && !j->cancel && j->attempt == 0);
	CHECK_STR(j->id.nonce, id.nonce);
	CHECK_STR(j->author, DID);
	CHECK_STR(j->bundle, "hello");
	CHECK_STR(j->version, "latest");
	CHECK_STR(j->endpoint, "ep");
	CHECK_STR(j->method, "POST");
	CHECK_STR(j->client, "127.0.0.1");
	CHECK_STR(j->bell, "f1-1");
	CHECK_STR(j->url, "http://h/bundle/x?a=b");
	CHECK_STR(j->path, "/more");
	CHECK_STR(j->query, "a=b");
	CHECK_STR(j->headers_json, "[[\"host\",\"h\"]]");
	CHECK(j->caller == NULL && j->did == NULL && j->cid == NULL);
	CHECK(j->timeout_ms == 30000 && j->created_at == 1700000000123);
	CHECK(j->body_bytes == 5 && memcmp(j->body, "bo\0dy", 5) == 0);
	list_clear(&l);
	CHECK_INT(work_queued(s, id.row, 10, keep, &l, &e), 0);

	CHECK_INT(admit(s, id), 1);
	lease = start(s, id, run);
	CHECK_INT(lease, 1);
	CHECK_INT(state_of(s, id), JOB_RUNNING);
	CHECK_INT(finish(s, id, lease), 1);
	CHECK_INT(work_result(s, id.row, 201, "[[\"a\",\"b\"]]", false, "x\0y", 3, &e), 0);
	CHECK_INT(front_look(s, &id, false, &v, &e), 0);
	CHECK(v.mode == JOB_ASYNC && v.state == JOB_DONE && v.outcome == OUTCOME_OK && v.start == START_WARM);
	CHECK(v.created_at == 1700000000123 && v.admitted_at == 1700000000200 && v.started_at == 1700000000300 &&
	    v.done_at == 1700000000400 && v.timeout_ms == 20000);
	CHECK(v.has_result && !v.streamed && v.status == 201 && v.body_bytes == 3 && memcmp(v.body, "x\0y", 3) == 0);
	CHECK_STR(v.headers_json, "[[\"a\",\"b\"]]");
	CHECK_STR(v.did, DID);
	CHECK_STR(v.cid, CID);
	CHECK_STR(v.runtime, "node");
	CHECK_STR(v.wall, "none");
	front_view_clear(&v);
	CHECK_STR(cell("SELECT asked_at || ' ' || called || ' ' || outcome || ' ' || waited_ms || ' ' || ran_ms FROM v_jobs"),
	    "2023-11-14T22:13:20.123Z " DID "/hello/latest/ep ok 177 100");
	CHECK_STR(e.text, "");
}

TEST(an_empty_body_is_no_body)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct front_job f = { .author = DID, .bundle = "b", .version = "v", .endpoint = "e", .method = "GET", .url = "u",
		.path = "", .query = "", .headers_json = "[]", .body = "", .client = "::1", .timeout_ms = 1, .created_at = 1 };
	struct work_job j;

	job_nonce(f.id.nonce);
	CHECK_INT(front_enqueue(s, &f, &e), 0);
	CHECK_INT(work_job_load(s, f.id.row, &j, &e), 0);
	CHECK(j.body == NULL && j.body_bytes == 0 && j.bell == NULL);
	CHECK_STR(j.path, "");
	work_job_clear(&j);
	CHECK_INT(work_job_load(s, 999, &j, &e), -1);
	CHECK_INT(e.kind, ERR_NOTFOUND);
}

TEST(a_job_is_claimed_once)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct job_id id = enqueue(s);
	int64_t run = new_run(s), lease = 0;

	CHECK_INT(admit(s, id), 1);
	CHECK_INT(admit(s, id), 0);
	start(s, id, run);
	CHECK_INT(work_start(s, id.row, run, 6, START_COLD, 1, 1, &lease, &e), 0);
	CHECK_INT(lease, 0);
	CHECK_INT(work_start(s, 999, run, 6, START_COLD, 1, 1, &lease, &e), 0);
}

TEST(an_author_named_by_handle_becomes_the_did)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct job_id id = enqueue_as(s, "alice.test", "hello", JOB_SYNC);
	struct work_job j = { 0 };

	CHECK_INT(admit(s, id), 1);
	CHECK_INT(work_job_load(s, id.row, &j, &e), 0);
	CHECK_STR(j.author, DID);
	work_job_clear(&j);
}

TEST(a_walk_begins_before_the_oldest_open_job)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct job_id id;
	int64_t row = -1, run = new_run(s);

	CHECK_INT(work_before_open(s, &row, &e), 0);
	CHECK_INT(row, 0);
	id = enqueue(s);
	CHECK_INT(admit(s, id), 1);
	CHECK_INT(finish(s, id, start(s, id, run)), 1);
	CHECK_INT(work_before_open(s, &row, &e), 0);
	CHECK_INT(row, id.row);
	enqueue(s);
	CHECK_INT(work_before_open(s, &row, &e), 0);
	CHECK_INT(row, id.row);
	CHECK_INT(work_last(s, &row, &e), 0);
	CHECK_INT(row, id.row + 1);
}

TEST(a_late_lease_is_refused)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct job_id id = enqueue(s);
	int64_t run = new_run(s), first, second;

	admit_as(s, id, DID, true);
	first = start(s, id, run);
	CHECK_INT(work_again(s, id.row, first, &e), 1);
	CHECK_INT(state_of(s, id), JOB_ADMITTED);
	second = start(s, id, run);
	CHECK(second > first);
	CHECK_INT(finish(s, id, first), 0);
	CHECK_INT(work_again(s, id.row, first, &e), 0);
	CHECK_INT(state_of(s, id), JOB_RUNNING);
	CHECK_INT(finish(s, id, second), 1);
	CHECK_INT(finish(s, id, second), 0);
}

TEST(a_done_job_never_changes)
{
	static const char *const tries[] = { "UPDATE job SET state = 'queued', outcome = NULL, done_at = NULL",
		"UPDATE job SET state = 'running', outcome = NULL, done_at = NULL", "UPDATE job SET state = 'done'",
		"UPDATE job SET outcome = NULL", "UPDATE job SET done_at = NULL", "UPDATE job SET outcome = 'fine'" };
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct work_end end = { OUTCOME_REFUSED, "denied", "Forbidden", "no", 0 };
	struct job_id id = enqueue(s);
	const char *const *t;

	CHECK_INT(work_drop(s, id.row, &end, 5, &e), 1);
	CHECK_INT(work_drop(s, id.row, &end, 5, &e), 0);
	CHECK_INT(admit(s, id), 0);
	for (T_EACH(t, tries))
		CHECK_INT(sql(*t), SQLITE_CONSTRAINT);
	CHECK_STR(cell("SELECT error FROM v_failed"), "Forbidden: no");
}

static bool
change_works(const char *from, const char *to)
{
	/* A row in the state it leaves, made without the trigger's help. */
	char *text = mem_fmt("DELETE FROM job; INSERT INTO job (id, nonce, mode, state, outcome, done_at, author, bundle, version,"
			     "endpoint, method, client, timeout_ms, created_at) VALUES (1, '', 'sync', '%s', iif('%s' = 'done',"
			     "'ok', NULL), iif('%s' = 'done', 1, NULL), '', '', '', '', '', '', 1, 1);"
			     "UPDATE job SET state = '%s', outcome = iif('%s' = 'done', 'ok', NULL),"
			     "done_at = iif('%s' = 'done', 1, NULL)", from, from, from, to, to, to);
	int rc = sql(text);

	free(text);
	CHECK(rc == SQLITE_OK || rc == SQLITE_CONSTRAINT);
	return rc == SQLITE_OK;
}

TEST(the_table_of_states_is_the_trigger_s)
{
	int from, to;

	t_store();
	for (from = 0; from < JOB_STATE_COUNT; from++)
		for (to = 0; to < JOB_STATE_COUNT; to++)
			CHECK_INT(change_works(job_state_name((enum job_state)from), job_state_name((enum job_state)to)),
			    job_may_follow((enum job_state)from, (enum job_state)to));
}

/* Every word the code knows is one the schema takes, and no other. */
TEST(the_words_of_the_code_are_the_schema_s)
{
	int i;

	t_store();
	CHECK_INT(sql("INSERT INTO job (id, nonce, mode, author, bundle, version, endpoint, method, client, timeout_ms,"
		      "created_at) VALUES (1, '', 'sync', '', '', '', '', '', '', 1, 1);"
		      "UPDATE job SET state = 'done', outcome = 'ok', done_at = 1"), SQLITE_OK);
	for (i = OUTCOME_NONE + 1; i < OUTCOME_COUNT; i++) {
		char *text = mem_fmt("UPDATE job SET outcome = '%s'", job_outcome_name((enum job_outcome)i));
		CHECK_INT(sql(text), SQLITE_OK);
		free(text);
	}
	for (i = START_NONE + 1; i < START_COUNT; i++) {
		char *text = mem_fmt("UPDATE job SET start = '%s'", job_start_name((enum job_start)i));
		CHECK_INT(sql(text), SQLITE_OK);
		free(text);
	}
	CHECK_INT(sql("UPDATE job SET start = 'tepid'"), SQLITE_CONSTRAINT);
	CHECK_INT(sql("UPDATE job SET cancel = 2"), SQLITE_CONSTRAINT);
	CHECK_INT(sql("UPDATE job SET attempt = 'many'"), SQLITE_CONSTRAINT);
}

/* --- asking for the end --- */

TEST(what_was_not_started_is_cancelled_at_once)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct job_id queued = enqueue_as(s, DID, "hello", JOB_ASYNC), admitted = enqueue(s), waited = enqueue(s), wrong = queued;

	admit(s, admitted);
	CHECK_INT(front_cancel(s, &queued, &e), 0);
	CHECK_INT(front_cancel(s, &admitted, &e), 0);
	CHECK_INT(front_cancel(s, &admitted, &e), 0);
	CHECK_INT(outcome_of(s, queued), OUTCOME_CANCELLED);
	CHECK_INT(outcome_of(s, admitted), OUTCOME_CANCELLED);
	CHECK_INT(admit(s, queued), 0);
	CHECK_STR(cell("SELECT count(*) || args_json FROM orders WHERE verb = 'cancel'"), "2{\"job\":1}");
	/* It may run already: only the scheduler knows. */
	CHECK_INT(front_cancel(s, &waited, &e), 0);
	CHECK_INT(outcome_of(s, waited), OUTCOME_NONE);
	CHECK_STR(cell("SELECT state || cancel FROM job WHERE id = 3"), "queued1");
	wrong.nonce[0] = wrong.nonce[0] == '0' ? '1' : '0';
	CHECK_INT(front_cancel(s, &wrong, &e), -1);
	CHECK_STR(err_name(&e), "JobNotFound");
}

TEST(what_runs_is_marked_and_ordered_to_stop)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct job_id id = enqueue(s);
	struct front_view v;

	admit(s, id);
	start(s, id, new_run(s));
	CHECK_INT(front_cancel(s, &id, &e), 0);
	v = look(s, id);
	CHECK(v.state == JOB_RUNNING && v.cancel);
	front_view_clear(&v);
	CHECK_STR(cell("SELECT args_json FROM orders"), "{\"job\":1}");
}

TEST(a_look_needs_the_nonce)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct job_id id = enqueue(s);
	struct front_view v;

	id.nonce[5] ^= 1;
	CHECK_INT(front_look(s, &id, true, &v, &e), -1);
	CHECK_INT(e.kind, ERR_NOTFOUND);
	CHECK_STR(err_name(&e), "JobNotFound");
}

TEST(a_lease_lapses_by_time_or_by_reboot)
{
	static const struct {
		const char *what;
		int64_t mono;
		bool other_boot, idempotent, lapses;
	} table[] = {
		{ "still good", 1000, false, false, false },
		{ "passed", 1001, false, false, true },
		{ "another boot", 5, true, false, true },
		{ "idempotent waits for the next scheduler", 2000, false, true, false },
	};
	struct store *s = t_store();
	struct err e = ERR_INIT;
	int64_t run = new_run(s), lease;
	size_t i;

	for (i = 0; i < sizeof table / sizeof *table; i++) {
		struct job_id id = enqueue(s);

		admit_as(s, id, DID, table[i].idempotent);
		lease = start(s, id, run);
		if (front_lapse(s, &id, table[i].mono, table[i].other_boot ? "another" : BOOT, &e) != table[i].lapses)
			t_note("%s", table[i].what);
		CHECK_INT(state_of(s, id), table[i].lapses ? JOB_DONE : JOB_RUNNING);
		CHECK_INT(finish(s, id, lease), !table[i].lapses);
		CHECK(!front_lapse(s, &id, 9999, BOOT, &e));
	}
	CHECK_STR(e.text, "");
}

/* --- recovery, fairness, counts --- */

TEST(a_new_scheduler_settles_what_a_dead_one_left)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct job_id lost = enqueue(s), again = enqueue(s), waits = enqueue(s), mine = enqueue(s),
		      queued = enqueue_as(s, DID, "hello", JOB_ASYNC);
	int64_t old = new_run(s), run, settled, back, lease;

	admit(s, lost);
	admit_as(s, again, DID, true);
	admit(s, waits);
	admit(s, mine);
	lease = start(s, lost, old);
	start(s, again, old);
	run = new_run(s);
	start(s, mine, run);
	CHECK_STR(cell("SELECT count(*) FROM run WHERE ended_at IS NULL"), "1");
	CHECK_INT(work_recover(s, run, 1700000000900, &settled, &back, &e), 0);
	CHECK(settled == 1 && back == 1);
	CHECK_INT(outcome_of(s, lost), OUTCOME_LOST);
	CHECK_INT(finish(s, lost, lease), 0);
	CHECK_INT(state_of(s, again), JOB_ADMITTED);
	CHECK_INT(state_of(s, waits), JOB_ADMITTED);
	CHECK_INT(state_of(s, mine), JOB_RUNNING);
	CHECK_INT(state_of(s, queued), JOB_QUEUED);
	CHECK_INT(work_recover(s, run, 1, &settled, &back, &e), 0);
	CHECK(settled == 0 && back == 0);
}

TEST(what_waits_is_read_endpoint_by_endpoint)
{
	static const char *const who[] = { "did:plc:a", "did:plc:a", "did:plc:a", "did:plc:b", "did:plc:c" };
	static const int64_t turns[] = { 1, 4, 5 };
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct work_job at = { 0 }, j;
	size_t i;

	for (i = 0; i < 5; i++)
		admit_as(s, enqueue(s), who[i], false);
	enqueue(s);
	for (i = 0; i < 3; i++) {
		CHECK_INT(work_next_lane(s, at.author, at.bundle, at.endpoint, &j, &e), 0);
		CHECK_INT(j.id.row, turns[i]);
		work_job_clear(&at);
		at = j;
	}
	CHECK_INT(work_next_lane(s, at.author, at.bundle, at.endpoint, &j, &e), -1);
	CHECK_INT(e.kind, ERR_NOTFOUND);
	work_job_clear(&at);
	CHECK_INT(work_next_admitted_of(s, "did:plc:a", "hello", "ep", 1, &j, &e), 0);
	CHECK_INT(j.id.row, 2);
	work_job_clear(&j);
	CHECK_INT(work_next_admitted_of(s, "did:plc:a", "hello", "ep", 3, &j, &e), -1);
	CHECK_INT(work_next_admitted_of(s, "did:plc:a", "hello", "other", 0, &j, &e), -1);
	CHECK_INT(work_next_admitted_of(s, DID, "hello", "ep", 0, &j, &e), -1); /* queued is not admitted */
}

TEST(load_is_counted_up_to_a_cap)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct front_load l;
	struct job_id id;
	int64_t q, a, r;
	int i;

	for (i = 0; i < 5; i++)
		id = enqueue_as(s, DID, i < 2 ? "hello" : "other", JOB_SYNC);
	enqueue_as(s, "local", "hello", JOB_SYNC);
	CHECK_INT(front_load(s, DID, "hello", 100, 0, &l, &e), 0);
	CHECK(l.total == 6 && l.author == 5 && l.bundle == 2);
	CHECK_INT(front_load(s, DID, "hello", 100, 7, &l, &e), 0);
	CHECK(l.total == 6 && l.author == 6 && l.bundle == 6); /* at most so many */
	CHECK_INT(front_load(s, DID, "other", 4, 1, &l, &e), 0);
	CHECK(l.total == 4 && l.author == 4 && l.bundle == 3);
	admit(s, id);
	finish(s, id, start(s, id, new_run(s)));
	CHECK_INT(front_load(s, DID, "other", 100, 5, &l, &e), 0);
	CHECK(l.total == 5 && l.author == 4 && l.bundle == 2);
	CHECK_INT(work_counts(s, &q, &a, &r, &e), 0);
	CHECK(q == 5 && a == 0 && r == 0);
}

/* Best of many, in µs: what a batch and a fair pick cost. */
static int64_t
pick_us(struct store *s)
{
	struct err e = ERR_INIT;
	struct work_job j;
	int64_t best = INT64_MAX, t;
	int i;

	for (i = 0; i < 30; i++) {
		struct list l = { .n = 0 };
		struct front_load load;
		t = clock_mono_us();
		CHECK_INT(work_queued(s, 0, 32, keep, &l, &e), 32);
		CHECK_INT(work_next_lane(s, "did:plc:b", "", "", &j, &e), 0);
		CHECK_INT(front_load(s, DID, "hello", 50, 0, &load, &e), 0);
		t = clock_mono_us() - t;
		best = t < best ? t : best;
		work_job_clear(&j);
		list_clear(&l);
	}
	return best;
}

static void
many(int n)
{
	char *text = mem_fmt("INSERT INTO job (nonce, mode, author, bundle, version, endpoint, method, client, timeout_ms,"
			     "created_at, state, did) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
			     "SELECT hex(randomblob(16)), 'sync', iif(i %% 4, '" DID "', 'did:plc:' || (i %% 100)), 'hello', 'latest', 'e', 'GET',"
			     "'::1', 1000, 1,"
			     "iif(i %% 4, 'queued', 'admitted'), iif(i %% 4, NULL, 'did:plc:' || (i %% 100)) FROM n", n);

	CHECK_INT(sql(text), SQLITE_OK);
	CHECK_INT(sql("INSERT INTO job (nonce, mode, author, bundle, version, endpoint, method, client, timeout_ms, created_at,"
		      "state, did) VALUES ('', 'sync', 'did:plc:z', '', '', '', '', '', 1, 1, 'admitted', 'did:plc:z')"), SQLITE_OK);
	free(text);
}

TEST(a_pick_costs_the_same_with_100_and_100000_jobs)
{
	struct store *s = t_store();
	int64_t few, lots;

	many(100);
	few = pick_us(s);
	many(100000);
	lots = pick_us(s);
	t_note("a batch of 32, a fair pick and a count: %lld µs with 100 jobs, %lld µs with 100,000", (long long)few,
	    (long long)lots);
	/* Wide, because the machine has others to serve; a walk would cost a hundred times as much. */
	CHECK(lots < few * 5 + 200);
}

/* --- answers --- */

TEST(a_stream_is_read_piece_by_piece)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct buf b = BUF_INIT;
	struct front_view v;
	struct job_id id = enqueue(s);
	int64_t next, seq;

	admit(s, id);
	start(s, id, new_run(s));
	v = look(s, id);
	CHECK(!v.has_result);
	front_view_clear(&v);
	CHECK_INT(work_result(s, id.row, 200, "[]", true, NULL, 0, &e), 0);
	for (seq = 0; seq < 3; seq++)
		CHECK_INT(work_chunk(s, id.row, seq, "0123456789", 10, &e), 0);
	CHECK_INT(work_chunk(s, id.row, 3, NULL, 0, &e), 0);
	v = look(s, id);
	CHECK(v.has_result && v.streamed && v.status == 200 && v.state == JOB_RUNNING);
	front_view_clear(&v);
	CHECK_INT(front_chunks(s, id.row, 0, 5, &b, &next, &e), 0);
	CHECK(b.len == 10 && next == 1);
	CHECK_INT(front_chunks(s, id.row, next, 20, &b, &next, &e), 0);
	CHECK(b.len == 30 && next == 4);
	CHECK_INT(front_chunks(s, id.row, next, 20, &b, &next, &e), 0);
	CHECK(b.len == 30 && next == 4);
	CHECK_INT(work_chunk(s, id.row, 3, "x", 1, &e), -1);
	buf_clear(&b);
}

/* --- the rest of the workshop --- */

TEST(bundles_versions_and_authors_are_remembered)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct work_bundle b = { .cid = (char *)CID, .did = (char *)DID, .name = (char *)"hello", .uri = (char *)"at://x",
		.runtime = (char *)"text/javascript", .code = (char *)"bafkcode", .dir = (char *)"bundles/x",
		.record_json = (char *)"{}", .bytes = 12, .rev = (char *)"3lonbndhf722s", .proof = (char *)"words" }, got = { 0 };
	int64_t at;
	char *did, *rev;

	CHECK_INT(work_bundle_get(s, DID, "hello", "latest", &got, &e), -1);
	CHECK_INT(e.kind, ERR_NOTFOUND);
	CHECK_INT(work_bundle_put(s, &b, "latest", 100, &e), 0);
	CHECK_INT(work_bundle_put(s, &b, "1.0", 200, &e), 0);
	CHECK_INT(work_bundle_get(s, DID, "hello", "latest", &got, &e), 0);
	CHECK(got.checked_at == 100 && got.fetched_at == 200 && got.bytes == 12);
	CHECK_STR(got.cid, CID);
	CHECK_STR(got.record_json, "{}");
	CHECK_STR(got.dir, "bundles/x");
	work_bundle_clear(&got);
	CHECK_INT(work_bundle_get(s, "", CID, NULL, &got, &e), 0);
	CHECK_STR(got.uri, "at://x");
	work_bundle_clear(&got);
	CHECK_STR(cell("SELECT versions FROM v_bundles"), "1.0, latest");
	CHECK_STR(cell("SELECT rev FROM v_bundles"), "3lonbndhf722s");
	/* A revision never goes back. */
	CHECK_INT(work_rev_put(s, DID, "3lonbndhf6z2s", 300, &e), 0);
	CHECK_INT(work_rev_get(s, DID, &rev, &e), 0);
	CHECK_STR(rev, "3lonbndhf722s");
	free(rev);
	CHECK_INT(work_rev_get(s, "did:web:b", &rev, &e), 0);
	CHECK(rev == NULL);
	CHECK_INT(work_author_get(s, "a.test", &did, &at, &e), -1);
	CHECK_INT(work_author_put(s, "a.test", DID, "http://pds", 5, &e), 0);
	CHECK_INT(work_author_put(s, "a.test", "did:web:b", "http://pds", 6, &e), 0);
	CHECK_INT(work_author_get(s, "a.test", &did, &at, &e), 0);
	CHECK_STR(did, "did:web:b");
	CHECK_INT(at, 6);
	free(did);
}

static void
end_it(void *arg, int64_t id, const char *wall, int64_t pid, int64_t pid_start)
{
	struct err e = ERR_INIT;

	CHECK_STR(wall, "none");
	CHECK(pid == 77 && pid_start == 88);
	CHECK_INT(work_instance_end(arg, id, "left over", 9, &e), 0);
}

TEST(instances_of_an_earlier_run_are_told)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	int64_t run = new_run(s), id, next;

	CHECK_INT(work_instance_new(s, run, "node", "none", 77, 88, 1, &id, &e), 0);
	CHECK_INT(work_instance_set(s, id, "warm", CID, 3, 2, &e), 0);
	CHECK_INT(work_instance_set(s, id, "busy", NULL, 4, 3, &e), 0);
	CHECK_STR(cell("SELECT state || calls || cid FROM instance"), "busy4" CID);
	next = new_run(s);
	CHECK_INT(work_instance_leftovers(s, next, end_it, s, &e), 0);
	CHECK_STR(cell("SELECT why FROM v_instances"), "left over");
	CHECK_INT(work_instance_set(s, id, "warm", NULL, 4, 3, &e), 0);
	CHECK_STR(cell("SELECT state FROM instance"), "ended");
}

static void
do_order(void *arg, int64_t id, const char *verb, const char *args_json)
{
	struct err e = ERR_INIT;

	CHECK_STR(verb, "warm");
	CHECK_STR(args_json, "{\"n\":2}");
	CHECK_INT(work_order_done(arg, id, "2 blanks", 7, &e), 0);
}

TEST(an_order_is_a_row_and_its_answer_too)
{
	struct store *s = t_store(), *desk;
	struct err e = ERR_INIT;
	char *note;
	int64_t id;
	bool done;

	desk = store_open(t_store_path(), STORE_DESK, &e);
	CHECK(desk != NULL);
	CHECK_INT(desk_order(desk, "warm", "{\"n\":2}", &id, &e), 0);
	CHECK_INT(desk_order_look(desk, id, &done, &note, &e), 0);
	CHECK(!done && note == NULL);
	CHECK_INT(work_orders(s, do_order, s, &e), 0);
	CHECK_INT(desk_order_look(desk, id, &done, &note, &e), 0);
	CHECK(done);
	CHECK_STR(note, "2 blanks");
	free(note);
	CHECK_INT(desk_order_look(desk, 99, &done, &note, &e), -1);
	CHECK_INT(e.kind, ERR_NOTFOUND);
	store_close(desk);
}

TEST(the_pulse_is_that_of_the_newest_run)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct front_pulse p;
	int64_t run;

	CHECK_INT(front_pulse(s, &p, &e), 0);
	CHECK(!p.any);
	new_run(s);
	run = new_run(s);
	enqueue(s);
	clock_freeze(42, 1);
	CHECK_INT(work_run_beat(s, run, true, &e), 0);
	CHECK_INT(front_pulse(s, &p, &e), 0);
	CHECK_INT(front_counts(s, &p, &e), 0);
	CHECK(p.any && p.draining && !p.ended && p.seen_at == 42 && p.seen_mono == 1 && p.this_boot && p.queued == 1 && p.running == 0);
	CHECK_INT(work_run_end(s, run, &e), 0);
	CHECK_INT(front_pulse(s, &p, &e), 0);
	CHECK(p.ended);
	clock_freeze(-1, -1);
}

TEST(runtimes_are_told_as_json)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct buf b = BUF_INIT;

	CHECK_INT(work_runtime_put(s, "old", "[]", NULL, NULL, NULL, 1, &e), 0);
	CHECK_INT(work_runtimes_clear(s, &e), 0);
	CHECK_INT(work_runtime_put(s, "node", "[\"a/b\",\"c/d\"]", "v20", "none", NULL, 1, &e), 0);
	CHECK_INT(work_runtime_put(s, "deno", "[]", NULL, NULL, "no \"deno\"", 1, &e), 0);
	CHECK_INT(front_runtimes(s, &b, &e), 0);
	CHECK_STR(b.data, "[{\"name\":\"deno\",\"mimeTypes\":[],\"version\":null,\"wall\":null,\"available\":false},"
			  "{\"name\":\"node\",\"mimeTypes\":[\"a/b\",\"c/d\"],\"version\":\"v20\",\"wall\":\"none\","
			  "\"available\":true}]");
	CHECK_STR(cell("SELECT mime_types FROM v_runtimes WHERE name = 'node'"), "a/b, c/d");
	buf_clear(&b);
}

TEST(logs_keep_what_was_printed)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct job_id id = enqueue(s);

	CHECK_INT(work_log(s, id.row, 3, 1700000000001, "info", "console", "hello\nyou!!", 9, &e), 0);
	CHECK_INT(work_log(s, 0, 3, 1700000000002, "error", "stderr", "while loading", 13, &e), 0);
	CHECK_STR(cell("SELECT at || level || source || text FROM v_log WHERE row = 1"),
	    "2023-11-14T22:13:20.001Zinfoconsolehello\nyou");
	CHECK_STR(cell("SELECT count(*) FROM v_log WHERE row IS NULL"), "1");
	CHECK_INT(work_log(s, 0, 3, 1, "loud", "stderr", "x", 1, &e), -1);
}

/* --- the desk --- */

static int
count_rows(void *arg, const struct desk_cell *cells, int n)
{
	int *rows = arg;

	CHECK(n > 3);
	CHECK_STR(cells[0].name, "row");
	CHECK(cells[0].number);
	return ++*rows == 3;
}

TEST(the_desk_reads_by_name)
{
	struct store *s = t_store(), *desk;
	struct err e = ERR_INIT;
	struct job_id id = enqueue(s);
	char text[JOB_ID_LEN + 1];
	struct desk_arg all[] = { { NULL, NULL } }, queued[] = { { ":state", "queued" }, { ":limit", "2" }, { NULL, NULL } },
			none[] = { { ":bundle", "nope" }, { NULL, NULL } }, one[] = { { ":id", text }, { NULL, NULL } },
			wrong[] = { { ":colour", "red" }, { NULL, NULL } };
	int i, n = 0;

	for (i = 0; i < 4; i++)
		enqueue(s);
	desk = store_open(t_store_path(), STORE_READER, &e);
	CHECK(desk != NULL);
	CHECK_INT(desk_query(desk, "desk_jobs", all, count_rows, &n, &e), 0);
	CHECK_INT(n, 3); /* it said stop */
	n = 0;
	CHECK_INT(desk_query(desk, "desk_jobs", queued, count_rows, &n, &e), 0);
	CHECK_INT(n, 2);
	n = 0;
	CHECK_INT(desk_query(desk, "desk_jobs", none, count_rows, &n, &e), 0);
	CHECK_INT(n, 0);
	job_id_print(&id, text);
	CHECK_INT(desk_query(desk, "desk_job", one, count_rows, &n, &e), 0);
	CHECK_INT(n, 1);
	snprintf(text, sizeof text, "%lld", (long long)id.row);
	CHECK_INT(desk_query(desk, "desk_job", one, count_rows, &n, &e), 0);
	CHECK_INT(n, 2);
	snprintf(text, sizeof text, "1-nonsense");
	CHECK_INT(desk_query(desk, "desk_job", one, count_rows, &n, &e), 0);
	CHECK_INT(n, 2);
	CHECK_INT(desk_query(desk, "desk_jobs", wrong, count_rows, &n, &e), -1);
	CHECK_INT(desk_query(desk, "desk_nothing", all, count_rows, &n, &e), -1);
	store_close(desk);
}

TEST(a_reader_cannot_write)
{
	struct err e = ERR_INIT;
	struct store *r;
	int64_t id;

	t_store();
	r = store_open(t_store_path(), STORE_READER, &e);
	CHECK(r != NULL);
	CHECK_INT(desk_order(r, "drain", "{}", &id, &e), -1);
	CHECK_INT(e.kind, ERR_INTERNAL);
	store_close(r);
}

/* --- housekeeping --- */

TEST(pruning_drops_what_is_old_and_done_and_nothing_else)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	int64_t run = new_run(s);
	struct job_id sync = enqueue(s), async = enqueue_as(s, DID, "hello", JOB_ASYNC), open = enqueue(s);
	struct job_id list[2] = { sync, async };
	int i, rounds = 0;

	for (i = 0; i < 2; i++) {
		admit(s, list[i]);
		finish(s, list[i], start(s, list[i], run));
		CHECK_INT(work_result(s, list[i].row, 200, "[]", true, NULL, 0, &e), 0);
		CHECK_INT(work_chunk(s, list[i].row, 0, "x", 1, &e), 0);
		CHECK_INT(work_log(s, list[i].row, 1, 1700000000500, "info", "stdout", "x", 1, &e), 0);
	}
	/* Nothing is old. */
	CHECK_INT(work_prune(s, 1600000000000, 1600000000000, INT64_MAX, 10, &e), 0);
	/* Bodies of the sync job are, one row at a time. */
	while ((i = work_prune(s, 1800000000000, 1600000000000, INT64_MAX, 1, &e)) > 0)
		CHECK(++rounds < 10);
	CHECK_INT(i, 0);
	CHECK_STR(cell("SELECT group_concat(job) FROM (SELECT job FROM request ORDER BY job)"), "2,3");
	CHECK_STR(cell("SELECT group_concat(job) FROM result"), "2");
	CHECK_STR(cell("SELECT group_concat(job) FROM chunk"), "2");
	CHECK_STR(cell("SELECT count(*) FROM job"), "3");
	/* Everything is, or counts as such, because the ledger is too large. */
	while ((i = work_prune(s, 1600000000000, 1600000000000, 4096, 10, &e)) > 0)
		CHECK(++rounds < 20);
	CHECK_STR(cell("SELECT group_concat(id) FROM job"), "3");
	while ((i = work_prune(s, 1800000000000, 1800000000000, INT64_MAX, 10, &e)) > 0)
		CHECK(++rounds < 20);
	CHECK_INT(i, 0);
	CHECK_STR(cell("SELECT group_concat(id) FROM job"), "3");
	CHECK_STR(cell("SELECT count(*) FROM request"), "1");
	CHECK_STR(cell("SELECT (SELECT count(*) FROM result) + (SELECT count(*) FROM chunk) + (SELECT count(*) FROM log)"), "0");
	CHECK_STR(cell("SELECT count(*) FROM run"), "1");
	CHECK_INT(state_of(s, open), JOB_QUEUED);
}

static off_t
bytes_of(const char *suffix)
{
	char *path = mem_fmt("%s%s", t_store_path(), suffix);
	struct stat st = { 0 };

	stat(path, &st);
	free(path);
	return st.st_size;
}

TEST(the_log_moves_into_the_database_only_by_the_rule)
{
	struct store *s = t_store(), *door;
	struct err e = ERR_INIT;
	off_t was;
	int i;

	door = store_open(t_store_path(), STORE_FRONT, &e);
	CHECK(door != NULL);
	CHECK_INT(work_checkpoint(s, 1, true, &e), 0);
	CHECK_INT(bytes_of("-wal"), 0);
	was = bytes_of("");
	/* Only the door commits: this connection has seen no commit of its own since, and must not move a page. */
	for (i = 0; i < 100; i++)
		enqueue(door);
	CHECK_INT(work_checkpoint(s, 1, false, &e), 0);
	CHECK_INT(bytes_of(""), was);
	/* It has now, but the log is short enough. */
	new_run(s);
	CHECK_INT(work_checkpoint(s, 100000, false, &e), 0);
	CHECK_INT(bytes_of(""), was);
	CHECK_INT(work_checkpoint(s, 1, false, &e), 0);
	CHECK(bytes_of("") > was);
	/* That was complete: no second one before the next commit of our own. */
	was = bytes_of("");
	for (i = 0; i < 100; i++)
		enqueue(door);
	CHECK_INT(work_checkpoint(s, 1, false, &e), 0);
	CHECK_INT(bytes_of(""), was);
	/* Forced, it commits by itself first. */
	CHECK_INT(work_checkpoint(s, 1, true, &e), 0);
	CHECK_INT(bytes_of("-wal"), 0);
	CHECK(bytes_of("") > was);
	CHECK(cell("SELECT value FROM meta WHERE key = 'checkpoint_at'")[0] != '\0');
	store_close(door);
	CHECK_STR(cell("PRAGMA integrity_check"), "ok");
}

/* A reader that stays keeps the log from being begun anew: nothing fails, nothing waits long, and it catches up. */
TEST(a_reader_that_stays_stops_no_checkpoint_for_long)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	sqlite3 *reader = beside();
	int64_t t;
	int i;

	new_run(s);
	CHECK_INT(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM job", NULL, NULL, NULL), SQLITE_OK);
	t = clock_mono_ms();
	for (i = 0; i < 100; i++) {
		enqueue(s);
		CHECK_INT(work_checkpoint(s, 3, false, &e), 0);
	}
	CHECK(clock_mono_ms() - t < 10000);
	CHECK_INT(sqlite3_exec(reader, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	enqueue(s);
	CHECK_INT(work_checkpoint(s, 3, true, &e), 0);
	CHECK_INT(bytes_of("-wal"), 0);
	CHECK_INT(sqlite3_close(reader), SQLITE_OK);
}

TEST(closing_leaves_the_log_to_the_checkpointer)
{
	struct err e = ERR_INIT;
	char *path = mem_fmt("%s/x.db", t_tmpdir()), *wal = mem_fmt("%s-wal", path);
	struct store *s = store_open(path, STORE_WORK, &e);
	struct stat st;

	CHECK(s != NULL);
	new_run(s);
	store_close(s);
	CHECK(stat(wal, &st) == 0 && st.st_size > 0);
	CHECK(stat(path, &st) == 0);
	CHECK_INT(st.st_mode & 0777, 0660);
	free(path);
	free(wal);
}

/* --- what is refused --- */

static void
write_file(const char *path, const void *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && write(fd, p, n) == (ssize_t)n);
	close(fd);
}

/* A whole, quiet database as bytes. */
static char *
good_file(const char *path, size_t *n)
{
	struct err e = ERR_INIT;
	struct store *s = store_open(path, STORE_WORK, &e);
	char *wal = mem_fmt("%s-wal", path), *shm = mem_fmt("%s-shm", path);
	int i;

	CHECK(s != NULL);
	for (i = 0; i < 100; i++)
		enqueue(s);
	CHECK_INT(work_checkpoint(s, 1, true, &e), 0);
	store_close(s);
	unlink(wal);
	unlink(shm);
	free(wal);
	free(shm);
	return t_read_file(path, n);
}

static void
refused(const char *path, const char *what, const char *must_say)
{
	static const enum store_face faces[] = { STORE_WORK, STORE_FRONT, STORE_DESK, STORE_READER };
	const enum store_face *f;

	for (T_EACH(f, faces)) {
		struct err e = ERR_INIT;
		struct store *s = store_open(path, *f, &e);

		if (s != NULL || strstr(e.text, must_say) == NULL || strstr(e.text, path) == NULL)
			t_note("%s (face %d): %s", what, *f, s != NULL ? "opened" : e.text);
		CHECK(s == NULL);
		CHECK(strstr(e.text, must_say) != NULL);
		CHECK(strstr(e.text, path) != NULL);
		CHECK_INT(e.kind, ERR_INTERNAL);
	}
}

TEST(a_damaged_or_foreign_file_is_refused_with_the_way_out)
{
	char *path = mem_fmt("%s/bad.db", t_tmpdir()), *good, *bad;
	const char *text = "-- I was a shopping list\nmilk\nbread\n";
	size_t n;

	good = good_file(path, &n);
	CHECK(n > 8192);
	bad = mem_dup(good, n);

	write_file(path, text, strlen(text));
	refused(path, "a text", ".recover");
	memset(bad, 'x', 16);
	write_file(path, bad, n);
	refused(path, "no magic", ".recover");
	memcpy(bad, good, n);
	memset(bad + 100, 0xff, 200);
	write_file(path, bad, n);
	refused(path, "first page overwritten", ".recover");
	memcpy(bad, good, n);
	bad[16] = 3; /* a page size that is no power of two */
	write_file(path, bad, n);
	refused(path, "page size", ".recover");
	write_file(path, good, n / 2);
	refused(path, "cut in half", ".recover");
	write_file(path, good, 50);
	refused(path, "cut in the header", ".recover");
	memcpy(bad, good, n);
	memcpy(bad + 68, "GPKG", 4);
	write_file(path, bad, n);
	refused(path, "another application", "another program");
	memcpy(bad, good, n);
	bad[63] = 99; /* user_version */
	write_file(path, bad, n);
	refused(path, "newer", "newer at-rund");
	free(good);
	free(bad);
	free(path);
}

TEST(only_the_workshop_creates)
{
	static const enum store_face faces[] = { STORE_FRONT, STORE_DESK, STORE_READER };
	char *path = mem_fmt("%s/none.db", t_tmpdir());
	const enum store_face *f;
	struct err e = ERR_INIT;
	struct store *s;

	for (T_EACH(f, faces)) {
		CHECK(store_open(path, *f, &e) == NULL);
		CHECK_INT(e.kind, ERR_NOTFOUND);
		CHECK(access(path, F_OK) != 0);
	}
	write_file(path, "", 0);
	CHECK(store_open(path, STORE_FRONT, &e) == NULL);
	CHECK_INT(e.kind, ERR_NOTFOUND);
	s = store_open(path, STORE_WORK, &e);
	CHECK(s != NULL);
	store_close(s);
	s = store_open(path, STORE_FRONT, &e);
	CHECK(s != NULL);
	store_close(s);
	free(path);
	CHECK(store_open("/nonexistent/at-rund.db", STORE_WORK, &e) == NULL);
	CHECK(store_open("/tmp", STORE_WORK, &e) == NULL);
}

/* --- several at once --- */

static void *
hold_lock(void *arg)
{
	sqlite3 *db;
	int *ready = arg;

	sqlite3_open(t_store_path(), &db);
	sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	CHECK(write(ready[1], "x", 1) == 1);
	sqlite3_sleep(30);
	sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	sqlite3_close(db);
	return NULL;
}

TEST(a_writer_waits_for_another_and_no_longer)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	int ready[2];
	int64_t t;
	pthread_t other;
	char c;

	CHECK(pipe2(ready, O_CLOEXEC) == 0);
	CHECK(pthread_create(&other, NULL, hold_lock, ready) == 0);
	CHECK(read(ready[0], &c, 1) == 1);
	t = clock_mono_ms();
	CHECK_INT(store_begin(s, true, &e), 0);
	t = clock_mono_ms() - t;
	CHECK(t < 3000);
	enqueue(s);
	CHECK_INT(store_commit(s, &e), 0);
	pthread_join(other, NULL);
	close(ready[0]);
	close(ready[1]);
}

TEST(a_rollback_takes_everything_back)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;

	CHECK_INT(store_begin(s, false, &e), 0);
	enqueue(s);
	store_rollback(s);
	store_rollback(s);
	CHECK_STR(cell("SELECT count(*) FROM job"), "0");
	CHECK_INT(store_begin(s, false, &e), 0);
	enqueue(s);
	CHECK_INT(store_commit(s, &e), 0);
	CHECK_STR(cell("SELECT count(*) FROM job"), "1");
	CHECK_INT(store_commit(s, &e), -1);
}

#define HAMMERED 1500

/* In a child: the door, in groups of ten, until all are in. */
static int
hammer_door(const char *path)
{
	struct err e = ERR_INIT;
	struct store *s = store_open(path, STORE_FRONT, &e);
	int i, k;

	if (s == NULL)
		return 1;
	for (i = 0; i < HAMMERED / 10; i++) {
		if (store_begin(s, i % 8 == 0, &e) != 0)
			return 2;
		for (k = 0; k < 10; k++)
			enqueue(s);
		if (store_commit(s, &e) != 0)
			return 3;
	}
	store_close(s);
	return 0;
}

static int
hammer_work(struct store *s, int64_t run, struct list *l)
{
	struct err e = ERR_INIT;
	int i, done = 0;

	CHECK_INT(store_begin(s, false, &e), 0);
	for (i = 0; i < l->n; i++)
		if (admit(s, l->job[i].id) == 1)
			done += finish(s, l->job[i].id, start(s, l->job[i].id, run));
	CHECK_INT(store_commit(s, &e), 0);
	return done;
}

TEST(two_doors_and_a_workshop_share_one_ledger)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	int64_t run = new_run(s), after = 0, until = clock_mono_ms() + 30000;
	pid_t door[2];
	int i, done = 0, status;

	for (i = 0; i < 2; i++) {
		/* The child opens its own handle and leaves ours alone. */
		door[i] = fork();
		CHECK(door[i] >= 0);
		if (door[i] == 0)
			_exit(hammer_door(t_store_path()));
	}
	while (done < 2 * HAMMERED && clock_mono_ms() < until) {
		struct list l = { .n = 0 };
		CHECK(work_queued(s, after, 64, keep, &l, &e) >= 0);
		if (l.n > 0) {
			after = l.job[l.n - 1].id.row;
			done += hammer_work(s, run, &l);
		}
		list_clear(&l);
		CHECK_INT(work_checkpoint(s, 20, false, &e), 0);
	}
	for (i = 0; i < 2; i++) {
		CHECK(waitpid(door[i], &status, 0) == door[i]);
		CHECK_INT(status, 0);
	}
	CHECK_INT(done, 2 * HAMMERED);
	CHECK_STR(cell("SELECT count(*) FROM job WHERE outcome = 'ok' AND attempt = 1"), "3000");
	CHECK_STR(cell("PRAGMA integrity_check"), "ok");
}

TEST(the_library_is_known)
{
	CHECK_STR(store_library_version(), sqlite3_libversion());
	CHECK_INT(store_library_has_wal_bug(), sqlite3_libversion_number() < 3051003 &&
		sqlite3_libversion_number() != 3044006 && sqlite3_libversion_number() != 3050007);
	CHECK_INT(store_schema_version(), schema_version);
}

/* --- light jobs: written whole at their end --- */

static int
whole(struct store *s, struct job_id id, int64_t run)
{
	struct work_whole w = { DID, CID, "node", "none", 20000, run, 5, 1700000000300, START_WARM };
	struct work_end end = { OUTCOME_OK, NULL, NULL, NULL, 0 };
	struct err e = ERR_INIT;

	return work_whole(s, id.row, &w, &end, 1700000000400, &e);
}

TEST(a_light_job_is_written_whole_and_once)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct front_view v = { 0 };
	struct job_id id = enqueue_as(s, "alice.test", "hello", JOB_SYNC), other = enqueue_as(s, DID, "hello", JOB_ASYNC);
	int64_t run = new_run(s);

	CHECK_INT(whole(s, id, run), 1);
	CHECK_INT(whole(s, id, run), 0);
	CHECK_INT(front_look(s, &id, false, &v, &e), 0);
	CHECK(v.state == JOB_DONE && v.outcome == OUTCOME_OK && v.start == START_WARM);
	CHECK_STR(v.author, DID);
	CHECK_STR(v.cid, CID);
	CHECK_INT(v.started_at, 1700000000300);
	front_view_clear(&v);
	/* One that was cancelled meanwhile stays so. */
	CHECK_INT(front_cancel(s, &other, &e), 0);
	CHECK_INT(whole(s, other, run), 0);
}

TEST(what_a_killed_scheduler_may_have_started_is_not_started_again)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct front_view v = { 0 };
	struct job_id waited = enqueue(s), accepted = enqueue_as(s, DID, "hello", JOB_ASYNC);
	int64_t settled, again;

	new_run(s);
	CHECK_INT(work_recover(s, new_run(s), 1, &settled, &again, &e), 0);
	CHECK(settled == 1 && again == 0);
	CHECK_INT(front_look(s, &waited, true, &v, &e), 0);
	CHECK_INT(v.outcome, OUTCOME_LOST);
	front_view_clear(&v);
	CHECK_INT(front_look(s, &accepted, true, &v, &e), 0);
	CHECK_INT(v.state, JOB_QUEUED);
	front_view_clear(&v);
}

TEST(after_a_scheduler_that_ended_well_everything_queued_is_served)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct front_view v = { 0 };
	struct job_id waited = enqueue(s);
	int64_t run = new_run(s), settled, again;

	CHECK_INT(work_run_end(s, run, &e), 0);
	CHECK_INT(work_recover(s, new_run(s), 1, &settled, &again, &e), 0);
	CHECK_INT(settled, 0);
	CHECK_INT(front_look(s, &waited, true, &v, &e), 0);
	CHECK_INT(v.state, JOB_QUEUED);
	front_view_clear(&v);
}
