/* bundle list, show. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/store.h"

int
cmd_bundle_list(struct cli *c)
{
	const char *author = cli_option(c, "author"), *limit = cli_option(c, "limit");
	const struct desk_arg args[] = { { ":author", author }, { ":name", NULL },
		{ ":limit", limit }, { NULL, NULL } };
	struct conf *conf = NULL;
	struct store *s = NULL;
	struct table *t = NULL;
	int code = 0, n;

	if (limit != NULL && !cli_number(limit, 1, 1000000, &n))
		return cli_usage(c, "--limit: expected a number, not %.40s", limit);
	if ((conf = cli_conf(c, true, &code)) != NULL && (s = cli_store(c, conf, &code)) != NULL &&
	    (t = cli_query(c, s, "desk_bundles", args, &code)) != NULL)
		table_print(c, t, "bundles", "author name versions runtime bytes fetched_at cid");
	table_free(t);
	store_close(s);
	conf_free(conf);
	return code;
}

int
cmd_bundle_show(struct cli *c)
{
	const char *slash = strrchr(c->arg[0], '/');
	char *author = slash != NULL ? mem_strn(c->arg[0], (size_t)(slash - c->arg[0])) : mem_str("");
	const struct desk_arg args[] = { { ":cid", slash == NULL ? c->arg[0] : "" }, { ":author", author },
		{ ":name", slash != NULL ? slash + 1 : "" }, { NULL, NULL } };
	struct conf *conf = NULL;
	struct store *s = NULL;
	struct table *t = NULL;
	struct err e = ERR_INIT;
	int code = 0;

	if ((conf = cli_conf(c, true, &code)) == NULL || (s = cli_store(c, conf, &code)) == NULL ||
	    (t = cli_query(c, s, "desk_bundle", args, &code)) == NULL)
		goto out;
	if (table_rows(t) == 0) {
		err_named(&e, ERR_NOTFOUND, "BundleNotFound", "the cache has no bundle %.200s; expected a CID, or AUTHOR/NAME", c->arg[0]);
		code = cli_fail(c, &e);
		goto out;
	}
	table_print_one(c, t, NULL);
out:
	table_free(t);
	store_close(s);
	conf_free(conf);
	free(author);
	return code;
}
