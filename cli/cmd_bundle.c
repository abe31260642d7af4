/* bundle list, show. */
#include "cli/cli.h"

#include <stdio.h>
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

/* The chain from the author's key to the record, a line for each link. */
static void
print_proof(const char *lines)
{
	if (lines == NULL || lines[0] == '\0') {
		puts("\nNothing proves this bundle: it did not come from a repository.");
		return;
	}
	puts("\nWhat proved it when it was fetched last:");
	while (*lines != '\0') {
		size_t n = strcspn(lines, "\n");
		char *line = mem_strn(lines, n);

		fputs("  ", stdout);
		cli_print(line);
		putchar('\n');
		free(line);
		lines += n + (lines[n] == '\n');
	}
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
	table_print_one(c, t, "author name versions runtime bytes uri cid code dir fetched_at rev commit_cid used_at record_json");
	if (!c->json)
		print_proof(table_cell(t, 0, "proof"));
out:
	table_free(t);
	store_close(s);
	conf_free(conf);
	free(author);
	return code;
}
