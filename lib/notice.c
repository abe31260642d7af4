#include "lib/notice.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/buf.h"
#include "lib/callback.h"
#include "lib/cid.h"
#include "lib/err.h"
#include "lib/job.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/multibase.h"
#include "lib/receipt.h"
#include "lib/secret.h"
#include "lib/store_callback.h"
#include "lib/syntax.h"
#include "lib/utf8.h"

#define DEPTH        4
#define ATTEMPTS_MAX 1000000
#define TIME_MAX     INT64_C(253402300799999) /* the year 9999 */

void
notice_clear(struct notice *n)
{
	free(n->runner);
	free(n->job);
	free(n->url);
	free(n->body);
	memset(n, 0, sizeof *n);
}

/* --- writing --- */

static void
put_text(struct buf *out, const char *key, const char *value)
{
	if (value == NULL)
		return;
	buf_fmt(out, "%s\"%s\":", out->data[out->len - 1] == '{' ? "" : ",", key);
	buf_json_str(out, value);
}

static void
put_time(struct buf *out, const char *key, int64_t ms)
{
	time_t s = (time_t)(ms / 1000);
	struct tm tm = { 0 };
	char text[32];

	if (ms <= 0 || gmtime_r(&s, &tm) == NULL)
		return;
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
	buf_fmt(out, ",\"%s\":\"%s.%03dZ\"", key, text, (int)(ms % 1000));
}

void
notice_json(const struct notice *n, struct buf *out)
{
	buf_char(out, '{');
	put_text(out, "runner", n->runner);
	put_text(out, "job", n->job);
	put_text(out, "url", n->url);
	put_text(out, "body", n->body);
	buf_fmt(out, ",\"attempt\":%lld", (long long)n->attempt);
	put_time(out, "signedAt", n->signed_at);
	buf_char(out, '}');
}

void
notice_signed_part(const struct notice *n, const char *kid, struct buf *out)
{
	struct buf claims = BUF_INIT;

	notice_json(n, &claims);
	receipt_part(NOTICE_TYPE, kid, claims.data, claims.len, out);
	buf_clear(&claims);
}

/* --- reading --- */

/* Milliseconds that are written with three digits and Z, as we write them; -1. */
static int64_t
read_time(const char *s)
{
	size_t n = s != NULL ? strlen(s) : 0;
	int64_t whole = n == 24 && s[19] == '.' && s[23] == 'Z' ? secret_time_parse(s) : -1;

	return whole < 0 ? -1 : whole + strtol(s + 20, NULL, 10);
}

static bool
raw_cid(const char *s)
{
	struct cid c;

	return s != NULL && cid_parse(&c, s, strlen(s), NULL) == 0 && c.codec == CID_RAW;
}

static bool
read_claims(struct notice *n, const cJSON *tree)
{
	const char *runner = json_string(tree, "runner"), *job = json_string(tree, "job"), *url = json_string(tree, "url"),
		   *body = json_string(tree, "body");
	struct callback_url u;

	n->signed_at = read_time(json_string(tree, "signedAt"));
	if ((runner != NULL ? !syntax_did(runner, strlen(runner)) : json_member(tree, "runner") != NULL) || job == NULL ||
	    job[0] == '\0' || strlen(job) > 20 || strspn(job, "0123456789") != strlen(job) || url == NULL ||
	    callback_url_parse(url, true, &u, NULL) != 0 || !raw_cid(body) || n->signed_at < 0 || n->signed_at > TIME_MAX ||
	    json_int(tree, "attempt", 1, ATTEMPTS_MAX, &n->attempt, NULL) != 0 || n->attempt == 0)
		return false;
	n->runner = mem_str(runner);
	n->job = mem_str(job);
	n->url = mem_str(url);
	n->body = mem_str(body);
	return true;
}

int
notice_claims(struct notice *n, const char *json, size_t len, struct err *e)
{
	cJSON *tree = json_parse(json, len, DEPTH, NULL);
	bool fine;

	memset(n, 0, sizeof *n);
	fine = cJSON_IsObject(tree) && read_claims(n, tree);
	cJSON_Delete(tree);
	return fine ? 0 : err_set(e, ERR_INPUT, "these are not the claims of a callback");
}

/* --- the body --- */

/* NUL is valid UTF-8, but a text with one is none that JSON readers take gladly. */
static bool
is_text(const char *p, size_t n)
{
	return utf8_valid(p, n) && memchr(p, '\0', n) == NULL;
}

static void
put_result(struct buf *out, const struct work_callback *c, const char *where)
{
	buf_fmt(out, ",\"result\":{\"status\":%d,\"streamed\":%s,\"headers\":%s", c->status, c->streamed ? "true" : "false",
	    c->headers_json != NULL ? c->headers_json : "[]");
	put_text(out, "location", where);
	if (!c->streamed) {
		buf_fmt(out, ",\"bytes\":%zu", c->body_bytes);
		if (c->body_bytes == 0 || (c->body != NULL && is_text(c->body, c->body_bytes))) {
			buf_str(out, ",\"body\":");
			buf_json(out, c->body != NULL ? c->body : "", c->body_bytes);
		} else if (c->body != NULL) {
			buf_str(out, ",\"bodyBase64\":\"");
			base64_print((const uint8_t *)c->body, c->body_bytes, out);
			buf_char(out, '"');
		}
	}
	buf_char(out, '}');
}

void
notice_body(const struct work_callback *c, const char *runner, const char *base, struct buf *out)
{
	char id[JOB_ID_LEN + 1];
	struct buf url = BUF_INIT;

	job_id_print(&c->id, id);
	buf_fmt(&url, "%s/job/%s", base, id);
	buf_char(out, '{');
	put_text(out, "type", "job.done");
	put_text(out, "id", id);
	put_text(out, "rerunOf", c->of);
	put_text(out, "location", url.data);
	put_text(out, "runner", runner);
	put_text(out, "outcome", c->outcome);
	put_text(out, "author", c->author);
	put_text(out, "bundle", c->bundle);
	put_text(out, "version", c->version);
	put_text(out, "endpoint", c->endpoint);
	put_text(out, "did", c->did);
	put_text(out, "cid", c->cid);
	put_text(out, "caller", c->caller);
	put_text(out, "runtime", c->runtime);
	put_time(out, "createdAt", c->created_at);
	put_time(out, "admittedAt", c->admitted_at);
	put_time(out, "startedAt", c->started_at);
	put_time(out, "doneAt", c->done_at);
	buf_fmt(out, ",\"starts\":%d", c->starts);
	put_text(out, "error", c->error_name);
	put_text(out, "message", c->error);
	buf_str(&url, "/result");
	if (c->status != 0)
		put_result(out, c, url.data);
	buf_char(out, '}');
	buf_clear(&url);
}
