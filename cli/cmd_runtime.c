/* runtime list: asks the definitions and the programs themselves, so it works without a running scheduler. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "backends/backend.h"
#include "backends/runtime.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/store.h"

enum { FRESH_MS = 15000 };

static void
add_row(struct table *t, const struct runtime *r, const char *wall, bool as_json)
{
	struct buf mime = BUF_INIT;

	if (as_json)
		buf_char(&mime, '[');
	for (size_t i = 0; i < r->mime.n; i++) {
		buf_str(&mime, i == 0 ? "" : as_json ? "," : ", ");
		if (as_json)
			buf_json_str(&mime, r->mime.item[i]);
		else
			buf_str(&mime, r->mime.item[i]);
	}
	if (as_json)
		buf_char(&mime, ']');
	{
		const struct desk_cell cells[] = { { "name", r->name, false }, { "version", r->version, false },
			{ "wall", r->missing == NULL ? wall : NULL, false }, { as_json ? "mime_json" : "mime", mime.data, false },
			{ "program", r->program, false }, { "file", r->file, false }, { "missing", r->missing, false } };

		table_row(t, cells, sizeof cells / sizeof cells[0]);
	}
	buf_clear(&mime);
}

/* The wall that a running scheduler took, allocated, or NULL: --dev may have let it choose what this command would not. */
static char *
wall_in_use(const struct conf *conf)
{
	struct table *now = table_new(), *runtimes = table_new();
	struct store *s = NULL;
	struct err e = ERR_INIT;
	const char *seen;
	char *wall = NULL;

	if (access(conf->database, R_OK) == 0 && (s = store_open(conf->database, STORE_READER, &e)) != NULL &&
	    desk_query(s, "desk_status", NULL, table_row, now, &e) == 0 &&
	    desk_query(s, "desk_runtimes", NULL, table_row, runtimes, &e) == 0 &&
	    (seen = table_cell(now, 0, "seen_ms")) != NULL && clock_wall_ms() - strtoll(seen, NULL, 10) < FRESH_MS) {
		for (size_t i = 0; wall == NULL && i < table_rows(runtimes); i++)
			wall = mem_str(table_cell(runtimes, i, "wall"));
	}
	store_close(s);
	table_free(now);
	table_free(runtimes);
	return wall;
}

int
cmd_runtime_list(struct cli *c)
{
	int code = 0;
	struct conf *conf = cli_conf(c, true, &code);
	struct runtimes rs = { NULL, 0 };
	struct table *t = table_new();
	struct err e = ERR_INIT;
	const struct backend *chosen;
	char *wall = NULL;

	if (conf == NULL || runtimes_load(&rs, conf, true, &e) != 0) {
		code = conf == NULL ? code : cli_fail_as(c, EX_CONFIG, &e);
		goto out;
	}
	wall = wall_in_use(conf);
	if (wall == NULL && (chosen = backend_choose(conf, NULL, &e)) != NULL)
		wall = mem_str(chosen->name);
	if (wall == NULL)
		cli_say(c, "no wall: %s", e.text);
	for (size_t i = 0; i < rs.n; i++)
		add_row(t, &rs.item[i], wall, c->json);
	table_print(c, t, "runtimes", "name version wall missing mime");
out:
	free(wall);
	runtimes_clear(&rs);
	table_free(t);
	conf_free(conf);
	return code;
}
