/* access check, show: who may, as the scheduler decides it, from the config and what the ledger knows of the graph. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "lib/access.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/store.h"
#include "lib/syntax.h"

#define EXIT_NO 1

struct look {
	struct cli *cli;
	struct store *store;
	const struct conf *conf;
	int code; /* not 0: the ledger failed, and it was said */
};

/* The operator's follows, or a list, as graph.c calls them. */
static struct table *
set_of(struct look *l, enum access_edge edge, const char *list, const char *did)
{
	const struct desk_arg args[] = { { ":did", did }, { ":kind", edge == EDGE_LISTED ? "list" : "follows" },
		{ ":source", edge == EDGE_LISTED ? list : access_operator(l->conf) }, { NULL, NULL } };

	return cli_query(l->cli, l->store, "desk_graph_of", args, &l->code);
}

static enum access_fact
follows_back(struct look *l, const char *did, const char *operator_did)
{
	const struct desk_arg args[] = { { ":did", did }, { ":operator", operator_did }, { NULL, NULL } };
	struct table *t = operator_did != NULL ? cli_query(l->cli, l->store, "desk_follower", args, &l->code) : NULL;
	const char *follows = t != NULL && table_rows(t) > 0 ? table_cell(t, 0, "follows") : NULL;
	enum access_fact fact = follows == NULL ? FACT_UNKNOWN : strcmp(follows, "1") == 0 ? FACT_YES : FACT_NO;

	table_free(t);
	return fact;
}

static enum access_fact
fact(void *arg, enum access_edge edge, const char *list, const char *did)
{
	struct look *l = arg;
	struct table *t = set_of(l, edge, list, did);
	enum access_fact known = FACT_UNKNOWN;

	if (t != NULL && table_rows(t) > 0 && edge == EDGE_FOLLOWS)
		known = follows_back(l, did, table_cell(t, 0, "owner"));
	else if (t != NULL && table_rows(t) > 0 && table_cell(t, 0, "member") != NULL)
		known = FACT_YES;
	else if (t != NULL && table_rows(t) > 0 && strcmp(table_cell(t, 0, "read"), "1") == 0)
		known = FACT_NO;
	table_free(t);
	return known;
}

/* A handle that was called or asked for here is known by its DID. */
static char *
did_of(struct look *l, const char *who)
{
	const struct desk_arg args[] = { { ":handle", who }, { NULL, NULL } };
	struct table *t;
	char *did;

	if (strncmp(who, "did:", 4) == 0)
		return mem_str(who);
	t = cli_query(l->cli, l->store, "desk_handle", args, &l->code);
	did = t != NULL && table_rows(t) > 0 ? mem_str(table_cell(t, 0, "did")) : NULL;
	table_free(t);
	return did;
}

static int
say(const struct cli *c, const char *did, enum access_said said, const char *why)
{
	struct buf out = BUF_INIT;

	if (c->json) {
		buf_str(&out, "{\"did\":");
		buf_json_str(&out, did);
		buf_fmt(&out, ",\"allowed\":%s,\"why\":", said == ACCESS_YES ? "true" : said == ACCESS_NO ? "false" : "null");
		buf_json_str(&out, why);
		buf_char(&out, '}');
		puts(out.data);
	} else {
		buf_fmt(&out, "%s: %s%s", said == ACCESS_YES ? "yes" : said == ACCESS_NO ? "no" : "not known", why,
		    said == ACCESS_NOT_KNOWN ? "; the runner asks when they come" : "");
		cli_print(out.data);
		putchar('\n');
	}
	buf_clear(&out);
	return said == ACCESS_YES ? 0 : said == ACCESS_NO ? EXIT_NO : EX_TEMPFAIL;
}

int
cmd_access_check(struct cli *c)
{
	const char *who = c->arg[0];
	struct look l = { .cli = c };
	struct access_facts facts = { fact, &l };
	struct conf *conf = NULL;
	struct access a;
	struct err e = ERR_INIT;
	char why[ACCESS_WHY], *did = NULL;
	enum access_said said;
	int code = 0;

	if (!syntax_at_identifier(who, strlen(who)))
		return cli_usage(c, "expected a DID or a handle, not %.200s", who);
	if ((conf = cli_conf(c, true, &code)) == NULL || (l.store = cli_store(c, conf, &code)) == NULL)
		goto out;
	l.conf = conf;
	if ((did = did_of(&l, who)) == NULL) {
		err_named(&e, ERR_NOTFOUND, "HandleNotFound", "this runner has not met the handle %.200s; give its DID", who);
		code = l.code != 0 ? l.code : cli_fail(c, &e);
		goto out;
	}
	a = cli_option(c, "caller") != NULL ? access_callers(conf) : access_authors(conf);
	said = access_says(&a, did, &facts, why);
	code = l.code != 0 ? l.code : say(c, did, said, why);
out:
	store_close(l.store);
	conf_free(conf);
	free(did);
	return code;
}

int
cmd_access_show(struct cli *c)
{
	struct conf *conf = NULL;
	struct store *s = NULL;
	struct table *t = NULL;
	int code = 0;

	if ((conf = cli_conf(c, true, &code)) != NULL && (s = cli_store(c, conf, &code)) != NULL &&
	    (t = cli_query(c, s, "desk_graph", NULL, &code)) != NULL)
		table_print(c, t, "graph", "kind source name members checked_at error");
	table_free(t);
	store_close(s);
	conf_free(conf);
	return code;
}
