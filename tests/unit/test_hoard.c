#include <string.h>

#include "lib/clock.h"
#include "lib/err.h"
#include "lib/store.h"
#include "lib/store_front.h"
#include "lib/store_hoard.h"
#include "lib/store_work.h"
#include "scheduler/hoard.h"
#include "tests/t.h"

#define KIB 1024

static char body[200 * KIB];

/* One that is done, with so many bytes of a request, as many of a stream, and a line; open: it is not done. */
static int64_t
make(struct store *s, const char *author, size_t bytes, bool open)
{
	struct front_job j = { .mode = JOB_ASYNC, .author = author, .bundle = "b", .version = "v", .endpoint = "e", .method = "POST",
		.url = "u", .path = "", .query = "", .headers_json = "[]", .body = body, .body_bytes = bytes, .client = "192.0.2.1",
		.timeout_ms = 1000, .created_at = clock_wall_ms() };
	struct work_end end = { .outcome = OUTCOME_CANCELLED };
	struct err e = ERR_INIT;

	job_nonce(j.id.nonce);
	CHECK_INT(front_enqueue(s, &j, &e), 0);
	CHECK_INT(work_result(s, j.id.row, 200, "[]", true, NULL, 0, &e), 0);
	for (int i = 0; i < 20; i++)
		CHECK_INT(work_chunk(s, j.id.row, i, body, bytes / 20, &e), 0);
	CHECK_INT(work_log(s, j.id.row, 0, 1, "info", "console", "line", 4, &e), 0);
	if (!open)
		CHECK_INT(work_drop(s, j.id.row, &end, 2, &e), 1);
	return j.id.row;
}

static bool
is_there(struct store *s, int64_t row)
{
	struct work_job w = { 0 };
	struct err e = ERR_INIT;
	bool yes = work_job_load(s, row, &w, &e) == 0;

	work_job_clear(&w);
	return yes;
}

/* A whole walk, in steps of one. */
static void
walk(struct hoard *h, struct store *s)
{
	static int64_t now = 1000000;
	struct err e = ERR_INIT;
	int n;

	now += 1000000;
	while ((n = hoard_step(h, s, 0, now, &e)) == 1)
		;
	CHECK_INT(n, 0);
}

TEST(who_holds_too_much_loses_the_oldest)
{
	struct store *s = t_store();
	struct hoard *h = hoard_new(1020 * KIB, 0);
	struct err e = ERR_INIT;
	int64_t open = make(s, "did:plc:much", 100 * KIB, true), row[20], other[4], size = 0;
	int i, left = 0;

	for (i = 0; i < 20; i++) {
		row[i] = make(s, "did:plc:much", 100 * KIB, false);
		if (i % 5 == 0)
			other[i / 5] = make(s, "did:plc:other", 100 * KIB, false);
	}
	walk(h, s);
	/* Each has some more than 200 KiB, so that four of them and the open one are below the limit. */
	for (i = 0; i < 20; i++) {
		CHECK(is_there(s, row[i]) == (i >= 16));
		left += is_there(s, row[i]);
	}
	CHECK_INT(left, 4);
	CHECK(is_there(s, open));
	for (i = 0; i < 4; i++)
		CHECK(is_there(s, other[i]));
	CHECK_INT(work_unread(s, row[0], &size, &e), 0);
	CHECK_INT(size, 0);
	walk(h, s);
	CHECK(is_there(s, row[16]));
	hoard_free(h);
}

TEST(the_log_in_all_has_its_limit)
{
	struct store *s = t_store();
	struct hoard *h = hoard_new(0, 300 * KIB);
	struct err e = ERR_INIT;
	int64_t last, bytes = 0, total = 0, at = 0;
	int i;

	memset(body, 'x', KIB); /* a NUL ends a text */
	for (i = 0; i < 1000; i++)
		CHECK_INT(work_log(s, i % 2, 0, i, "info", "console", body, KIB, &e), 0);
	walk(h, s);
	while (work_log_sizes(s, at, 100, &last, &bytes, &e) == 1) {
		if (total == 0)
			CHECK(last > 700); /* the oldest went */
		at = last;
		total += bytes;
	}
	CHECK_INT(at, 1000);
	CHECK(total <= 300 * KIB && total > 0);
	hoard_free(h);
}

TEST(a_hoard_without_limits_does_nothing)
{
	struct store *s = t_store();
	struct hoard *h = hoard_new(0, 0);
	struct err e = ERR_INIT;
	int64_t row = make(s, "did:plc:much", 100 * KIB, false);

	CHECK_INT(hoard_step(h, s, 0, 1, &e), 0);
	CHECK(is_there(s, row));
	hoard_free(h);
}
