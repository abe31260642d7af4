#include "scheduler/callbacks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/buf.h"
#include "lib/bundle.h"
#include "lib/callback.h"
#include "lib/cid.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/notice.h"
#include "lib/store_callback.h"
#include "scheduler/admit.h"
#include "scheduler/catalog.h"
#include "scheduler/egress_conf.h"
#include "scheduler/fetch.h"
#include "scheduler/fetcher.h"
#include "scheduler/keep.h"
#include "scheduler/meter.h"
#include "scheduler/shop.h"

#define DOUBLINGS     20
#define TICK_MS       1000
#define WAIT_MAX_MS   (INT64_C(24) * 3600000) /* however long a receiver says */
#define BODY_JSON_MAX (FETCHER_MESSAGE_MAX / 3)
#define GONE          410

/* One attempt that is under way. */
struct telling {
	struct work_callback c;
	struct buf body;
	int64_t began_ms;
	struct telling *next;
};

static struct telling *under_way;
static int64_t under_way_n;
static struct egress_conf operator; /* the rules of [egress] */
static struct loop_timer soon, again;
static int64_t again_ms; /* when the latter comes */

int
callbacks_open(struct err *e)
{
	return egress_conf_fill(&operator, shop.conf, e);
}

static void
telling_free(struct telling *t)
{
	struct telling **p = &under_way;

	while (*p != NULL && *p != t)
		p = &(*p)->next;
	if (*p != NULL) {
		*p = t->next;
		under_way_n--;
	}
	work_callback_clear(&t->c);
	buf_clear(&t->body);
	free(t);
}

void
callbacks_close(void)
{
	loop_stop(&soon);
	loop_stop(&again);
	while (under_way != NULL)
		telling_free(under_way);
	egress_conf_clear(&operator);
}

int
callbacks_admit(const struct job *j, struct err *e)
{
	if (j->w.callback == NULL)
		return 0;
	return admit_callback(shop.conf, &operator, j->code->bundle, j->w.caller, j->w.callback, e);
}

/* --- the end of an attempt --- */

/* Half of it is left to chance, so that what failed together does not come again together. */
static int64_t
pause_ms(int attempts)
{
	int doubled = attempts - 1 < DOUBLINGS ? attempts - 1 : DOUBLINGS;
	int64_t most = shop.conf->callbacks.backoff << (doubled > 0 ? doubled : 0);
	uint64_t r = 0;

	if (most > shop.conf->callbacks.backoff_max)
		most = shop.conf->callbacks.backoff_max;
	if (getrandom(&r, sizeof r, 0) != (ssize_t)sizeof r)
		r = (uint64_t)clock_mono_us();
	return most / 2 + 1 + (int64_t)(r % (uint64_t)(most / 2 + 1));
}

static void
end(struct telling *t, const struct work_tried *tried)
{
	char id[JOB_ID_LEN + 1];

	job_id_print(&t->c.id, id);
	turn_callback(&shop.turn, t->c.id.row, tried);
	meter_add(METER_CALLBACKS, strcmp(tried->state, "delivered") == 0 ? METER_DELIVERED :
	    strcmp(tried->state, "failed") == 0 ? METER_GIVEN_UP : METER_PUT_OFF, 1);
	if (tried->error == NULL)
		log_info("callback delivered", "job=%s host=%s status=%d attempt=%d ms=%lld", id, log_q(t->c.host), tried->status,
		    t->c.attempts + 1, (long long)(loop_now_ms() - t->began_ms));
	else
		log_warn("callback", "job=%s host=%s state=%s attempt=%d ms=%lld why=%s", id, log_q(t->c.host), tried->state,
		    t->c.attempts + 1, (long long)(loop_now_ms() - t->began_ms), log_q(tried->error));
	telling_free(t);
	callbacks_soon();
}

static void on_soon(void *arg);

/* The tick finds whatever is due; what is due before it comes needs a timer. */
static void
wake_in(int64_t ms)
{
	int64_t at = loop_now_ms() + ms + 1;

	if (ms >= TICK_MS || (again.at != 0 && again_ms <= at))
		return;
	again_ms = at;
	loop_after(&again, ms + 1, on_soon, NULL);
}

/* final: another attempt would come to the same.  after_ms: not before, as the receiver says. */
static void
end_failed(struct telling *t, int status, bool final, int64_t after_ms, const char *why)
{
	int64_t pause = pause_ms(t->c.attempts + 1);
	bool last = final || t->c.attempts + 1 >= shop.conf->callbacks.attempts;
	struct work_tried tried = { last ? "failed" : "due", 0, status, why };

	if (after_ms > WAIT_MAX_MS)
		after_ms = WAIT_MAX_MS;
	if (!last) {
		pause = after_ms > pause ? after_ms : pause;
		tried.next_at = clock_wall_ms() + pause;
		wake_in(pause);
	}
	end(t, &tried);
}

static void
on_posted(void *arg, const struct fetcher_request *asked, struct fetcher_answer *answer, const struct fetcher_answer *failed,
    const struct err *why)
{
	struct telling *t = arg;
	char text[80];
	int status;

	(void)asked;
	(void)failed;
	if (answer == NULL) {
		end_failed(t, 0, strcmp(err_name(why), FETCHER_POST_DENIED) == 0, 0, why->text);
		return;
	}
	status = (int)answer->status;
	if (status >= 200 && status < 300) {
		end(t, &(struct work_tried){ "delivered", 0, status, NULL });
		return;
	}
	snprintf(text, sizeof text, "the receiver answers %d%s", status,
	    status >= 300 && status < 400 ? "; redirects are not followed" : "");
	end_failed(t, status, status == GONE, answer->retry_after_s * 1000, text);
}

/* --- its beginning --- */

static struct telling *
find(int64_t row)
{
	struct telling *t = under_way;

	while (t != NULL && t->c.id.row != row)
		t = t->next;
	return t;
}

void
callbacks_signed(void *arg, int64_t row, const char *signature, const struct err *why)
{
	struct telling *t = find(row);
	char id[JOB_ID_LEN + 1];
	struct fetcher_request r = { .op = FETCHER_POST };

	(void)arg;
	if (t == NULL)
		return;
	if (why != NULL) {
		end_failed(t, 0, false, 0, why->text);
		return;
	}
	job_id_print(&t->c.id, id);
	r.url = t->c.url;
	r.name = id;
	r.body = t->body.data;
	r.signature = signature;
	fetch_ask(shop.fetch, &r, shop.conf->callbacks.timeout, on_posted, t);
}

/* Scheme and host of the call itself, unless the operator says what the runner is called outside. */
static void
print_base(const struct work_callback *c, struct buf *out)
{
	const char *public_url = shop.conf->web.public_url, *host = c->request_url != NULL ? strstr(c->request_url, "://") : NULL;

	if (public_url != NULL && public_url[0] != '\0')
		buf_str(out, public_url);
	else if (host != NULL)
		buf_add(out, c->request_url, (size_t)(host - c->request_url) + 3 + strcspn(host + 3, "/"));
	if (out->len > 0 && out->data[out->len - 1] == '/')
		out->data[--out->len] = '\0';
	buf_str(out, shop.conf->web.base_path != NULL ? shop.conf->web.base_path : "");
}

static void
print_body(struct telling *t)
{
	struct buf base = BUF_INIT;

	print_base(&t->c, &base);
	notice_body(&t->c, shop.conf->did, base.data, &t->body);
	if (t->body.len > BODY_JSON_MAX) {
		/* Every byte of it was one that JSON writes as six: the receiver is told where it is. */
		free(t->c.body);
		t->c.body = NULL;
		buf_reset(&t->body);
		notice_body(&t->c, shop.conf->did, base.data, &t->body);
	}
	buf_clear(&base);
}

static void
begin(struct telling *t)
{
	struct notice n = { .runner = shop.conf->did, .url = t->c.url, .attempt = t->c.attempts + 1, .signed_at = clock_wall_ms() };
	char text[CID_TEXT + 1], number[24];
	struct callback_url u;
	struct err e = ERR_INIT;
	struct cid cid;

	t->next = under_way;
	under_way = t;
	under_way_n++;
	t->began_ms = loop_now_ms();
	/* The operator may have changed their mind since it was accepted. */
	if (callback_url_parse(t->c.url, shop.conf->dev, &u, &e) != 0 ||
	    (!u.local && egress_conf_permits(&operator, &u.host, u.port, &e) != 0)) {
		end_failed(t, 0, true, 0, e.text);
		return;
	}
	print_body(t);
	cid_of_bytes(&cid, CID_RAW, t->body.data, t->body.len);
	cid_print(&cid, text);
	snprintf(number, sizeof number, "%lld", (long long)t->c.id.row);
	n.job = number;
	n.body = text;
	keep_sign_notice(shop.keep, t->c.id.row, &n);
}

/* Arrays of what the next one must not be. */
static void
print_busy(struct buf *jobs, struct buf *hosts)
{
	int64_t most = (shop.conf->callbacks.parallel + 1) / 2;
	const struct telling *t, *o;

	buf_char(jobs, '[');
	buf_char(hosts, '[');
	for (t = under_way; t != NULL; t = t->next) {
		int64_t n = 0;

		for (o = under_way; o != NULL; o = o->next)
			n += strcmp(o->c.host, t->c.host) == 0;
		buf_fmt(jobs, "%s%lld", jobs->len > 1 ? "," : "", (long long)t->c.id.row);
		if (n < most)
			continue;
		buf_str(hosts, hosts->len > 1 ? "," : "");
		buf_json_str(hosts, t->c.host);
	}
	buf_char(jobs, ']');
	buf_char(hosts, ']');
}

/* One more attempt begins; false: nothing that may begin is due. */
static bool
next(void)
{
	struct buf jobs = BUF_INIT, hosts = BUF_INIT;
	struct telling *t = NULL;
	struct err e = ERR_INIT;
	int64_t row = 0;
	int rc;

	print_busy(&jobs, &hosts);
	rc = work_callback_next(shop.s.store, clock_wall_ms(), jobs.data, hosts.data, &row, &e);
	buf_clear(&jobs);
	buf_clear(&hosts);
	if (rc == 0 && row > 0) {
		t = mem_alloc(sizeof *t);
		rc = work_callback_load(shop.s.store, row, shop.conf->callbacks.body, &t->c, &e);
	}
	if (rc != 0) {
		log_warn("callbacks", "why=%s", log_q(e.text));
		free(t);
		return false;
	}
	if (t != NULL)
		begin(t);
	return t != NULL;
}

/* What ended in this turn is due in the ledger until the turn is written: then the next one looks. */
static void
on_soon(void *arg)
{
	(void)arg;
	if (shop.turn.told) {
		callbacks_soon();
		return;
	}
	while (!shop.draining && under_way_n < shop.conf->callbacks.parallel && next())
		;
}

void
callbacks_soon(void)
{
	if (soon.at == 0)
		loop_after(&soon, 0, on_soon, NULL);
}

void
callbacks_tick(void)
{
	if (under_way_n < shop.conf->callbacks.parallel)
		callbacks_soon();
}

void
callbacks_order(const cJSON *args, char *note, size_t n)
{
	struct err e = ERR_INIT;
	const char *state = NULL;
	int64_t row = 0;
	int rc;

	if (json_int(args, "job", 1, INT64_MAX >> 10, &row, &e) != 0 || row == 0) {
		snprintf(note, n, "no job is named: {\"job\": 42}");
		return;
	}
	rc = find(row) != NULL ? 1 : work_callback_again(shop.s.store, row, clock_wall_ms(), &state, &e);
	if (rc < 0)
		snprintf(note, n, "%.180s", e.text);
	else if (rc > 0)
		snprintf(note, n, "it is told now");
	else if (state == NULL)
		snprintf(note, n, "the job has no callback");
	else
		snprintf(note, n, "%s", strcmp(state, "void") == 0 ? "the job was never accepted" : "the job is not done yet");
	callbacks_soon();
}
