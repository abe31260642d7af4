/* runtime list: asks the definitions and the programs themselves, so it works without a running scheduler. */
#include "cli/cli.h"

#include <string.h>
#include <sysexits.h>

#include "backends/backend.h"
#include "backends/runtime.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"

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

int
cmd_runtime_list(struct cli *c)
{
	int code = 0;
	struct conf *conf = cli_conf(c, true, &code);
	struct runtimes rs = { NULL, 0 };
	struct table *t = table_new();
	struct err e = ERR_INIT;
	const struct backend *wall;

	if (conf == NULL || runtimes_load(&rs, conf, true, &e) != 0) {
		code = conf == NULL ? code : cli_fail_as(c, EX_CONFIG, &e);
		goto out;
	}
	wall = backend_choose(conf, NULL, &e);
	if (wall == NULL)
		cli_say(c, "no wall: %s", e.text);
	for (size_t i = 0; i < rs.n; i++)
		add_row(t, &rs.item[i], wall != NULL ? wall->name : NULL, c->json);
	table_print(c, t, "runtimes", "name version wall mime missing");
out:
	runtimes_clear(&rs);
	table_free(t);
	conf_free(conf);
	return code;
}
