/* runtime list: asks the definitions and the programs themselves, so it works without a running scheduler. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "backends/backend.h"
#include "backends/image.h"
#include "backends/runtime.h"
#include "backends/walls.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/store.h"

enum { FRESH_MS = 15000 };

/* "3 minutes ago", for people. */
static char *
age(int64_t at_ms)
{
	static const struct {
		int64_t ms;
		const char *name;
	} units[] = { { 86400000, "day" }, { 3600000, "hour" }, { 60000, "minute" }, { 1000, "second" } };
	int64_t ms = clock_wall_ms() - at_ms;

	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		int64_t n = ms / units[i].ms;

		if (n > 0)
			return mem_fmt("%lld %s%s ago", (long long)n, units[i].name, n > 1 ? "s" : "");
	}
	return mem_str("now");
}

static void
put_mime(const struct runtime *r, bool as_json, struct buf *mime)
{
	buf_str(mime, as_json ? "[" : "");
	for (size_t i = 0; i < r->mime.n; i++) {
		buf_str(mime, i == 0 ? "" : as_json ? "," : ", ");
		if (as_json)
			buf_json_str(mime, r->mime.item[i]);
		else
			buf_str(mime, r->mime.item[i]);
	}
	buf_str(mime, as_json ? "]" : "");
}

static void
add_row(struct table *t, const struct conf *conf, const struct runtime *r, const char *wall, const char *missing, bool as_json)
{
	struct buf mime = BUF_INIT, key = BUF_INIT;
	struct image m = { 0 };
	char *built = NULL, *built_ms = NULL, *short_id = NULL;
	bool has = image_load(&m, conf, r->name, NULL) == 0;

	put_mime(r, as_json, &mime);
	if (has) {
		image_key(conf, r, &key);
		built = age(m.built_ms);
		built_ms = mem_fmt("%lld", (long long)m.built_ms);
		short_id = mem_strn(m.id + 7, 12);
		if (strcmp(key.data, m.key) != 0) {
			char *old = built;

			built = mem_fmt("%s, of an older definition", old);
			free(old);
		}
	}
	{
		const struct desk_cell cells[] = { { "name", r->name, false }, { "version", r->version, false },
			{ "wall", wall, false }, { as_json ? "mime_json" : "mime", mime.data, false },
			{ "program", r->program, false }, { "file", r->file, false }, { "missing", missing, false },
			{ "image", as_json ? m.id : short_id, false }, { "built", built, false }, { "built_ms", built_ms, true } };

		table_row(t, cells, sizeof cells / sizeof cells[0]);
	}
	image_clear(&m);
	free(built);
	free(built_ms);
	free(short_id);
	buf_clear(&mime);
	buf_clear(&key);
}

/* What a running scheduler settled: --dev may have let it choose what this command would not.  NULL: none runs. */
static struct table *
settled(const struct conf *conf)
{
	struct table *now = table_new(), *runtimes = table_new();
	struct store *s = NULL;
	struct err e = ERR_INIT;
	const char *seen = NULL;

	if (access(conf->database, R_OK) == 0 && (s = store_open(conf->database, STORE_READER, &e)) != NULL &&
	    desk_query(s, "desk_status", NULL, table_row, now, &e) == 0 &&
	    desk_query(s, "desk_runtimes", NULL, table_row, runtimes, &e) == 0)
		seen = table_cell(now, 0, "seen_ms");
	if (seen == NULL || clock_wall_ms() - strtoll(seen, NULL, 10) >= FRESH_MS) {
		table_free(runtimes);
		runtimes = NULL;
	}
	store_close(s);
	table_free(now);
	return runtimes;
}

static const char *
wall_of(const struct table *running, const struct walls *w, const struct runtime *r, struct err *e)
{
	const struct backend *b;

	for (size_t i = 0; running != NULL && i < table_rows(running); i++)
		if (strcmp(table_cell(running, i, "name"), r->name) == 0) {
			if (table_cell(running, i, "missing") != NULL)
				err_set(e, ERR_NOTFOUND, "%s", table_cell(running, i, "missing"));
			return table_cell(running, i, "wall");
		}
	b = w != NULL ? walls_of(w, r, NULL, NULL, e) : NULL;
	return b != NULL ? b->name : NULL;
}

static void
list_all(struct cli *c, const struct conf *conf, struct runtimes *rs, struct table *t)
{
	struct table *running = settled(conf);
	struct err e = ERR_INIT;
	struct walls *w = running == NULL ? walls_new(conf, rs, &e) : NULL;

	if (running == NULL && w == NULL)
		cli_say(c, "no wall: %s", e.text);
	for (size_t i = 0; i < rs->n; i++) {
		struct err why = ERR_INIT;
		const char *wall = wall_of(running, w, &rs->item[i], &why);

		add_row(t, conf, &rs->item[i], wall, wall == NULL && why.text[0] != '\0' ? why.text : rs->item[i].missing, c->json);
	}
	walls_free(w);
	table_free(running);
}

int
cmd_runtime_list(struct cli *c)
{
	int code = 0;
	struct conf *conf = cli_conf(c, true, &code);
	struct runtimes rs = { NULL, 0 };
	struct table *t = table_new();
	struct err e = ERR_INIT;

	if (conf == NULL || runtimes_load(&rs, conf, true, &e) != 0) {
		code = conf == NULL ? code : cli_fail_as(c, EX_CONFIG, &e);
		goto out;
	}
	list_all(c, conf, &rs, t);
	table_print(c, t, "runtimes", "name version wall image built missing mime");
out:
	runtimes_clear(&rs);
	table_free(t);
	conf_free(conf);
	return code;
}
