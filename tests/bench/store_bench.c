/*
 * What the ledger alone can do here.
 *
 *     store_bench                                        a table: enqueues a second and whole lives of jobs a second
 *     store_bench --durable --group 16 --seconds 2       one figure: rows inserted and admitted a second, so many a commit
 */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/store.h"
#include "lib/store_front.h"
#include "lib/store_work.h"

#define BODY  "{\"hello\":\"world\"}"
#define HEADS "[[\"host\",\"localhost:3000\"],[\"user-agent\",\"wrk\"],[\"accept\",\"*/*\"]]"

static char dir[] = "/tmp/at-rund-bench-XXXXXX";

static void
must(bool ok, const struct err *e)
{
	if (ok)
		return;
	fprintf(stderr, "store_bench: %s\n", e->text);
	exit(70);
}

static char *
path_of(const char *suffix)
{
	return mem_fmt("%s/at-rund.db%s", dir, suffix);
}

static void
remove_all(void)
{
	static const char *const suffixes[] = { "", "-wal", "-shm" };
	size_t i;

	for (i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
		char *p = path_of(suffixes[i]);
		unlink(p);
		free(p);
	}
}

static struct store *
open_store(enum store_face face)
{
	struct err e = ERR_INIT;
	char *path = path_of("");
	struct store *s = store_open(path, face, &e);

	must(s != NULL, &e);
	free(path);
	return s;
}

static int64_t
enqueue(struct store *s, enum job_mode mode, struct err *e)
{
	struct front_job j = { .mode = mode, .author = "did:plc:abcdefghijklmnopqrstuvwx", .bundle = "hello",
		.version = "latest", .endpoint = "default", .method = "POST",
		.url = "http://localhost:3000/bundle/did:plc:abcdefghijklmnopqrstuvwx/hello/latest/default", .path = "",
		.query = "", .headers_json = HEADS, .body = BODY, .body_bytes = sizeof BODY - 1, .client = "127.0.0.1",
		.bell = "f12345-1", .timeout_ms = 30000, .created_at = clock_wall_ms() };

	job_nonce(j.id.nonce);
	must(front_enqueue(s, &j, e) == 0, e);
	return j.id.row;
}

/* Enqueues a second; the workshop only keeps the log short, as the scheduler would. */
static double
enqueues(bool durable, int group, double seconds)
{
	struct err e = ERR_INIT;
	struct store *work = open_store(STORE_WORK), *front = open_store(STORE_FRONT);
	int64_t t0 = clock_mono_us(), end = t0 + (int64_t)(seconds * 1e6), n = 0, row;
	int i;

	while (clock_mono_us() < end) {
		must(store_begin(front, durable, &e) == 0, &e);
		for (i = 0; i < group; i++)
			enqueue(front, durable ? JOB_ASYNC : JOB_SYNC, &e);
		must(store_commit(front, &e) == 0, &e);
		n += group;
		if (n % 512 < group) {
			must(work_run_start(work, &row, &e) == 0, &e);
			must(work_checkpoint(work, 1000, false, &e) == 0, &e);
		}
	}
	t0 = clock_mono_us() - t0;
	store_close(front);
	store_close(work);
	remove_all();
	return (double)n / ((double)t0 / 1e6);
}

/* What an accepted job is to SQLite: its rows are inserted and its admission is written, all in one commit. */
static double
acceptances(int group, double seconds)
{
	struct err e = ERR_INIT;
	struct store *s = open_store(STORE_WORK);
	int64_t t0 = clock_mono_us(), end = t0 + (int64_t)(seconds * 1e6), n = 0, row;
	struct work_admission a = { "did:plc:abcdefghijklmnopqrstuvwx", "bafyreib2rxk3rh6kzwq", "node", "none", 30000, false, false, false, NULL };
	int i;

	while (clock_mono_us() < end) {
		must(store_begin(s, true, &e) == 0, &e);
		for (i = 0; i < group; i++) {
			row = enqueue(s, JOB_ASYNC, &e);
			must(work_admit(s, row, &a, clock_wall_ms(), &e) == 1, &e);
		}
		must(store_commit(s, &e) == 0, &e);
		must(work_checkpoint(s, 1000, false, &e) == 0, &e);
		n += group;
	}
	t0 = clock_mono_us() - t0;
	store_close(s);
	remove_all();
	return (double)n / ((double)t0 / 1e6);
}

struct batch {
	struct work_job job[64];
	int n;
};

static void
keep(void *arg, struct work_job *j)
{
	struct batch *b = arg;

	b->job[b->n++] = *j;
}

/* One job of a batch through admission and start, in the scheduler's transaction. */
static void
admit_and_start(struct store *s, struct work_job *j, int64_t run, struct err *e)
{
	struct work_admission a = { j->author, "bafyreib2rxk3rh6kzwq", "node", "none", 30000, false, false, false, NULL };
	int64_t now = clock_wall_ms();

	must(work_admit(s, j->id.row, &a, now, e) == 1, e);
	must(work_start(s, j->id.row, run, 1, START_WARM, clock_mono_ms() + 30000, now, &j->lease, e) == 1, e);
}

static void
finish(struct store *s, const struct work_job *j, struct err *e)
{
	struct work_end end = { .outcome = OUTCOME_OK };

	must(work_done(s, j->id.row, j->lease, &end, clock_wall_ms(), e) == 1, e);
	must(work_result(s, j->id.row, 200, "[[\"content-type\",\"text/plain\"]]", false, "hello\n", 6, e) == 0, e);
}

/* Whole lives a second: enqueued, claimed and started, done and answered, looked at; three commits a batch. */
static double
lives(bool durable, int group, double seconds)
{
	struct err e = ERR_INIT;
	struct store *work = open_store(STORE_WORK), *front = open_store(STORE_FRONT), *waiter = open_store(STORE_FRONT);
	int64_t t0, end, n = 0, after = 0, run;
	struct front_view v;
	struct batch b;
	int i;

	must(work_run_start(work, &run, &e) == 0, &e);
	t0 = clock_mono_us();
	end = t0 + (int64_t)(seconds * 1e6);
	while (clock_mono_us() < end) {
		b.n = 0;
		must(store_begin(front, false, &e) == 0, &e);
		for (i = 0; i < group; i++)
			enqueue(front, durable ? JOB_ASYNC : JOB_SYNC, &e);
		must(store_commit(front, &e) == 0, &e);

		must(work_queued(work, after, group, keep, &b, &e) == group, &e);
		after = b.job[group - 1].id.row;
		must(store_begin(work, durable, &e) == 0, &e);
		for (i = 0; i < b.n; i++)
			admit_and_start(work, &b.job[i], run, &e);
		must(store_commit(work, &e) == 0, &e);

		must(store_begin(work, durable, &e) == 0, &e);
		for (i = 0; i < b.n; i++)
			finish(work, &b.job[i], &e);
		must(store_commit(work, &e) == 0, &e);
		must(work_checkpoint(work, 1000, false, &e) == 0, &e);

		for (i = 0; i < b.n; i++) {
			must(front_look(waiter, &b.job[i].id, false, &v, &e) == 0 && v.outcome == OUTCOME_OK, &e);
			front_view_clear(&v);
			work_job_clear(&b.job[i]);
		}
		n += group;
	}
	t0 = clock_mono_us() - t0;
	store_close(waiter);
	store_close(front);
	store_close(work);
	remove_all();
	return (double)n / ((double)t0 / 1e6);
}

static void
table(double seconds)
{
	static const int groups[] = { 1, 16, 64 };
	size_t i;

	printf("%-38s %12s %12s\n", "a second, SQLite", "NORMAL", "FULL");
	for (i = 0; i < sizeof groups / sizeof *groups; i++)
		printf("enqueue, %2d a commit                   %12.0f %12.0f\n", groups[i],
		    enqueues(false, groups[i], seconds), enqueues(true, groups[i], seconds));
	for (i = 0; i < sizeof groups / sizeof *groups; i++)
		printf("whole lives, %2d a batch, 3 commits      %12.0f %12.0f\n", groups[i],
		    lives(false, groups[i], seconds), lives(true, groups[i], seconds));
}

int
main(int argc, char **argv)
{
	static const struct option options[] = { { "durable", no_argument, NULL, 'd' },
		{ "group", required_argument, NULL, 'g' }, { "seconds", required_argument, NULL, 's' }, { 0 } };
	bool durable = false;
	double seconds = 1;
	int group = 0, c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'd')
			durable = true;
		else if (c == 'g')
			group = (int)strtol(optarg, NULL, 10);
		else if (c == 's')
			seconds = strtod(optarg, NULL);
		else
			return 64;
	}
	if (mkdtemp(dir) == NULL)
		return 73;
	if (group > 0)
		printf("%.0f\n", durable ? acceptances(group, seconds) : enqueues(false, group, seconds));
	else
		table(seconds);
	rmdir(dir);
	return 0;
}
