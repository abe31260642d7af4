#include "fcgi/answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/header.h"
#include "fcgi/invoke.h"
#include "fcgi/request.h"
#include "fcgi/route.h"
#include "fcgi/waiter.h"
#include "fcgi/writer.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/failure.h"
#include "lib/log.h"
#include "lib/store_front.h"
#include "lib/store_secret.h"

#define STREAM_PIECE (256u * 1024u)
/* So much is read before the scheduler is told that there is room for more: far less than FRAME_WINDOW. */
#define TAKEN_BYTES (128u * 1024u)

/* All bundles share one origin with the runner: their pages get an origin of their own instead (scripts still run), and
 * nothing is guessed to be a page.  As a header of its own it can only tighten what the bundle says itself. */
static const char sandbox[] = "sandbox allow-scripts allow-forms allow-popups";

static void
add_facts(struct call *c, const struct front_view *v)
{
	char text[96];
	int64_t started = v->started_at != 0 ? v->started_at : v->done_at;
	int64_t ended = v->done_at != 0 ? v->done_at : clock_wall_ms();

	reply_header(&c->reply, "At-Run-Job", c->job);
	if (c->traceparent[0] != '\0')
		reply_header(&c->reply, "traceparent", c->traceparent);
	if (v->cid != NULL)
		reply_header(&c->reply, "At-Run-Bundle", v->cid);
	if (job_start_name(v->start) != NULL)
		reply_header(&c->reply, "At-Run-Instance", job_start_name(v->start));
	if (started != 0) {
		snprintf(text, sizeof text, "queue;dur=%lld, run;dur=%lld", (long long)(started - v->created_at),
		    (long long)(ended - started));
		reply_header(&c->reply, "Server-Timing", text);
	}
}

/* To an answer that is an error of the handler's; that of one that is not stands among its headers. */
static void
add_receipt(struct call *c, const struct front_view *v)
{
	char *const *env = c->request->env;
	struct err e = ERR_INIT;
	struct store *s;
	char *text;

	while (*env != NULL && strcmp(*env, "HTTP_AT_RUN_RECEIPT=1") != 0)
		env++;
	if (*env == NULL || v->state != JOB_DONE || (s = waiter_store(c->waiter, &e)) == NULL)
		return;
	text = front_receipt(s, v->id.row, &e);

	if (text != NULL)
		reply_header(&c->reply, "At-Run-Receipt", text);
	free(text);
}

static int
add_head(struct call *c, const struct front_view *v, struct err *e)
{
	const struct conf *conf = c->door->conf;
	bool head_only = strcmp(c->request->method, "HEAD") == 0;

	if (v->status < 200 || v->status > 599)
		return err_named(e, ERR_INTERNAL, "HandlerFailed", "the handler answered with status %d", v->status);
	c->reply.status = v->status;
	if (!header_answer(v->headers_json, conf->web.sandbox_answers, head_only && v->body_bytes == 0, &c->reply))
		return err_set(e, ERR_INTERNAL, "the headers of job %s cannot be read", c->job);
	if (conf->web.sandbox_answers) {
		reply_header(&c->reply, "Content-Security-Policy", sandbox);
		reply_header(&c->reply, "X-Content-Type-Options", "nosniff");
	}
	return 0;
}

static bool
anything(const struct front_view *v)
{
	(void)v;
	return true;
}

/* A stream on its way to one reader. */
struct reading {
	struct store *s;
	int64_t row, seq;
	bool owner;
	size_t untold; /* bytes that were read and not reported */
	struct buf piece;
};

/* The write to the web server has come back: it has room, so there is room for more of the stream. */
static int
told(struct call *c, struct reading *r, struct err *e)
{
	r->untold += r->piece.len;
	if (!r->owner || r->untold < TAKEN_BYTES)
		return 0;
	if (front_taken(r->s, r->row, r->seq, e) != 0)
		return -1;
	r->untold = 0;
	writer_ring(c->door->writer);
	return 0;
}

/* Sends what is there; whether there was something, -1 when the caller has gone, -2 when the ledger fails. */
static int
send_chunks(struct call *c, struct reading *r, struct err *e)
{
	int sent = 0;

	for (;;) {
		buf_reset(&r->piece);
		if (front_chunks(r->s, r->row, r->seq, STREAM_PIECE, &r->piece, &r->seq, e) != 0)
			return -2;
		if (r->piece.len == 0)
			return sent;
		if (request_write(c->request, r->piece.data, r->piece.len) != 0)
			return -1;
		if (told(c, r, e) != 0)
			return -2;
		sent = 1;
	}
}

/* Who reads a stream that runs for him alone ends it by leaving; any other reader just leaves. */
static void
left(struct call *c, const struct front_view *v)
{
	if (c->owner && v->mode == JOB_SYNC)
		answer_cancel(c, v);
}

static void
cut(struct call *c, const char *why)
{
	log_warn("stream cut", "job=%s why=%s", c->job, log_q(why));
	request_abort(c->request);
}

/*
 * The state is looked at before the chunks: when it is done then, no chunk can come after those that are read next.
 * Once the head is out there is no way to say an error but to break off.
 */
static void
stream(struct call *c, struct front_view *v, int64_t deadline, int64_t seq, size_t untold)
{
	struct reading r = { .row = v->id.row, .seq = seq, .owner = c->owner && v->mode == JOB_SYNC, .untold = untold };
	struct job_id id = v->id;
	struct err e = ERR_INIT;
	int sent;

	if ((r.s = waiter_store(c->waiter, &e)) == NULL) {
		cut(c, e.text);
		return;
	}
	for (;;) {
		bool done = v->state == JOB_DONE;

		sent = send_chunks(c, &r, &e);
		if (sent == -2) {
			cut(c, e.text);
			break;
		}
		if (sent == -1) {
			if (invoke_faulted(c, &e))
				cut(c, e.text);
			else
				left(c, v);
			break;
		}
		if (done) {
			if (v->outcome != OUTCOME_OK)
				cut(c, v->error != NULL ? v->error : job_outcome_name(v->outcome));
			break;
		}
		if (clock_mono_ms() >= deadline) {
			if (r.owner)
				answer_late(c, v, &e);
			else
				err_set(&e, ERR_TIMEOUT, "the job goes on");
			cut(c, e.text);
			break;
		}
		if (!waiter_sleep(c->waiter, c->request, sent > 0 ? 250 : 500)) {
			if (invoke_faulted(c, &e))
				cut(c, e.text);
			else
				left(c, v);
			break;
		}
		if (waiter_until(c->waiter, NULL, &id, 0, true, true, anything, v, &e) != WAITED_ENOUGH) {
			cut(c, e.text);
			break;
		}
	}
	buf_clear(&r.piece);
}

int
answer_job(struct call *c, struct front_view *v, int64_t deadline, struct err *e)
{
	job_id_print(&v->id, c->job);
	/* A whole answer counts once its job is done well; a stream has to begin before its end is known, but when that is
	 * known already and bad, an error says more than a stream that breaks off. */
	if (!v->has_result || (v->state == JOB_DONE ? v->outcome != OUTCOME_OK : !v->streamed)) {
		failure_outcome(v->outcome, v->error_kind, v->error_name, v->error, e);
		if (v->retry_at != 0)
			c->reply.retry_s = v->retry_at > clock_wall_ms() ? (v->retry_at - clock_wall_ms() + 999) / 1000 : 1;
		add_facts(c, v);
		add_receipt(c, v);
		return -1;
	}
	if (v->streamed && v->taken > 0 && !c->owner)
		return err_named(e, ERR_NOTFOUND, "ResultGone", "the answer was streamed to its caller and is not kept");
	if (add_head(c, v, e) != 0)
		return -1;
	add_facts(c, v);
	if (!invoke_hold(c, deadline)) {
		left(c, v);
		if (!invoke_faulted(c, e))
			err_named(e, ERR_INPUT, "RequestTimeout", "the caller has gone");
		return -1;
	}
	if (!v->streamed) {
		c->reply.borrowed = v->body != NULL ? v->body : "";
		c->reply.borrowed_bytes = v->body_bytes;
		c->reply.sent = true;
		request_send(c->request, &c->reply);
		return 0;
	}
	reply_header(&c->reply, "X-Accel-Buffering", "no");
	c->reply.stream = c->reply.sent = true;
	/* After the head of a HEAD nobody listens to the stream. */
	if (request_send(c->request, &c->reply) != 0 || strcmp(c->request->method, "HEAD") == 0)
		left(c, v);
	else
		stream(c, v, deadline, 0, 0);
	return 0;
}

bool
answer_begin(struct call *c, const struct front_view *v, const void *p, size_t n)
{
	struct err e = ERR_INIT;

	if (strcmp(c->request->method, "HEAD") == 0 || request_fed(c->request) != NULL)
		return false;
	job_id_print(&v->id, c->job);
	if (add_head(c, v, &e) != 0) {
		reply_clear(&c->reply);
		return false;
	}
	add_facts(c, v);
	reply_header(&c->reply, "X-Accel-Buffering", "no");
	c->reply.stream = c->reply.sent = true;
	c->reply.borrowed = p;
	c->reply.borrowed_bytes = n;
	return true;
}

void
answer_rest(struct call *c, struct front_view *v, int64_t deadline, size_t n, bool gone)
{
	if (gone)
		left(c, v);
	else
		stream(c, v, deadline, n > 0, n);
}

void
answer_cancel(struct call *c, const struct front_view *v)
{
	struct err e = ERR_INIT;
	struct store *s = waiter_store(c->waiter, &e);

	if (s == NULL || front_cancel(s, &v->id, &e) != 0)
		log_warn("cancel failed", "job=%s why=%s", c->job, log_q(e.text));
	else
		writer_ring(c->door->writer);
}

int
answer_late(struct call *c, const struct front_view *v, struct err *e)
{
	struct store *s = waiter_store(c->waiter, e);
	char time[32];

	if (s == NULL)
		return -1;
	if (front_lapse(s, &v->id, clock_mono_ms(), clock_boot_id(), e))
		return err_named(e, ERR_INTERNAL, "RunnerFailed",
		    "the runner lost the job: its lease has passed and nobody finished it; it may have run in part");
	answer_cancel(c, v);
	conf_duration_print(c->door->conf->limits.timeout, time);
	return err_named(e, ERR_TIMEOUT, "JobTimeout", "no answer within limits.timeout = %s", time);
}
