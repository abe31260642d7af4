/* job list, show, cancel, logs. */
#include "cli/cli.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/job.h"
#include "lib/mem.h"
#include "lib/store.h"

enum { FOLLOW_MS = 250 };

int64_t
cli_job_row(const struct cli *c, const char *word)
{
	struct job_id id;
	size_t digits = strspn(word, "0123456789");

	if (digits > 0 && digits < 19 && word[digits] == '\0')
		return strtoll(word, NULL, 10);
	if (job_id_parse(word, &id))
		return id.row;
	cli_usage(c, "%.80s is no job: expected its number, or its id such as 42-0123456789abcdef0123456789abcdef", word);
	return -1;
}

/* The number of --limit, or -1 after a complaint. */
static int
limit(const struct cli *c, int otherwise)
{
	const char *given = cli_option(c, "limit");
	int n;

	if (given == NULL)
		return otherwise;
	if (!cli_number(given, 1, 1000000, &n)) {
		cli_usage(c, "--limit: expected a number from 1 to 1000000, not %.40s", given);
		return -1;
	}
	return n;
}

static bool
is_state(const char *word)
{
	return job_state_parse(word) >= 0 || job_outcome_parse(word) > 0;
}

int
cmd_job_list(struct cli *c)
{
	const char *state = cli_option(c, "state"), *author = cli_option(c, "author"), *bundle = cli_option(c, "bundle");
	struct conf *conf = NULL;
	struct store *s = NULL;
	struct table *t = NULL;
	char rows[16];
	int code = 0, n = limit(c, 20);

	if (n < 0)
		return EX_USAGE;
	if (state != NULL && !is_state(state))
		return cli_usage(c, "--state: expected queued, admitted, running, done, or an outcome such as error, not %.40s", state);
	snprintf(rows, sizeof rows, "%d", n);
	{
		const char *outcome = state != NULL && job_state_parse(state) < 0 ? state : NULL;
		const struct desk_arg args[] = { { ":before", NULL }, { ":state", outcome == NULL ? state : NULL },
			{ ":outcome", outcome }, { ":author", author }, { ":bundle", bundle }, { ":limit", rows },
			{ NULL, NULL } };

		if ((conf = cli_conf(c, true, &code)) == NULL || (s = cli_store(c, conf, &code)) == NULL ||
		    (t = cli_query(c, s, "desk_jobs", args, &code)) == NULL)
			goto out;
	}
	table_print(c, t, "jobs", "row state outcome asked_at waited_ms ran_ms start called error");
out:
	table_free(t);
	store_close(s);
	conf_free(conf);
	return code;
}

/* The row of one job, or NULL with *code set. */
static struct table *
look_up(const struct cli *c, struct store *s, const char *statement, int64_t row, int *code)
{
	char id[24];
	const struct desk_arg args[] = { { ":id", id }, { NULL, NULL } };
	struct err e = ERR_INIT;
	struct table *t;

	snprintf(id, sizeof id, "%lld", (long long)row);
	t = cli_query(c, s, statement, args, code);
	if (t != NULL && table_rows(t) == 0) {
		err_named(&e, ERR_NOTFOUND, "JobNotFound", "there is no job %s, or it is no longer kept (scheduler.keep_sync, "
		    "scheduler.keep_async)", id);
		*code = cli_fail(c, &e);
		table_free(t);
		t = NULL;
	}
	return t;
}

int
cmd_job_show(struct cli *c)
{
	int64_t row = cli_job_row(c, c->arg[0]);
	struct conf *conf = NULL;
	struct store *s = NULL;
	struct table *t = NULL;
	int code = 0;

	if (row < 0)
		return EX_USAGE;
	if ((conf = cli_conf(c, true, &code)) != NULL && (s = cli_store(c, conf, &code)) != NULL &&
	    (t = look_up(c, s, "desk_job", row, &code)) != NULL)
		table_print_one(c, t, "id state outcome error status response_bytes streamed_bytes called url method "
		    "request_bytes asked_by asked_from did cid runtime wall start instance starts mode asked_at waited_ms "
		    "ran_ms done_at "
		    "after_outcome after_works after_failed after_ms "
		    "callback callback_state callback_attempts callback_status callback_next_at callback_error");
	table_free(t);
	store_close(s);
	conf_free(conf);
	return code;
}

int
cmd_job_attempts(struct cli *c)
{
	int64_t row = cli_job_row(c, c->arg[0]);
	struct conf *conf = NULL;
	struct store *s = NULL;
	struct table *t = NULL;
	char id[24];
	const struct desk_arg args[] = { { ":id", id }, { NULL, NULL } };
	int code = 0;

	if (row < 0)
		return EX_USAGE;
	snprintf(id, sizeof id, "%lld", (long long)row);
	if ((conf = cli_conf(c, true, &code)) != NULL && (s = cli_store(c, conf, &code)) != NULL &&
	    (t = cli_query(c, s, "desk_attempts", args, &code)) != NULL)
		table_print(c, t, "attempts", "attempt outcome started_at ran_ms instance again_at error");
	table_free(t);
	store_close(s);
	conf_free(conf);
	return code;
}

int
cmd_job_cancel(struct cli *c)
{
	int64_t row = cli_job_row(c, c->arg[0]);
	struct conf *conf = NULL;
	struct store *s = NULL;
	struct table *t = NULL;
	char args[48];
	int code = 0;

	if (row < 0)
		return EX_USAGE;
	if ((conf = cli_conf(c, true, &code)) == NULL || (s = cli_store(c, conf, &code)) == NULL ||
	    (t = look_up(c, s, "desk_job", row, &code)) == NULL)
		goto out;
	if (strcmp(table_cell(t, 0, "state"), "done") == 0) {
		struct err e = ERR_INIT;

		err_named(&e, ERR_INPUT, "JobDone", "job %lld is done already: %s", (long long)row,
		    table_cell(t, 0, "outcome"));
		code = cli_fail(c, &e);
		goto out;
	}
	snprintf(args, sizeof args, "{\"job\":%lld}", (long long)row);
	code = cli_order(c, conf, s, "cancel", args);
out:
	table_free(t);
	store_close(s);
	conf_free(conf);
	return code;
}

/* ---- logs ---- */

static const char *
text_of(const struct table *t, size_t i, const char *column)
{
	const char *text = table_cell(t, i, column);

	return text != NULL ? text : "";
}

static void
print_line(const struct cli *c, const struct table *t, size_t i)
{
	const char *at = text_of(t, i, "at"), *clock = strchr(at, 'T');
	struct buf b = BUF_INIT;

	if (c->json)
		table_json_row(t, i, &b);
	else if (c->tty)
		buf_fmt(&b, "%.12s %-5s ", clock != NULL ? clock + 1 : at, text_of(t, i, "level"));
	else
		buf_fmt(&b, "%s\t%s\t%s\t", at, text_of(t, i, "level"), text_of(t, i, "source"));
	if (!c->json)
		cli_clean(&b, text_of(t, i, "text"));
	puts(b.data);
	buf_clear(&b);
}

/* Lines behind *after; how many there were, or -1. */
static int
print_more(const struct cli *c, struct store *s, const char *id, int64_t *after, struct table **whole, int *code)
{
	char last[24];
	const struct desk_arg args[] = { { ":id", id }, { ":after", last }, { ":limit", NULL }, { NULL, NULL } };
	struct table *t;
	int n;

	snprintf(last, sizeof last, "%lld", (long long)*after);
	t = cli_query(c, s, "desk_logs", args, code);
	if (t == NULL)
		return -1;
	n = (int)table_rows(t);
	if (n > 0)
		*after = strtoll(table_cell(t, table_rows(t) - 1, "line"), NULL, 10);
	if (whole != NULL) {
		*whole = t;
		return n;
	}
	for (int i = 0; i < n; i++)
		print_line(c, t, (size_t)i);
	table_free(t);
	return n;
}

/* {"logs":[...]} of everything there is, or line by line. */
static int
print_all(const struct cli *c, struct store *s, const char *id, int64_t *after, int *code)
{
	struct table *t;
	bool first = true;
	int n;

	if (!c->json || cli_option(c, "follow") != NULL) {
		while ((n = print_more(c, s, id, after, NULL, code)) > 0)
			;
		return n;
	}
	fputs("{\"logs\":[", stdout);
	while ((n = print_more(c, s, id, after, &t, code)) >= 0) {
		struct buf b = BUF_INIT;

		for (int i = 0; i < n; i++) {
			buf_str(&b, first ? "" : ",");
			table_json_row(t, (size_t)i, &b);
			first = false;
		}
		fputs(b.len > 0 ? b.data : "", stdout);
		buf_clear(&b);
		table_free(t);
		if (n == 0)
			break;
	}
	puts("]}");
	return n;
}

int
cmd_job_logs(struct cli *c)
{
	int64_t row = cli_job_row(c, c->arg[0]), after = 0;
	bool follow = cli_option(c, "follow") != NULL, done;
	struct conf *conf = NULL;
	struct store *s = NULL;
	struct table *t;
	char id[24];
	int code = 0;

	if (row < 0)
		return EX_USAGE;
	snprintf(id, sizeof id, "%lld", (long long)row);
	if ((conf = cli_conf(c, true, &code)) == NULL || (s = cli_store(c, conf, &code)) == NULL)
		goto out;
	for (;;) {
		/* The state is read before the lines: what was printed until the end is then shown. */
		if ((t = look_up(c, s, "desk_job", row, &code)) == NULL)
			goto out;
		done = strcmp(table_cell(t, 0, "state"), "done") == 0;
		table_free(t);
		if (print_all(c, s, id, &after, &code) < 0 || fflush(stdout) != 0 || done || !follow)
			goto out;
		poll(NULL, 0, FOLLOW_MS);
	}
out:
	store_close(s);
	conf_free(conf);
	return code;
}
