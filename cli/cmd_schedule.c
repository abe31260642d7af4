/* schedule list, history, run, pause, resume; enroll: what comes by itself. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/store.h"
#include "lib/syntax.h"

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

int
cmd_schedule_list(struct cli *c)
{
	const struct desk_arg args[] = { { ":author", cli_option(c, "author") }, { NULL, NULL } };

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
