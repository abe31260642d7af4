#include "tests/t.h"

#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/store_work.h"
#include "scheduler/catalog.h"
#include "scheduler/turn.h"
#include "scheduler/wait.h"

static struct code *
code(const char *did, const char *cid)
{
	struct code *c = mem_alloc(sizeof *c);

	c->refs = 1;
	c->did = mem_str(did);
	c->cid = mem_str(cid);
	return c;
}

static struct job *
job_at(struct wait *w, struct code *c, int64_t row, const char *endpoint, int priority, int64_t most)
{
	struct work_job row_job = { .id = { .row = row }, .bundle = mem_str(c->cid), .endpoint = mem_str(endpoint) };
	struct job *j = turn_job_new(&row_job);

	j->code = code_ref(c);
	j->priority = priority;
	j->most = most;
	if (w != NULL)
		wait_add(w, j);
	return j;
}

static struct job *
job(struct wait *w, struct code *c, int64_t row)
{
	return job_at(w, c, row, "ep", 0, 0);
}

struct order {
	struct wait *w;
	char seen[32];
	size_t n;
};

/* Takes the first job of whoever's turn it is and writes down whose it was. */
static bool
take_one(void *arg, struct waiting *x)
{
	struct order *o = arg;

	o->seen[o->n++] = strcmp(x->lane->endpoint, "ep") == 0 ? x->code->cid[0] : x->lane->endpoint[0];
	turn_job_free(wait_take(o->w, x));
	return true;
}

TEST(authors_take_turns_however_much_one_has_queued)
{
	struct wait w = { 0 };
	struct code *a = code("did:plc:aaa", "a"), *b = code("did:plc:bbb", "b"), *c = code("did:plc:ccc", "c");
	struct order o = { &w, "", 0 };
	int i;

	for (i = 0; i < 5; i++)
		job(&w, a, i + 1);
	job(&w, b, 6);
	job(&w, b, 7);
	job(&w, c, 8);
	while (w.n > 0)
		CHECK(wait_each(&w, take_one, &o));
	CHECK_STR(o.seen, "abcabaaa");
	CHECK(w.authors == NULL);
	code_unref(a);
	code_unref(b);
	code_unref(c);
}

TEST(bundles_of_one_author_take_turns_too)
{
	struct wait w = { 0 };
	struct code *a = code("did:plc:aaa", "x"), *b = code("did:plc:aaa", "y");
	struct order o = { &w, "", 0 };
	int i;

	for (i = 0; i < 3; i++)
		job(&w, a, i + 1);
	job(&w, b, 4);
	while (w.n > 0)
		CHECK(wait_each(&w, take_one, &o));
	CHECK_STR(o.seen, "xyxx");
	code_unref(a);
	code_unref(b);
}

TEST(within_a_bundle_the_oldest_job_is_first)
{
	struct wait w = { 0 };
	struct code *a = code("did:plc:aaa", "a");
	struct job *one = job(&w, a, 1), *two = job(&w, a, 2), *three = job(&w, a, 3);

	CHECK(wait_remove(&w, two));
	CHECK(!wait_remove(&w, two));
	turn_job_free(two);
	CHECK(wait_take_code(&w, a) == one);
	CHECK(wait_take_code(&w, a) == three);
	CHECK(wait_take_code(&w, a) == NULL);
	turn_job_free(one);
	turn_job_free(three);
	code_unref(a);
}

/* Is there room for one more with this row? */
static bool
room(struct wait *w, struct code *c, int64_t row)
{
	struct job *j = job_at(NULL, c, row, "ep", 0, 0);
	bool yes = wait_has_room(w, j);

	turn_job_free(j);
	return yes;
}

TEST(memory_holds_the_first_jobs_of_a_lane_and_the_ledger_the_rest)
{
	struct wait w = { 0 };
	struct code *a = code("did:plc:aaa", "a"), *b = code("did:plc:other", "b");
	int64_t row = 0;

	while (room(&w, a, row + 1)) {
		job(&w, a, ++row);
		if (row > 1000)
			break;
	}
	CHECK_INT(row, 64);
	CHECK(room(&w, b, row + 1));
	wait_leave(&w, a->did, "a", "ep");
	CHECK(wait_hungry(&w) == NULL); /* it has enough for now */
	CHECK(room(&w, a, 10)); /* older than what memory has seen: it came late */
	while (w.n > 10)
		turn_job_free(wait_take_code(&w, a));
	CHECK(!room(&w, a, row + 1)); /* behind those that only the ledger knows */
	CHECK(wait_hungry(&w) != NULL);
	CHECK_INT(wait_hungry(&w)->last_row, 64);
	wait_sated(&w, wait_hungry(&w));
	CHECK(room(&w, a, row + 1));
	wait_clear(&w);
	CHECK_INT(w.n, 0);
	code_unref(a);
	code_unref(b);
}

TEST(a_backlog_of_one_endpoint_leaves_room_for_the_others)
{
	struct wait w = { 0 };
	struct code *a = code("did:plc:aaa", "a");
	struct job *other;
	int64_t row;

	for (row = 1; row <= 64; row++)
		job(&w, a, row);
	wait_leave(&w, a->did, "a", "ep");
	other = job_at(NULL, a, 100, "other", 0, 0);
	CHECK(wait_has_room(&w, other));
	turn_job_free(other);
	wait_clear(&w);
	CHECK(w.authors == NULL);
	code_unref(a);
}

TEST(the_higher_priority_goes_first_then_turns_then_age)
{
	struct wait w = { 0 };
	struct code *a = code("did:plc:aaa", "a"), *b = code("did:plc:bbb", "b");
	struct order o = { &w, "", 0 };

	job_at(&w, a, 1, "low", -5, 0);
	job_at(&w, a, 2, "ep", 0, 0);
	job_at(&w, a, 3, "ep", 0, 0);
	job_at(&w, b, 4, "ep", 0, 0);
	job_at(&w, b, 5, "high", 3, 0);
	while (w.n > 0)
		CHECK(wait_each(&w, take_one, &o));
	CHECK_STR(o.seen, "habal");
	code_unref(a);
	code_unref(b);
}

TEST(an_endpoint_at_its_limit_holds_up_no_other)
{
	struct wait w = { 0 };
	struct code *a = code("did:plc:aaa", "a");
	struct job *runs = job_at(NULL, a, 1, "thumb", 0, 1), *new = job_at(NULL, a, 9, "thumb", 0, 1);
	struct order o = { &w, "", 0 };

	CHECK(wait_counts(&w, runs) && wait_may_start(&w, runs));
	wait_started(&w, runs);
	CHECK(!wait_may_start(&w, new));
	CHECK(!wait_any_of(&w, a->did)); /* it runs, nobody waits */
	job_at(&w, a, 2, "thumb", 0, 1);
	job_at(&w, a, 3, "ep", 0, 0);
	CHECK(wait_each(&w, take_one, &o));
	CHECK(!wait_each(&w, take_one, &o));
	CHECK_STR(o.seen, "a");
	wait_ended(&w, runs);
	wait_ended(&w, runs);
	CHECK(wait_each(&w, take_one, &o));
	CHECK_STR(o.seen, "at");
	CHECK(w.authors == NULL);
	turn_job_free(runs);
	turn_job_free(new);
	code_unref(a);
}

TEST(limits_of_a_bundle_and_of_an_author_count_all_their_endpoints)
{
	struct wait w = { .author_most = 2 };
	struct code *a = code("did:plc:aaa", "a"), *b = code("did:plc:aaa", "b"), *c = code("did:plc:ccc", "c");
	struct job *one = job_at(NULL, a, 1, "x", 0, 0), *two = job_at(NULL, a, 2, "y", 0, 0);
	struct job *three = job_at(NULL, b, 3, "z", 0, 0), *other = job_at(NULL, c, 4, "z", 0, 0);

	one->bundle_most = two->bundle_most = 1;
	wait_started(&w, one);
	CHECK(!wait_may_start(&w, two));
	CHECK(wait_may_start(&w, three) && wait_may_start(&w, other));
	wait_started(&w, three);
	two->bundle_most = 0;
	CHECK(!wait_may_start(&w, two) && wait_may_start(&w, other));
	wait_ended(&w, one);
	CHECK(wait_may_start(&w, two));
	wait_ended(&w, three);
	CHECK(w.authors == NULL);
	turn_job_free(one);
	turn_job_free(two);
	turn_job_free(three);
	turn_job_free(other);
	code_unref(a);
	code_unref(b);
	code_unref(c);
}
