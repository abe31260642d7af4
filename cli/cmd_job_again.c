/* job failed, retry, redrive, purge: what did not end well, and what may become of it. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/job.h"
#include "lib/store.h"

/* "2h" ago, "2026-11-25" or "2026-11-25T10:30:00Z" as unix ms; -1: none of these. */
static int64_t
moment(const char *word)
{
	int64_t ago = conf_duration_parse(word);
	struct tm tm = { 0 };
	const char *end;

	if (ago >= 0)
		return clock_wall_ms() - ago;
	end = strptime(word, "%Y-%m-%d", &tm);
	if (end != NULL && *end == 'T')
		end = strptime(end + 1, "%H:%M:%S", &tm);
	if (end == NULL || (*end != '\0' && strcmp(end, "Z") != 0))
		return -1;
	return (int64_t)timegm(&tm) * 1000;
}

static int
add_moment(const struct cli *c, const char *option, struct buf *json)
{
	const char *given = cli_option(c, option);
	int64_t at;

	if (given == NULL)
		return 0;
	if ((at = moment(given)) < 0)
		return cli_usage(c, "--%s: expected a duration such as 2h, or a date such as 2026-11-25 or 2026-11-25T10:30:00Z, not %.40s",
		    option, given);
	buf_fmt(json, "%s\"%s\":%lld", json->len > 1 ? "," : "", option, (long long)at);
	return 0;
}

static void
add_word(const struct cli *c, const char *option, struct buf *json)
{
	const char *given = cli_option(c, option);

	if (given == NULL)
		return;
	buf_fmt(json, "%s\"%s\":", json->len > 1 ? "," : "", option);
	buf_json_str(json, given);
}

static int
outcome_ok(const struct cli *c)
{
	const char *outcome = cli_option(c, "outcome");

	if (outcome == NULL || job_outcome_parse(outcome) > OUTCOME_OK)
		return 0;
	return cli_usage(c, "--outcome: expected error, timeout, memory, output, killed, lost or expired, not %.40s", outcome);
}

/* The options as the order's arguments. */
static int
filter(const struct cli *c, struct buf *json)
{
	int code = outcome_ok(c);

	buf_char(json, '{');
	add_word(c, "author", json);
	add_word(c, "bundle", json);
	add_word(c, "outcome", json);
	if (code == 0)
		code = add_moment(c, "since", json);
	if (code == 0)
		code = add_moment(c, "before", json);
	if (cli_option(c, "poisoned") != NULL)
		buf_fmt(json, "%s\"poisoned\":true", json->len > 1 ? "," : "");
	buf_char(json, '}');
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

int
cmd_job_retry(struct cli *c)
{
	int64_t row = cli_job_row(c, c->arg[0]);
	char args[48];

	if (row < 0)
		return EX_USAGE;
	snprintf(args, sizeof args, "{\"job\":%lld}", (long long)row);
	return order(c, "retry", args);
}

int
cmd_job_redrive(struct cli *c)
{
	struct buf args = BUF_INIT;
	int code = filter(c, &args);

	if (code == 0)
		code = order(c, "redrive", args.data);
	buf_clear(&args);
	return code;
}

int
cmd_job_purge(struct cli *c)
{
	struct buf args = BUF_INIT;
	int code = filter(c, &args);

	if (code == 0 && strcmp(args.data, "{}") == 0 && cli_option(c, "all") == NULL)
		code = cli_usage(c, "say which failed jobs go: --author, --bundle, --outcome, --since, --before, or --all");
	if (code == 0)
		code = order(c, "purge", args.data);
	buf_clear(&args);
	return code;
}

int
cmd_job_failed(struct cli *c)
{
	struct conf *conf = NULL;
	struct store *s = NULL;
	struct table *t = NULL;
	const struct desk_arg args[] = { { ":author", cli_option(c, "author") }, { ":bundle", cli_option(c, "bundle") },
		{ ":outcome", cli_option(c, "outcome") }, { ":limit", cli_option(c, "limit") }, { NULL, NULL } };
	int code = outcome_ok(c);

	if (code == 0 && (conf = cli_conf(c, true, &code)) != NULL && (s = cli_store(c, conf, &code)) != NULL &&
	    (t = cli_query(c, s, "desk_scan_failed", args, &code)) != NULL)
		table_print(c, t, "jobs", "row outcome starts asked_at called again_as error");
	table_free(t);
	store_close(s);
	conf_free(conf);
	return code;
}
