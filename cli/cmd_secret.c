/*
 * secret key, list, seal, rotate, revoke.  The public keys are read in the ledger, where the scheduler wrote them; only before
 * its first start, and to make or remove one, does a person's command touch keys/ itself.
 */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/keyring.h"
#include "lib/mem.h"
#include "lib/secret.h"
#include "lib/store.h"
#include "lib/syntax.h"

#define DAY_MS    INT64_C(86400000)
#define DAYS_MAX  3650
#define DAYS      365

/* The rows of v_keys; where no scheduler has run yet, the keys are read (and perhaps made) here. */
static struct table *
all_keys(struct cli *c, const struct conf *conf, int *code)
{
	struct err e = ERR_INIT;
	struct store *s = access(conf->database, F_OK) == 0 ? cli_store(c, conf, code) : NULL;
	struct table *t = s != NULL ? cli_query(c, s, "desk_keys", NULL, code) : NULL;
	struct keyring *k;
	size_t i;

	store_close(s);
	if (*code != 0 || (t != NULL && table_rows(t) > 0))
		return t;
	table_free(t);
	k = keyring_load(conf->keys_dir, getenv("CREDENTIALS_DIRECTORY"), true, &e);
	if (k == NULL) {
		*code = cli_fail(c, &e);
		return NULL;
	}
	t = table_new();
	for (i = 0; i < k->n; i++) {
		const struct keyring_key *x = &k->key[i];
		char number[16], made[32];
		struct desk_cell cells[] = { { "key", x->text, false }, { "use", secret_use_name(x->use), false },
			{ "number", number, true },
			{ "state", x == keyring_find(k, x->use, NULL) ? "current" : "old", false }, { "made_at", made, false } };

		snprintf(number, sizeof number, "%d", x->number);
		secret_time_print(x->made_at, made);
		table_row(t, cells, 5);
	}
	keyring_free(k);
	return t;
}

/* The key that is current for that use, allocated; NULL. */
static char *
current(const struct table *t, const char *use)
{
	size_t i;

	for (i = 0; i < table_rows(t); i++)
		if (strcmp(table_cell(t, i, "use"), use) == 0 && strcmp(table_cell(t, i, "state"), "current") == 0)
			return mem_str(table_cell(t, i, "key"));
	return NULL;
}

int
cmd_secret_key(struct cli *c)
{
	struct conf *conf;
	struct table *t = NULL;
	struct err e = ERR_INIT;
	char *key = NULL;
	int code = 0;

	if ((conf = cli_conf(c, true, &code)) == NULL || (t = all_keys(c, conf, &code)) == NULL)
		goto out;
	if (c->json || cli_option(c, "all") != NULL) {
		table_print(c, t, "keys", "key use number state made_at gone_at");
		goto out;
	}
	key = current(t, "secrets");
	if (key == NULL) {
		err_named(&e, ERR_NOTFOUND, "NoKeys", "the runner has no key for secrets: at-rund secret rotate makes one");
		code = cli_fail(c, &e);
	} else {
		puts(key);
	}
out:
	free(key);
	table_free(t);
	conf_free(conf);
	return code;
}

int
cmd_secret_list(struct cli *c)
{
	const struct desk_arg args[] = { { ":author", cli_option(c, "author") }, { NULL, NULL } };
	struct conf *conf = NULL;
	struct store *s = NULL;
	struct table *t = NULL;
	int code = 0;

	if ((conf = cli_conf(c, true, &code)) != NULL && (s = cli_store(c, conf, &code)) != NULL &&
	    (t = cli_query(c, s, "desk_secrets", args, &code)) != NULL)
		table_print(c, t, "secrets", "author bundle key expires_at fetched_at");
	table_free(t);
	store_close(s);
	conf_free(conf);
	return code;
}

/* --- seal --- */

static int
read_input(struct buf *in, struct err *e)
{
	ssize_t n;

	buf_room(in, SECRET_PLAIN_MAX + 2);
	while ((n = read(STDIN_FILENO, in->data + in->len, SECRET_PLAIN_MAX + 1 - in->len)) > 0)
		in->len += (size_t)n;
	if (n < 0)
		return err_errno(e, "read standard input");
	return 0;
}

/* What is not said on the command line comes from this machine's own runner. */
static int
fill_runner(struct cli *c, struct conf **conf, const char **runner, char **key, int *code)
{
	struct table *t = NULL;
	struct err e = ERR_INIT;
	uint8_t raw[SECRET_KEY_BYTES];

	*runner = cli_option(c, "runner");
	*key = mem_str(cli_option(c, "key"));
	if (*runner != NULL && *key == NULL) {
		*code = cli_usage(c, "--runner needs --key: the key that the runner shows on its card");
		return -1;
	}
	if (*runner == NULL && (*conf = cli_conf(c, true, code)) == NULL)
		return -1;
	if (*runner == NULL && ((*runner = (*conf)->did) == NULL)) {
		err_set(&e, ERR_INPUT, "the config has no did, so nothing can be sealed for this runner; --runner and --key name another");
		*code = cli_fail_as(c, EX_CONFIG, &e);
		return -1;
	}
	if (*key == NULL && (t = all_keys(c, *conf, code)) != NULL)
		*key = current(t, "secrets");
	table_free(t);
	if (*code != 0)
		return -1;
	if (*key == NULL)
		err_named(&e, ERR_NOTFOUND, "NoKeys", "the runner has no key for secrets: at-rund secret rotate makes one");
	if (*key == NULL || secret_key_parse(SECRET_USE_SECRETS, *key, raw, &e) != 0) {
		*code = cli_fail(c, &e);
		return -1;
	}
	return 0;
}

static void
print_record(struct cli *c, const struct secret_context *x, const char *collection, const struct buf *box)
{
	char now[32], *rkey = secret_rkey(x->bundle, x->runner);
	struct buf out = BUF_INIT;

	secret_time_print(clock_wall_ms(), now);
	buf_str(&out, "{\"repo\":");
	buf_json_str(&out, x->author);
	buf_str(&out, ",\"collection\":");
	buf_json_str(&out, collection);
	buf_str(&out, ",\"rkey\":");
	buf_json_str(&out, rkey);
	buf_str(&out, ",\"record\":");
	secret_record_json(x, collection, box->data, box->len, now, &out);
	buf_char(&out, '}');
	puts(out.data);
	cli_say(c, "That is the body of com.atproto.repo.putRecord; the bundle's record names what it needs in \"secrets\".\n");
	buf_clear(&out);
	free(rkey);
}

int
cmd_secret_seal(struct cli *c)
{
	const char *author = cli_option(c, "author"), *bundle = cli_option(c, "bundle"), *days = cli_option(c, "days");
	const char *runner = NULL;
	struct secret_env *env = NULL;
	struct conf *conf = NULL;
	struct buf in = BUF_INIT, box = BUF_INIT;
	struct err e = ERR_INIT;
	struct secret_context x;
	char *key = NULL;
	int code = 0, n = DAYS;

	if (author == NULL || bundle == NULL)
		return cli_usage(c, "whose secrets, and of which bundle?  --author DID --bundle NAME");
	if (!syntax_did(author, strlen(author)))
		return cli_usage(c, "--author: expected a DID, not %.100s", author);
	if (!syntax_bundle_name(bundle, strlen(bundle)))
		return cli_usage(c, "--bundle: %.100s is no name of a bundle", bundle);
	if (days != NULL && !cli_number(days, 1, DAYS_MAX, &n))
		return cli_usage(c, "--days: expected a number from 1 to %d, not %.40s", DAYS_MAX, days);
	if (fill_runner(c, &conf, &runner, &key, &code) != 0)
		goto out;
	if (isatty(STDIN_FILENO))
		cli_say(c, "NAME=value, a line each; Ctrl-D ends\n");
	x = (struct secret_context){ author, bundle, runner, key, clock_wall_ms() + n * DAY_MS };
	if (read_input(&in, &e) != 0 || secret_read(in.len > 0 ? in.data : "", in.len, &env, &e) != 0 ||
	    secret_seal(&x, env, &box, &e) != 0)
		code = cli_fail(c, &e);
	else
		print_record(c, &x, conf != NULL ? conf->atproto.secret_collection : "dev.at-run.secret", &box);
out:
	secret_wipe(in.data, in.room);
	buf_clear(&in);
	buf_clear(&box);
	secret_env_unref(env);
	free(key);
	conf_free(conf);
	return code;
}

/* --- rotate, revoke --- */

/* Tells a scheduler that runs; one that starts later reads the keys anyway. */
static int
tell(struct cli *c, const struct conf *conf, const char *revoked)
{
	struct buf args = BUF_INIT;
	struct store *s;
	int code = 0;

	if (access(conf->database, F_OK) != 0)
		return 0;
	s = cli_store(c, conf, &code);
	if (s == NULL)
		return code;
	buf_str(&args, "{");
	if (revoked != NULL) {
		buf_str(&args, "\"revoked\":");
		buf_json_str(&args, revoked);
	}
	buf_char(&args, '}');
	code = cli_order(c, conf, s, "keys", args.data);
	buf_clear(&args);
	store_close(s);
	return code;
}

static int
ours(struct cli *c)
{
	struct err e = ERR_INIT;

	if (!keyring_from_credentials(getenv("CREDENTIALS_DIRECTORY")))
		return 0;
	err_set(&e, ERR_DENIED, "systemd hands the keys over (LoadCredential=): change them where they come from");
	return cli_fail(c, &e);
}

int
cmd_secret_rotate(struct cli *c)
{
	bool receipts = cli_option(c, "receipts") != NULL;
	struct err e = ERR_INIT;
	struct conf *conf = NULL;
	int code = ours(c), number;

	if (code != 0 || (conf = cli_conf(c, true, &code)) == NULL)
		return code;
	if (keyring_rotate(conf->keys_dir, receipts ? SECRET_USE_RECEIPTS : SECRET_USE_SECRETS, &number, &e) != 0) {
		code = cli_fail(c, &e);
	} else {
		cli_say(c, receipts ? "Key %d for receipts; publish it: at-rund publish\n" :
		    "Key %d for secrets; the one before it still opens what was sealed for it.  Publish it (at-rund publish), ask\n"
		    "authors to seal anew (at-rund secret list names them), then: at-rund secret revoke OLDKEY\n", number);
		code = tell(c, conf, NULL);
	}
	conf_free(conf);
	return code;
}

int
cmd_secret_revoke(struct cli *c)
{
	struct err e = ERR_INIT;
	struct conf *conf = NULL;
	int code = ours(c);

	if (code != 0 || (conf = cli_conf(c, true, &code)) == NULL)
		return code;
	/* A key that is gone from keys/ already, after a rotation, may still be forgotten in the ledger. */
	if (keyring_revoke(conf->keys_dir, c->arg[0], &e) != 0 && e.kind != ERR_NOTFOUND)
		code = cli_fail(c, &e);
	else
		code = tell(c, conf, c->arg[0]);
	conf_free(conf);
	return code;
}
