/* What ended, rolled up: counted in memory, added to the ledger. */
#include "tests/t.h"

#include <sqlite3.h>
#include <string.h>

#include "lib/err.h"
#include "lib/store.h"
#include "lib/store_traffic.h"
#include "scheduler/catalog.h"
#include "scheduler/traffic.h"
#include "scheduler/turn.h"

#define AT (INT64_C(1764000000000) - INT64_C(1764000000000) % TRAFFIC_MS)

static void
end(enum job_mode mode, enum job_outcome outcome, enum job_start start, const char *did, int64_t ms, int64_t now)
{
	struct code code = { .did = (char *)(uintptr_t)did };
	struct job j = { .w.mode = mode, .outcome = outcome, .start = start, .code = did != NULL ? &code : NULL };

	traffic_end(&j, ms, now);
}

static void
write_down(struct store *s)
{
	struct err e = ERR_INIT;

	CHECK(store_begin(s, false, &e) == 0);
	CHECK(traffic_write(s, &e) == 0);
	CHECK(store_commit(s, &e) == 0);
	traffic_written();
}

/* As a person beside us reads it. */
static int64_t
number(const char *text)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *q = NULL;
	int64_t n = -1;

	CHECK_INT(sqlite3_open_v2(t_store_path(), &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	CHECK_INT(sqlite3_prepare_v2(db, text, -1, &q, NULL), SQLITE_OK);
	if (sqlite3_step(q) == SQLITE_ROW)
		n = sqlite3_column_int64(q, 0);
	sqlite3_finalize(q);
	sqlite3_close(db);
	return n;
}

struct seen {
	struct traffic t[4];
	int n;
};

static void
see(void *arg, const struct traffic *t)
{
	struct seen *seen = arg;

	CHECK(seen->n < 4);
	seen->t[seen->n++] = *t;
}

TEST(traffic_adds_up_by_five_minutes)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct seen seen = { .n = 0 };

	traffic_clear();
	end(JOB_SYNC, OUTCOME_OK, START_WARM, "did:plc:a", 1, AT);
	end(JOB_SYNC, OUTCOME_OK, START_COLD, "did:plc:a", 2501, AT + 1);
	write_down(s);
	end(JOB_SYNC, OUTCOME_TIMEOUT, START_WARM, "did:plc:a", 99999, AT + TRAFFIC_MS - 1);
	end(JOB_ASYNC, OUTCOME_OK, START_BLANK, "did:plc:b", 7, AT + 2);
	end(JOB_SYNC, OUTCOME_REFUSED, START_NONE, NULL, 3, AT + TRAFFIC_MS);
	traffic_more(OUTCOME_LOST, 2, AT + TRAFFIC_MS);
	/* A transaction that failed is tried again with all of it. */
	CHECK(store_begin(s, false, &e) == 0);
	CHECK(traffic_write(s, &e) == 0);
	store_rollback(s);
	write_down(s);
	write_down(s);
	CHECK(front_traffic(s, AT, see, &seen, &e) == 0);
	CHECK_INT(seen.n, 2);
	CHECK_INT(seen.t[0].at, AT);
	CHECK_INT(seen.t[0].outcome[OUTCOME_OK], 3);
	CHECK_INT(seen.t[0].outcome[OUTCOME_TIMEOUT], 1);
	CHECK_INT(seen.t[0].start[START_WARM], 2);
	CHECK_INT(seen.t[0].start[START_BLANK], 1);
	CHECK_INT(seen.t[0].waited, 3); /* nobody waited for the accepted one */
	CHECK_INT(seen.t[0].sum_ms, 1 + 2501 + 99999);
	CHECK_INT(seen.t[0].within[0], 1);
	CHECK_INT(seen.t[0].within[10], 1); /* 2500 */
	CHECK_INT(seen.t[0].within[11], 2); /* 5000 */
	CHECK_INT(seen.t[0].within[TRAFFIC_BOUNDS - 1], 2);
	CHECK_INT(seen.t[1].outcome[OUTCOME_REFUSED], 1);
	CHECK_INT(seen.t[1].outcome[OUTCOME_LOST], 2);
	CHECK_INT(seen.t[1].start[START_NONE], 1);
	CHECK_INT(seen.t[1].waited, 0);
	traffic_clear();
}

TEST(traffic_of_authors_comes_with_the_last_beat_at_the_latest)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;

	traffic_clear();
	end(JOB_SYNC, OUTCOME_OK, START_WARM, "did:plc:a", 1, AT);
	end(JOB_SYNC, OUTCOME_ERROR, START_WARM, "did:plc:a", 1, AT);
	end(JOB_SYNC, OUTCOME_CANCELLED, START_WARM, "did:plc:b", 1, AT);
	end(JOB_SYNC, OUTCOME_OK, START_WARM, "did:plc:b", 1, AT + INT64_C(86400000));
	write_down(s);
	CHECK_INT(number("SELECT count(*) FROM v_authors"), 0);
	traffic_last();
	write_down(s);
	CHECK_INT(number("SELECT count(*) FROM v_authors"), 3);
	CHECK_INT(number("SELECT calls * 10 + failed FROM v_authors WHERE author = 'did:plc:a'"), 21);
	CHECK_INT(number("SELECT sum(calls) * 10 + sum(failed) FROM v_authors WHERE author = 'did:plc:b'"), 20);
	CHECK(traffic_prune(s, AT + INT64_C(86400000) * 91, &e) == 0);
	CHECK_INT(number("SELECT count(*) FROM v_authors"), 1);
	CHECK_INT(number("SELECT count(*) FROM v_traffic"), 0);
	traffic_clear();
}
