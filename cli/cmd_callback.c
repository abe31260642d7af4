/* callback list, retry: where the ends of jobs are told. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "lib/conf.h"
#include "lib/err.h"
#include "lib/store.h"

static const char *const states[] = { "waiting", "due", "delivered", "failed", "void", NULL };

static bool
is_state(const char *word)
{
	for (int i = 0; states[i] != NULL; i++)
		if (strcmp(states[i], word) == 0)
			return true;
	return false;
}

int
cmd_callback_list(struct cli *c)
{
	const char *state = cli_option(c, "state"), *limit = cli_option(c, "limit");
	const struct desk_arg args[] = { { ":state", state }, { ":limit", limit }, { NULL, NULL } };
	struct conf *conf = NULL;
	struct store *s = NULL;
	struct table *t = NULL;
	int code = 0, n;

	if (state != NULL && !is_state(state))
		return cli_usage(c, "--state: expected waiting, due, delivered, failed or void, not %.40s", state);
	if (limit != NULL && !cli_number(limit, 1, 1000000, &n))
		return cli_usage(c, "--limit: expected a number from 1 to 1000000, not %.40s", limit);
	if ((conf = cli_conf(c, true, &code)) != NULL && (s = cli_store(c, conf, &code)) != NULL &&
	    (t = cli_query(c, s, "desk_callbacks", args, &code)) != NULL)
		table_print(c, t, "callbacks", "row state job_outcome attempts status next_at url error");
	table_free(t);
	store_close(s);
	conf_free(conf);
	return code;
}

/* Has the job a callback that may be told (again)?  0, or an exit status after the reason. */
static int
check(const struct cli *c, struct store *s, const char *id)
{
	const struct desk_arg args[] = { { ":id", id }, { NULL, NULL } };
	struct err e = ERR_INIT;
	int code = 0;
	struct table *t = cli_query(c, s, "desk_callback", args, &code);
	const char *state = t != NULL && table_rows(t) > 0 ? table_cell(t, 0, "state") : NULL;

	if (t != NULL && state == NULL)
		err_named(&e, ERR_NOTFOUND, "CallbackNotFound", "job %s has no callback, or is no longer kept", id);
	else if (state != NULL && strcmp(state, "waiting") == 0)
		err_named(&e, ERR_INPUT, "JobNotDone", "job %s is not done yet; its end will be told by itself", id);
	else if (state != NULL && strcmp(state, "void") == 0)
		err_named(&e, ERR_INPUT, "JobRefused", "job %s was never accepted, its caller was told so by the answer", id);
	if (e.kind != ERR_NONE)
		code = cli_fail(c, &e);
	table_free(t);
	return code;
}

int
cmd_callback_retry(struct cli *c)
{
	int64_t row = cli_job_row(c, c->arg[0]);
	struct conf *conf = NULL;
	struct store *s = NULL;
	char id[24], args[48];
	int code = 0;

	if (row < 0)
		return EX_USAGE;
	snprintf(id, sizeof id, "%lld", (long long)row);
	snprintf(args, sizeof args, "{\"job\":%lld}", (long long)row);
	if ((conf = cli_conf(c, true, &code)) != NULL && (s = cli_store(c, conf, &code)) != NULL && (code = check(c, s, id)) == 0)
		code = cli_order(c, conf, s, "callback-retry", args);
	store_close(s);
	conf_free(conf);
	return code;
}
