/* A call of a bundle: checked, stored, waited for, answered. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/answer.h"
#include "fcgi/gauge.h"
#include "fcgi/header.h"
#include "fcgi/invoke.h"
#include "fcgi/request.h"
#include "fcgi/route.h"
#include "fcgi/token.h"
#include "fcgi/upload.h"
#include "fcgi/waiter.h"
#include "fcgi/writer.h"
#include "lib/callback.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/news.h"
#include "lib/store.h"
#include "lib/store_front.h"
#include "lib/syntax.h"
#include "lib/telemetry.h"

/* The scheduler's own clock decides; this much later we stop believing in it. */
#define GRACE_MS 2000
/* A 202 must come before any web server loses patience (facts 3.1: nginx 60 s, mod_fcgid 40 s). */
#define PATIENCE_MS 25000

struct invocation {
	struct target target;
	struct buf url, headers, body;
	char trace[TRACE_ROW_TEXT];
	struct ticket ticket;
	int64_t deadline;
	struct prefer prefer;
	char key[HEADER_KEY_MAX + 1]; /* Idempotency-Key, "": none */
	struct token token;
	struct upload *upload;        /* NULL: the body was read before */
	bool begun, gone;             /* the beginning of a stream was sent; but nobody was there */
	size_t first;                 /* bytes of it */
	bool parked;                  /* something may have happened before anybody waits */
};

static void
invocation_clear(struct invocation *v)
{
	target_clear(&v->target);
	buf_clear(&v->url);
	buf_clear(&v->headers);
	buf_clear(&v->body);
	token_clear(&v->token);
	upload_free(v->upload);
}

/* As the caller wrote it; an XRPC call is told the URL of the same call on /bundle, so that handlers see one shape. */
static void
print_url(struct call *c, struct invocation *v, bool xrpc)
{
	const struct conf *conf = c->door->conf;
	const struct request *r = c->request;
	struct buf *u = &v->url;
	const char *p;

	if (conf->web.public_url != NULL && conf->web.public_url[0] != '\0')
		buf_str(u, conf->web.public_url);
	else
		buf_fmt(u, "%s://%s", r->scheme, header_host_ok(r->host) ? r->host : "localhost");
	if (u->data[u->len - 1] == '/')
		u->data[--u->len] = '\0';
	if (!xrpc) {
		buf_str(u, r->uri);
		return;
	}
	buf_fmt(u, "%s/bundle/%s/%s/%s/%s", conf->web.base_path != NULL ? conf->web.base_path : "", v->target.author,
	    v->target.bundle, v->target.version, v->target.endpoint);
	for (p = v->target.rest; *p != '\0'; p++) {
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f || strchr("%?#\"<>\\^`{|}", *p) != NULL)
			buf_fmt(u, "%%%02X", (unsigned char)*p);
		else
			buf_char(u, *p);
	}
	if (v->target.query[0] != '\0')
		buf_fmt(u, "?%s", v->target.query);
}

/* The trace that the caller is in, or one that begins here.  Where traces go nowhere his is only handed on. */
static void
take_trace(struct call *c, struct invocation *v)
{
	const struct telemetry *t = c->door->telemetry;
	const char *header = c->request->traceparent;
	struct trace sent;
	bool any = header != NULL && trace_parse(header, &sent);

	if (t != NULL) {
		trace_begin(&c->trace, any ? &sent : NULL, 0, clock_wall_us() - (clock_mono_us() - c->start_us));
		c->trace.flags = telemetry_sample(t, any ? &sent : NULL, c->trace.id);
		trace_header(&c->trace, c->trace.span, c->traceparent);
	} else if (any) {
		c->trace = sent;
		memcpy(c->trace.span, sent.parent, sizeof c->trace.span);
	} else {
		return;
	}
	c->traced = true;
	trace_row(&c->trace, (v->ticket.job.created_at + 1) * 1000, v->trace);
	v->ticket.job.trace = v->trace;
}

static int
fill_job(struct call *c, struct invocation *v, bool has_body, bool whole, struct err *e)
{
	const struct conf *conf = c->door->conf;
	struct front_job *j = &v->ticket.job;

	header_request(c->request->env, !whole ? c->request->length : has_body ? (int64_t)v->body.len : -1, !conf->web.sandbox_answers,
	    &v->headers);
	*j = (struct front_job){
		/* What is called under a key is durable: whoever lost the connection asks again and must find it.  So is what
		 * somebody else is told the end of. */
		.mode = v->prefer.async || v->key[0] != '\0' || c->request->callback != NULL ? JOB_ASYNC : JOB_SYNC,
		.author = v->target.author,
		.bundle = v->target.bundle,
		.version = v->target.version,
		.endpoint = v->target.endpoint,
		.method = c->request->method,
		.url = v->url.data,
		.path = v->target.rest,
		.query = v->target.query,
		.headers_json = v->headers.data,
		.body = has_body && whole ? v->body.data : NULL,
		.body_bytes = whole ? v->body.len : 0,
		.callback = c->request->callback,
		.upload = !whole,
		.upload_holds = c->request->holds,
		.upload_bytes = c->request->length,
		.client = c->request->peer,
		.bell = waiter_bell(c->waiter, e),
		.timeout_ms = conf->limits.timeout,
		.created_at = clock_wall_ms(),
		.created_mono = clock_mono_ms(),
	};
	token_fill(&v->token, j);
	take_trace(c, v);
	if (v->key[0] != '\0') {
		j->key = v->key;
		j->keys_after = j->created_at - conf->jobs.keep_keys;
	}
	if (j->bell == NULL)
		return -1;
	job_nonce(j->id.nonce);
	return 0;
}

static int
take_key(struct call *c, struct invocation *v, struct err *e)
{
	const char *sent = c->request->idempotency_key;

	if (sent == NULL || header_key(sent, v->key))
		return 0;
	return err_set(e, ERR_INPUT, "Idempotency-Key must be 1 to %d visible ASCII characters, or such a string in quotes",
	    HEADER_KEY_MAX);
}

static int
check_callback(const struct call *c, struct err *e)
{
	struct callback_url u;

	return c->request->callback != NULL ? callback_url_parse(c->request->callback, c->door->conf->dev, &u, e) : 0;
}

static bool
answered(const struct front_view *v)
{
	return v->state == JOB_DONE || v->has_result;
}

static bool
admitted(const struct front_view *v)
{
	return v->state != JOB_QUEUED;
}

/* Of an endpoint that runs in the background whatever its caller asked for. */
static bool
accepted(const struct front_view *v)
{
	return v->task && v->admitted_at != 0;
}

static bool
answered_or_accepted(const struct front_view *v)
{
	return answered(v) || accepted(v);
}

static int
goes_on(struct err *e)
{
	return err_named(e, ERR_TIMEOUT, "JobTimeout", "no answer yet; the job goes on, ask again with the same Idempotency-Key");
}

/* The caller has gone or the time is over: the row must be there before it can be cancelled. */
static int
give_up(struct call *c, struct invocation *v, enum waited why, struct err *e)
{
	struct front_view view = { 0 };

	if (why == WAITED_FAILED)
		return -1;
	view.id = v->ticket.job.id;
	job_id_print(&view.id, c->job);
	reply_header(&c->reply, "At-Run-Job", c->job);
	if (upload_broken(v->upload, e))
		return -1;
	/* Under a key it goes on without this caller, who comes again for it or is told. */
	if (v->key[0] != '\0')
		return goes_on(e);
	if (c->request->callback != NULL)
		return err_named(e, ERR_TIMEOUT, "JobTimeout", "no answer yet; the job goes on, and its end is told as At-Run-Callback says");
	if (why == WAITED_TIME && !v->prefer.async)
		return answer_late(c, &view, e);
	answer_cancel(c, &view);
	if (why == WAITED_TIME)
		return err_named(e, ERR_TIMEOUT, "JobTimeout", "the job was not admitted in time; it is cancelled");
	/* Nobody reads it; the number is for the access line. */
	return err_named(e, ERR_INPUT, "RequestTimeout", "the caller has gone");
}

static void
accept(struct call *c, const struct front_view *view)
{
	const struct conf *conf = c->door->conf;
	struct buf where = BUF_INIT;

	buf_fmt(&where, "%s/job/%s", conf->web.base_path != NULL ? conf->web.base_path : "", c->job);
	c->reply.status = 202;
	reply_type(&c->reply, "application/json");
	reply_header(&c->reply, "Location", where.data);
	if (c->invocation->prefer.async)
		reply_header(&c->reply, "Preference-Applied", "respond-async");
	reply_header(&c->reply, "At-Run-Job", c->job);
	if (c->traceparent[0] != '\0')
		reply_header(&c->reply, "traceparent", c->traceparent);
	buf_fmt(&c->reply.body, "{\"id\":\"%s\",\"state\":\"%s\",\"location\":", c->job, job_state_name(view->state));
	buf_json_str(&c->reply.body, where.data);
	buf_str(&c->reply.body, "}\n");
	buf_clear(&where);
}

/* It is admitted: 202, or with "Prefer: wait=N" the answer itself when it comes within N seconds. */
static int
accept_or_answer(struct call *c, struct invocation *v, struct front_view *view, int64_t patience, struct err *e)
{
	enum waited w = answered(view) ? WAITED_ENOUGH : WAITED_TIME;
	struct store *s;

	/* The ledger shows an admission before it is sure to stay. */
	if (!view->told && ((s = waiter_store(c->waiter, e)) == NULL || store_sync(s, e) != 0))
		return -1;
	job_id_print(&v->ticket.job.id, c->job);
	if (v->prefer.wait_s > 0 && w == WAITED_TIME) {
		int64_t until = clock_mono_ms() + (int64_t)v->prefer.wait_s * 1000;

		w = waiter_until(c->waiter, c->request, &v->ticket.job.id, until < patience ? until : patience, true, false,
		    answered, view, e);
	}
	/* Accepted is accepted, also when the caller does not stay for the number. */
	if (v->prefer.wait_s <= 0 || w == WAITED_TIME || w == WAITED_GONE) {
		accept(c, view);
		return 0;
	}
	if (w == WAITED_ENOUGH)
		w = waiter_until(c->waiter, NULL, &v->ticket.job.id, 0, false, true, answered, view, e);
	return w == WAITED_ENOUGH ? answer_job(c, view, v->deadline, e) : -1;
}

static int64_t
patience_of(const struct invocation *v)
{
	int64_t patience = clock_mono_ms() + PATIENCE_MS;

	return patience < v->deadline ? patience : v->deadline;
}

static int
wait_for_answer(struct call *c, struct invocation *v, struct err *e)
{
	struct front_view view = { 0 };
	int64_t patience = patience_of(v);
	enum waited w;
	int rc;

	do {
		w = waiter_until(c->waiter, c->request, &v->ticket.job.id, v->deadline, false, v->parked, answered_or_accepted, &view,
		    e);
		if (!upload_was_whole(v->upload))
			break;
		v->deadline = clock_mono_ms() + c->door->conf->limits.timeout + GRACE_MS;
		patience = patience_of(v);
	} while (w == WAITED_TIME);
	if (w != WAITED_ENOUGH)
		rc = give_up(c, v, w, e);
	else if (accepted(&view))
		rc = accept_or_answer(c, v, &view, patience, e);
	else
		rc = answer_job(c, &view, v->deadline, e);
	front_view_clear(&view);
	return rc;
}

/* "Prefer: respond-async": 202, but only once the job is admitted, so that what cannot run is never accepted. */
static int
wait_for_admission(struct call *c, struct invocation *v, struct err *e)
{
	struct front_view view = { 0 };
	int64_t patience = patience_of(v);
	enum waited w = waiter_until(c->waiter, c->request, &v->ticket.job.id, patience, true, v->parked, admitted, &view, e);
	int rc;

	if (w != WAITED_ENOUGH)
		rc = give_up(c, v, w, e);
	else if (view.admitted_at == 0)
		rc = answer_job(c, &view, v->deadline, e);
	else
		rc = accept_or_answer(c, v, &view, patience, e);
	front_view_clear(&view);
	return rc;
}

/* Joins the job that came before under the same key; nobody rings for us there, so we look from time to time. */
static int
wait_for_twin(struct call *c, struct invocation *v, struct err *e)
{
	struct front_view view = { 0 };
	bool async = v->prefer.async;
	int64_t patience = patience_of(v);
	enum waited w;
	int rc;

	v->ticket.job.id = v->ticket.job.twin;
	job_id_print(&v->ticket.job.id, c->job);
	w = waiter_until(c->waiter, c->request, &v->ticket.job.id, async ? patience : v->deadline, async, true,
	    async ? admitted : answered_or_accepted, &view, e);
	if (w == WAITED_ENOUGH && view.admitted_at != 0 && (async || accepted(&view)))
		rc = accept_or_answer(c, v, &view, patience, e);
	else if (w == WAITED_ENOUGH)
		rc = answer_job(c, &view, v->deadline, e);
	else
		rc = w == WAITED_FAILED ? -1 : goes_on(e);
	front_view_clear(&view);
	return rc;
}

static bool
anything(const struct front_view *v)
{
	(void)v;
	return true;
}

/* The desk has sent how it begins. */
static int
wait_for_rest(struct call *c, struct invocation *v, struct err *e)
{
	struct front_view view = { 0 };

	if (waiter_until(c->waiter, NULL, &v->ticket.job.id, 0, true, true, anything, &view, e) == WAITED_ENOUGH)
		answer_rest(c, &view, v->deadline, v->first, v->gone);
	else
		request_abort(c->request);
	front_view_clear(&view);
	return 0;
}

/* The ticket is settled. */
static int
go_on(struct call *c, struct invocation *v, struct err *e)
{
	if (v->ticket.state == TICKET_FAILED) {
		*e = v->ticket.err;
		return -1;
	}
	if (v->ticket.job.met == MET_TWIN)
		return wait_for_twin(c, v, e);
	c->owner = !v->prefer.async;
	if (v->begun)
		return wait_for_rest(c, v, e);
	if (v->ticket.job.upload)
		v->upload = upload_new(c, &v->ticket.job.id, &v->body);
	return v->prefer.async ? wait_for_admission(c, v, e) : wait_for_answer(c, v, e);
}

/* 1: the body is whole; 0: it is to come while the handler runs; -1.
 * What is accepted, or may be asked for again, is kept whole. */
static int
read_body(struct call *c, struct invocation *v, bool *has_body, struct err *e)
{
	size_t cap = (size_t)c->door->conf->limits.request;

	if (!c->may_park && !v->prefer.async && v->key[0] == '\0' && c->request->callback == NULL &&
	    request_may_stream(c->request, UPLOAD_LEAST))
		return request_body_first(c->request, cap, UPLOAD_FIRST, &v->body, has_body, e);
	return request_body(c->request, cap, &v->body, has_body, e) == 0 ? 1 : -1;
}

/* v->target is filled. */
static int
invoke(struct call *c, struct invocation *v, bool xrpc, struct err *e)
{
	const struct conf *conf = c->door->conf;
	struct gauge *g = c->door->gauge;
	struct store *s;
	bool has_body = false;
	int whole;

	header_prefer(c->request->prefer, &v->prefer);
	if (target_check(&v->target, conf->dev, e) != 0 || take_key(c, v, e) != 0 || check_callback(c, e) != 0 ||
	    token_read(&v->token, c->request, conf, TOKEN_METHOD, e) != 0)
		return -1;
	if (strncmp(v->target.author, "did:", 4) != 0)
		syntax_handle_lower(v->target.author);
	if ((s = waiter_store(c->waiter, e)) == NULL || gauge_alive(g, s, e) != 0 ||
	    (whole = read_body(c, v, &has_body, e)) < 0 ||
	    gauge_enter(g, s, v->target.author, v->target.bundle, &c->reply.retry_s, e) != 0)
		return -1;
	if (v->token.any && !c->may_park)
		writer_ahead(c->door->writer, v->token.text, false);
	print_url(c, v, xrpc);
	if (fill_job(c, v, has_body, whole == 1, e) != 0) {
		invoke_stored(c);
		return -1;
	}
	v->deadline = clock_mono_ms() + conf->limits.timeout + GRACE_MS;
	v->parked = c->may_park;
	if (v->parked)
		return CALL_PARKED;
	writer_submit(c->door->writer, &v->ticket);
	invoke_stored(c);
	return go_on(c, v, e);
}

static struct invocation *
invocation_new(struct call *c)
{
	c->invocation = mem_alloc(sizeof *c->invocation);
	c->invocation->prefer = (struct prefer){ false, -1 };
	return c->invocation;
}

int
invoke_bundle(struct call *c, struct err *e)
{
	struct invocation *v = invocation_new(c);
	const struct path *p = &c->path;

	v->target = (struct target){ mem_str(p->seg[1]), mem_str(p->seg[2]), mem_str(p->seg[3]), mem_str(p->seg[4]),
		mem_str(p->rest), mem_str(p->query) };
	return invoke(c, v, false, e);
}

static char *
param(const char *query, const char *name, const char *otherwise)
{
	struct buf b = BUF_INIT;

	if (path_param(query, name, &b))
		return buf_take(&b);
	return mem_str(otherwise);
}

int
invoke_xrpc(struct call *c, struct err *e)
{
	static const char *const own[] = { "author", "bundle", "version", "endpoint", "path", NULL };
	struct invocation *v = invocation_new(c);
	const char *q = c->path.query;
	struct buf query = BUF_INIT;

	path_query_without(q, own, &query);
	v->target = (struct target){ param(q, "author", ""), param(q, "bundle", ""), param(q, "version", "latest"),
		param(q, "endpoint", ""), param(q, "path", ""), buf_take(&query) };
	return invoke(c, v, true, e);
}

/* --- parked calls --- */

struct ticket *
invoke_ticket(struct call *c)
{
	return &c->invocation->ticket;
}

void
invoke_stored(const struct call *c)
{
	gauge_stored(c->door->gauge, c->invocation->target.author, c->invocation->target.bundle);
}

bool
invoke_needs_thread(const struct call *c)
{
	const struct invocation *v = c->invocation;

	/* Under a key it may be another's job, who rings elsewhere. */
	return v->ticket.state == TICKET_FAILED || v->key[0] != '\0' || v->prefer.wait_s > 0;
}

int64_t
invoke_deadline(const struct call *c)
{
	return c->invocation->deadline;
}

bool
invoke_hear(struct call *c, const struct news *n, int *rc, struct err *e)
{
	struct invocation *v = c->invocation;
	struct front_view view = { 0 };
	bool enough = true;

	if (n->kind != NEWS_LOOK)
		waiter_view(n, &view);
	if (n->kind == NEWS_ANSWER && !v->prefer.async) {
		*rc = answer_job(c, &view, v->deadline, e);
	} else if (n->kind == NEWS_ADMITTED && (v->prefer.async || view.task)) {
		job_id_print(&view.id, c->job);
		accept(c, &view);
		*rc = 0;
	} else {
		enough = false;
	}
	front_view_clear(&view);
	return enough;
}

bool
invoke_begin(struct call *c, const struct news *n)
{
	struct invocation *v = c->invocation;
	struct front_view view = { 0 };

	if (n->kind != NEWS_BEGUN || v->prefer.async || v->begun)
		return false;
	waiter_view(n, &view);
	v->begun = answer_begin(c, &view, n->body, n->body_bytes);
	if (v->begun) {
		v->gone = request_send(c->request, &c->reply) != 0;
		v->first = n->body_bytes;
		c->reply.borrowed = NULL;
	}
	front_view_clear(&view);
	return v->begun;
}

bool
invoke_due(struct call *c)
{
	const struct invocation *v = c->invocation;
	struct front_view view = { 0 };
	struct err e = ERR_INIT;
	bool due = waiter_until(c->waiter, NULL, &v->ticket.job.id, 0, true, true, v->prefer.async ? admitted :
	    answered_or_accepted, &view, &e) != WAITED_TIME;

	front_view_clear(&view);
	return due;
}

int
invoke_wait(struct call *c, struct err *e)
{
	return go_on(c, c->invocation, e);
}

bool
invoke_hold(struct call *c, int64_t deadline)
{
	const struct upload *u = c->invocation != NULL ? c->invocation->upload : NULL;

	while (c->request->holds && upload_comes(u) && clock_mono_ms() < deadline)
		if (!waiter_sleep(c->waiter, c->request, 250))
			return false;
	return true;
}

bool
invoke_faulted(const struct call *c, struct err *e)
{
	return c->invocation != NULL && upload_broken(c->invocation->upload, e);
}

void
invoke_forget(struct call *c)
{
	if (c->invocation != NULL)
		invocation_clear(c->invocation);
	free(c->invocation);
	c->invocation = NULL;
}
