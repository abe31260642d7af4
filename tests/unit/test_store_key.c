/* Idempotency-Key in the ledger. */
#include <stdio.h>
#include <string.h>

#include "lib/err.h"
#include "lib/job.h"
#include "lib/store.h"
#include "lib/store_front.h"
#include "lib/store_key.h"
#include "lib/store_work.h"
#include "tests/t.h"

#define DID "did:plc:abcdefghijklmnopqrstuvwx"
#define NOW INT64_C(1700000000000)

static struct front_job
request(const char *key)
{
	struct front_job j = { .mode = JOB_ASYNC, .author = DID, .bundle = "hello", .version = "latest", .endpoint = "ep",
		.method = "POST", .url = "http://h/x", .path = "/more", .query = "a=b", .headers_json = "[]", .body = "bo\0dy",
		.body_bytes = 5, .client = "127.0.0.1", .bell = "f1-1", .timeout_ms = 30000, .created_at = NOW,
		.key = key, .keys_after = NOW - 1000 };

	job_nonce(j.id.nonce);
	return j;
}

static enum front_met
send(struct store *s, struct front_job *j)
{
	struct err e = ERR_INIT;

	CHECK_INT(front_enqueue(s, j, &e), 0);
	return j->met;
}

TEST(the_same_request_under_the_same_key_is_the_same_job)
{
	struct store *s = t_store();
	struct front_job first = request("k1"), second = request("k1"), third = request("k2");

	CHECK_INT(send(s, &first), MET_NOBODY);
	CHECK_INT(send(s, &second), MET_TWIN);
	CHECK(second.twin.row == first.id.row);
	CHECK_STR(second.twin.nonce, first.id.nonce);
	CHECK_INT(send(s, &third), MET_NOBODY);
	CHECK(third.id.row == first.id.row + 1);
}

TEST(another_request_under_the_same_key_is_told_apart)
{
	struct store *s = t_store();
	struct front_job first = request("k1");
	static const char *const what[] = { "version", "endpoint", "method", "path", "query", "body", "no body",
		"callback" };
	size_t i;

	CHECK_INT(send(s, &first), MET_NOBODY);
	for (i = 0; i < sizeof what / sizeof *what; i++) {
		struct front_job j = request("k1");

		if (i == 0)
			j.version = "1.0.0";
		else if (i == 1)
			j.endpoint = "other";
		else if (i == 2)
			j.method = "PUT";
		else if (i == 3)
			j.path = "";
		else if (i == 4)
			j.query = "a=c";
		else if (i == 5)
			j.body = "bo\0dx";
		else if (i == 6)
			j.body_bytes = 0;
		else
			j.callback = "https://a.example.com/";
		CHECK_INT(send(s, &j), MET_OTHER);
	}
}

TEST(keys_of_another_caller_or_another_bundle_are_other_keys)
{
	struct store *s = t_store();
	struct front_job first = request("k1"), caller = request("k1"), bundle = request("k1");

	caller.caller = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
	bundle.bundle = "other";
	CHECK_INT(send(s, &first), MET_NOBODY);
	CHECK_INT(send(s, &caller), MET_NOBODY);
	CHECK_INT(send(s, &bundle), MET_NOBODY);
}

TEST(an_old_key_means_nothing_and_goes)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct front_job first = request("k1"), later = request("k1"), again = request("k1");

	CHECK_INT(send(s, &first), MET_NOBODY);
	later.created_at = NOW + 2000;
	later.keys_after = NOW + 1000;
	CHECK_INT(send(s, &later), MET_NOBODY);
	CHECK(later.id.row != first.id.row);
	again.keys_after = NOW + 1000;
	CHECK_INT(send(s, &again), MET_TWIN);
	CHECK(again.twin.row == later.id.row);
	CHECK_INT(key_prune(s, NOW + 1000, 10, &e), 0);
	CHECK_INT(key_prune(s, NOW + 3000, 10, &e), 1);
	CHECK_INT(key_prune(s, NOW + 3000, 10, &e), 0);
}

static void
drop(struct store *s, const struct front_job *j, enum job_outcome outcome)
{
	struct work_end end = { outcome, "denied", "Why", "because", 0 };
	struct err e = ERR_INIT;

	CHECK_INT(work_drop(s, j->id.row, &end, NOW, &e), 1);
}

TEST(a_job_that_never_ran_does_not_hold_its_key)
{
	static const enum job_outcome outcomes[] = { OUTCOME_REFUSED, OUTCOME_EXPIRED, OUTCOME_CANCELLED };
	const enum job_outcome *o;

	for (T_EACH(o, outcomes)) {
		struct store *s = t_store();
		struct front_job first = request("k1"), second = request("k1");

		CHECK_INT(send(s, &first), MET_NOBODY);
		drop(s, &first, *o);
		CHECK_INT(send(s, &second), MET_NOBODY);
		CHECK(second.id.row != first.id.row);
	}
}

TEST(a_job_that_was_lost_holds_its_key)
{
	struct store *s = t_store();
	struct front_job first = request("k1"), second = request("k1");

	CHECK_INT(send(s, &first), MET_NOBODY);
	drop(s, &first, OUTCOME_LOST);
	CHECK_INT(send(s, &second), MET_TWIN);
}
