/* schedule list, history, run, pause, resume; enroll: what comes by itself. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/cron.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/store.h"
#include "lib/syntax.h"
#include "lib/zone.h"

static int
show(const struct cli *c, const char *statement, const struct desk_arg *args, const char *name, const char *columns)
{
	struct conf *conf = NULL;
	struct store *s = NULL;
	struct table *t = NULL;
	int code = 0;

	if ((conf = cli_conf(c, true, &code)) != NULL && (s = cli_store(c, conf, &code)) != NULL &&
	    (t = cli_query(c, s, statement, args, &code)) != NULL)
		table_print(c, t, name, columns);
	table_free(t);
	store_close(s);
	conf_free(conf);
	return code;
}

static int
order(const struct cli *c, const char *verb, const char *args)
{
	struct conf *conf = NULL;
	struct store *s = NULL;
	int code = 0;

	if ((conf = cli_conf(c, true, &code)) != NULL && (s = cli_store(c, conf, &code)) != NULL)
		code = cli_order(c, conf, s, verb, args);
	store_close(s);
	conf_free(conf);
	return code;
}

/* --- the next runs --- */

struct run {
	int64_t at;      /* unix seconds */
	int32_t offset;  /* of its zone then, east of UTC */
	size_t row;      /* of the schedules */
};

static int
by_time(const void *a, const void *b)
{
	const struct run *x = a, *y = b;

	return x->at != y->at ? (x->at > y->at) - (x->at < y->at) : (x->row > y->row) - (x->row < y->row);
}

/* Of one schedule, as the scheduler reckons it: from the time that it has set on. */
static size_t
add_runs(const struct table *t, size_t row, int many, struct run *to)
{
	const char *first = table_cell(t, row, "next_at"), *state = table_cell(t, row, "state");
	struct zone *z = NULL;
	struct tm tm = { 0 };
	struct err e = ERR_INIT;
	struct cron times;
	int64_t at;
	size_t n = 0;

	if (first == NULL || state == NULL || strcmp(state, "active") != 0 || strptime(first, "%Y-%m-%dT%H:%M:%S", &tm) == NULL ||
	    cron_parse(&times, table_cell(t, row, "cron"), &e) != 0 || (z = zone_load(table_cell(t, row, "zone"), &e)) == NULL)
		return 0;
	for (at = timegm(&tm); at > 0 && (int)n < many; at = cron_next(&times, z, at))
		to[n++] = (struct run){ at, zone_offset(z, at), row };
	zone_free(z);
	return n;
}

static void
add_run(const struct table *from, const struct run *r, struct table *to)
{
	time_t when = (time_t)r->at, there = when + r->offset;
	char at[48], local[48];
	struct tm tm;
	const struct desk_cell cells[] = { { "at", at, false }, { "local", local, false },
		{ "zone", table_cell(from, r->row, "zone"), false }, { "schedule", table_cell(from, r->row, "schedule"), true },
		{ "called", table_cell(from, r->row, "called"), false } };

	strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&when, &tm));
	strftime(local, sizeof local, "%a %Y-%m-%d %H:%M", gmtime_r(&there, &tm));
	table_row(to, cells, (int)(sizeof cells / sizeof *cells));
}

static int
next_runs(const struct cli *c, int many)
{
	const struct desk_arg args[] = { { ":author", cli_option(c, "author") }, { NULL, NULL } };
	struct conf *conf = NULL;
	struct store *s = NULL;
	struct table *t = NULL, *out = table_new();
	struct run *runs = NULL;
	size_t i, n = 0;
	int code = 0;

	if ((conf = cli_conf(c, true, &code)) == NULL || (s = cli_store(c, conf, &code)) == NULL ||
	    (t = cli_query(c, s, "desk_schedules", args, &code)) == NULL)
		goto out;
	runs = mem_array(table_rows(t) * (size_t)many + 1, sizeof *runs);
	for (i = 0; i < table_rows(t); i++)
		n += add_runs(t, i, many, runs + n);
	qsort(runs, n, sizeof *runs, by_time);
	for (i = 0; i < n; i++)
		add_run(t, &runs[i], out);
	table_print(c, out, "runs", NULL);
out:
	free(runs);
	table_free(out);
	table_free(t);
	store_close(s);
	conf_free(conf);
	return code;
}

int
cmd_schedule_list(struct cli *c)
{
	const struct desk_arg args[] = { { ":author", cli_option(c, "author") }, { NULL, NULL } };
	const char *next = cli_option(c, "next");
	int many;

	if (next != NULL && !cli_number(next, 1, 1000, &many))
		return cli_usage(c, "--next: expected a number from 1 to 1000, not %.40s", next);
	if (next != NULL)
		return next_runs(c, many);
	return show(c, "desk_schedules", args, "schedules", "schedule called cron zone state next_at last_at last_outcome error");
}

int
cmd_schedule_history(struct cli *c)
{
	const struct desk_arg args[] = { { ":schedule", c->args > 0 ? c->arg[0] : NULL }, { ":limit", cli_option(c, "limit") },
		{ NULL, NULL } };

	return show(c, "desk_firings", args, "firings", "schedule due_at what row outcome ran_ms called");
}

/* The orders about one schedule. */
static int
one(const struct cli *c, const char *verb)
{
	char args[48];
	int id;

	if (!cli_number(c->arg[0], 1, 999999999, &id))
		return cli_usage(c, "%.40s is no schedule: expected its number in `at-rund schedule list`", c->arg[0]);
	snprintf(args, sizeof args, "{\"schedule\":%d}", id);
	return order(c, verb, args);
}

int
cmd_schedule_run(struct cli *c)
{
	return one(c, "schedule-run");
}

int
cmd_schedule_pause(struct cli *c)
{
	return one(c, "schedule-pause");
}

int
cmd_schedule_resume(struct cli *c)
{
	return one(c, "schedule-resume");
}

int
cmd_enroll(struct cli *c)
{
	bool end = cli_option(c, "remove") != NULL;
	struct buf args = BUF_INIT;
	int code;

	if (c->args == 0)
		return show(c, "desk_enrolments", NULL, "enrolments", "author bundle since");
	if (!syntax_did(c->arg[0], strlen(c->arg[0])))
		return cli_usage(c, "%.100s is no DID such as did:plc:ewvi7nxzyoun6zhxrhs64oiz", c->arg[0]);
	if (c->args > 1 && !syntax_bundle_name(c->arg[1], strlen(c->arg[1])))
		return cli_usage(c, "%.100s is not the name of a bundle", c->arg[1]);
	buf_str(&args, "{\"did\":");
	buf_json_str(&args, c->arg[0]);
	buf_str(&args, ",\"bundle\":");
	buf_json_str(&args, c->args > 1 ? c->arg[1] : "");
	buf_char(&args, '}');
	code = order(c, end ? "unenroll" : "enroll", args.data);
	buf_clear(&args);
	return code;
}
