#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/bell.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/store.h"
#include "lib/store_work.h"
#include "scheduler/durable.h"
#include "scheduler/loop.h"
#include "tests/t.h"

static struct durable *d;
static int late;

static void
on_late(const char *bell, const void *words, size_t n)
{
	CHECK_STR(bell, "deaf");
	CHECK_INT(n, 5);
	CHECK(memcmp(words, "again", 5) == 0);
	if (++late == 2)
		loop_end();
}

static bool
never_again(void *arg)
{
	(void)arg;
	return false;
}

/* Waits until the bell rings; what it says. */
static const char *
heard(int bell)
{
	static char text[32];
	struct pollfd p = { bell, POLLIN, 0 };
	long n;

	CHECK_INT(poll(&p, 1, 10000), 1);
	n = bell_next(bell, text, sizeof text - 1);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

TEST(wishes_come_true_share_a_sync_and_are_told)
{
	struct err e = ERR_INIT;
	struct store *s = t_store();
	const char *dir = t_tmpdir();
	int64_t i, run, wished = 0;
	int bell;

	CHECK(store_has_log(s));
	CHECK_INT(work_run_start(s, &run, &e), 0);
	CHECK_INT(loop_open(&e), 0);
	d = durable_new(t_store_path(), dir, on_late, &e);
	CHECK(d != NULL);
	bell = bell_listen(dir, "door", &e);
	CHECK(bell >= 0);
	for (i = 0; i < 99; i++)
		durable_ask(d);
	durable_tell(d, "door", "first", 5);
	durable_tell(d, "nobody", "lost", 4);
	durable_tell(d, "door", "second", 6);
	wished = durable_ask(d);
	CHECK_INT(wished, 100);
	CHECK_STR(heard(bell), "first");
	CHECK_STR(heard(bell), "second");
	CHECK(durable_done(d) >= wished);
	CHECK(durable_count(d) >= 1 && durable_count(d) <= 100);
	durable_tell(d, "door", "third", 5);
	CHECK_INT(bell_next(bell, (char[8]){ 0 }, 8), -1); /* nobody asked yet */
	durable_ask(d);
	durable_free(d); /* waits for it */
	CHECK_STR(heard(bell), "third");
	bell_close(bell, dir, "door");
	loop_close();
	CHECK_INT(store_sync(s, &e), 0);
}

TEST(a_bell_without_room_is_left_to_the_loop)
{
	struct err e = ERR_INIT;
	const char *dir = t_tmpdir();
	int ringer[16], bell, i, k;

	t_store();
	late = 0;
	CHECK_INT(loop_open(&e), 0);
	d = durable_new(t_store_path(), dir, on_late, &e);
	bell = bell_listen(dir, "deaf", &e);
	/* A sender has room for so many datagrams of its own, and so has the bell: until a fresh one cannot send any. */
	for (k = 0; k < 16; k++) {
		ringer[k] = bell_ringer();
		for (i = 0; bell_tell(ringer[k], dir, "deaf", "x", 1); i++)
			;
		if (i == 0)
			break;
	}
	CHECK(k < 16);
	durable_tell(d, "deaf", "again", 5);
	durable_ask(d);
	durable_tell(d, "deaf", "again", 5);
	durable_ask(d);
	CHECK_INT(loop_run(never_again, NULL, &e), 0);
	CHECK_INT(late, 2);
	durable_free(d);
	while (k >= 0)
		close(ringer[k--]);
	bell_close(bell, dir, "deaf");
	loop_close();
}

TEST(a_ledger_that_is_not_there_cannot_be_synced)
{
	struct err e = ERR_INIT;
	char *path = mem_fmt("%s/none.db", t_tmpdir());

	CHECK(durable_new(path, "/", on_late, &e) == NULL);
	CHECK(e.text[0] != '\0');
	free(path);
}
