#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/store.h"
#include "lib/store_front.h"
#include "lib/store_work.h"
#include "tests/t.h"

/* The files as they are now, as after kill -9: what a process has not written yet is not in the copy. */
static char *
copy_of(const char *path)
{
	static const char *const parts[] = { "", "-wal" };
	char *to = mem_fmt("%s/copy.db", t_tmpdir());
	size_t i, n;

	for (i = 0; i < 2; i++) {
		char *from = mem_fmt("%s%s", path, parts[i]), *there = mem_fmt("%s%s", to, parts[i]), *bytes = t_read_file(from, &n);
		FILE *f = fopen(there, "we");

		CHECK(bytes != NULL && f != NULL && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
		free(bytes);
		free(from);
		free(there);
	}
	return to;
}

static void
put(struct store *s, size_t bytes, int n)
{
	struct err e = ERR_INIT;
	char *body = mem_alloc(bytes + 1);
	int i;

	CHECK_INT(store_begin(s, false, &e), 0);
	for (i = 0; i < n; i++) {
		struct front_job j = { .mode = JOB_SYNC, .author = "did:plc:a", .bundle = "b", .version = "latest", .endpoint = "e",
			.method = "POST", .url = "http://x/", .path = "", .query = "", .headers_json = "[]", .body = body,
			.body_bytes = bytes, .client = "127.0.0.1", .timeout_ms = 1000, .created_at = clock_wall_ms() };

		job_nonce(j.id.nonce);
		CHECK_INT(front_enqueue(s, &j, &e), 0);
	}
	/* Pages that went to the log before the commit change again: their checksums are mended in it. */
	for (i = 1; i <= n; i++) {
		struct work_end end = { .outcome = OUTCOME_OK };

		work_drop(s, i, &end, clock_wall_ms(), &e);
	}
	CHECK_INT(store_commit(s, &e), 0);
	free(body);
}

static void
check_copy(int64_t rows)
{
	struct err e = ERR_INIT;
	char *path = copy_of(t_store_path());
	struct store *copy = store_open(path, STORE_WORK, &e);
	int64_t last = 0;

	CHECK(copy != NULL);
	CHECK_INT(work_last(copy, &last, &e), 0);
	CHECK_INT(last, rows);
	store_close(copy);
	free(path);
}

TEST(what_is_committed_is_in_the_files)
{
	struct store *s = t_store();
	int i;

	for (i = 1; i <= 5; i++) {
		put(s, 10, 1);
		check_copy(i);
	}
}

/* Commits of every length, so that wherever a gathered write is full, it once is there. */
TEST(a_commit_of_any_length_is_in_the_files)
{
	struct store *s = t_store(), *copy;
	struct err e = ERR_INIT;
	int64_t pages;

	for (pages = 1; pages <= 70; pages++) {
		char *body = mem_alloc((size_t)pages * 4096), *path;
		struct work_job j = { 0 };
		struct front_job in = { .mode = JOB_SYNC, .author = "did:plc:a", .bundle = "b", .version = "latest", .endpoint = "e",
			.method = "POST", .url = "http://x/", .path = "", .query = "", .headers_json = "[]", .body = body,
			.body_bytes = (size_t)pages * 4096, .client = "127.0.0.1", .timeout_ms = 1000, .created_at = 1 };

		memset(body, (int)pages, in.body_bytes);
		job_nonce(in.id.nonce);
		CHECK_INT(store_begin(s, false, &e), 0);
		CHECK_INT(front_enqueue(s, &in, &e), 0);
		CHECK_INT(store_commit(s, &e), 0);
		path = copy_of(t_store_path());
		copy = store_open(path, STORE_FRONT, &e);
		CHECK(copy != NULL);
		CHECK_INT(work_job_load(copy, in.id.row, &j, &e), 0);
		CHECK(j.body_bytes == in.body_bytes && memcmp(j.body, body, in.body_bytes) == 0);
		work_job_clear(&j);
		store_close(copy);
		free(path);
		free(body);
	}
}

TEST(a_transaction_longer_than_the_cache_is_in_the_files)
{
	struct store *s = t_store();

	put(s, 100000, 60);
	check_copy(60);
	put(s, 10, 1);
	check_copy(61);
}

TEST(what_was_rolled_back_is_not)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct front_job j = { .mode = JOB_SYNC, .author = "did:plc:a", .bundle = "b", .version = "latest", .endpoint = "e",
		.method = "GET", .url = "http://x/", .path = "", .query = "", .headers_json = "[]", .client = "127.0.0.1",
		.timeout_ms = 1000, .created_at = 1 };

	put(s, 10, 2);
	CHECK_INT(store_begin(s, false, &e), 0);
	job_nonce(j.id.nonce);
	CHECK_INT(front_enqueue(s, &j, &e), 0);
	store_rollback(s);
	check_copy(2);
	put(s, 10, 1);
	check_copy(3);
}
