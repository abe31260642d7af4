#include <stdlib.h>

#include "lib/err.h"
#include "lib/mem.h"
#include "lib/store.h"
#include "lib/store_work.h"
#include "scheduler/durable.h"
#include "scheduler/loop.h"
#include "tests/t.h"

static struct durable *d;
static int64_t wished;

static void
on_sync(void)
{
	if (durable_done(d) >= wished)
		loop_end();
}

static bool
never_again(void *arg)
{
	(void)arg;
	return false;
}

TEST(wishes_come_true_and_share_a_sync)
{
	struct err e = ERR_INIT;
	struct store *s = t_store();
	int64_t i, run;

	CHECK(store_has_log(s));
	CHECK_INT(work_run_start(s, &run, &e), 0);
	CHECK_INT(loop_open(&e), 0);
	d = durable_new(t_store_path(), on_sync, &e);
	CHECK(d != NULL);
	for (i = 0; i < 100; i++)
		wished = durable_ask(d);
	CHECK_INT(wished, 100);
	CHECK_INT(loop_run(never_again, NULL, &e), 0);
	CHECK(durable_done(d) >= wished);
	CHECK(durable_count(d) >= 1 && durable_count(d) <= 100);
	durable_free(d);
	loop_close();
	CHECK_INT(store_sync(s, &e), 0);
}

TEST(the_last_wish_comes_true_before_the_end)
{
	struct err e = ERR_INIT;

	t_store();
	CHECK_INT(loop_open(&e), 0);
	wished = INT64_MAX;
	d = durable_new(t_store_path(), on_sync, &e);
	CHECK(d != NULL);
	durable_ask(d);
	durable_free(d); /* waits for it */
	loop_close();
}

TEST(a_ledger_that_is_not_there_cannot_be_synced)
{
	struct err e = ERR_INIT;
	char *path = mem_fmt("%s/none.db", t_tmpdir());

	CHECK(durable_new(path, on_sync, &e) == NULL);
	CHECK(e.text[0] != '\0');
	free(path);
}
