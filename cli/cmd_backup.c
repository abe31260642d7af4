/*
 * backup and restore.  A backup is a .tar.gz, or the same sealed with a passphrase or for recipients of age, who need not be
 * here: the config, the runtimes, a consistent copy of the database taken while the runner goes on, the cached bundles, and with
 * --keys the keys.
 *
 *     backup.json   config.ini   at-rund.db   runtimes/...   bundles/...   keys/...
 *
 * restore unpacks beside the home, looks whether the database opens, and only then gives the directory its name, so that
 * a restore that fails leaves nothing that looks like a runner.
 */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "cli/files.h"
#include "cli/passphrase.h"
#include "cli/system.h"
#include "lib/age.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/pack.h"
#include "lib/store.h"
#include "lib/strongbox.h"

/* ---- backup ---- */

struct backup {
	struct cli *cli;
	struct conf *conf;
	struct store *store;
	struct strongbox *box;
	struct pack *pack;
	char *path, *copy, *passphrase;
	struct age_keys to; /* n == 0: none */
	enum strongbox_kind kind;
	int fd;
};

static void
describe(const struct backup *b, struct buf *out)
{
	char now[32];
	time_t t = time(NULL);
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", &tm);
	buf_fmt(out, "{\"what\":\"backup of at-rund\",\"version\":\"%s\",\"schema\":%d,\"made\":\"%s\",\"home\":", AT_RUND_VERSION,
	    store_schema_version(), now);
	buf_json_str(out, b->conf->home);
	buf_str(out, ",\"did\":");
	buf_json_str(out, b->conf->did);
	buf_fmt(out, ",\"keys\":%s}\n", cli_option(b->cli, "keys") != NULL ? "true" : "false");
}

static int
pack_all(struct backup *b, struct err *e)
{
	const char *config = b->conf->file, *dot = config != NULL ? strrchr(config, '.') : NULL;
	struct buf about = BUF_INIT;
	int rc;

	describe(b, &about);
	rc = pack_bytes(b->pack, "backup.json", about.data, about.len, e);
	if (rc == 0 && config != NULL)
		rc = pack_file(b->pack, dot != NULL && strcmp(dot, ".toml") == 0 ? "config.toml" : "config.ini", config, e);
	if (rc == 0)
		rc = pack_file(b->pack, "at-rund.db", b->copy, e);
	if (rc == 0)
		rc = pack_tree(b->pack, "runtimes", b->conf->runtimes_dir, e);
	/* After the database: what it names is there, unless it was purged in this moment; then it is fetched again. */
	if (rc == 0 && cli_option(b->cli, "without-bundles") == NULL)
		rc = pack_tree(b->pack, "bundles", b->conf->bundles_dir, e);
	if (rc == 0 && cli_option(b->cli, "keys") != NULL)
		rc = pack_tree(b->pack, "keys", b->conf->keys_dir, e);
	buf_clear(&about);
	return rc == 0 ? pack_finish(b->pack, e) : -1;
}

static char *
default_name(enum strongbox_kind kind)
{
	static const char *const ends[] = { [STRONGBOX_PLAIN] = "tar.gz", [STRONGBOX_PASSPHRASE] = "vault",
		[STRONGBOX_AGE] = "tar.gz.age" };
	time_t t = time(NULL);
	char stamp[32];
	struct tm tm;

	localtime_r(&t, &tm);
	strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &tm);
	return mem_fmt("at-rund-%s.%s", stamp, ends[kind]);
}

static int
write_backup(struct backup *b, struct err *e)
{
	char *part = mem_fmt("%s.part", b->path);
	int rc = -1;

	b->fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (b->fd < 0)
		err_errno(e, "write %s", part);
	else if ((b->box = b->kind == STRONGBOX_AGE ? strongbox_seal_for(b->fd, &b->to, e) :
	    strongbox_seal(b->fd, b->passphrase, e)) != NULL && (b->pack = pack_new(b->box, e)) != NULL &&
	    pack_all(b, e) == 0 && strongbox_finish(b->box, e) == 0)
		rc = link(part, b->path) == 0 ? 0 : err_errno(e, "write %s", b->path); /* never over a file that is there */
	if (b->fd >= 0)
		unlink(part);
	free(part);
	return rc;
}

static void
say_backup(const struct backup *b)
{
	struct buf out = BUF_INIT;
	char size[32] = "";
	struct stat st;

	if (stat(b->path, &st) == 0)
		conf_size_print(st.st_size - st.st_size % 1024, size);
	if (b->cli->json) {
		buf_str(&out, "{\"file\":");
		buf_json_str(&out, b->path);
		buf_fmt(&out, ",\"bytes\":%lld,\"sealed\":%s,\"keys\":%s}\n", (long long)st.st_size, b->kind != STRONGBOX_PLAIN ? "true" :
		    "false", cli_option(b->cli, "keys") != NULL ? "true" : "false");
		fputs(out.data, stdout);
	} else {
		cli_print(b->path);
		printf("\n");
		cli_say(b->cli, "%s, %s, %s keys", size, b->kind != STRONGBOX_PLAIN ? "sealed" : "not encrypted", cli_option(b->cli,
		    "keys") != NULL ? "with" : "without");
	}
	buf_clear(&out);
}

int
cmd_backup(struct cli *c)
{
	struct backup b = { .cli = c, .fd = -1 };
	const char *to = cli_option(c, "recipient");
	bool word = cli_option(c, "encrypt") != NULL || cli_option(c, "passphrase-file") != NULL;
	struct err e = ERR_INIT;
	int code = 0;

	b.kind = word ? STRONGBOX_PASSPHRASE : to != NULL ? STRONGBOX_AGE : STRONGBOX_PLAIN;
	if (word && to != NULL)
		return cli_usage(c, "a passphrase or --recipient, not both");
	if (cli_option(c, "keys") != NULL && b.kind == STRONGBOX_PLAIN)
		return cli_usage(c, "--keys needs --encrypt, --passphrase-file or --recipient: keys are never written in clear");
	if (to != NULL && age_recipients(&b.to, to, &e) != 0)
		return cli_usage(c, "--recipient: %s", e.text);
	if ((b.conf = cli_conf(c, true, &code)) == NULL || (b.store = cli_store(c, b.conf, &code)) == NULL)
		goto out;
	b.path = c->args > 0 ? mem_str(c->arg[0]) : default_name(b.kind);
	b.copy = mem_fmt("%s/backup-%d.db", b.conf->run_dir, (int)getpid());
	if (access(b.path, F_OK) == 0) {
		err_set(&e, ERR_DENIED, "%s is there already, and backup overwrites nothing", b.path);
		code = cli_fail_as(c, EX_CANTCREAT, &e);
		goto out;
	}
	if (word && (b.passphrase = passphrase_get(cli_option(c, "passphrase-file"), true, &e)) == NULL)
		code = cli_fail_as(c, EX_USAGE, &e);
	else if (store_copy(b.store, b.copy, &e) != 0 || write_backup(&b, &e) != 0)
		code = cli_fail_as(c, e.kind == ERR_INTERNAL ? EX_CANTCREAT : EX_UNAVAILABLE, &e);
	else
		say_backup(&b);
out:
	if (b.copy != NULL)
		unlink(b.copy);
	if (b.fd >= 0)
		close(b.fd);
	pack_free(b.pack);
	strongbox_free(b.box);
	passphrase_free(b.passphrase);
	store_close(b.store);
	conf_free(b.conf);
	free(b.path);
	free(b.copy);
	return code;
}

/* ---- restore ---- */

static bool
wanted(const char *name)
{
	static const char *const files[] = { "backup.json", "config.ini", "config.toml", "at-rund.db", NULL };
	static const char *const dirs[] = { "runtimes/", "bundles/", "keys/", NULL };

	for (int i = 0; files[i] != NULL; i++) {
		if (strcmp(name, files[i]) == 0)
			return true;
	}
	for (int i = 0; dirs[i] != NULL; i++) {
		if (strncmp(name, dirs[i], strlen(dirs[i])) == 0)
			return true;
	}
	return false;
}

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

/* Nothing of a runner may be there: that is somebody's data. */
static int
refuse_live(const char *home, struct err *e)
{
	static const char *const ours[] = { "config.ini", "config.toml", "at-rund.db", "keys", "run", "bundles", NULL };
	int rc = 0;

	for (int i = 0; ours[i] != NULL && rc == 0; i++) {
		char *path = mem_fmt("%s/%s", home, ours[i]);

		if (access(path, F_OK) == 0)
			rc = err_named(e, ERR_DENIED, "HomeExists", "%s is there already, and restore overwrites nothing; name another home "
			    "with --home, or move that one away", path);
		free(path);
	}
	return rc;
}

/* Reads the rest, so that a sealed file is known to be whole. */
static int
drain(struct strongbox *v, struct err *e)
{
	char rest[4096];
	ssize_t n;

	while ((n = strongbox_read(v, rest, sizeof rest, e)) > 0)
		;
	return n == 0 ? 0 : -1;
}

/* A file as age-keygen writes it. */
static int
read_identities(const char *file, struct age_keys *ids, struct err *e)
{
	char text[8192] = "";
	ssize_t n;
	int fd, rc;

	if (file == NULL)
		return err_set(e, ERR_INPUT, "the backup is sealed for an age key: name the file of that key with --identity");
	fd = open(file, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
	rc = n < 0 ? err_errno(e, "read %s", file) : age_identities(ids, text, e) != 0 ? err_wrap(e, "%s", file) : 0;
	if (fd >= 0)
		close(fd);
	strongbox_wipe(text, sizeof text);
	return rc;
}

static int
unpack(struct cli *c, const char *file, const char *dir, struct err *e)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC), rc = -1;
	char *passphrase = NULL;
	struct age_keys ids = { .n = 0 };
	struct strongbox *v = NULL;
	enum strongbox_kind kind;

	if (fd < 0)
		return err_set(e, errno == ENOENT ? ERR_NOTFOUND : ERR_INTERNAL, "read %s: %s", file, strerror(errno));
	kind = strongbox_kind(fd);
	if (kind == STRONGBOX_PASSPHRASE && (passphrase = passphrase_get(cli_option(c, "passphrase-file"), false, e)) == NULL)
		goto out;
	if (kind == STRONGBOX_AGE && read_identities(cli_option(c, "identity"), &ids, e) != 0)
		goto out;
	v = kind == STRONGBOX_AGE ? strongbox_open_with(fd, &ids, e) : strongbox_open(fd, passphrase, e);
	if (v != NULL && pack_open(v, dir, wanted, e) == 0)
		rc = drain(v, e);
out:
	strongbox_wipe(&ids, sizeof ids);
	strongbox_free(v);
	passphrase_free(passphrase);
	close(fd);
	return rc;
}

/* The database opens in this version, and every page of it is good. */
static int
look_over(const char *dir, struct err *e)
{
	char *db = mem_fmt("%s/at-rund.db", dir);
	struct store *s = access(db, F_OK) == 0 ? store_open(db, STORE_WORK, e) : NULL; /* an older one is brought up to date */
	struct table *t = table_new();
	int rc = -1;

	if (s == NULL && e->kind == ERR_NONE)
		err_set(e, ERR_INPUT, "the backup holds no at-rund.db");
	if (s != NULL && desk_query(s, "desk_scan_integrity", NULL, table_row, t, e) == 0) {
		const char *word = table_cell(t, 0, "integrity_check");

		rc = word != NULL && strcmp(word, "ok") == 0 ? 0 : err_set(e, ERR_INPUT, "the database in the backup is damaged: %.200s",
		    word != NULL ? word : "?");
	}
	table_free(t);
	store_close(s);
	free(db);
	return rc;
}

static int
dirs_of_home(const char *dir, struct err *e)
{
	static const struct { const char *name; mode_t mode; } dirs[] = { { "run", 0770 }, { "keys", 0700 }, { "bundles", 0700 },
		{ "runtimes", 0700 }, { "images", 0700 } };
	int rc = 0;

	for (size_t i = 0; i < sizeof dirs / sizeof dirs[0] && rc == 0; i++) {
		char *path = mem_fmt("%s/%s", dir, dirs[i].name);

		rc = files_dirs(path, dirs[i].mode, e);
		free(path);
	}
	return rc;
}

/* The config of a system install lies elsewhere. */
static int
place(const char *dir, const char *home, bool system, struct err *e)
{
	char *config = mem_fmt("%s/config.ini", dir), *to = mem_fmt("%s/config.ini", CONF_SYSTEM_DIR);
	int rc = dirs_of_home(dir, e);

	if (rc == 0 && rmdir(home) != 0 && errno != ENOENT)
		rc = err_errno(e, "%s is not empty", home);
	if (rc == 0 && rename(dir, home) != 0)
		rc = err_errno(e, "rename %s to %s", dir, home);
	if (rc == 0 && system) {
		free(config);
		config = mem_fmt("%s/config.ini", home);
		rc = files_dirs(CONF_SYSTEM_DIR, 0750, e);
		if (rc == 0)
			rc = files_move(config, to, e);
		if (rc == 0)
			rc = system_give(home, to, e);
	}
	free(config);
	free(to);
	return rc;
}

int
cmd_restore(struct cli *c)
{
	bool system = cli_option(c, "system") != NULL;
	char *home = system ? mem_str(CONF_SYSTEM_HOME) : files_home(), *dir = mem_fmt("%s.restoring-%d", home, (int)getpid());
	struct err e = ERR_INIT;
	int code = 0;

	umask(0077);
	if (system && geteuid() != 0) {
		err_set(&e, ERR_DENIED, "restore --system writes to %s and %s, which needs root", CONF_SYSTEM_DIR, CONF_SYSTEM_HOME);
		code = cli_fail(c, &e);
	} else if (refuse_live(home, &e) != 0 || (system && refuse_live(CONF_SYSTEM_DIR, &e) != 0) ||
	    files_dirs(dir, 0700, &e) != 0) {
		code = cli_fail_as(c, EX_CANTCREAT, &e);
	} else if (unpack(c, c->arg[0], dir, &e) != 0 || look_over(dir, &e) != 0 || place(dir, home, system, &e) != 0) {
		code = cli_fail(c, &e);
		nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	} else if (c->json) {
		struct buf b = BUF_INIT;

		buf_str(&b, "{\"home\":");
		buf_json_str(&b, home);
		buf_str(&b, "}");
		puts(b.data);
		buf_clear(&b);
	} else {
		printf("The runner is back in ");
		cli_print(home);
		printf(".\n");
	}
	free(home);
	free(dir);
	return code;
}
