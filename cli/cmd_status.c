/* status: one look at everything.  Exit 3 when no scheduler is running, as init scripts do. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "backends/backend.h"
#include "backends/runtime.h"
#include "backends/walls.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/store.h"

enum { FRESH_MS = 15000, NOT_RUNNING = 3 };

struct facts {
	struct table *now, *pool, *today; /* now has no row before the first start */
	struct table *runtimes;           /* with the wall that the scheduler took */
	struct table *tally;              /* what it counts */
	bool running;
	int64_t heartbeat_ms; /* -1: never */
	int64_t bytes;
	char *wall;           /* those in use, or that would be */
	struct buf why;       /* walls passed over, one line each */
	struct err no_wall;
};

static int64_t
number(const struct table *t, const char *name)
{
	const char *text = table_cell(t, 0, name);

	return text != NULL ? strtoll(text, NULL, 10) : 0;
}

static int64_t
size_of(const char *path)
{
	char wal[4096];
	struct stat st;
	int64_t n = stat(path, &st) == 0 ? st.st_size : 0;

	snprintf(wal, sizeof wal, "%s-wal", path);
	return n + (stat(wal, &st) == 0 ? st.st_size : 0);
}

/* The walls that a scheduler would take now. */
static void
would_be(const struct conf *conf, struct facts *f)
{
	struct runtimes rs = { NULL, 0 };
	struct walls *w = NULL;
	struct buf b = BUF_INIT;
	const struct backend *wall;

	if (runtimes_load(&rs, conf, false, &f->no_wall) == 0 && (w = walls_new(conf, &rs, &f->no_wall)) != NULL)
		walls_passed(w, &f->why);
	for (size_t i = 0; w != NULL && (wall = backend_at(i)) != NULL; i++)
		if (walls_uses(w, wall))
			buf_fmt(&b, "%s%s", b.len > 0 ? ", " : "", wall->name);
	f->wall = b.len > 0 ? buf_take(&b) : NULL;
	walls_free(w);
	runtimes_clear(&rs);
}

static int
gather(const struct cli *c, const struct conf *conf, struct store *s, struct facts *f, int *code)
{
	if ((f->runtimes = cli_query(c, s, "desk_runtimes", NULL, code)) == NULL)
		return -1;
	if ((f->now = cli_query(c, s, "desk_status", NULL, code)) == NULL ||
	    (f->pool = cli_query(c, s, "desk_pool", NULL, code)) == NULL ||
	    (f->today = cli_query(c, s, "desk_scan_outcomes", NULL, code)) == NULL ||
	    (f->tally = cli_query(c, s, "desk_tally", NULL, code)) == NULL)
		return -1;
	f->heartbeat_ms = table_rows(f->now) > 0 ? clock_wall_ms() - number(f->now, "seen_ms") : -1;
	f->running = table_rows(f->now) > 0 && number(f->now, "ended") == 0 && f->heartbeat_ms < FRESH_MS;
	f->bytes = size_of(conf->database);
	/* The scheduler's word goes first: --dev may have let it choose what this command would not. */
	f->wall = f->running ? cli_walls(f->runtimes) : NULL;
	if (f->wall == NULL)
		would_be(conf, f);
	return 0;
}

/* ---- what goes to a collector ---- */

static const char *const signals[] = { "traces", "metrics", "logs" };
enum { SIGNALS = sizeof signals / sizeof signals[0] };

/* Of a line of /metrics; 0 when there is none. */
static int64_t
counted(const struct facts *f, const char *name, const char *signal)
{
	const char *text = table_rows(f->tally) > 0 ? table_cell(f->tally, 0, "text") : NULL, *at;
	char line[128];

	if (text == NULL)
		return 0;
	if (signal != NULL)
		snprintf(line, sizeof line, "\nat_rund_telemetry_%s{signal=\"%s\"} ", name, signal);
	else
		snprintf(line, sizeof line, "\nat_rund_telemetry_%s ", name);
	at = strstr(text, line);
	return at != NULL ? strtoll(at + strlen(line), NULL, 10) : 0;
}

static bool
telling(const struct facts *f)
{
	bool on = false;

	for (int i = 0; i < SIGNALS; i++)
		on = on || counted(f, "on", signals[i]) != 0;
	return on && f->running;
}

static void
telemetry_json(struct buf *b, const struct facts *f)
{
	buf_str(b, ",\"telemetry\":");
	if (!telling(f)) {
		buf_str(b, "null");
		return;
	}
	buf_fmt(b, "{\"failing\":%s", counted(f, "failing", NULL) != 0 ? "true" : "false");
	for (int i = 0; i < SIGNALS; i++)
		buf_fmt(b, ",\"%s\":{\"on\":%s,\"sent\":%lld,\"dropped\":%lld,\"failed\":%lld,\"queued\":%lld}", signals[i],
		    counted(f, "on", signals[i]) != 0 ? "true" : "false", (long long)counted(f, "sent_total", signals[i]),
		    (long long)counted(f, "dropped_total", signals[i]), (long long)counted(f, "failed_total", signals[i]),
		    (long long)counted(f, "queue", signals[i]));
	buf_char(b, '}');
}

static void
print_telemetry(const struct facts *f)
{
	if (!telling(f))
		return;
	printf("%-12s", "telemetry");
	for (int i = 0; i < SIGNALS; i++) {
		if (counted(f, "on", signals[i]) == 0)
			continue;
		printf("%s %lld sent, %lld dropped, %lld failed; ", signals[i], (long long)counted(f, "sent_total", signals[i]),
		    (long long)counted(f, "dropped_total", signals[i]), (long long)counted(f, "failed_total", signals[i]));
	}
	puts(counted(f, "failing", NULL) != 0 ? "the collector does not take them, the log says why" : "the collector takes them");
}

static void
rows_json(struct buf *b, const char *name, const struct table *t)
{
	buf_fmt(b, ",\"%s\":[", name);
	for (size_t i = 0; i < table_rows(t); i++) {
		buf_str(b, i > 0 ? "," : "");
		table_json_row(t, i, b);
	}
	buf_char(b, ']');
}

static void
print_json(const struct facts *f)
{
	struct buf b = BUF_INIT;

	buf_fmt(&b, "{\"running\":%s,\"heartbeatMs\":", f->running ? "true" : "false");
	if (f->heartbeat_ms >= 0)
		buf_fmt(&b, "%lld", (long long)f->heartbeat_ms);
	else
		buf_str(&b, "null");
	buf_str(&b, ",\"scheduler\":");
	if (table_rows(f->now) > 0)
		table_json_row(f->now, 0, &b);
	else
		buf_str(&b, "null");
	rows_json(&b, "instances", f->pool);
	rows_json(&b, "today", f->today);
	buf_fmt(&b, ",\"databaseBytes\":%lld,\"wall\":", (long long)f->bytes);
	buf_json_str(&b, f->wall);
	buf_str(&b, ",\"wallWhy\":");
	buf_json_str(&b, f->wall == NULL ? f->no_wall.text : f->why.data);
	telemetry_json(&b, f);
	buf_str(&b, "}");
	puts(b.data);
	buf_clear(&b);
}

static void
print_pairs(const char *head, const struct table *t, const char *word, const char *count)
{
	printf("%-12s", head);
	for (size_t i = 0; i < table_rows(t); i++) {
		const char *runtime = table_cell(t, i, "runtime");

		printf("%s", i > 0 ? ", " : "");
		if (runtime != NULL) {
			cli_print(runtime);
			putchar(' ');
		}
		printf("%s %s", table_cell(t, i, word), table_cell(t, i, count));
	}
	puts(table_rows(t) == 0 ? "none" : "");
}

static void
print_scheduler(const struct facts *f)
{
	const char *since = table_cell(f->now, 0, "started_at");

	printf("%-12s", "scheduler");
	if (f->running)
		printf("running%s since %s, pid %s, version %s, last seen %lld ms ago\n",
		    number(f->now, "draining") != 0 ? " (draining)" : "", since, table_cell(f->now, 0, "pid"),
		    table_cell(f->now, 0, "version"), (long long)f->heartbeat_ms);
	else if (table_rows(f->now) == 0)
		puts("never started");
	else if (number(f->now, "ended") != 0)
		puts("stopped");
	else
		printf("not running: last seen %lld s ago, and it did not say farewell\n", (long long)(f->heartbeat_ms / 1000));
}

static void
print_text(const struct facts *f)
{
	char size[32];

	print_scheduler(f);
	printf("%-12s%lld queued, %lld admitted, %lld running\n", "jobs", (long long)number(f->now, "queued"),
	    (long long)number(f->now, "admitted"), (long long)number(f->now, "running"));
	if (number(f->now, "callbacks_due") > 0)
		printf("%-12s%lld due: at-rund callback list --state due\n", "callbacks", (long long)number(f->now, "callbacks_due"));
	print_pairs("today (UTC)", f->today, "outcome", "calls");
	print_pairs("instances", f->pool, "state", "instances");
	conf_size_print(f->bytes - f->bytes % 1024, size);
	printf("%-12s%s\n", "database", size);
	print_telemetry(f);
	printf("%-12s", "wall");
	cli_print(f->wall != NULL ? f->wall : f->no_wall.text);
	putchar('\n');
}

int
cmd_status(struct cli *c)
{
	struct facts f = { .why = BUF_INIT };
	struct conf *conf = NULL;
	struct store *s = NULL;
	int code = 0;

	if ((conf = cli_conf(c, true, &code)) == NULL || (s = cli_store(c, conf, &code)) == NULL ||
	    gather(c, conf, s, &f, &code) != 0)
		goto out;
	if (c->json)
		print_json(&f);
	else
		print_text(&f);
	code = f.running ? 0 : NOT_RUNNING;
out:
	table_free(f.now);
	table_free(f.pool);
	table_free(f.runtimes);
	table_free(f.today);
	table_free(f.tally);
	buf_clear(&f.why);
	store_close(s);
	conf_free(conf);
	return code;
}
