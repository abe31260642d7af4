/*
 * publish, whoami: "I run this", said by the operator's repository and by the runner, each naming the other.
 */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli/world.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/runner.h"
#include "lib/secret.h"
#include "lib/store.h"

#define PASSWORD_MAX 512

/* What this runner is, from config and ledger. */
struct self {
	const char *did, *operator;
	char *url;               /* where it answers */
	char *secrets, *receipts; /* current keys; NULL: none */
	struct buf runtimes;     /* JSON list of MIME types */
};

static void
self_clear(struct self *s)
{
	free(s->url);
	free(s->secrets);
	free(s->receipts);
	buf_clear(&s->runtimes);
}

static char *
current(const struct table *keys, const char *use)
{
	size_t i;

	for (i = 0; i < table_rows(keys); i++)
		if (strcmp(table_cell(keys, i, "use"), use) == 0 && strcmp(table_cell(keys, i, "state"), "current") == 0)
			return mem_str(table_cell(keys, i, "key"));
	return NULL;
}

/* "a/b, c/d" of each runtime that works here. */
static void
add_runtimes(const struct table *t, struct buf *out)
{
	const char *sep = "";
	size_t i;

	buf_char(out, '[');
	for (i = 0; i < table_rows(t); i++) {
		char *list = mem_str(table_cell(t, i, "mime_types")), *save = NULL, *m;

		for (m = list != NULL ? strtok_r(list, ", ", &save) : NULL; m != NULL; m = strtok_r(NULL, ", ", &save)) {
			buf_str(out, sep);
			buf_json_str(out, m);
			sep = ",";
		}
		free(list);
	}
	buf_char(out, ']');
}

static int
self_read(struct cli *c, const struct conf *conf, struct self *s)
{
	struct store *store = NULL;
	struct table *keys = NULL, *runtimes = NULL;
	struct err e = ERR_INIT;
	int code = 0;

	if (conf->did == NULL) {
		err_set(&e, ERR_INPUT, "the config has no did: a runner needs one to be announced");
		return cli_fail_as(c, EX_CONFIG, &e);
	}
	s->did = conf->did;
	s->operator = conf->operator != NULL ? conf->operator : conf->did;
	s->url = conf->web.public_url != NULL ? mem_str(conf->web.public_url) : runner_web_url(conf->did);
	if ((store = cli_store(c, conf, &code)) == NULL || (keys = cli_query(c, store, "desk_keys", NULL, &code)) == NULL ||
	    (runtimes = cli_query(c, store, "desk_runtimes", NULL, &code)) == NULL)
		goto out;
	s->secrets = current(keys, "secrets");
	s->receipts = current(keys, "receipts");
	add_runtimes(runtimes, &s->runtimes);
out:
	table_free(keys);
	table_free(runtimes);
	store_close(store);
	return code;
}

/* --- publish --- */

static void
put_text(struct buf *b, const char *key, const char *value)
{
	if (value == NULL)
		return;
	buf_fmt(b, ",\"%s\":", key);
	buf_json_str(b, value);
}

static void
record_json(const struct conf *conf, const struct self *s, struct buf *out)
{
	char now[32], *service = mem_fmt("%s#" RUNNER_SERVICE, s->did), *rkey = runner_rkey(s->did);

	secret_time_print(clock_wall_ms(), now);
	buf_str(out, "{\"repo\":");
	buf_json_str(out, s->operator);
	put_text(out, "collection", conf->atproto.runner_collection);
	put_text(out, "rkey", rkey);
	buf_str(out, ",\"record\":{\"$type\":");
	buf_json_str(out, conf->atproto.runner_collection);
	put_text(out, "service", service);
	put_text(out, "url", s->url);
	buf_str(out, ",\"runtimes\":");
	buf_add(out, s->runtimes.data, s->runtimes.len);
	put_text(out, "isolation", conf->isolation);
	put_text(out, "publicKey", s->secrets);
	put_text(out, "signingKey", s->receipts);
	put_text(out, "contact", conf->contact);
	put_text(out, "createdAt", now);
	buf_str(out, "}}");
	free(service);
	free(rkey);
}

/* A line from a file or standard input: never from the command line, which others can see. */
static int
read_password(const char *file, char out[PASSWORD_MAX], struct err *e)
{
	int fd = file != NULL ? open(file, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	ssize_t n = -1, got;

	if (fd >= 0)
		for (n = 0; n < PASSWORD_MAX - 1 && (got = read(fd, out + n, (size_t)(PASSWORD_MAX - 1 - n))) > 0; n += got)
			;
	if (fd > STDIN_FILENO)
		close(fd);
	if (n < 0)
		return err_errno(e, "read %s", file != NULL ? file : "standard input");
	out[n] = '\0';
	out[strcspn(out, "\r\n")] = '\0';
	return out[0] != '\0' ? 0 : err_set(e, ERR_INPUT, "the app password is empty: give it on standard input, or --password-file FILE");
}

/* A session of the operator; both tokens are allocated. */
static int
log_in(struct world *w, const char *pds, const char *who, const char *password, char **access, char **refresh, struct err *e)
{
	char *url = mem_fmt("%s/xrpc/com.atproto.server.createSession", pds);
	struct buf ask = BUF_INIT, body = BUF_INIT;
	cJSON *tree = NULL;
	int rc = -1;

	buf_room(&ask, 4096); /* no copies of the password on the way */
	buf_str(&ask, "{\"identifier\":");
	buf_json_str(&ask, who);
	buf_str(&ask, ",\"password\":");
	buf_json_str(&ask, password);
	buf_char(&ask, '}');
	if (world_post(w, url, NULL, ask.data, &body, e) != 0)
		goto out;
	tree = json_parse(body.data, body.len, JSON_DEPTH, NULL);
	*access = mem_str(json_string(tree, "accessJwt"));
	*refresh = mem_str(json_string(tree, "refreshJwt"));
	rc = *access != NULL ? 0 : err_set(e, ERR_REMOTE, "%s gave no session", pds);
out:
	secret_wipe(ask.data, ask.room);
	buf_clear(&ask);
	buf_clear(&body);
	cJSON_Delete(tree);
	free(url);
	return rc;
}

static int
put_record(struct world *w, const struct self *s, const char *password, const char *json, char **uri, struct err *e)
{
	struct did_doc doc = DID_DOC_INIT;
	char *access = NULL, *refresh = NULL, *url = NULL, *leave = NULL;
	struct buf body = BUF_INIT;
	struct err ignored = ERR_INIT;
	cJSON *tree = NULL;
	int rc = -1;

	if (did_resolve(w->http, &w->did, s->operator, &doc, e) != 0 ||
	    log_in(w, doc.pds, s->operator, password, &access, &refresh, e) != 0)
		goto out;
	url = mem_fmt("%s/xrpc/com.atproto.repo.putRecord", doc.pds);
	if (world_post(w, url, access, json, &body, e) == 0) {
		tree = json_parse(body.data, body.len, JSON_DEPTH, NULL);
		*uri = mem_str(json_string(tree, "uri"));
		rc = *uri != NULL ? 0 : err_set(e, ERR_REMOTE, "%s answered without the record's address", doc.pds);
	}
	/* The session has done its work; that it cannot be ended is no failure. */
	leave = mem_fmt("%s/xrpc/com.atproto.server.deleteSession", doc.pds);
	if (refresh != NULL && world_post(w, leave, refresh, "", &body, &ignored) != 0)
		buf_reset(&body);
out:
	cJSON_Delete(tree);
	buf_clear(&body);
	did_doc_clear(&doc);
	free(access);
	free(refresh);
	free(url);
	free(leave);
	return rc;
}

static int
own_person(struct cli *c, const struct conf *conf)
{
	struct err e = ERR_INIT;

	if (conf->operator != NULL || strncmp(conf->did, "did:web:", 8) != 0)
		return 0;
	err_set(&e, ERR_INPUT, "did is the runner's own (%.200s): set operator = your DID, whose repository announces it", conf->did);
	return cli_fail_as(c, EX_CONFIG, &e);
}

int
cmd_publish(struct cli *c)
{
	struct conf *conf = NULL;
	struct self self = { .did = NULL };
	struct buf json = BUF_INIT;
	struct world w = { .http = NULL };
	struct err e = ERR_INIT;
	char password[PASSWORD_MAX] = "", *uri = NULL;
	int code = 0;

	if ((conf = cli_conf(c, true, &code)) == NULL || (code = self_read(c, conf, &self)) != 0 ||
	    (code = own_person(c, conf)) != 0)
		goto out;
	record_json(conf, &self, &json);
	if (cli_option(c, "dry-run") != NULL) {
		puts(json.data);
		goto out;
	}
	if (cli_option(c, "password-file") == NULL && isatty(STDIN_FILENO))
		cli_say(c, "App password of %s (it is shown while you type; --password-file FILE reads it from a file):\n", self.operator);
	world_open(&w, conf);
	if (read_password(cli_option(c, "password-file"), password, &e) != 0 ||
	    put_record(&w, &self, password, json.data, &uri, &e) != 0)
		code = cli_fail(c, &e);
	else if (c->json)
		printf("{\"uri\":\"%s\"}\n", uri);
	else
		puts(uri);
	world_close(&w);
out:
	secret_wipe(password, sizeof password);
	free(uri);
	self_clear(&self);
	buf_clear(&json);
	conf_free(conf);
	return code;
}

/* --- whoami --- */

struct findings {
	struct cli *c;
	struct buf json;
	int missing;
};

/* One line: what was looked at, and what is wrong with it (NULL: nothing). */
static void
say(struct findings *f, const char *what, const char *is, const char *wrong)
{
	if (wrong != NULL)
		f->missing++;
	buf_fmt(&f->json, "%s{\"what\":", f->json.len > 0 ? "," : "");
	buf_json_str(&f->json, what);
	buf_str(&f->json, ",\"is\":");
	buf_json_str(&f->json, is);
	buf_str(&f->json, ",\"missing\":");
	buf_json_str(&f->json, wrong);
	buf_char(&f->json, '}');
	if (f->c->json)
		return;
	printf("%-8s %-18s ", wrong == NULL ? "ok" : "missing", what);
	cli_print(is != NULL ? is : "");
	if (wrong != NULL) {
		fputs(is != NULL ? "\n         " : "", stdout);
		cli_print(wrong);
	}
	putchar('\n');
}

static bool
same(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static bool
first_is(const struct conf_list *l, const char *key)
{
	return l->n > 0 && same(l->item[0], key);
}

static bool
holds(const struct conf_list *l, const char *key)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (same(l->item[i], key))
			return true;
	return false;
}

/* Do two addresses mean the same place?  A slash at the end does not matter. */
static bool
same_place(const char *a, const char *b)
{
	size_t n = a != NULL ? strlen(a) : 0, m = b != NULL ? strlen(b) : 0;

	n -= n > 0 && a[n - 1] == '/';
	m -= m > 0 && b[m - 1] == '/';
	return n > 0 && n == m && memcmp(a, b, n) == 0;
}

static void
look_at_document(struct findings *f, struct world *w, const struct conf *conf, const struct self *s)
{
	bool own = strncmp(s->did, "did:web:", 8) == 0;
	struct buf body = BUF_INIT;
	struct runner_doc doc = { .service = NULL };
	struct err e = ERR_INIT;

	if (world_did_json(w, conf, s->did, &body, &e) != 0 || runner_did_parse(body.data, body.len, s->did, &doc, &e) != 0) {
		err_wrap(&e, own ? "the document cannot be read where the DID says" : "the document cannot be read");
		say(f, "DID document", s->did, e.text);
	} else if (!same_place(doc.service, s->url)) {
		say(f, "DID document", doc.service, own ? "its service #at_run is not where this runner answers (web.public_url)" :
		    "it has no service #at_run at this runner's URL; PDSes cannot proxy calls here until it is added");
	} else if (own && (!first_is(&doc.secrets, s->secrets) || !holds(&doc.receipts, s->receipts))) {
		say(f, "DID document", s->did, "it shows other keys than this runner has: does it come from another one?");
	} else {
		say(f, "DID document", s->did, NULL);
	}
	runner_doc_clear(&doc);
	buf_clear(&body);
}

static void
look_at_card(struct findings *f, struct world *w, const struct self *s)
{
	char *url = mem_fmt("%s/xrpc/dev.at-run.describeRunner", s->url);
	struct runner_claim card = { .did = NULL };
	struct buf body = BUF_INIT;
	struct err e = ERR_INIT;

	if (world_get(w, url, &body, &e) != 0 || runner_card_parse(body.data, body.len, &card, &e) != 0)
		say(f, "runner's card", url, e.text);
	else if (!same(card.did, s->did))
		say(f, "runner's card", card.did, "another runner answers at this URL");
	else if (!same(card.operator, s->operator))
		say(f, "runner's card", card.operator, "it names another operator");
	else if (!first_is(&card.secrets, s->secrets) || !holds(&card.receipts, s->receipts))
		say(f, "runner's card", url, "it shows other keys than this runner has");
	else
		say(f, "runner's card", url, NULL);
	runner_claim_clear(&card);
	buf_clear(&body);
	free(url);
}

static void
compare_record(struct findings *f, const struct self *s, const char *uri, const struct runner_claim *r)
{
	if (!same(r->did, s->did))
		say(f, "operator's record", uri, "it is about another runner: at-rund publish");
	else if (!same_place(r->url, s->url))
		say(f, "operator's record", uri, "it names another URL: at-rund publish");
	else if (!first_is(&r->secrets, s->secrets) || !first_is(&r->receipts, s->receipts))
		say(f, "operator's record", uri, "it shows old keys: at-rund publish");
	else
		say(f, "operator's record", uri, NULL);
}

static void
look_at_record(struct findings *f, struct world *w, const struct conf *conf, const struct self *s)
{
	char *rkey = runner_rkey(s->did), *url = NULL;
	char *uri = mem_fmt("at://%s/%s/%s", s->operator, conf->atproto.runner_collection, rkey);
	struct runner_claim r = { .did = NULL };
	struct did_doc doc = DID_DOC_INIT;
	struct buf body = BUF_INIT, value = BUF_INIT;
	struct err e = ERR_INIT;
	cJSON *tree = NULL;

	if (did_resolve(w->http, &w->did, s->operator, &doc, &e) != 0)
		goto out;
	url = mem_fmt("%s/xrpc/com.atproto.repo.getRecord?repo=%s&collection=%s&rkey=%s", doc.pds, s->operator,
	    conf->atproto.runner_collection, rkey);
	if (world_get(w, url, &body, &e) != 0) {
		if (e.kind == ERR_NOTFOUND)
			err_set(&e, ERR_NOTFOUND, "there is no such record: at-rund publish");
		goto out;
	}
	tree = json_parse(body.data, body.len, JSON_DEPTH, &e);
	if (json_object(tree, "value") == NULL) {
		err_set(&e, ERR_REMOTE, "the server's answer holds no record");
		goto out;
	}
	json_print(json_object(tree, "value"), &value);
	if (runner_record_parse(value.data, value.len, &r, &e) == 0)
		compare_record(f, s, uri, &r);
out:
	if (e.kind != ERR_NONE)
		say(f, "operator's record", uri, e.text);
	cJSON_Delete(tree);
	runner_claim_clear(&r);
	did_doc_clear(&doc);
	buf_clear(&body);
	buf_clear(&value);
	free(url);
	free(uri);
	free(rkey);
}

int
cmd_whoami(struct cli *c)
{
	struct findings f = { c, BUF_INIT, 0 };
	struct conf *conf = NULL;
	struct self self = { .did = NULL };
	struct world w = { .http = NULL };
	int code = 0;

	if ((conf = cli_conf(c, true, &code)) == NULL || (code = self_read(c, conf, &self)) != 0 ||
	    (code = own_person(c, conf)) != 0)
		goto out;
	world_open(&w, conf);
	say(&f, "runner", self.did, NULL);
	say(&f, "operator", self.operator, NULL);
	say(&f, "key for secrets", self.secrets, self.secrets == NULL ? "none yet: start the runner, or at-rund secret rotate" : NULL);
	say(&f, "key for receipts", self.receipts,
	    self.receipts == NULL ? "none yet: start the runner, or at-rund secret rotate --receipts" : NULL);
	if (self.url == NULL) {
		say(&f, "URL", NULL, "where the runner answers is not known: set web.public_url");
	} else {
		look_at_document(&f, &w, conf, &self);
		look_at_card(&f, &w, &self);
	}
	look_at_record(&f, &w, conf, &self);
	world_close(&w);
	if (c->json)
		printf("{\"complete\":%s,\"findings\":[%s]}\n", f.missing == 0 ? "true" : "false", f.json.data);
	code = f.missing == 0 ? 0 : EX_UNAVAILABLE;
out:
	buf_clear(&f.json);
	self_clear(&self);
	conf_free(conf);
	return code;
}
