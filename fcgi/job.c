/* What became of a job.  Its id is a capability: 128 random bits that only whoever started it was told; of a call with a token it
 * is not enough (prove.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fcgi/answer.h"
#include "fcgi/header.h"
#include "fcgi/prove.h"
#include "fcgi/request.h"
#include "fcgi/route.h"
#include "fcgi/waiter.h"
#include "fcgi/writer.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/failure.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/store_callback.h"
#include "lib/store_front.h"
#include "lib/store_secret.h"
#include "lib/utf8.h"

#define WAIT_MAX_S 25
/* Longer answers are fetched from /job/{id}/result. */
#define INLINE_BYTES (64u * 1024u)
/* What a token for a job of a call with a token has to be for. */
#define GET    "dev.at-run.getJob"
#define CANCEL "dev.at-run.cancelJob"

static int
parse_id(struct call *c, const char *text, struct job_id *id, struct err *e)
{
	if (!job_id_parse(text, id))
		return err_named(e, ERR_INPUT, "InvalidJobId", "this is no id of a job");
	job_id_print(id, c->job);
	return 0;
}

static int
param_id(struct call *c, struct job_id *id, struct err *e)
{
	struct buf text = BUF_INIT;
	int rc;

	if (!path_param(c->path.query, "id", &text))
		rc = err_set(e, ERR_INPUT, "id is missing");
	else
		rc = parse_id(c, text.data, id, e);
	buf_clear(&text);
	return rc;
}

static void
add_time(struct buf *b, const char *key, int64_t at)
{
	time_t s = (time_t)(at / 1000);
	struct tm tm;
	char text[40];

	if (at == 0 || gmtime_r(&s, &tm) == NULL)
		return;
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
	buf_fmt(b, ",\"%s\":\"%s.%03dZ\"", key, text, (int)(at % 1000));
}

static void
add_text(struct buf *b, const char *key, const char *value)
{
	if (value == NULL)
		return;
	buf_fmt(b, ",\"%s\":", key);
	buf_json_str(b, value);
}

static void
add_base64(struct buf *b, const unsigned char *p, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t i;

	for (i = 0; i < n; i += 3) {
		unsigned v = (unsigned)p[i] << 16 | (i + 1 < n ? (unsigned)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);

		buf_char(b, digits[v >> 18]);
		buf_char(b, digits[v >> 12 & 63]);
		buf_char(b, i + 1 < n ? digits[v >> 6 & 63] : '=');
		buf_char(b, i + 2 < n ? digits[v & 63] : '=');
	}
}

/* NUL is valid UTF-8, but a text with one is none that JSON readers take gladly. */
static bool
is_text(const char *p, size_t n)
{
	return utf8_valid(p, n) && memchr(p, '\0', n) == NULL;
}

static void
add_result(struct buf *b, const struct front_view *v, const char *where)
{
	buf_fmt(b, ",\"result\":{\"status\":%d,\"streamed\":%s,\"headers\":%s,\"location\":", v->status,
	    v->streamed ? "true" : "false", v->headers_json != NULL ? v->headers_json : "[]");
	buf_json_str(b, where);
	if (!v->streamed)
		buf_fmt(b, ",\"bytes\":%zu", v->body_bytes);
	if (!v->streamed && v->body_bytes <= INLINE_BYTES) {
		if (v->body_bytes == 0 || is_text(v->body, v->body_bytes)) {
			buf_str(b, ",\"body\":");
			buf_json(b, v->body != NULL ? v->body : "", v->body_bytes);
		} else {
			buf_str(b, ",\"bodyBase64\":\"");
			add_base64(b, v->body, v->body_bytes);
			buf_char(b, '"');
		}
	}
	buf_char(b, '}');
}

/* What went wrong, under the name the caller of the job itself was told. */
static void
add_error(struct buf *b, const struct front_view *v)
{
	struct err e = ERR_INIT;

	if (v->state != JOB_DONE || v->outcome == OUTCOME_OK)
		return;
	failure_outcome(v->outcome, v->error_kind, v->error_name, v->error, &e);
	buf_str(b, ",\"error\":");
	buf_json_str(b, err_name(&e));
	buf_str(b, ",\"message\":");
	buf_json_str(b, e.text);
	buf_fmt(b, ",\"errorStatus\":%d", failure_status(e.kind, err_name(&e)));
}

/* What the runner signed, if the caller asked for that: of a stream it could not come with the answer's head. */
static void
add_receipt(struct call *c, const struct front_view *v, struct buf *b)
{
	struct err e = ERR_INIT;
	struct store *s = v->state == JOB_DONE ? waiter_store(c->waiter, &e) : NULL;
	char *text = s != NULL ? front_receipt(s, v->id.row, &e) : NULL;

	add_text(b, "receipt", text);
	free(text);
}

/* And where its end is told. */
static void
add_callback(struct call *c, const struct front_view *v, struct buf *b)
{
	struct buf json = BUF_INIT;
	struct err e = ERR_INIT;
	struct store *s = v->mode == JOB_ASYNC ? waiter_store(c->waiter, &e) : NULL;

	if (s != NULL && front_callback(s, v->id.row, &json, &e) == 0 && json.len > 0)
		buf_fmt(b, ",\"callback\":%s", json.data);
	buf_clear(&json);
}

struct attempts {
	struct buf *b;
	int last; /* told of */
};

static void
add_attempt(void *arg, const struct front_attempt *a)
{
	struct attempts *x = arg;

	buf_fmt(x->b, "%s{\"attempt\":%d", x->last > 0 ? "," : "", a->n);
	add_text(x->b, "outcome", a->outcome);
	add_time(x->b, "startedAt", a->started_at);
	add_time(x->b, "endedAt", a->ended_at);
	add_time(x->b, "againAt", a->again_at);
	add_text(x->b, "error", a->error_name);
	add_text(x->b, "message", a->error);
	buf_char(x->b, '}');
	x->last = a->n;
}

/* The start that is under way, or the only one there was, stands in the job's own row alone. */
static struct front_attempt
own_attempt(const struct front_view *v)
{
	bool ended = v->state == JOB_DONE;

	return (struct front_attempt){ .n = v->starts, .outcome = job_outcome_name(v->outcome), .started_at = v->started_at,
		.ended_at = ended ? v->done_at : 0, .error_name = ended ? v->error_name : NULL, .error = ended ? v->error : NULL };
}

/* Every start of user code, with its end. */
static void
each_attempt(struct call *c, const struct front_view *v, void (*fn)(void *arg, const struct front_attempt *a),
    struct attempts *x)
{
	struct front_attempt own = own_attempt(v);
	struct err e = ERR_INIT;
	struct store *s = v->starts > 1 || (v->starts == 1 && v->started_at == 0) ? waiter_store(c->waiter, &e) : NULL;

	if (s != NULL && front_attempts(s, v->id.row, fn, x, &e) != 0)
		log_warn("attempts", "job=%s why=%s", c->job, log_q(e.text));
	if (x->last < v->starts && v->started_at != 0)
		fn(x, &own);
}

static void
add_attempts(struct call *c, const struct front_view *v, struct buf *b)
{
	struct attempts x = { b, 0 };

	if (v->starts == 0)
		return;
	buf_fmt(b, ",\"starts\":%d,\"attempts\":[", v->starts);
	each_attempt(c, v, add_attempt, &x);
	buf_char(b, ']');
}

static void
print_job(struct call *c, const struct front_view *v, struct buf *b)
{
	struct buf where = BUF_INIT;
	const char *base = c->door->conf->web.base_path;

	buf_fmt(&where, "%s/job/%s/result", base != NULL ? base : "", c->job);
	buf_fmt(b, "{\"id\":\"%s\",\"state\":\"%s\",\"mode\":\"%s\"", c->job, job_state_name(v->state),
	    v->mode == JOB_ASYNC ? "async" : "sync");
	add_text(b, "outcome", job_outcome_name(v->outcome));
	add_text(b, "author", v->author);
	add_text(b, "bundle", v->bundle);
	add_text(b, "version", v->version);
	add_text(b, "endpoint", v->endpoint);
	add_text(b, "did", v->did);
	add_text(b, "cid", v->cid);
	add_text(b, "runtime", v->runtime);
	add_text(b, "wall", v->wall);
	add_text(b, "instance", job_start_name(v->start));
	add_time(b, "createdAt", v->created_at);
	add_time(b, "admittedAt", v->admitted_at);
	add_time(b, "startedAt", v->started_at);
	add_time(b, "doneAt", v->done_at);
	add_attempts(c, v, b);
	buf_fmt(b, ",\"timeoutMs\":%lld,\"cancelRequested\":%s", (long long)v->timeout_ms, v->cancel ? "true" : "false");
	add_error(b, v);
	if (v->has_result)
		add_result(b, v, where.data);
	add_receipt(c, v, b);
	add_callback(c, v, b);
	buf_str(b, "}\n");
	buf_clear(&where);
}

static bool
done(const struct front_view *v)
{
	return v->state == JOB_DONE;
}

static int
look(struct call *c, const struct job_id *id, struct front_view *v, struct err *e)
{
	struct store *s = waiter_store(c->waiter, e);

	return s == NULL ? -1 : front_look(s, id, false, v, e);
}

int
job_get(struct call *c, struct err *e)
{
	struct front_view v = { 0 };
	struct buf wait = BUF_INIT;
	struct job_id id;
	int rc = -1;

	if (param_id(c, &id, e) != 0 || prove_job(c, &id, GET, e) != 0)
		goto out;
	if (path_param(c->path.query, "wait", &wait)) {
		char *end;
		long s = strtol(wait.data, &end, 10);

		if (wait.len == 0 || *end != '\0' || s < 0 || s > WAIT_MAX_S) {
			err_set(e, ERR_INPUT, "wait must be a whole number of seconds from 0 to %d", WAIT_MAX_S);
			goto out;
		}
		/* A job somebody else waits for rings there, not here: we look from time to time. */
		if (waiter_until(c->waiter, c->request, &id, clock_mono_ms() + s * 1000, true, true, done, &v, e) ==
		    WAITED_FAILED)
			goto out;
		front_view_clear(&v);
	}
	if (look(c, &id, &v, e) != 0)
		goto out;
	reply_type(&c->reply, "application/json");
	print_job(c, &v, &c->reply.body);
	rc = 0;
out:
	buf_clear(&wait);
	front_view_clear(&v);
	return rc;
}

static int
body_id(struct call *c, struct job_id *id, struct err *e)
{
	struct buf body = BUF_INIT;
	cJSON *json = NULL;
	const char *text;
	bool has_body;
	int rc = -1;

	if (request_body(c->request, 4096, &body, &has_body, e) != 0)
		goto out;
	if (body.len == 0) {
		rc = param_id(c, id, e);
		goto out;
	}
	if ((json = json_parse(body.data, body.len, 4, e)) == NULL)
		goto out;
	if ((text = json_string(json, "id")) == NULL)
		err_set(e, ERR_INPUT, "id is missing: send {\"id\":\"...\"}");
	else
		rc = parse_id(c, text, id, e);
out:
	cJSON_Delete(json);
	buf_clear(&body);
	return rc;
}

int
job_cancel(struct call *c, struct err *e)
{
	struct front_view v = { 0 };
	struct store *s;
	struct job_id id;
	int rc = -1;

	if (body_id(c, &id, e) != 0 || prove_job(c, &id, CANCEL, e) != 0 || (s = waiter_store(c->waiter, e)) == NULL ||
	    front_look(s, &id, true, &v, e) != 0)
		goto out;
	if (v.state != JOB_DONE) {
		front_view_clear(&v);
		if (front_cancel(s, &id, e) != 0 || front_look(s, &id, true, &v, e) != 0)
			goto out;
		writer_ring(c->door->writer);
	}
	reply_type(&c->reply, "application/json");
	buf_fmt(&c->reply.body, "{\"id\":\"%s\",\"state\":\"%s\"", c->job, job_state_name(v.state));
	add_text(&c->reply.body, "outcome", job_outcome_name(v.outcome));
	buf_fmt(&c->reply.body, ",\"cancelRequested\":%s}\n", v.state == JOB_DONE ? "false" : "true");
	rc = 0;
out:
	front_view_clear(&v);
	return rc;
}

static void
add_html(struct buf *b, const char *s)
{
	for (; s != NULL && *s != '\0'; s++) {
		if (strchr("<>&\"'", *s) != NULL)
			buf_fmt(b, "&#%d;", *s);
		else
			buf_char(b, *s);
	}
}

static void
add_row(struct buf *b, const char *what, const char *value)
{
	if (value == NULL)
		return;
	buf_fmt(b, "<tr><th>%s</th><td>", what);
	add_html(b, value);
	buf_str(b, "</td></tr>\n");
}

static void
print_head(struct buf *b)
{
	buf_str(b, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Job</title>"
		   "<style>body{font:16px/1.5 system-ui;margin:2em;max-width:60em}th{text-align:left;"
		   "padding-right:1em;vertical-align:top}</style><h1>Job</h1>\n");
}

/* For people who follow a Location header with a browser. */
static void
show_attempt(void *arg, const struct front_attempt *a)
{
	struct attempts *x = arg;
	struct buf when = BUF_INIT;

	add_time(&when, "", a->started_at); /* ,"":"2026-01-01T00:00:00.000Z" */
	buf_fmt(x->b, "<li value=\"%d\">%.24s, %s", a->n, when.len > 5 ? when.data + 5 : "",
	    a->outcome != NULL ? a->outcome : "runs");
	if (a->ended_at > a->started_at)
		buf_fmt(x->b, " after %lld ms", (long long)(a->ended_at - a->started_at));
	if (a->error != NULL) {
		buf_str(x->b, ": ");
		add_html(x->b, a->error);
	}
	buf_str(x->b, "</li>\n");
	x->last = a->n;
	buf_clear(&when);
}

static void
print_page(struct call *c, const struct front_view *v, struct buf *b)
{
	struct err e = ERR_INIT;

	print_head(b);
	buf_str(b, "<table>\n");
	add_row(b, "id", c->job);
	add_row(b, "state", job_state_name(v->state));
	add_row(b, "outcome", job_outcome_name(v->outcome));
	add_row(b, "author", v->author);
	add_row(b, "bundle", v->bundle);
	add_row(b, "version", v->version);
	add_row(b, "endpoint", v->endpoint);
	add_row(b, "runs", v->cid);
	add_row(b, "runtime", v->runtime);
	if (v->state == JOB_DONE && v->outcome != OUTCOME_OK) {
		failure_outcome(v->outcome, v->error_kind, v->error_name, v->error, &e);
		add_row(b, "error", err_name(&e));
		add_row(b, "message", e.text);
	}
	buf_str(b, "</table>\n");
	if (v->starts > 1) {
		struct attempts x = { b, 0 };

		buf_str(b, "<h2>Its starts</h2>\n<ol>\n");
		each_attempt(c, v, show_attempt, &x);
		buf_str(b, "</ol>\n");
	}
	if (v->has_result)
		buf_fmt(b, "<p><a href=\"%s/result\">The answer</a></p>\n", c->job);
}

/* Browsers send no tokens: whoever follows the link there is told what would. */
static int
not_yours(struct call *c, const struct err *e)
{
	int status = failure_status(e->kind, err_name(e));
	struct buf *b = &c->reply.body;

	if ((status != 401 && status != 403) || !header_wants_html(c->request->accept))
		return -1;
	c->reply.status = status;
	reply_type(&c->reply, "text/html; charset=utf-8");
	reply_header(&c->reply, "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'");
	if (status == 401)
		reply_header(&c->reply, "WWW-Authenticate", "Bearer");
	print_head(b);
	buf_str(b, "<p>This job was started by an account of the AT Protocol, and what became of it is for that account alone.</p>\n<p>");
	add_html(b, e->text);
	buf_str(b, ".</p>\n<p>A program shows a token of the account, made for " GET "; its own server makes one when it is asked "
		   "for that method with <code>atproto-proxy</code>.</p>\n");
	return 0;
}

int
job_page(struct call *c, struct err *e)
{
	struct front_view v = { 0 };
	struct job_id id;

	if (parse_id(c, c->path.seg[1], &id, e) != 0)
		return -1;
	reply_header(&c->reply, "Vary", "Accept");
	if (prove_job(c, &id, GET, e) != 0)
		return not_yours(c, e);
	if (look(c, &id, &v, e) != 0)
		return -1;
	if (header_wants_html(c->request->accept)) {
		reply_type(&c->reply, "text/html; charset=utf-8");
		reply_header(&c->reply, "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'");
		print_page(c, &v, &c->reply.body);
	} else {
		reply_type(&c->reply, "application/json");
		print_job(c, &v, &c->reply.body);
	}
	front_view_clear(&v);
	return 0;
}

/* The stored answer as the handler gave it; a stream that still runs is followed. */
int
job_result(struct call *c, struct err *e)
{
	struct front_view v = { 0 };
	struct job_id id;
	int rc = -1;

	if (parse_id(c, c->path.seg[1], &id, e) != 0 || prove_job(c, &id, GET, e) != 0 || look(c, &id, &v, e) != 0)
		goto out;
	if (v.state != JOB_DONE && !(v.has_result && v.streamed)) {
		err_named(e, ERR_INPUT, "JobNotDone", "the job is %s; its answer is not there yet", job_state_name(v.state));
		goto out;
	}
	rc = answer_job(c, &v, clock_mono_ms() + v.timeout_ms + 2000, e);
out:
	front_view_clear(&v);
	return rc;
}
