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
job(struct wait *w, struct code *c, int64_t row)
{
	struct work_job row_job = { .id = { .row = row } };
	struct job *j = turn_job_new(&row_job);

	j->code = code_ref(c);
	wait_add(w, j);
	return j;
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

	o->seen[o->n++] = x->code->cid[0];
	turn_job_free(wait_take(o->w, x->code));
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
	CHECK(wait_take(&w, a) == one);
	CHECK(wait_take(&w, a) == three);
	CHECK(wait_take(&w, a) == NULL);
	turn_job_free(one);
	turn_job_free(three);
	code_unref(a);
}

TEST(memory_holds_the_first_jobs_of_an_author_and_the_ledger_the_rest)
{
	struct wait w = { 0 };
	struct code *a = code("did:plc:aaa", "a");
	int64_t row = 0;

	while (wait_has_room(&w, a->did, row + 1)) {
		job(&w, a, ++row);
		if (row > 1000)
			break;
	}
	CHECK_INT(row, 64);
	CHECK(wait_has_room(&w, "did:plc:other", row + 1));
	wait_leave(&w, a->did);
	CHECK(wait_hungry(&w) == NULL); /* it has enough for now */
	CHECK(wait_has_room(&w, a->did, 10)); /* older than what memory has seen: it came late */
	while (w.n > 10)
		turn_job_free(wait_take(&w, a));
	CHECK(!wait_has_room(&w, a->did, row + 1)); /* behind those that only the ledger knows */
	CHECK(wait_hungry(&w) != NULL);
	CHECK_INT(wait_hungry(&w)->last_row, 64);
	wait_sated(&w, wait_hungry(&w));
	CHECK(wait_has_room(&w, a->did, row + 1));
	wait_clear(&w);
	CHECK_INT(w.n, 0);
	code_unref(a);
}
