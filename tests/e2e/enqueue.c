/*
 * The front door's part without a web server: puts jobs into the ledger, rings, waits, prints.  For trying and
 * measuring the scheduler alone.
 *
 *     enqueue --home DIR [--author local] --bundle hello [--endpoint default] [--body TEXT]         one job, printed
 *     enqueue --home DIR --bundle hello -n 10000 -c 16                                              a table of one line
 */
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/bell.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/store.h"
#include "lib/store_front.h"

struct options {
	const char *home, *author, *bundle, *version, *endpoint, *method, *body;
	long n, flight, timeout_ms, body_bytes;
	bool async, no_wait;
};

struct open_job {
	struct job_id id;
	int64_t since_us;
	bool live;
};

static struct store *store;
static char *run_dir, bell_name[32];
static int bell = -1, ringer = -1;
static long outcomes[OUTCOME_COUNT];

static void
must(int rc, const struct err *e)
{
	if (rc == 0)
		return;
	fprintf(stderr, "enqueue: %s\n", e->text);
	exit(1);
}

static void
insert(const struct options *o, struct open_job *x)
{
	struct err e = ERR_INIT;
	struct front_job j = { .mode = o->async ? JOB_ASYNC : JOB_SYNC, .author = o->author, .bundle = o->bundle,
		.version = o->version, .endpoint = o->endpoint, .method = o->method, .url = "http://127.0.0.1/bundle/x",
		.path = "", .query = "", .headers_json = "[[\"host\",\"127.0.0.1\"],[\"accept\",\"*/*\"]]",
		.body = o->body_bytes > 0 ? o->body : NULL, .body_bytes = (size_t)o->body_bytes, .client = "127.0.0.1",
		.bell = o->no_wait ? NULL : bell_name, .timeout_ms = o->timeout_ms, .created_at = clock_wall_ms(),
		.created_mono = clock_mono_ms() };

	job_nonce(j.id.nonce);
	must(front_enqueue(store, &j, &e), &e);
	x->id = j.id;
	x->since_us = clock_mono_us();
	x->live = true;
}

/* True when it is done. */
static bool
settled(struct open_job *x, int64_t *us)
{
	struct front_view v;
	struct err e = ERR_INIT;
	bool done;

	memset(&v, 0, sizeof v);
	must(front_look(store, &x->id, false, &v, &e), &e);
	done = v.state == JOB_DONE;
	if (done) {
		*us = clock_mono_us() - x->since_us;
		outcomes[v.outcome]++;
	}
	front_view_clear(&v);
	return done;
}

static void
print_job(const struct open_job *x)
{
	struct front_view v;
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	int64_t next = 0;

	memset(&v, 0, sizeof v);
	must(front_look(store, &x->id, false, &v, &e), &e);
	printf("outcome=%s start=%s status=%d streamed=%d\n", job_outcome_name(v.outcome),
	    v.start != START_NONE ? job_start_name(v.start) : "-", v.status, v.streamed);
	if (v.error != NULL)
		printf("error %s %s: %s\n", v.error_kind, v.error_name, v.error);
	if (v.has_result)
		printf("%s\n", v.headers_json);
	if (v.streamed)
		must(front_chunks(store, x->id.row, 0, 64u << 20, &b, &next, &e), &e);
	else if (v.body_bytes > 0)
		buf_add(&b, v.body, v.body_bytes);
	if (b.len > 0)
		fwrite(b.data, 1, b.len, stdout);
	if (b.len > 0 && b.data[b.len - 1] != '\n')
		putchar('\n');
	buf_clear(&b);
	front_view_clear(&v);
}

static int
by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void
report(int64_t *us, long n, int64_t total_us)
{
	int i;

	qsort(us, (size_t)n, sizeof *us, by_size);
	printf("%ld jobs in %.3f s: %.0f/s  p50 %lld us  p99 %lld us  max %lld us ", n, (double)total_us / 1e6,
	    (double)n * 1e6 / (double)total_us, (long long)us[n / 2], (long long)us[n * 99 / 100], (long long)us[n - 1]);
	for (i = 1; i < OUTCOME_COUNT; i++)
		if (outcomes[i] > 0)
			printf(" %s=%ld", job_outcome_name((enum job_outcome)i), outcomes[i]);
	putchar('\n');
}

static void
run(const struct options *o)
{
	struct open_job *open_jobs = mem_array((size_t)o->flight, sizeof *open_jobs);
	int64_t *us = mem_array((size_t)o->n, sizeof *us), begin = clock_mono_us();
	long sent = 0, done = 0, i;
	struct err e = ERR_INIT;

	while (done < o->n) {
		bool any = false;
		struct pollfd p = { .fd = bell, .events = POLLIN };

		for (i = 0; i < o->flight && sent < o->n; i++) {
			if (open_jobs[i].live)
				continue;
			if (!any)
				must(store_begin(store, o->async, &e), &e);
			any = true;
			insert(o, &open_jobs[i]);
			sent++;
			if (o->no_wait) {
				open_jobs[i].live = false;
				us[done++] = 1;
			}
		}
		if (any) {
			must(store_commit(store, &e), &e);
			bell_ring(ringer, run_dir, BELL_SCHEDULER);
		}
		if (o->no_wait)
			continue;
		poll(&p, 1, 100);
		bell_hear(bell);
		for (i = 0; i < o->flight; i++)
			if (open_jobs[i].live && settled(&open_jobs[i], &us[done])) {
				open_jobs[i].live = false;
				done++;
			}
	}
	if (o->n == 1 && !o->no_wait)
		print_job(&open_jobs[0]);
	else
		report(us, o->n, clock_mono_us() - begin);
	free(us);
	free(open_jobs);
}

static void
parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = { { "home", 1, NULL, 'H' }, { "author", 1, NULL, 'a' },
		{ "bundle", 1, NULL, 'b' }, { "version", 1, NULL, 'v' }, { "endpoint", 1, NULL, 'e' },
		{ "method", 1, NULL, 'm' }, { "body", 1, NULL, 'd' }, { "timeout", 1, NULL, 't' },
		{ "async", 0, NULL, 'A' }, { "no-wait", 0, NULL, 'W' }, { NULL, 0, NULL, 0 } };
	int c;

	while ((c = getopt_long(argc, argv, "n:c:", longs, NULL)) != -1) {
		switch (c) {
		case 'H': o->home = optarg; break;
		case 'a': o->author = optarg; break;
		case 'b': o->bundle = optarg; break;
		case 'v': o->version = optarg; break;
		case 'e': o->endpoint = optarg; break;
		case 'm': o->method = optarg; break;
		case 'd': o->body = optarg; o->body_bytes = (long)strlen(optarg); o->method = "POST"; break;
		case 't': o->timeout_ms = atol(optarg); break;
		case 'A': o->async = true; break;
		case 'W': o->no_wait = true; break;
		case 'n': o->n = atol(optarg); break;
		case 'c': o->flight = atol(optarg); break;
		default: exit(64);
		}
	}
	if (o->home == NULL || o->bundle == NULL || o->n < 1 || o->flight < 1) {
		fprintf(stderr, "usage: enqueue --home DIR --bundle NAME [--endpoint E] [-n N] [-c IN-FLIGHT] ...\n");
		exit(64);
	}
}

int
main(int argc, char **argv)
{
	struct options o = { .author = "local", .version = "latest", .endpoint = "default", .method = "GET", .n = 1,
		.flight = 1, .timeout_ms = 30000 };
	struct err e = ERR_INIT;
	char *path;

	parse(argc, argv, &o);
	path = mem_fmt("%s/at-rund.db", o.home);
	run_dir = mem_fmt("%s/run", o.home);
	snprintf(bell_name, sizeof bell_name, "enqueue-%d", (int)getpid());
	store = store_open(path, STORE_FRONT, &e);
	must(store == NULL ? -1 : 0, &e);
	bell = bell_listen(run_dir, bell_name, &e);
	must(bell < 0 ? -1 : 0, &e);
	ringer = bell_ringer();
	run(&o);
	bell_close(bell, run_dir, bell_name);
	close(ringer);
	store_close(store);
	free(path);
	free(run_dir);
	return 0;
}
