/* Errors and outcomes as HTTP, and what an answer looks like on the wire. */
#include <string.h>

#include "fcgi/reply.h"
#include "lib/failure.h"
#include "tests/t.h"

TEST(every_kind_of_error_has_its_status)
{
	static const struct {
		enum err_kind kind;
		const char *name;
		int status;
	} rows[] = {
		{ ERR_INPUT, "", 400 }, { ERR_DENIED, "", 403 }, { ERR_NOTFOUND, "", 404 }, { ERR_BUSY, "", 503 },
		{ ERR_REMOTE, "", 502 }, { ERR_TIMEOUT, "", 504 }, { ERR_INTERNAL, "", 500 },
		{ ERR_INPUT, "PayloadTooLarge", 413 }, { ERR_INPUT, "UriTooLong", 414 },
		{ ERR_INPUT, "HeadersTooLarge", 431 }, { ERR_TIMEOUT, "RequestTimeout", 408 },
		{ ERR_BUSY, "RateLimitExceeded", 429 }, { ERR_BUSY, "QueueFull", 503 },
		{ ERR_NOTFOUND, "MethodNotImplemented", 501 }, { ERR_INPUT, "MethodNotAllowed", 405 },
		{ ERR_NOTFOUND, "BundleNotFound", 404 }, { ERR_DENIED, "AuthenticationRequired", 401 },
	};
	size_t i;

	for (i = 0; i < sizeof rows / sizeof *rows; i++)
		CHECK_INT(failure_status(rows[i].kind, rows[i].name), rows[i].status);
}

TEST(bundle_limit_and_runner_never_share_a_name)
{
	static const struct {
		enum job_outcome outcome;
		const char *name;
		int status;
	} rows[] = {
		{ OUTCOME_ERROR, "HandlerFailed", 500 }, { OUTCOME_TIMEOUT, "JobTimeout", 504 },
		{ OUTCOME_MEMORY, "MemoryLimitExceeded", 507 }, { OUTCOME_OUTPUT, "OutputLimitExceeded", 507 },
		{ OUTCOME_KILLED, "LimitExceeded", 507 }, { OUTCOME_LOST, "RunnerFailed", 502 },
		{ OUTCOME_EXPIRED, "JobExpired", 504 }, { OUTCOME_CANCELLED, "JobCancelled", 409 },
	};
	size_t i;

	for (i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct err e = ERR_INIT;

		failure_outcome(rows[i].outcome, NULL, NULL, NULL, &e);
		CHECK_STR(err_name(&e), rows[i].name);
		CHECK_INT(failure_status(e.kind, err_name(&e)), rows[i].status);
		CHECK(e.text[0] != '\0');
	}
}

TEST(a_process_that_died_has_hit_no_limit)
{
	struct err e = ERR_INIT;

	failure_outcome(OUTCOME_KILLED, "remote", "InstanceDied", "the bundle's process ended with signal 11", &e);
	CHECK_STR(err_name(&e), "HandlerFailed");
	CHECK_STR(e.text, "the bundle's process ended with signal 11");
	failure_outcome(OUTCOME_KILLED, "busy", "RunnerStops", "the runner is being stopped", &e);
	CHECK_STR(err_name(&e), "RunnerFailed");
	failure_outcome(OUTCOME_KILLED, "busy", "ProcessLimit", "the bundle ran 65 processes", &e);
	CHECK_STR(err_name(&e), "LimitExceeded");
}

TEST(a_refusal_keeps_the_name_and_kind_of_its_row)
{
	struct err e = ERR_INIT;

	failure_outcome(OUTCOME_REFUSED, "notfound", "BundleNotFound", "no bundle hello", &e);
	CHECK_STR(err_name(&e), "BundleNotFound");
	CHECK_STR(e.text, "no bundle hello");
	CHECK_INT(failure_status(e.kind, err_name(&e)), 404);
	failure_outcome(OUTCOME_REFUSED, "remote", NULL, "the PDS is slow", &e);
	CHECK_INT(failure_status(e.kind, err_name(&e)), 502);
	failure_outcome(OUTCOME_REFUSED, "nonsense", NULL, NULL, &e);
	CHECK_INT(failure_status(e.kind, err_name(&e)), 500);
}

TEST(what_the_handler_threw_is_in_the_message)
{
	struct err e = ERR_INIT;

	failure_outcome(OUTCOME_ERROR, "input", "TypeError", "x is not a function (main.js:3:9)", &e);
	CHECK_STR(err_name(&e), "HandlerFailed");
	CHECK_STR(e.text, "TypeError: x is not a function (main.js:3:9)");
	failure_outcome(OUTCOME_ERROR, "input", "TypeError", "TypeError: y", &e);
	CHECK_STR(e.text, "TypeError: y");
}

static void
check_wire(const struct reply *r, bool head_only, const char *want, size_t body)
{
	struct buf b = BUF_INIT;

	CHECK_INT(reply_print(r, head_only, &b), body);
	CHECK_STR(b.data, want);
	buf_clear(&b);
}

TEST(an_answer_on_the_wire_has_status_text_and_length)
{
	struct reply r = REPLY_INIT;

	buf_str(&r.body, "hello");
	reply_header(&r, "X-A", "b");
	check_wire(&r, false, "Status: 200 OK\r\nX-A: b\r\nContent-Length: 5\r\n\r\n", 5);
	check_wire(&r, true, "Status: 200 OK\r\nX-A: b\r\nContent-Length: 5\r\n\r\n", 0);
	r.status = 204;
	check_wire(&r, false, "Status: 204 No Content\r\nX-A: b\r\n\r\n", 0);
	r.status = 304;
	check_wire(&r, false, "Status: 304 Not Modified\r\nX-A: b\r\n\r\n", 0);
	r.status = 299;
	r.stream = true;
	check_wire(&r, false, "Status: 299 Success\r\nX-A: b\r\n\r\n", 5);
	reply_clear(&r);
}

TEST(a_header_cannot_smuggle_a_line)
{
	struct reply r = REPLY_INIT;

	reply_header(&r, "X-A", "b\r\nSet-Cookie: c");
	reply_header(&r, "X-A\r\nB", "c");
	reply_header(&r, "X A", "c");
	reply_header(&r, "", "c");
	reply_header(&r, "X-B", "a\tb \xc3\xa4");
	CHECK_STR(r.head.data, "X-B: a\tb \xc3\xa4\r\n");
	reply_clear(&r);
}

TEST(an_error_is_json_with_retry_after_when_later_may_work)
{
	struct reply r = REPLY_INIT;
	struct err e = ERR_INIT;

	err_named(&e, ERR_BUSY, "RateLimitExceeded", "limits.per_bundle = %d \"x\"", 3);
	reply_error(&r, &e);
	CHECK_INT(r.status, 429);
	CHECK_STR(r.body.data, "{\"error\":\"RateLimitExceeded\",\"message\":\"limits.per_bundle = 3 \\\"x\\\"\"}\n");
	CHECK(strstr(r.head.data, "Retry-After: 1\r\n") != NULL);
	CHECK(strstr(r.head.data, "Content-Type: application/json\r\n") != NULL);
	reply_clear(&r);
}
