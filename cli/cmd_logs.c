/* logs: what all handlers print, with a filter, and as it comes. */
#include "cli/cli.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/job.h"
#include "lib/store.h"

enum { FOLLOW_MS = 250, FEW = 50, MANY = 1000 };

static const char *const levels[] = { "debug", "info", "warn", "error" };

/* Where in levels, -1: no such word. */
static int
rank(const char *word)
{
	for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
		if (strcmp(levels[i], word) == 0)
			return (int)i;
	return -1;
}

static const char *
text_of(const struct table *t, size_t i, const char *column)
{
	const char *text = table_cell(t, i, column);

	return text != NULL ? text : "";
}

/* 12:03:44.120 warn  42 alice/hello/latest/greet  text */
static void
print_line(const struct cli *c, const struct table *t, size_t i)
{
	const char *at = text_of(t, i, "at"), *clock = strchr(at, 'T');
	struct buf b = BUF_INIT;

	if (c->json) {
		table_json_row(t, i, &b);
	} else if (c->tty) {
		buf_fmt(&b, "%.12s %-5s %s %s  ", clock != NULL ? clock + 1 : at, text_of(t, i, "level"), text_of(t, i, "row"),
		    text_of(t, i, "called"));
	} else {
		buf_fmt(&b, "%s\t%s\t%s\t%s\t%s\t", at, text_of(t, i, "level"), text_of(t, i, "source"), text_of(t, i, "job"),
		    text_of(t, i, "called"));
	}
	if (!c->json)
		cli_clean(&b, text_of(t, i, "text"));
	puts(b.data);
	buf_clear(&b);
}

static void
print_all(const struct cli *c, const struct table *t)
{
	size_t i, n = table_rows(t);

	if (!c->json || cli_option(c, "follow") != NULL) {
		for (i = 0; i < n; i++)
			print_line(c, t, i);
		return;
	}
	fputs("{\"logs\":[", stdout);
	for (i = 0; i < n; i++) {
		struct buf b = BUF_INIT;

		buf_str(&b, i == 0 ? "" : ",");
		table_json_row(t, i, &b);
		fputs(b.data, stdout);
		buf_clear(&b);
	}
	puts("]}");
}

/* The last lines, and, when asked to, those that come. */
static int
tail(const struct cli *c, struct store *s, const char *limit, const char *least)
{
	const char *outcome = cli_option(c, "outcome");
	char after[24] = "0", line[24], most[16];
	const struct desk_arg args[] = { { ":author", cli_option(c, "author") }, { ":bundle", cli_option(c, "bundle") },
		{ ":level", least }, { ":outcome", outcome }, { ":after", after }, { ":until", line }, { ":limit", most },
		{ NULL, NULL } };
	bool follow = cli_option(c, "follow") != NULL, first = true;
	struct table *t;
	int code = 0;

	snprintf(most, sizeof most, "%s", limit);
	for (;;) {
		/* What an outcome is asked of is known up to the first line of a job that is not done. */
		const struct desk_arg upto[] = { { ":outcome", outcome }, { NULL, NULL } };

		if ((t = cli_query(c, s, "desk_logs_until", upto, &code)) == NULL)
			return code;
		snprintf(line, sizeof line, "%s", text_of(t, 0, "line"));
		table_free(t);
		if ((t = cli_query(c, s, first ? "desk_scan_logs_last" : "desk_scan_logs", args, &code)) == NULL)
			return code;
		print_all(c, t);
		if (table_rows(t) == MANY)
			snprintf(after, sizeof after, "%s", text_of(t, table_rows(t) - 1, "line"));
		else
			snprintf(after, sizeof after, "%s", line);
		table_free(t);
		if (!follow || fflush(stdout) != 0)
			return 0;
		snprintf(most, sizeof most, "%d", MANY);
		first = false;
		poll(NULL, 0, FOLLOW_MS);
	}
}

int
cmd_logs(struct cli *c)
{
	const char *level = cli_option(c, "level"), *outcome = cli_option(c, "outcome"), *limit = cli_option(c, "limit");
	struct conf *conf = NULL;
	struct store *s = NULL;
	char few[16], least[8];
	int n = FEW, code = 0;

	if (level != NULL && rank(level) < 0)
		return cli_usage(c, "--level: expected debug, info, warn or error, not %.40s", level);
	if (outcome != NULL && job_outcome_parse(outcome) <= 0)
		return cli_usage(c, "--outcome: expected ok, error, timeout or another outcome, not %.40s", outcome);
	if (limit != NULL && !cli_number(limit, 1, MANY - 1, &n))
		return cli_usage(c, "--limit: expected a number from 1 to %d, not %.40s", MANY - 1, limit);
	snprintf(few, sizeof few, "%d", n);
	snprintf(least, sizeof least, "%d", level != NULL ? rank(level) : 0);
	if ((conf = cli_conf(c, true, &code)) != NULL && (s = cli_store(c, conf, &code)) != NULL)
		code = tail(c, s, few, least);
	store_close(s);
	conf_free(conf);
	return code;
}
