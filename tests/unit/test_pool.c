#include "tests/t.h"

#include <string.h>

#include "backends/runtime.h"
#include "lib/mem.h"
#include "scheduler/catalog.h"
#include "scheduler/instance.h"
#include "scheduler/pool.h"

#define SLICE 500

static struct runtime node = { .name = (char *)"node" }, deno = { .name = (char *)"deno" };
static struct code a = { .refs = 100, .cid = (char *)"a" }, b = { .refs = 100, .cid = (char *)"b" };

static struct pool_entry
warm(struct code *code, int busy, int64_t used_ms)
{
	return (struct pool_entry){ .state = INSTANCE_WARM, .runtime = &node, .key = "", .code = code,
		.free_places = 1 - busy, .busy = busy, .used_ms = used_ms, .bound_ms = 0 };
}

static struct pool_entry
blank(const struct runtime *r, const char *key)
{
	return (struct pool_entry){ .state = INSTANCE_BLANK, .runtime = r, .key = key };
}

TEST(pool_gives_a_job_the_instance_of_its_own_bundle_that_was_used_last)
{
	struct pool_entry x[] = { warm(&b, 0, 900), warm(&a, 0, 100), warm(&a, 0, 300), warm(&a, 1, 800) };
	struct pool p = { x, 4, 4 };

	CHECK(pool_warm(&p, &a) == &x[2]);
	x[2].retiring = true;
	CHECK(pool_warm(&p, &a) == &x[1]);
	x[1].free_places = 0;
	CHECK(pool_warm(&p, &a) == NULL);
}

TEST(pool_binds_only_a_blank_of_the_same_runtime_and_key)
{
	struct pool_entry x[] = { blank(&deno, ""), blank(&node, "net=h;"), blank(&node, "") };
	struct pool p = { x, 3, 3 };

	CHECK(pool_blank(&p, &node, "") == &x[2]);
	CHECK(pool_blank(&p, &node, "net=h;") == &x[1]);
	CHECK(pool_blank(&p, &deno, "net=h;") == NULL);
	x[2].code = &a; /* started for somebody */
	CHECK(pool_blank(&p, &node, "") == NULL);
}

TEST(pool_counts_what_is_on_its_way)
{
	struct pool_entry x[] = { warm(&a, 1, 1), blank(&node, ""), warm(&b, 0, 1), warm(&a, 0, 1) };
	struct pool p = { x, 4, 4 };
	int coming;

	x[1].code = &a;
	x[1].state = INSTANCE_LOADING;
	x[3].state = INSTANCE_ENDING;
	CHECK_INT(pool_count(&p, &a, &coming), 2);
	CHECK_INT(coming, 1);
	CHECK_INT(pool_live(&p), 3);
}

TEST(pool_evicts_the_idle_one_of_another_bundle_used_longest_ago)
{
	struct pool_entry x[] = { warm(&a, 0, 10), warm(&b, 0, 300), warm(&b, 0, 200), warm(&b, 1, 1), blank(&node, "") };
	struct pool p = { x, 5, 5 };

	CHECK(pool_evict(&p, &a, 1000, SLICE) == &x[2]);
	x[2].bound_ms = 900; /* its time is not over */
	CHECK(pool_evict(&p, &a, 1000, SLICE) == &x[1]);
	x[1].busy = 1;
	CHECK(pool_evict(&p, &a, 1000, SLICE) == &x[4]); /* blanks last */
	x[4].state = INSTANCE_STARTING;
	CHECK(pool_evict(&p, &a, 1000, SLICE) == NULL);
}

TEST(pool_lets_the_idle_go_and_never_the_busy)
{
	struct pool_entry x[] = { warm(&a, 1, 0), warm(&b, 0, 500) };
	struct pool p = { x, 2, 2 };

	CHECK(pool_idle(&p, 1000, 600) == NULL);
	CHECK(pool_idle(&p, 1100, 600) == &x[1]);
}

TEST(pool_lets_only_blanks_go_that_are_more_than_wanted_and_idle)
{
	struct pool_entry x[] = { blank(&node, ""), blank(&node, ""), blank(&deno, "") };
	struct pool p = { x, 3, 3 };

	x[0].used_ms = 900;
	x[1].used_ms = 100;
	CHECK(pool_spare_blank(&p, &node, 2, 1000, 500) == NULL);
	CHECK(pool_spare_blank(&p, &node, 1, 1000, 500) == &x[1]);
	CHECK(pool_spare_blank(&p, &node, 0, 1000, 950) == NULL);
	CHECK(pool_spare_blank(&p, &deno, 0, 1000, 500) == &x[2]);
}
