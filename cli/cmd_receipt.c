/* receipt verify: holds a runner to its word. */
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
#include "lib/cid.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/receipt.h"
#include "lib/runner.h"
#include "lib/store.h"

static int
read_all(int fd, size_t max, struct buf *out, const char *name, struct err *e)
{
	char piece[65536];
	ssize_t n;

	buf_room(out, 0);
	while ((n = read(fd, piece, sizeof piece)) > 0) {
		buf_add(out, piece, (size_t)n);
		if (out->len > max)
			return err_set(e, ERR_INPUT, "%s is too long", name);
	}
	return n < 0 ? err_errno(e, "read %s", name) : 0;
}

/* The CID of a file's bytes; NULL file: of none. */
static int
hash_file(const char *file, char out[CID_TEXT + 1], struct err *e)
{
	int fd = file != NULL ? open(file, O_RDONLY | O_CLOEXEC) : -1;
	char piece[65536];
	struct cid_hash h;
	struct cid c;
	ssize_t n = 0;

	if (file != NULL && fd < 0)
		return err_errno(e, "open %s", file);
	cid_hash_init(&h);
	while (fd >= 0 && (n = read(fd, piece, sizeof piece)) > 0)
		cid_hash_update(&h, piece, (size_t)n);
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return err_errno(e, "read %s", file);
	cid_hash_final(&h, CID_RAW, &c);
	cid_print(&c, out);
	return 0;
}

static int
differs(struct err *e, const char *what, const char *is, const char *not_)
{
	return err_named(e, ERR_DENIED, "ReceiptDiffers", "the receipt is for another %s: %.200s, not %.200s", what, is, not_);
}

static int
check_body(const char *what, const char *file, const char *cid, struct err *e)
{
	char text[CID_TEXT + 1];

	if (hash_file(file, text, e) != 0)
		return -1;
	return strcmp(text, cid) == 0 ? 0 : differs(e, what, cid, text);
}

/* What the caller says of the call, against what the runner signed. */
static int
compare(const struct cli *c, const struct receipt *r, struct err *e)
{
	const char *method = cli_option(c, "method"), *target = cli_option(c, "target"), *cid = cli_option(c, "bundle");
	const char *body = cli_option(c, "body"), *answer = cli_option(c, "answer"), *status = cli_option(c, "status");
	char number[24];

	snprintf(number, sizeof number, "%lld", (long long)r->status);
	if (method != NULL && strcmp(method, r->method) != 0)
		return differs(e, "method", r->method, method);
	if (target != NULL && strcmp(target, r->target) != 0)
		return differs(e, "target", r->target, target);
	if (cid != NULL && strcmp(cid, r->cid) != 0)
		return differs(e, "bundle", r->cid, cid);
	if (status != NULL && strcmp(status, number) != 0)
		return differs(e, "status", number, status);
	if (body != NULL && check_body("request body", body, r->request, e) != 0)
		return -1;
	return answer != NULL ? check_body("answer", answer, r->response, e) : 0;
}

static bool
listed(const struct conf_list *l, const char *key)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (strcmp(l->item[i], key) == 0)
			return true;
	return false;
}

/* Is kid a key of the runner that the receipt names?  Its DID document says so; a did:plc runner's card does. */
static int
check_key(struct cli *c, const struct receipt *r, const char *kid, struct err *e)
{
	const char *given = cli_option(c, "key"), *url = cli_option(c, "url");
	struct runner_doc doc = { .service = NULL };
	struct runner_claim card = { .did = NULL };
	struct buf body = BUF_INIT;
	struct conf *conf;
	struct world w;
	char *from = NULL;
	int code = 0, rc = -1;

	if (given != NULL)
		return strcmp(given, kid) == 0 ? 0 : err_named(e, ERR_DENIED, "ReceiptForged",
		    "the receipt names the key %.60s, not %.60s", kid, given);
	if ((conf = cli_conf(c, true, &code)) == NULL)
		return err_set(e, ERR_INPUT, "the config cannot be read");
	world_open(&w, conf);
	if (url == NULL) {
		if (world_did_json(&w, conf, r->runner, &body, e) == 0 &&
		    (rc = runner_did_parse(body.data, body.len, r->runner, &doc, e)) == 0 && !listed(&doc.receipts, kid))
			rc = err_named(e, ERR_DENIED, "ReceiptForged", "the document of %.200s has no key %.60s%s", r->runner, kid,
			    strncmp(r->runner, "did:web:", 8) != 0 ? "; --url or --key say where its keys are" : "");
	} else {
		from = mem_fmt("%s/xrpc/dev.at-run.describeRunner", url);
		if (world_get(&w, from, &body, e) == 0 && (rc = runner_card_parse(body.data, body.len, &card, e)) == 0 &&
		    (card.did == NULL || strcmp(card.did, r->runner) != 0 || !listed(&card.receipts, kid)))
			rc = err_named(e, ERR_DENIED, "ReceiptForged", "the card at %.200s is not that of %.200s with the key %.60s", url,
			    r->runner, kid);
	}
	free(from);
	runner_doc_clear(&doc);
	runner_claim_clear(&card);
	buf_clear(&body);
	world_close(&w);
	conf_free(conf);
	return rc;
}

static void
print(const struct cli *c, const struct receipt *r, const char *kid)
{
	struct buf b = BUF_INIT;

	receipt_json(r, &b);
	if (c->json) {
		printf("{\"valid\":true,\"key\":\"%s\",\"claims\":%s}\n", kid, b.data);
	} else {
		printf("valid: signed by ");
		cli_print(r->runner);
		printf(" with %s\n", kid);
		cli_print(b.data);
		putchar('\n');
	}
	buf_clear(&b);
}

int
cmd_receipt_verify(struct cli *c)
{
	struct buf text = BUF_INIT;
	struct err e = ERR_INIT;
	struct receipt r = { .runner = NULL };
	char *kid = NULL;
	int rc = 0;

	if (c->args > 0)
		buf_str(&text, c->arg[0]);
	else
		rc = read_all(STDIN_FILENO, RECEIPT_MAX, &text, "the receipt", &e);
	while (text.len > 0 && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r'))
		text.len--;
	if (rc == 0 && (rc = receipt_parse(text.len > 0 ? text.data : "", text.len, &r, &kid, &e)) == 0 &&
	    (rc = receipt_verify(text.data, text.len, kid, &e)) == 0 && (rc = check_key(c, &r, kid, &e)) == 0 &&
	    (rc = compare(c, &r, &e)) == 0)
		print(c, &r, kid);
	receipt_clear(&r);
	free(kid);
	buf_clear(&text);
	return rc == 0 ? 0 : cli_fail(c, &e);
}
