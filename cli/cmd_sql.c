/*
 * sql: hands the ledger to sqlite3, for reading only.  The views are the reading surface; the database itself says what
 * each is for (v_views), so that this list and theirs cannot differ.
 */
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/child.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/store.h"

/* The views, on standard error: talk for people who are about to type. */
static int
tell_views(const struct cli *c, struct store *s)
{
	int code = 0;
	struct table *t = cli_query(c, s, "desk_views", (const struct desk_arg[]){ { NULL, NULL } }, &code);

	if (t == NULL)
		return code;
	fprintf(stderr, "Read-only.  The views, of which at-rund.db(5) tells more:\n\n");
	for (size_t i = 0; i < table_rows(t); i++)
		fprintf(stderr, "  %-14s %s\n", table_cell(t, i, "view"), table_cell(t, i, "shows"));
	fprintf(stderr, "\n  select * from v_failed limit 5;    .schema v_jobs    .quit\n\n");
	table_free(t);
	return 0;
}

static int
become(const struct cli *c, const char *database)
{
	char *sqlite = child_which("sqlite3"), *argv[12];
	struct err e = ERR_INIT;
	int n = 0;

	if (sqlite == NULL) {
		err_set(&e, ERR_REMOTE, "sqlite3 is not installed: apt-get install sqlite3");
		return cli_fail(c, &e);
	}
	argv[n++] = sqlite;
	argv[n++] = (char *)"-readonly";
	argv[n++] = (char *)(c->json ? "-json" : c->tty ? "-box" : "-tabs");
	argv[n++] = (char *)"-cmd"; /* a writer's commit takes its moment */
	argv[n++] = (char *)".timeout 5000";
	argv[n++] = (char *)(uintptr_t)database;
	if (c->args > 0)
		argv[n++] = (char *)(uintptr_t)c->arg[0];
	argv[n] = NULL;
	fflush(stdout);
	execv(sqlite, argv);
	err_errno(&e, "start %s", sqlite);
	free(sqlite);
	return cli_fail_as(c, EX_OSERR, &e);
}

int
cmd_sql(struct cli *c)
{
	struct conf *conf = NULL;
	struct store *s = NULL;
	int code = 0;

	if ((conf = cli_conf(c, true, &code)) == NULL || (s = cli_store(c, conf, &code)) == NULL)
		goto out;
	if (c->args == 0 && isatty(STDIN_FILENO) && !c->json)
		code = tell_views(c, s);
	store_close(s);
	s = NULL;
	if (code == 0)
		code = become(c, conf->database);
out:
	store_close(s);
	conf_free(conf);
	return code;
}
