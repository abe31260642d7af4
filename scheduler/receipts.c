#include "scheduler/receipts.h"

#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cid.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/failure.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/receipt.h"
#include "scheduler/catalog.h"
#include "scheduler/events.h"
#include "scheduler/instance.h"
#include "scheduler/keep.h"
#include "scheduler/quota.h"
#include "scheduler/shop.h"

#define TARGET_MAX 4096 /* a receipt has to fit into a header; answers to longer targets have none */

struct receipt_draft {
	struct receipt r;
	struct cid_hash request, response;
	bool pending;
	bool failed; /* it is of an answer that says so */
	char *text;
};

/* In JSON a quote inside of a value is written \", so this can be nothing but the header. */
static bool
asked(const struct job *j)
{
	return strstr(j->w.headers_json, "[\"at-run-receipt\",\"1\"]") != NULL;
}

/* Path and query of "https://host/path?query". */
static const char *
target_of(const char *url)
{
	const char *host = strstr(url, "://"), *path = host != NULL ? strchr(host + 3, '/') : NULL;

	return path != NULL ? path : "/";
}

void
receipts_begin(struct job *j)
{
	char text[CID_TEXT + 1];
	struct receipt_draft *d;
	struct cid c;

	if (j->w.headers_json == NULL || !asked(j) || shop.conf->did == NULL || strlen(target_of(j->w.url)) > TARGET_MAX)
		return;
	receipts_free(j->receipt);
	d = j->receipt = mem_alloc(sizeof *d);
	cid_of_bytes(&c, CID_RAW, j->w.body_bytes > 0 ? j->w.body : "", j->w.body_bytes);
	cid_print(&c, text);
	cid_hash_init(&d->request);
	d->r = (struct receipt){ .runner = mem_str(shop.conf->did), .job = mem_fmt("%lld", (long long)j->w.id.row),
		.bundle = mem_fmt("at://%s/%s/%s", j->code->did, shop.conf->atproto.collection, j->code->name),
		.cid = mem_str(j->code->cid), .caller = mem_str(j->w.caller), .method = mem_str(j->w.method),
		.target = mem_str(target_of(j->w.url)), .request = j->w.upload ? NULL : mem_str(text), .created_at = j->w.created_at };
	cid_hash_init(&d->response);
}

void
receipts_request(struct job *j, const void *p, size_t n, bool last)
{
	struct receipt_draft *d = j->receipt;
	char text[CID_TEXT + 1];
	struct cid c;

	if (d == NULL || d->r.request != NULL)
		return;
	cid_hash_update(&d->request, p, n);
	if (!last)
		return;
	cid_hash_final(&d->request, CID_RAW, &c);
	cid_print(&c, text);
	d->r.request = mem_str(text);
}

/* Whoever asked with HEAD gets no body, whatever the handler says. */
void
receipts_body(struct job *j, const void *p, size_t n)
{
	if (j->receipt != NULL && strcmp(j->receipt->r.method, "HEAD") != 0)
		cid_hash_update(&j->receipt->response, p, n);
}

/* The answer is known; the keeper signs, and the job waits for it. */
static void
sign(struct job *j, const struct cid *response, int status)
{
	struct receipt_draft *d = j->receipt;
	int64_t now = clock_wall_ms();
	char text[CID_TEXT + 1];

	cid_print(response, text);
	d->r.response = mem_str(text);
	d->r.status = status;
	d->r.streamed = j->streamed;
	d->r.started_at = now - (clock_mono_us() - j->started_us) / 1000;
	d->r.done_at = now;
	d->pending = true;
	/* What was told to nobody yet stays so: an answer that is whole goes out whole. */
	if (!j->streamed)
		turn_untouch(&shop.turn, j);
	loop_stop(&j->timer);
	quota_over(j);
	if (j->instance != NULL)
		j->instance_id = instance_ledger_id(j->instance);
	j->instance = NULL;
	keep_sign(shop.keep, j->w.id.row, &d->r);
}

/* Of the handler's own, at a limit, or of the runner under it. */
static bool
is_failure(enum job_outcome o)
{
	return o == OUTCOME_ERROR || o == OUTCOME_TIMEOUT || o == OUTCOME_MEMORY || o == OUTCOME_OUTPUT || o == OUTCOME_KILLED;
}

bool
receipts_end(struct job *j)
{
	struct receipt_draft *d = j->receipt;
	struct cid c;

	if (d == NULL || !j->has_head || d->r.request == NULL)
		return false;
	cid_hash_final(&d->response, CID_RAW, &c);
	sign(j, &c, j->status);
	return true;
}

bool
receipts_fail(struct job *j)
{
	const struct receipt_draft *d = j->receipt;
	struct buf body = BUF_INIT;
	struct err e = ERR_INIT;
	struct cid c;

	if (d == NULL || d->pending || d->r.request == NULL || j->streamed || j->err == NULL || !is_failure(j->outcome))
		return false;
	failure_outcome(j->outcome, err_kind_name(j->err->kind), err_name(j->err), j->err->text, &e);
	if (strcmp(d->r.method, "HEAD") != 0)
		failure_body(&e, &body);
	cid_of_bytes(&c, CID_RAW, body.len > 0 ? body.data : "", body.len);
	buf_clear(&body);
	j->receipt->failed = true;
	sign(j, &c, failure_status(e.kind, err_name(&e)));
	return true;
}

bool
receipts_pending(const struct job *j)
{
	return j->receipt != NULL && j->receipt->pending;
}

const char *
receipts_text(const struct job *j)
{
	return j->receipt != NULL ? j->receipt->text : NULL;
}

/* One more pair at the end of [["name","value"],...]. */
static void
add_header(struct job *j, const char *value)
{
	struct buf b = BUF_INIT;
	size_t n = strlen(j->headers_json);

	buf_add(&b, j->headers_json, n - 1);
	buf_fmt(&b, "%s[\"at-run-receipt\",\"%s\"]]", n > 2 ? "," : "", value);
	free(j->headers_json);
	j->headers_json = buf_take(&b);
}

void
receipts_signed(void *arg, int64_t row, const char *receipt, const struct err *why)
{
	struct job *j = NULL;
	size_t i;

	(void)arg;
	for (i = 0; i < shop.running.n && j == NULL; i++)
		if (shop.running.item[i]->w.id.row == row && receipts_pending(shop.running.item[i]))
			j = shop.running.item[i];
	if (j == NULL || (j->outcome != OUTCOME_NONE && !j->receipt->failed))
		return; /* it was cancelled meanwhile */
	if (why != NULL)
		log_warn("no receipt", "job=%lld why=%s", (long long)row, log_q(why->text));
	else
		j->receipt->text = mem_str(receipt);
	if (why == NULL && !j->streamed && j->outcome == OUTCOME_NONE)
		add_header(j, receipt);
	events_done(j);
}

void
receipts_free(struct receipt_draft *d)
{
	if (d == NULL)
		return;
	receipt_clear(&d->r);
	free(d->text);
	free(d);
}
