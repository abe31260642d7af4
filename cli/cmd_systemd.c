/*
 * systemd install, uninstall, status.  The units are templates in contrib/systemd, filled with what the config says; a
 * table says which files there are and where they go, so that install, uninstall and --dry-run cannot differ.
 */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli/files.h"
#include "cli/place.h"
#include "cli/template.h"
#include "lib/buf.h"
#include "lib/child.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"

#define SYSTEM_CONFIG CONF_SYSTEM_DIR "/config.ini"
#define SYSTEM_KEYS   CONF_SYSTEM_DIR "/keys"

enum { STOP_SLACK_S = 15, COMMAND_MS = 120000, NOT_RUNNING = 3, ANSWER_MAX = 65536 };

/* NULL user: not there for a user manager. */
static const struct unit {
	const char *file;   /* in contrib/systemd */
	const char *system; /* below the root */
	bool user;          /* also with --user, below ~/.config/systemd/user */
} units[] = {
	{ "at-rund.target", "/etc/systemd/system/at-rund.target", true },
	{ "at-rund-scheduler.service", "/etc/systemd/system/at-rund-scheduler.service", true },
	{ "at-rund-fcgi.socket", "/etc/systemd/system/at-rund-fcgi.socket", true },
	{ "at-rund-fcgi.service", "/etc/systemd/system/at-rund-fcgi.service", true },
	{ "sysusers.conf", "/etc/sysusers.d/at-rund.conf", false },
	{ "tmpfiles.conf", "/etc/tmpfiles.d/at-rund.conf", false },
};
enum { UNITS = sizeof units / sizeof units[0] };

struct setup {
	struct cli *cli;
	struct conf *conf;
	bool user, dry;
	const char *root;       /* "" or --root */
	char *libdir, *config;
	struct buf json;        /* --dry-run --json: what was planned */
};

static void
setup_clear(struct setup *j)
{
	conf_free(j->conf);
	free(j->libdir);
	free(j->config);
	buf_clear(&j->json);
}

/* Where a unit goes.  Allocated. */
static char *
unit_path(const struct setup *j, const struct unit *u)
{
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	if (!j->user)
		return mem_fmt("%s%s", j->root, u->system);
	if (xdg != NULL && xdg[0] == '/')
		return mem_fmt("%s%s/systemd/user/%s", j->root, xdg, u->file);
	return mem_fmt("%s%s/.config/systemd/user/%s", j->root, home != NULL ? home : "", u->file);
}

static bool
below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static int
fill(const struct setup *j, const struct unit *u, struct buf *out, struct err *e)
{
	const struct conf *c = j->conf;
	bool state = !j->user && strcmp(c->home, CONF_SYSTEM_HOME) == 0, container = !j->user && strcmp(c->isolation, "container") == 0;
	bool inside = j->user || below(c->home, "/home") || below(c->home, "/root");
	char *name = mem_fmt("systemd/%s", u->file), grace[32], *stop_s;
	const char *group = cli_option(j->cli, "group");
	int rc;

	conf_duration_print(c->scheduler.grace, grace);
	stop_s = mem_fmt("%lld", (long long)(c->scheduler.grace + 999) / 1000 + STOP_SLACK_S);
	{
		const struct template_var vars[] = {
			{ "USER", j->user ? "1" : "" }, { "LIBDIR", j->libdir }, { "CONFIG", j->config }, { "HOME", c->home },
			{ "SOCKET", c->web.listen }, { "MODE", c->web.listen_mode }, { "GROUP", group != NULL ? group : "www-data" },
			{ "GRACE", grace }, { "STOP_S", stop_s }, { "STATE", state ? "1" : "" },
			{ "RW", !j->user && !state ? c->home : "" }, { "HOME_INSIDE", inside ? "1" : "" },
			{ "CONTAINER", container ? "1" : "" }, { "OPEN", container || j->user ? "1" : "" },
			{ "CREDENTIALS", !j->user && access(SYSTEM_KEYS, F_OK) == 0 ? SYSTEM_KEYS : "" }, { NULL, NULL },
		};

		rc = template_load(name, vars, out, e);
	}
	free(name);
	free(stop_s);
	return rc;
}

static void
plan(struct setup *j, const char *key, const char *name, const struct buf *text)
{
	if (!j->cli->json) {
		printf("# %s%s\n%s%s", text != NULL ? "" : "run: ", name, text != NULL ? text->data : "", text != NULL ? "\n" : "");
		return;
	}
	buf_str(&j->json, j->json.len > 0 ? ",{" : "{");
	buf_json_str(&j->json, key);
	buf_char(&j->json, ':');
	buf_json_str(&j->json, name);
	if (text != NULL) {
		buf_str(&j->json, ",\"text\":");
		buf_json(&j->json, text->data, text->len);
	}
	buf_char(&j->json, '}');
}

/* ---- commands ---- */

/* Runs a command, or shows it.  soft: its failure is said, and does not stop us. */
static int
command(struct setup *j, bool soft, const char *const argv[], struct err *e)
{
	struct buf shown = BUF_INIT, out = BUF_INIT;
	int rc = 0;

	for (int i = 0; argv[i] != NULL; i++)
		buf_fmt(&shown, "%s%s", i > 0 ? " " : "", argv[i]);
	if (j->dry)
		plan(j, "run", shown.data, NULL);
	else
		rc = child_run(argv, COMMAND_MS, ANSWER_MAX, &out, e);
	if (rc != 0 && soft) {
		cli_say(j->cli, "%s: %s", shown.data, e->text);
		*e = (struct err)ERR_INIT;
		rc = 0;
	} else if (rc != 0) {
		err_wrap(e, "%s", shown.data);
	}
	buf_clear(&shown);
	buf_clear(&out);
	return rc;
}

/* systemctl [--user] WORDS...; a user's manager is found by XDG_RUNTIME_DIR, which child_run does not hand on. */
static int
systemctl(struct setup *j, bool soft, const char *const words[], struct buf *answer, struct err *e)
{
	const char *argv[16], *runtime = getenv("XDG_RUNTIME_DIR");
	char *env = runtime != NULL ? mem_fmt("XDG_RUNTIME_DIR=%s", runtime) :
	    mem_fmt("XDG_RUNTIME_DIR=/run/user/%lu", (unsigned long)getuid());
	int n = 0, rc;

	if (j->user) {
		argv[n++] = "env";
		argv[n++] = env;
	}
	argv[n++] = "systemctl";
	if (j->user)
		argv[n++] = "--user";
	for (int i = 0; words[i] != NULL && n < 15; i++)
		argv[n++] = words[i];
	argv[n] = NULL;
	rc = answer != NULL ? child_run(argv, COMMAND_MS, ANSWER_MAX, answer, e) : command(j, soft, argv, e);
	free(env);
	return rc;
}

/* ---- install ---- */

static int
place(struct setup *j, const struct unit *u, struct err *e)
{
	struct buf text = BUF_INIT;
	char *path = unit_path(j, u);
	int rc = fill(j, u, &text, e);

	if (rc == 0 && j->dry)
		plan(j, "file", path, &text);
	else if (rc == 0)
		rc = files_put(path, &text, 0644, e);
	buf_clear(&text);
	free(path);
	return rc;
}

static int
start(struct setup *j, struct err *e)
{
	const char *user = getenv("USER");

	if (!j->user && (command(j, false, (const char *[]){ "systemd-sysusers", units[4].system, NULL }, e) != 0 ||
	    command(j, false, (const char *[]){ "systemd-tmpfiles", "--create", units[5].system, NULL }, e) != 0))
		return -1;
	if (systemctl(j, false, (const char *[]){ "daemon-reload", NULL }, NULL, e) != 0 ||
	    systemctl(j, false, (const char *[]){ "enable", "at-rund.target", NULL }, NULL, e) != 0)
		return -1;
	/* Without it a user's services end with the last session. */
	if (j->user && command(j, true, (const char *[]){ "loginctl", "enable-linger", user, NULL }, e) != 0)
		return -1;
	return systemctl(j, false, (const char *[]){ "restart", "at-rund.target", NULL }, NULL, e);
}

/* A unit file holds one line a setting and has its own meaning for spaces, quotes and %. */
static int
plain(const struct setup *j, struct err *e)
{
	const char *const paths[] = { j->libdir, j->config, j->conf->home, j->conf->web.listen };

	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
		if (!template_plain(paths[i]))
			return err_set(e, ERR_INPUT, "%s: a unit of systemd takes letters, digits and . _ - / only", paths[i]);
	}
	return 0;
}

/* The config that the units will name: --config, or the one of this kind of installation, which need not be there for a
 * plan. */
static int
open_conf(struct setup *j)
{
	const char *asked = j->cli->config;
	struct err e = ERR_INIT;
	char *door = place_program("at-rund.fcgi", &e);
	int code = EX_CONFIG;

	if (door == NULL) {
		cli_fail(j->cli, &e);
		return EX_NOINPUT;
	}
	j->libdir = mem_strn(door, (size_t)(strrchr(door, '/') - door));
	free(door);
	if (asked == NULL && !j->user && access(SYSTEM_CONFIG, F_OK) == 0)
		j->cli->config = SYSTEM_CONFIG;
	if (j->cli->config != NULL || j->user)
		j->conf = cli_conf(j->cli, j->dry || j->root[0] != '\0', &code);
	else
		j->conf = conf_parse("defaults", "", 0, CONF_SYSTEM_HOME, NULL, &e);
	if (j->conf == NULL)
		return code != 0 ? code : EX_CONFIG;
	j->config = j->conf->file != NULL ? mem_str(j->conf->file) : j->user ? mem_fmt("%s/config.ini", j->conf->home) :
	    mem_str(SYSTEM_CONFIG);
	return 0;
}

static int
ready_to_install(const struct setup *j)
{
	struct err e = ERR_INIT;

	if (j->dry || j->root[0] != '\0')
		return 0;
	if (access("/run/systemd/system", F_OK) != 0) {
		err_set(&e, ERR_REMOTE, "systemd does not run here; at-rund serve starts everything without it, and at-rund ensure "
		    "keeps that alive from cron");
		return cli_fail(j->cli, &e);
	}
	if (!j->user && geteuid() != 0) {
		err_set(&e, ERR_DENIED, "units for the whole system need root; --user installs them for you alone");
		return cli_fail(j->cli, &e);
	}
	if (access(j->config, R_OK) != 0) {
		err_set(&e, ERR_NOTFOUND, "there is no %s yet: at-rund init%s writes it", j->config, j->user ? "" : " --system");
		return cli_fail(j->cli, &e);
	}
	return 0;
}

static bool
begin(struct setup *j, struct cli *c, int *code)
{
	*j = (struct setup){ .cli = c, .user = cli_option(c, "user") != NULL, .dry = cli_option(c, "dry-run") != NULL,
		.root = cli_option(c, "root") != NULL ? cli_option(c, "root") : "", .json = BUF_INIT };
	*code = 0;
	if (j->root[0] != '\0' && j->root[0] != '/')
		*code = cli_usage(c, "--root: expected an absolute path");
	return *code == 0;
}

static void
finish(struct setup *j, const char *done)
{
	if (j->cli->json && j->dry)
		printf("{\"plan\":[%s]}\n", j->json.len > 0 ? j->json.data : "");
	else if (j->cli->json)
		printf("{\"%s\":true,\"user\":%s}\n", done, j->user ? "true" : "false");
}

int
cmd_systemd_install(struct cli *c)
{
	struct err e = ERR_INIT;
	struct setup j;
	int code;

	if (!begin(&j, c, &code))
		return code;
	code = open_conf(&j);
	if (code == 0)
		code = ready_to_install(&j);
	if (code == 0 && plain(&j, &e) != 0)
		code = cli_fail(c, &e);
	for (int i = 0; i < UNITS && code == 0; i++) {
		if ((units[i].user || !j.user) && place(&j, &units[i], &e) != 0)
			code = cli_fail_as(c, EX_CANTCREAT, &e);
	}
	if (code == 0 && j.root[0] == '\0' && start(&j, &e) != 0)
		code = cli_fail_as(c, EX_UNAVAILABLE, &e);
	if (code == 0) {
		finish(&j, "installed");
		if (!j.dry && j.root[0] == '\0')
			cli_say(c, "runs; see at-rund systemd status%s, and at-rund web-config for the web server on %s",
			    j.user ? " --user" : "", j.conf->web.listen);
	}
	setup_clear(&j);
	return code;
}

/* ---- uninstall ---- */

static int
remove_unit(struct setup *j, const struct unit *u, int *removed, struct err *e)
{
	char *path = unit_path(j, u);
	int rc = 0;

	if (access(path, F_OK) == 0) {
		++*removed;
		if (j->dry)
			plan(j, "remove", path, NULL);
		else if (unlink(path) != 0)
			rc = err_errno(e, "remove %s", path);
	}
	free(path);
	return rc;
}

int
cmd_systemd_uninstall(struct cli *c)
{
	static const char *const stop[] = { "disable", "--now", "at-rund.target", "at-rund-fcgi.socket", "at-rund-fcgi.service",
		"at-rund-scheduler.service", NULL };
	struct err e = ERR_INIT;
	struct setup j;
	int code, removed = 0;
	bool live;

	if (!begin(&j, c, &code))
		return code;
	live = j.root[0] == '\0' && (j.dry || access("/run/systemd/system", F_OK) == 0);
	if (live && systemctl(&j, true, stop, NULL, &e) != 0)
		code = cli_fail_as(c, EX_UNAVAILABLE, &e);
	for (int i = 0; i < UNITS && code == 0; i++) {
		if ((units[i].user || !j.user) && remove_unit(&j, &units[i], &removed, &e) != 0)
			code = cli_fail_as(c, EX_NOPERM, &e);
	}
	if (code == 0 && live && systemctl(&j, false, (const char *[]){ "daemon-reload", NULL }, NULL, &e) != 0)
		code = cli_fail_as(c, EX_UNAVAILABLE, &e);
	if (code == 0) {
		finish(&j, "removed");
		if (!j.dry)
			cli_say(c, removed > 0 ? "the units are gone; config, home and user stay" :
			    "there were no units of ours in /etc or ~/.config; a package removes its own");
	}
	setup_clear(&j);
	return code;
}

/* ---- status ---- */

/* "Key=value" blocks of systemctl show, divided by empty lines, as rows. */
static void
rows(struct buf *answer, struct table *t)
{
	static const char *const keys[] = { "Id", "ActiveState", "SubState", "UnitFileState", "MainPID", "NRestarts", "StatusText",
		NULL };
	static const char *const names[] = { "unit", "active", "state", "enabled", "pid", "restarts", "says" };
	char *block = answer->data, *next, *line;

	while (block != NULL && *block != '\0') {
		struct desk_cell cells[7];

		next = strstr(block, "\n\n");
		if (next != NULL) {
			*next = '\0';
			next += 2;
		}
		for (int i = 0; keys[i] != NULL; i++)
			cells[i] = (struct desk_cell){ names[i], NULL, false };
		while ((line = strsep(&block, "\n")) != NULL) {
			char *value = strchr(line, '=');

			for (int i = 0; value != NULL && keys[i] != NULL; i++) {
				if (strncmp(line, keys[i], (size_t)(value - line)) == 0 && keys[i][value - line] == '\0' && value[1] != '\0')
					cells[i].text = value + 1;
			}
		}
		cells[4].number = cells[5].number = true;
		table_row(t, cells, 7);
		block = next;
	}
}

int
cmd_systemd_status(struct cli *c)
{
	static const char *const words[] = { "show", "--property=Id,ActiveState,SubState,UnitFileState,MainPID,NRestarts,StatusText",
		"at-rund.target", "at-rund-scheduler.service", "at-rund-fcgi.socket", "at-rund-fcgi.service", NULL };
	struct buf answer = BUF_INIT;
	struct table *t = NULL;
	struct err e = ERR_INIT;
	const char *state;
	struct setup j;
	int code;

	if (!begin(&j, c, &code))
		return code;
	if (systemctl(&j, false, words, &answer, &e) != 0) {
		code = cli_fail_as(c, EX_UNAVAILABLE, &e);
	} else {
		t = table_new();
		rows(&answer, t);
		table_print(c, t, "units", NULL);
		state = table_cell(t, 1, "active");
		code = state != NULL && strcmp(state, "active") == 0 ? 0 : NOT_RUNNING;
	}
	table_free(t);
	buf_clear(&answer);
	setup_clear(&j);
	return code;
}
