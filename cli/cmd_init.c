/*
 * init: the home of a runner.  It never overwrites: what is there belongs to the operator.
 */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "backends/runtime.h"
#include "cli/files.h"
#include "cli/system.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"

static const char *const shipped[] = { "deno", "node", "python", NULL };

/* Copies a definition that came with at-rund; one that is there already stays. */
static int
copy_definition(const struct conf *c, const char *name, const char *kind, bool *have, struct err *e)
{
	char *file = mem_fmt("%s.%s", name, kind), *from = runtime_shipped(name, file);
	char *to = mem_fmt("%s/%s", c->runtimes_dir, file), block[4096];
	struct buf text = BUF_INIT;
	FILE *in = from != NULL ? fopen(from, "re") : NULL;
	size_t n;
	int rc = 0;

	*have = access(to, F_OK) == 0;
	if (!*have && in != NULL) {
		while ((n = fread(block, 1, sizeof block, in)) > 0)
			buf_add(&text, block, n);
		buf_str(&text, "");
		rc = files_new(to, &text, 0600, e);
		*have = rc == 0;
	}
	if (in != NULL)
		fclose(in);
	buf_clear(&text);
	free(file);
	free(from);
	free(to);
	return rc;
}

/* Lines of [runtimes]: those that work, and as comments those that do not, with the reason. */
static int
runtime_lines(const struct conf *home, const bool have[], struct buf *out, int *works, struct err *e)
{
	struct buf text = BUF_INIT;
	struct runtimes rs = { NULL, 0 };
	struct conf *c;
	int rc = -1;

	*works = 0;
	buf_str(&text, "[runtimes]\n");
	for (int i = 0; shipped[i] != NULL; i++) {
		if (have[i])
			buf_fmt(&text, "%s = %s.ini\n", shipped[i], shipped[i]);
	}
	c = conf_parse("init", text.data, text.len, home->home, NULL, e);
	if (c == NULL || (c->runtimes.n > 0 && runtimes_load(&rs, c, false, e) != 0))
		goto out;
	for (size_t i = 0; i < rs.n; i++) {
		char *none = rs.item[i].program == NULL && rs.item[i].command != NULL ?
		    mem_fmt("%s is not installed", rs.item[i].command) : NULL;
		const char *missing = rs.item[i].missing != NULL ? rs.item[i].missing : none;

		buf_fmt(out, "%s%s = %s.ini%s%s\n", missing != NULL ? "# " : "", rs.item[i].name, rs.item[i].name,
		    missing != NULL ? "   ; " : "", missing != NULL ? missing : "");
		*works += missing == NULL;
		free(none);
	}
	rc = 0;
out:
	runtimes_clear(&rs);
	conf_free(c);
	buf_clear(&text);
	return rc;
}

/* Replaces the line that begins with `from`. */
static void
replace_line(struct buf *text, const char *from, const char *to)
{
	struct buf out = BUF_INIT;
	char *at = strstr(text->data, from), *end;

	if (at == NULL)
		return;
	end = at + strcspn(at, "\n");
	buf_add(&out, text->data, (size_t)(at - text->data));
	buf_str(&out, to);
	buf_str(&out, *end == '\n' ? end + 1 : end);
	buf_clear(text);
	*text = out;
}

static int
write_config(const struct cli *cli, const struct conf *c, const char *path, const struct buf *runtimes, struct err *e)
{
	const char *did = cli_option(cli, "did"), *handle = cli_option(cli, "handle");
	struct buf text = BUF_INIT, line = BUF_INIT;
	struct conf *check = NULL;
	int rc = -1;

	conf_template(&text);
	if (did != NULL) {
		buf_fmt(&line, "did = %s\n", did);
		replace_line(&text, "# did = ", line.data);
	}
	if (handle != NULL) {
		buf_reset(&line);
		buf_fmt(&line, "handle = %s\n", handle);
		replace_line(&text, "# handle = ", line.data);
	}
	if (cli_option(cli, "system") != NULL) /* the machine has a web server of its own */
		replace_line(&text, "port = ", "port = 0\n");
	replace_line(&text, "# deno = ", runtimes->len > 0 ? runtimes->data : "");
	check = conf_parse(path, text.data, text.len, c->home, NULL, e);
	if (check != NULL)
		rc = files_new(path, &text, 0600, e);
	conf_free(check);
	buf_clear(&line);
	buf_clear(&text);
	return rc;
}

static int
make_home(const struct conf *c, struct err *e)
{
	char *images = mem_fmt("%s/images", c->home);
	int rc = files_dirs(c->home, 0700, e);

	if (rc == 0)
		rc = files_dirs(c->run_dir, 0770, e);
	if (rc == 0)
		rc = files_dirs(c->keys_dir, 0700, e);
	if (rc == 0)
		rc = files_dirs(c->bundles_dir, 0700, e);
	if (rc == 0)
		rc = files_dirs(c->runtimes_dir, 0700, e);
	if (rc == 0)
		rc = files_dirs(images, 0700, e);
	free(images);
	return rc;
}

static void
report(const struct cli *cli, const struct conf *c, const char *path, const struct buf *runtimes, int works)
{
	struct buf b = BUF_INIT;

	if (cli->json) {
		buf_str(&b, "{\"home\":");
		buf_json_str(&b, c->home);
		buf_str(&b, ",\"config\":");
		buf_json_str(&b, path);
		buf_fmt(&b, ",\"runtimes\":%d}\n", works);
		fputs(b.data, stdout);
		buf_clear(&b);
		return;
	}
	printf("The runner lives in ");
	cli_print(c->home);
	printf(".\n\nRuntimes:\n%s", runtimes->len > 0 ? runtimes->data : "none came with this installation\n");
	if (works == 0)
		puts("None of them works yet: install deno, node or python3.");
	printf("\nNext:\n  1. put your DID and those whose code you run into ");
	cli_print(path);
	puts("\n  2. at-rund config check");
	puts(cli_option(cli, "system") != NULL ? "  3. at-rund systemd install" :
	    "  3. at-rund serve           (or: at-rund serve --dev --bundles DIR)");
}

int
cmd_init(struct cli *c)
{
	static const char *const names[] = { "config.ini", "config.toml" };
	struct buf runtimes = BUF_INIT;
	struct err e = ERR_INIT;
	struct conf *conf = NULL;
	char *path = NULL, *home, *dir;
	bool have[3] = { false }, nix, system = cli_option(c, "system") != NULL;
	int code = 0, works = 0;

	if (c->config != NULL)
		return cli_usage(c, "init writes config.ini into the home: name it with --home, not --config");
	if (system && geteuid() != 0) {
		err_set(&e, ERR_DENIED, "init --system writes to %s and %s, which needs root", CONF_SYSTEM_DIR, CONF_SYSTEM_HOME);
		return cli_fail(c, &e);
	}
	home = system ? mem_str(CONF_SYSTEM_HOME) : files_home();
	dir = mem_str(system ? CONF_SYSTEM_DIR : home);
	conf = conf_parse("defaults", "", 0, home, NULL, &e);
	for (int i = 0; i < 2; i++) {
		free(path);
		path = mem_fmt("%s/%s", dir, names[i]);
		if (access(path, F_OK) == 0) {
			err_named(&e, ERR_DENIED, "ConfigExists", "%s is there already, and init overwrites nothing", path);
			code = cli_fail_as(c, EX_CANTCREAT, &e);
			goto out;
		}
	}
	free(path);
	path = mem_fmt("%s/config.ini", dir);
	if (files_dirs(dir, system ? 0750 : 0700, &e) != 0 || make_home(conf, &e) != 0) {
		code = cli_fail_as(c, EX_CANTCREAT, &e);
		goto out;
	}
	for (int i = 0; shipped[i] != NULL; i++) {
		if (copy_definition(conf, shipped[i], "ini", &have[i], &e) != 0 ||
		    copy_definition(conf, shipped[i], "nix", &nix, &e) != 0) {
			code = cli_fail_as(c, EX_CANTCREAT, &e);
			goto out;
		}
	}
	if (runtime_lines(conf, have, &runtimes, &works, &e) != 0)
		code = cli_fail(c, &e);
	else if (write_config(c, conf, path, &runtimes, &e) != 0)
		code = cli_fail_as(c, e.kind == ERR_INPUT ? EX_USAGE : EX_CANTCREAT, &e);
	else if (system && system_give(conf->home, path, &e) != 0)
		code = cli_fail_as(c, EX_CANTCREAT, &e);
	else
		report(c, conf, path, &runtimes, works);
out:
	buf_clear(&runtimes);
	conf_free(conf);
	free(home);
	free(dir);
	free(path);
	return code;
}
