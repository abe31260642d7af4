/* page token, list, revoke: who may see the operator's page.  Only hashes are kept, so a token is printed once. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/store.h"
#include "lib/store_page.h"

#define DAY_MS     INT64_C(86400000)
#define NAME_BYTES 100

/* Where the page is, as far as the config knows; allocated. */
static char *
address(const struct conf *c)
{
	if (c->web.public_url != NULL && c->web.public_url[0] != '\0')
		return mem_fmt("%.*s%s/operator", (int)(strlen(c->web.public_url) - (c->web.public_url[strlen(c->web.public_url) - 1] == '/')),
		    c->web.public_url, c->web.base_path);
	if (c->port != 0)
		return mem_fmt("http://localhost:%lld%s/operator", (long long)c->port, c->web.base_path);
	return mem_fmt("%s/operator", c->web.base_path);
}

static void
print(const struct cli *c, const struct conf *conf, int64_t id, const char *name, const char *secret)
{
	char *where = address(conf);
	struct buf b = BUF_INIT;

	if (c->json) {
		buf_fmt(&b, "{\"token\":%lld,\"name\":", (long long)id);
		buf_json_str(&b, name);
		buf_fmt(&b, ",\"secret\":\"" PASS_PAGE "_%lld_%s\",\"page\":", (long long)id, secret);
		buf_json_str(&b, where);
		buf_char(&b, '}');
		puts(b.data);
	} else {
		printf(PASS_PAGE "_%lld_%s\n", (long long)id, secret);
		cli_say(c, "it is kept nowhere: copy it now, and sign in with it at %s; `at-rund page revoke %lld` takes it back", where,
		    (long long)id);
		if (!conf->web.status_page)
			cli_say(c, "there is no page while web.status_page = no");
	}
	buf_clear(&b);
	free(where);
}

int
cmd_page_token(struct cli *c)
{
	const char *name = cli_option(c, "name"), *days = cli_option(c, "days");
	char secret[PASS_SECRET + 1], hash[PASS_HASH + 1];
	struct conf *conf = NULL;
	struct store *s = NULL;
	struct err e = ERR_INIT;
	int64_t id, now = clock_wall_ms();
	int code = 0, n = 0;

	if (name == NULL)
		name = "operator";
	if (strlen(name) > NAME_BYTES)
		return cli_usage(c, "--name: at most %d bytes", NAME_BYTES);
	if (days != NULL && !cli_number(days, 1, 3650, &n))
		return cli_usage(c, "--days: expected a number from 1 to 3650, not %.40s", days);
	if ((conf = cli_conf(c, true, &code)) == NULL || (s = cli_store(c, conf, &code)) == NULL)
		goto out;
	pass_new(secret);
	pass_hash(PASS_PAGE_OF, secret, hash);
	if (page_token_put(s, name, hash, now, n > 0 ? now + n * DAY_MS : 0, &id, &e) != 0)
		code = cli_fail(c, &e);
	else
		print(c, conf, id, name, secret);
out:
	store_close(s);
	conf_free(conf);
	return code;
}

int
cmd_page_list(struct cli *c)
{
	struct conf *conf = NULL;
	struct store *s = NULL;
	struct table *t = NULL;
	int code = 0;

	if ((conf = cli_conf(c, true, &code)) != NULL && (s = cli_store(c, conf, &code)) != NULL &&
	    (t = cli_query(c, s, "desk_tokens", NULL, &code)) != NULL)
		table_print(c, t, "tokens", "token name state made_at until_at used_at browsers");
	table_free(t);
	store_close(s);
	conf_free(conf);
	return code;
}

int
cmd_page_revoke(struct cli *c)
{
	struct conf *conf = NULL;
	struct store *s = NULL;
	struct err e = ERR_INIT;
	int code = 0, id = 0, n = 0;

	if (strcmp(c->arg[0], "all") != 0 && !cli_number(c->arg[0], 1, 999999999, &id))
		return cli_usage(c, "%.40s is no token: expected its number in `at-rund page list`, or all", c->arg[0]);
	if ((conf = cli_conf(c, true, &code)) == NULL || (s = cli_store(c, conf, &code)) == NULL)
		goto out;
	if (page_token_revoke(s, id, clock_wall_ms(), &n, &e) == 0 && n == 0 && id > 0)
		err_named(&e, ERR_NOTFOUND, "NoToken", "no token %d that is good", id);
	if (e.kind != ERR_NONE)
		code = cli_fail(c, &e);
	else if (c->json)
		printf("{\"revoked\":%d}\n", n);
	else
		cli_say(c, "%d revoked; whoever was signed in with %s is out", n, n == 1 ? "it" : "them");
out:
	store_close(s);
	conf_free(conf);
	return code;
}
