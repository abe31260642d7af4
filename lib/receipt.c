#include "lib/receipt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/buf.h"
#include "lib/cid.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/keyring.h"
#include "lib/mem.h"
#include "lib/multibase.h"
#include "lib/secret.h"
#include "lib/syntax.h"

#define DEPTH    4
#define TEXT_MAX 16384
#define TIME_MAX INT64_C(253402300799999) /* the year 9999 */

/* One list of the claims that are texts, in the order they are written. */
static const struct text {
	const char *key;
	size_t at;
	bool may_lack;
} texts[] = {
	{ "runner", offsetof(struct receipt, runner), false },
	{ "job", offsetof(struct receipt, job), false },
	{ "bundle", offsetof(struct receipt, bundle), false },
	{ "cid", offsetof(struct receipt, cid), false },
	{ "caller", offsetof(struct receipt, caller), true },
	{ "method", offsetof(struct receipt, method), false },
	{ "target", offsetof(struct receipt, target), false },
	{ "request", offsetof(struct receipt, request), false },
	{ "response", offsetof(struct receipt, response), false },
};
#define TEXTS (sizeof texts / sizeof texts[0])

/* And of the times. */
static const struct {
	const char *key;
	size_t at;
} times[] = {
	{ "createdAt", offsetof(struct receipt, created_at) },
	{ "startedAt", offsetof(struct receipt, started_at) },
	{ "doneAt", offsetof(struct receipt, done_at) },
};
#define TIMES (sizeof times / sizeof times[0])

static char **
text_of(const struct receipt *r, size_t i)
{
	return (char **)(void *)((char *)(uintptr_t)r + texts[i].at);
}

static int64_t *
time_of(const struct receipt *r, size_t i)
{
	return (int64_t *)(void *)((char *)(uintptr_t)r + times[i].at);
}

void
receipt_clear(struct receipt *r)
{
	size_t i;

	for (i = 0; i < TEXTS; i++)
		free(*text_of(r, i));
	memset(r, 0, sizeof *r);
}

/* --- writing --- */

static void
put_time(struct buf *out, const char *key, int64_t ms)
{
	time_t s = (time_t)(ms / 1000);
	struct tm tm = { 0 };
	char text[32];

	gmtime_r(&s, &tm);
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
	buf_fmt(out, ",\"%s\":\"%s.%03dZ\"", key, text, (int)(ms % 1000));
}

void
receipt_json(const struct receipt *r, struct buf *out)
{
	size_t i;

	for (i = 0; i < TEXTS; i++) {
		buf_fmt(out, "%s\"%s\":", i == 0 ? "{" : ",", texts[i].key);
		buf_json_str(out, *text_of(r, i));
	}
	buf_fmt(out, ",\"status\":%lld,\"streamed\":%s", (long long)r->status, r->streamed ? "true" : "false");
	for (i = 0; i < TIMES; i++)
		put_time(out, times[i].key, *time_of(r, i));
	buf_char(out, '}');
}

static void
put_base64url(struct buf *out, const void *p, size_t n)
{
	size_t i = out->len;

	base64_print(p, n, out);
	for (; i < out->len; i++)
		out->data[i] = out->data[i] == '+' ? '-' : out->data[i] == '/' ? '_' : out->data[i];
}

void
receipt_part(const char *typ, const char *kid, const char *claims, size_t n, struct buf *out)
{
	struct buf head = BUF_INIT;

	buf_fmt(&head, "{\"alg\":\"EdDSA\",\"typ\":\"%s\",\"kid\":", typ);
	buf_json_str(&head, kid);
	buf_char(&head, '}');
	put_base64url(out, head.data, head.len);
	buf_char(out, '.');
	put_base64url(out, claims, n);
	buf_clear(&head);
}

void
receipt_signed_part(const struct receipt *r, const char *kid, struct buf *out)
{
	struct buf claims = BUF_INIT;

	receipt_json(r, &claims);
	receipt_part(RECEIPT_TYPE, kid, claims.data, claims.len, out);
	buf_clear(&claims);
}

void
receipt_add_signature(struct buf *out, const uint8_t *sig, size_t n)
{
	buf_char(out, '.');
	put_base64url(out, sig, n);
}

/* --- reading --- */

static int
malformed(struct err *e, const char *what)
{
	return err_named(e, ERR_INPUT, "ReceiptMalformed", "this is no receipt: %s", what);
}

static bool
raw_cid(const char *s)
{
	struct cid c;

	return cid_parse(&c, s, strlen(s), NULL) == 0 && c.codec == CID_RAW;
}

/* Milliseconds that are written with three digits and Z, as we write them; -1. */
static int64_t
read_time(const char *s)
{
	size_t n = s != NULL ? strlen(s) : 0;
	int64_t whole = n == 24 && s[19] == '.' && s[23] == 'Z' ? secret_time_parse(s) : -1;

	return whole < 0 ? -1 : whole + strtol(s + 20, NULL, 10);
}

static int
read_claims(struct receipt *r, const cJSON *tree, struct err *e)
{
	size_t i;

	for (i = 0; i < TEXTS; i++) {
		const char *s = json_string(tree, texts[i].key);

		if (s == NULL && texts[i].may_lack && json_member(tree, texts[i].key) == NULL)
			continue;
		if (s == NULL || strlen(s) > TEXT_MAX)
			return malformed(e, texts[i].key);
		*text_of(r, i) = mem_str(s);
	}
	for (i = 0; i < TIMES; i++) {
		*time_of(r, i) = read_time(json_string(tree, times[i].key));
		if (*time_of(r, i) < 0 || *time_of(r, i) > TIME_MAX)
			return malformed(e, times[i].key);
	}
	if (json_int(tree, "status", 100, 999, &r->status, NULL) != 0 || r->status == 0)
		return malformed(e, "status");
	if (json_bool(tree, "streamed", &r->streamed, NULL) != 0)
		return malformed(e, "streamed");
	if (!syntax_did(r->runner, strlen(r->runner)))
		return malformed(e, "runner is not a DID");
	if (!raw_cid(r->request) || !raw_cid(r->response))
		return malformed(e, "the hash of a body is not a CID");
	return 0;
}

int
receipt_claims(struct receipt *r, const char *json, size_t n, struct err *e)
{
	cJSON *tree = json_parse(json, n, DEPTH, NULL);
	int rc;

	memset(r, 0, sizeof *r);
	rc = cJSON_IsObject(tree) ? read_claims(r, tree, e) : malformed(e, "the claims are not an object");
	cJSON_Delete(tree);
	if (rc != 0)
		receipt_clear(r);
	return rc;
}

static char *
read_kid(const char *s, size_t n)
{
	struct buf text = BUF_INIT;
	cJSON *tree = NULL;
	const char *alg, *typ;
	char *kid = NULL;

	if (base64url_parse(s, n, &text) == 0 && text.len > 0)
		tree = json_parse(text.data, text.len, DEPTH, NULL);
	alg = json_string(tree, "alg");
	typ = json_string(tree, "typ");
	if (alg != NULL && strcmp(alg, "EdDSA") == 0 && typ != NULL && strcmp(typ, RECEIPT_TYPE) == 0)
		kid = mem_str(json_string(tree, "kid"));
	cJSON_Delete(tree);
	buf_clear(&text);
	return kid;
}

int
receipt_parse(const char *s, size_t n, struct receipt *r, char **kid, struct err *e)
{
	const char *first = n <= RECEIPT_MAX ? memchr(s, '.', n) : NULL;
	const char *second = first != NULL ? memchr(first + 1, '.', (size_t)(s + n - first - 1)) : NULL;
	struct buf text = BUF_INIT;
	int rc = -1;

	memset(r, 0, sizeof *r);
	*kid = NULL;
	if (second == NULL)
		return malformed(e, n > RECEIPT_MAX ? "too long" : "expected three parts with points between");
	if ((*kid = read_kid(s, (size_t)(first - s))) == NULL)
		return malformed(e, "its head is not that of a receipt");
	if (base64url_parse(first + 1, (size_t)(second - first - 1), &text) != 0 || text.len == 0)
		malformed(e, "its claims are not base64url");
	else
		rc = receipt_claims(r, text.data, text.len, e);
	if (rc != 0) {
		free(*kid);
		*kid = NULL;
	}
	buf_clear(&text);
	return rc;
}

int
receipt_verify(const char *s, size_t n, const char *key, struct err *e)
{
	const char *last = memrchr(s, '.', n);
	uint8_t public_key[SECRET_KEY_BYTES];
	struct buf sig = BUF_INIT;
	bool good;

	if (secret_key_parse(SECRET_USE_RECEIPTS, key, public_key, e) != 0)
		return -1;
	good = last != NULL && base64url_parse(last + 1, (size_t)(s + n - last - 1), &sig) == 0 &&
	    sig.len == KEYRING_SIGNATURE && keyring_verify(public_key, s, (size_t)(last - s), (const uint8_t *)sig.data);
	buf_clear(&sig);
	return good ? 0 : err_named(e, ERR_DENIED, "ReceiptForged", "the receipt is not signed with the key %s", key);
}
