/* At-Run-Callback: which URLs, whose hosts, and what the ledger keeps of it. */
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/bundle.h"
#include "lib/callback.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/job.h"
#include "lib/mem.h"
#include "lib/notice.h"
#include "lib/store.h"
#include "lib/store_callback.h"
#include "lib/store_front.h"
#include "lib/store_retry.h"
#include "lib/store_work.h"
#include "scheduler/admit.h"
#include "scheduler/egress_conf.h"
#include "tests/t.h"

#define DID "did:plc:abcdefghijklmnopqrstuvwx"
#define NOW INT64_C(1700000000000)

TEST(callback_urls_that_are_fine_and_those_that_are_not)
{
	static const struct {
		const char *url;
		bool dev, fine;
		const char *host; /* or what the error says */
		int port;
	} *row, cases[] = {
		{ "https://hooks.example.com/a?b=%2Fc", false, true, "hooks.example.com", 443 },
		{ "https://HOOKS.example.com:8443/", false, true, "hooks.example.com", 8443 },
		{ "http://localhost:9000/x", true, true, "localhost", 9000 },
		{ "http://127.0.0.1/x", true, true, "127.0.0.1", 80 },
		{ "https://[::1]:1234/", true, true, "::1", 1234 },
		{ "http://hooks.example.com/", true, true, "hooks.example.com", 80 },
		{ "http://hooks.example.com/", false, false, "only https", 0 },
		{ "ftp://hooks.example.com/", true, false, "expected a URL", 0 },
		{ "https:/hooks.example.com/", false, false, "expected a URL", 0 },
		{ "hooks.example.com", false, false, "expected a URL", 0 },
		{ "", false, false, "expected a URL", 0 },
		{ "https://hooks.example.com", false, false, "expected a path", 0 },
		{ "https://hooks.example.com?x", false, false, "expected a path", 0 },
		{ "https:///x", false, false, "1 to 253", 0 },
		{ "https://a@hooks.example.com/", false, false, "user name", 0 },
		{ "https://hooks.example.com:/", false, false, "port", 0 },
		{ "https://hooks.example.com:0/", false, false, "port", 0 },
		{ "https://hooks.example.com:0443/", false, false, "port", 0 },
		{ "https://hooks.example.com:65536/", false, false, "port", 0 },
		{ "https://hooks.example.com:4 3/", false, false, "visible ASCII", 0 },
		{ "https://hooks.example.com/#x", false, false, "visible ASCII", 0 },
		{ "https://hooks.example.com/\\x", false, false, "visible ASCII", 0 },
		{ "https://hooks.example.com/\r\nX: y", false, false, "visible ASCII", 0 },
		{ "https://h\xc3\xb6ks.example.com/", false, false, "visible ASCII", 0 },
		{ "https://hooks.example.com./", false, false, "without a dot", 0 },
		{ "https://localhost/", false, false, "loopback is for --dev", 0 },
		{ "https://127.0.0.1/", false, false, "loopback is for --dev", 0 },
		{ "https://192.0.2.1/", true, false, "not the name of a public host", 0 },
		{ "https://2130706433/", true, false, "number", 0 },
		{ "https://0x7f.1/", true, false, "number", 0 },
		{ "https://[::ffff:127.0.0.1]/", true, false, "an address", 0 },
		{ "http://::1:7/", true, false, "an address", 0 },
		{ "https://[2001:db8::1]/", false, false, "an address", 0 },
		{ "https://intranet/", false, false, "not the name of a public host", 0 },
		{ "https://printer.local/", true, false, "not the name of a public host", 0 },
		{ "https://a..b.com/", false, false, "no host name", 0 },
	};

	for (T_EACH(row, cases)) {
		struct callback_url u;
		struct err e = ERR_INIT;
		bool fine = callback_url_parse(row->url, row->dev, &u, &e) == 0;

		if (fine != row->fine || (!fine && strstr(e.text, row->host) == NULL))
			t_note("%s: %s", row->url, e.text);
		CHECK_INT(fine, row->fine);
		if (!fine) {
			CHECK_STR(err_name(&e), "CallbackInvalid");
			CHECK(strstr(e.text, row->host) != NULL);
			continue;
		}
		CHECK_STR(u.host.text, row->host);
		CHECK_INT(u.port, row->port);
	}
}

TEST(a_callback_url_has_a_longest_length)
{
	char url[CALLBACK_URL_MAX + 2];
	struct callback_url u;
	struct err e = ERR_INIT;

	memset(url, 'a', sizeof url);
	memcpy(url, "https://hooks.example.com/", 26);
	url[CALLBACK_URL_MAX] = '\0';
	CHECK_INT(callback_url_parse(url, false, &u, &e), 0);
	url[CALLBACK_URL_MAX] = 'a';
	url[CALLBACK_URL_MAX + 1] = '\0';
	CHECK_INT(callback_url_parse(url, false, &u, &e), -1);
	CHECK(strstr(e.text, "2048 bytes") != NULL);
}

#define RECORD(rest) "{\"name\":\"hello\",\"runtime\":\"application/javascript+node\",\"entry\":\"main.js\"" rest "}"

TEST(a_callback_goes_to_hosts_that_somebody_has_listed)
{
	static const struct {
		const char *config, *record, *caller, *url, *name; /* name NULL: allowed */
	} *row, cases[] = {
		{ "", ",\"callbacks\":[\"hooks.example.com\"]", NULL, "https://hooks.example.com/", NULL },
		{ "", ",\"callbacks\":[\"hooks.example.com\"]", NULL, "https://hooks.example.com:8443/", "CallbackNotAllowed" },
		{ "", ",\"callbacks\":[\"*.example.com:8443\"]", NULL, "https://a.example.com:8443/", NULL },
		{ "", ",\"callbacks\":[\"*.example.com\"]", NULL, "https://example.com/", "CallbackNotAllowed" },
		{ "", ",\"callbacks\":[\"*\"]", NULL, "https://example.com/", NULL },
		{ "", ",\"permissions\":{\"net\":[\"hooks.example.com\"]}", NULL, "https://hooks.example.com/", NULL },
		{ "", ",\"permissions\":{\"net\":true}", NULL, "https://hooks.example.com/", "CallbackNotAllowed" },
		{ "", "", NULL, "https://hooks.example.com/", "CallbackNotAllowed" },
		{ "[callbacks]\nallow = hooks.example.com\n", "", NULL, "https://hooks.example.com/", NULL },
		{ "", "", "did:web:me.example.com", "https://me.example.com/", NULL },
		{ "", "", "did:web:me.example.com%3A8443", "https://me.example.com:8443/", NULL },
		{ "", "", "did:web:me.example.com", "https://me.example.com:8443/", "CallbackNotAllowed" },
		{ "", "", "did:web:me.example.com.evil.org", "https://me.example.com/", "CallbackNotAllowed" },
		{ "", "", DID, "https://me.example.com/", "CallbackNotAllowed" },
		{ "[egress]\ndeny = hooks.example.com\n", ",\"callbacks\":[\"*\"]", NULL, "https://hooks.example.com/",
		    "CallbackNotAllowed" },
		{ "[egress]\nports = 443\n", ",\"callbacks\":[\"a.example.com:8443\"]", NULL, "https://a.example.com:8443/",
		    "CallbackNotAllowed" },
		{ "", ",\"callbacks\":[\"*\"]", NULL, "http://hooks.example.com/", "CallbackInvalid" },
	};

	for (T_EACH(row, cases)) {
		char *text = mem_fmt("did = " DID "\n%s", row->config), *record = mem_fmt(RECORD("%s"), row->record);
		struct egress_conf operator;
		struct err e = ERR_INIT;
		struct conf *c = conf_parse("config.ini", text, strlen(text), "/home/x/.at-rund", NULL, &e);
		struct bundle *b = bundle_parse(record, strlen(record), true, &e);

		CHECK_STR(e.text, "");
		CHECK_INT(egress_conf_fill(&operator, c, &e), 0);
		CHECK_INT(admit_callback(c, &operator, b, row->caller, row->url, &e), row->name == NULL ? 0 : -1);
		CHECK_STR(row->name == NULL ? "" : err_name(&e), row->name == NULL ? "" : row->name);
		egress_conf_clear(&operator);
		bundle_free(b);
		conf_free(c);
		free(record);
		free(text);
	}
}

TEST(a_record_lists_hosts_that_are_hosts)
{
	static const char *const bad[] = { RECORD(",\"callbacks\":\"a.com\""), RECORD(",\"callbacks\":[\"https://a.com\"]"),
		RECORD(",\"callbacks\":[1]"), RECORD(",\"callbacks\":[\"\"]") };
	const char *good = RECORD(",\"callbacks\":[\"a.example.com\",\"*.b.example.com:8443\"]");
	struct bundle *b = bundle_parse(good, strlen(good), true, NULL);
	struct buf out = BUF_INIT;
	size_t i;

	CHECK(b != NULL && b->callbacks.n == 2);
	bundle_json(b, &out);
	CHECK(strstr(out.data, "\"callbacks\":[\"a.example.com\",\"*.b.example.com:8443\"]") != NULL);
	bundle_free(b);
	buf_clear(&out);
	for (i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct err e = ERR_INIT;

		CHECK(bundle_parse(bad[i], strlen(bad[i]), true, &e) == NULL);
		CHECK(strstr(e.text, "callbacks") != NULL);
	}
}

/* --- the ledger --- */

static struct front_job
enqueue(struct store *s, const char *url)
{
	struct front_job j = { .mode = JOB_ASYNC, .author = DID, .bundle = "hello", .version = "latest", .endpoint = "ep",
		.method = "POST", .url = "http://h:1/x", .path = "", .query = "", .headers_json = "[]", .client = "127.0.0.1",
		.timeout_ms = 30000, .created_at = NOW, .callback = url };
	struct err e = ERR_INIT;

	job_nonce(j.id.nonce);
	CHECK_INT(front_enqueue(s, &j, &e), 0);
	CHECK_STR(e.text, "");
	return j;
}

static void
admit(struct store *s, int64_t row)
{
	struct work_admission a = { DID, "bafy", "node", "none", 1000, false, false, false, NULL };

	CHECK_INT(work_admit(s, row, &a, NOW + 1, NULL), 1);
}

static void
drop(struct store *s, int64_t row)
{
	struct work_end end = { OUTCOME_EXPIRED, "timeout", "JobExpired", "too late", 0 };

	CHECK_INT(work_drop(s, row, &end, NOW + 2, NULL), 1);
	CHECK_INT(callback_settle(s, row, NULL), 0);
}

static int64_t
due(struct store *s, int64_t now, const char *jobs, const char *hosts)
{
	int64_t row = -1;

	CHECK_INT(work_callback_next(s, now, jobs, hosts, &row, NULL), 0);
	return row;
}

static void
tell_state(struct store *s, int64_t row, const char *state)
{
	struct buf b = BUF_INIT;
	char *want = mem_fmt("\"state\":\"%s\"", state);

	CHECK_INT(front_callback(s, row, &b, NULL), 0);
	if (b.len == 0 || strstr(b.data, want) == NULL)
		t_note("%s: %s", state, b.len > 0 ? b.data : "none");
	CHECK(b.len > 0 && strstr(b.data, want) != NULL);
	free(want);
	buf_clear(&b);
}

TEST(a_callback_is_due_when_its_job_is_done_and_was_accepted)
{
	struct store *s = t_store();
	struct front_job a = enqueue(s, "https://a.example.com/x"), b = enqueue(s, "https://b.example.com/x"), none = enqueue(s, NULL);
	struct work_job w = { 0 };
	struct buf json = BUF_INIT;

	CHECK_INT(work_job_load(s, a.id.row, &w, NULL), 0);
	CHECK_STR(w.callback, "https://a.example.com/x");
	work_job_clear(&w);
	CHECK_INT(front_callback(s, none.id.row, &json, NULL), 0);
	CHECK_INT(json.len, 0);
	tell_state(s, a.id.row, "waiting");
	CHECK_INT(callback_settle(s, a.id.row, NULL), 0); /* not done yet */
	tell_state(s, a.id.row, "waiting");
	admit(s, a.id.row);
	drop(s, a.id.row);
	tell_state(s, a.id.row, "due");
	drop(s, b.id.row); /* it was never admitted */
	tell_state(s, b.id.row, "void");
	CHECK_INT(due(s, NOW + 1, "[]", "[]"), 0);
	CHECK_INT(due(s, NOW + 2, "[]", "[]"), a.id.row);
	CHECK_INT(due(s, NOW + 2, "[1]", "[]"), 0);
	CHECK_INT(due(s, NOW + 2, "[]", "[\"a.example.com\"]"), 0);
}

TEST(what_a_recovery_settles_is_due_too)
{
	struct store *s = t_store();
	struct front_job a = enqueue(s, "https://a.example.com/x"), b = enqueue(s, "https://b.example.com/x");
	int64_t run = 0, lease = 0, settled = 0, again = 0;

	CHECK_INT(work_run_start(s, &run, NULL), 0);
	admit(s, a.id.row);
	CHECK_INT(work_start(s, a.id.row, run, 1, START_WARM, NOW + 1000, NOW + 1, &lease, NULL), 1);
	CHECK_INT(work_run_start(s, &run, NULL), 0);
	CHECK_INT(work_recover(s, run, NOW + 5, &settled, &again, NULL), 0);
	CHECK_INT(settled, 1);
	tell_state(s, a.id.row, "due");
	tell_state(s, b.id.row, "waiting");
	admit(s, b.id.row);
	CHECK_INT(front_cancel(s, &b.id, NULL), 0);
	tell_state(s, b.id.row, "due");
}

TEST(a_callback_is_tried_until_it_is_delivered_or_given_up)
{
	struct store *s = t_store();
	struct front_job a = enqueue(s, "https://a.example.com/x");
	const struct work_tried later = { "due", NOW + 5000, 503, "the receiver answers 503" }, last = { "failed", 0, 0, "no" },
				good = { "delivered", 0, 204, NULL };
	struct work_callback c;
	const char *state = NULL;

	CHECK_INT(work_callback_again(s, a.id.row, NOW, &state, NULL), 0);
	CHECK_STR(state, "waiting");
	CHECK_INT(work_callback_again(s, 99, NOW, &state, NULL), 0);
	CHECK(state == NULL);
	admit(s, a.id.row);
	drop(s, a.id.row);
	CHECK_INT(work_callback_load(s, a.id.row, 1000, &c, NULL), 0);
	CHECK_STR(c.host, "a.example.com");
	CHECK_STR(c.outcome, "expired");
	CHECK_STR(c.error_name, "JobExpired");
	CHECK_STR(c.id.nonce, a.id.nonce);
	CHECK_INT(c.attempts, 0);
	work_callback_clear(&c);
	CHECK_INT(work_callback_tried(s, a.id.row, &later, NOW + 10, NULL), 1);
	CHECK_INT(due(s, NOW + 4999, "[]", "[]"), 0);
	CHECK_INT(due(s, NOW + 5000, "[]", "[]"), a.id.row);
	CHECK_INT(work_callback_tried(s, a.id.row, &last, NOW + 5001, NULL), 1);
	tell_state(s, a.id.row, "failed");
	CHECK_INT(work_callback_load(s, a.id.row, 1000, &c, NULL), -1);
	CHECK_INT(work_callback_tried(s, a.id.row, &good, NOW + 5002, NULL), 0); /* it is over */
	CHECK_INT(work_callback_again(s, a.id.row, NOW + 6000, &state, NULL), 1);
	CHECK_INT(due(s, NOW + 6000, "[]", "[]"), a.id.row);
	CHECK_INT(work_callback_tried(s, a.id.row, &good, NOW + 6001, NULL), 1);
	tell_state(s, a.id.row, "delivered");
	CHECK_INT(due(s, NOW + 999999, "[]", "[]"), 0);
}

TEST(a_job_made_again_is_told_too_and_both_go_with_their_jobs)
{
	struct store *s = t_store();
	struct front_job a = enqueue(s, "https://a.example.com/x");
	struct work_failed all = { .poisoned = true };
	struct buf json = BUF_INIT;
	struct work_callback c;
	struct job_id made;
	int64_t after = 0;
	char old[JOB_ID_LEN + 1];

	admit(s, a.id.row);
	drop(s, a.id.row);
	CHECK_INT(work_rerun(s, a.id.row, 1000, NOW + 10, &made, NULL), 0);
	tell_state(s, made.row, "waiting");
	admit(s, made.row);
	drop(s, made.row);
	CHECK_INT(work_callback_load(s, made.row, 1000, &c, NULL), 0);
	job_id_print(&a.id, old);
	CHECK_STR(c.of, old);
	work_callback_clear(&c);
	CHECK_INT(work_purge(s, &all, &after, NULL), 2);
	CHECK_INT(front_callback(s, a.id.row, &json, NULL), 0);
	CHECK_INT(json.len, 0);
}

/* --- notices --- */

TEST(the_claims_of_a_notice_are_read_strictly)
{
#define CID "bafkreidvwcawgr5mwutzczjgteff6kf6xa5guvogprchtysj5nnc4degfa"
#define CLAIMS(job, url, body, attempt, at) \
	"{\"runner\":\"did:web:r.example.com\",\"job\":" job ",\"url\":" url ",\"body\":" body ",\"attempt\":" attempt \
	",\"signedAt\":" at "}"
#define AT "\"2026-01-02T03:04:05.678Z\""
	const char *good = CLAIMS("\"42\"", "\"https://a.example.com/\"", "\"" CID "\"", "1", AT);
	static const char *const bad[] = { "{}", "[]", CLAIMS("42", "\"https://a.example.com/\"", "\"" CID "\"", "1", AT),
		CLAIMS("\"4-2\"", "\"https://a.example.com/\"", "\"" CID "\"", "1", AT), CLAIMS("\"42\"", "\"nowhere\"", "\"" CID "\"", "1", AT),
		CLAIMS("\"42\"", "\"https://a.example.com/\"", "\"x\"", "1", AT),
		CLAIMS("\"42\"", "\"https://a.example.com/\"", "\"" CID "\"", "0", AT),
		CLAIMS("\"42\"", "\"https://a.example.com/\"", "\"" CID "\"", "1", "\"2026-01-02\"") };
	struct buf out = BUF_INIT;
	struct notice n;
	size_t i;

	CHECK_INT(notice_claims(&n, good, strlen(good), NULL), 0);
	notice_json(&n, &out);
	CHECK_STR(out.data, good);
	notice_clear(&n);
	buf_clear(&out);
	for (i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK_INT(notice_claims(&n, bad[i], strlen(bad[i]), NULL), -1);
}

TEST(a_notice_tells_bytes_as_text_or_base64_or_where_they_are)
{
	struct work_callback c = { .id = { 42, "0123456789abcdef0123456789abcdef" }, .outcome = (char *)"ok", .status = 200,
		.headers_json = (char *)"[[\"a\",\"b\"]]", .body = (char *)"hi\"", .body_bytes = 3, .starts = 1, .done_at = NOW };
	struct buf out = BUF_INIT;

	notice_body(&c, "did:web:r.example.com", "https://r.example.com/run", &out);
	CHECK_STR(out.data, "{\"type\":\"job.done\",\"id\":\"42-0123456789abcdef0123456789abcdef\","
	    "\"location\":\"https://r.example.com/run/job/42-0123456789abcdef0123456789abcdef\",\"runner\":\"did:web:r.example.com\","
	    "\"outcome\":\"ok\",\"doneAt\":\"2023-11-14T22:13:20.000Z\",\"starts\":1,\"result\":{\"status\":200,\"streamed\":false,"
	    "\"headers\":[[\"a\",\"b\"]],\"location\":\"https://r.example.com/run/job/42-0123456789abcdef0123456789abcdef/result\","
	    "\"bytes\":3,\"body\":\"hi\\\"\"}}");
	buf_reset(&out);
	c.body = (char *)"\xff\0\x01";
	notice_body(&c, NULL, "", &out);
	CHECK(strstr(out.data, "\"bodyBase64\":\"/wAB\"") != NULL && strstr(out.data, "\"runner\"") == NULL);
	buf_reset(&out);
	c.body = NULL;
	notice_body(&c, NULL, "", &out);
	CHECK(strstr(out.data, "\"bytes\":3}") != NULL);
	buf_clear(&out);
}
