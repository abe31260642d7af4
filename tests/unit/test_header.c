/* The two filters of the front door, and the small things it reads in headers. */
#include <string.h>

#include "fcgi/header.h"
#include "fcgi/reply.h"
#include "tests/t.h"

static void
check_request(char *const *env, long long body, bool cookies, const char *want)
{
	struct buf b = BUF_INIT;

	header_request(env, body, cookies, &b);
	CHECK_STR(b.data, want);
	buf_clear(&b);
}

TEST(request_headers_become_pairs_in_lower_case)
{
	char *const env[] = { (char *)"REQUEST_METHOD=GET", (char *)"HTTP_USER_AGENT=curl/8 \"x\"", (char *)"HTTP_ACCEPT=*/*",
		(char *)"CONTENT_TYPE=text/plain", (char *)"CONTENT_LENGTH=99", NULL };

	check_request(env, 5, false,
	    "[[\"user-agent\",\"curl/8 \\\"x\\\"\"],[\"accept\",\"*/*\"],[\"content-type\",\"text/plain\"],"
	    "[\"content-length\",\"5\"]]");
	check_request((char *const[]){ (char *)"CONTENT_TYPE=", NULL }, -1, false, "[]");
}

TEST(request_headers_of_the_connection_stay_outside)
{
	char *const env[] = { (char *)"HTTP_PROXY=evil", (char *)"HTTP_CONNECTION=close", (char *)"HTTP_TRANSFER_ENCODING=chunked",
		(char *)"HTTP_PROXY_AUTHORIZATION=x", (char *)"HTTP_CONTENT_LENGTH=1", (char *)"HTTP_CONTENT_TYPE=x",
		(char *)"HTTP_TE=x", (char *)"HTTP_UPGRADE=h2c", (char *)"HTTP_BAD NAME=1", (char *)"HTTP_=1",
		(char *)"HTTP_COOKIE=a=b", (char *)"HTTP_AUTHORIZATION=Basic x", NULL };

	check_request(env, -1, false, "[[\"authorization\",\"Basic x\"]]");
	check_request(env, -1, true, "[[\"cookie\",\"a=b\"],[\"authorization\",\"Basic x\"]]");
}

TEST(a_trace_that_is_none_is_as_if_it_was_not_sent)
{
#define GOOD "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	char *const good[] = { (char *)"HTTP_TRACESTATE=a=1", (char *)"HTTP_TRACEPARENT=" GOOD, (char *)"HTTP_TRACEPARENT=" GOOD, NULL };
	char *const bad[] = { (char *)"HTTP_TRACESTATE=a=1", (char *)"HTTP_TRACEPARENT=" GOOD "x", (char *)"HTTP_A=b", NULL };
	char *const alone[] = { (char *)"HTTP_TRACESTATE=a=1", NULL };

	check_request(good, -1, false, "[[\"traceparent\",\"" GOOD "\"],[\"tracestate\",\"a=1\"]]");
	check_request(bad, -1, false, "[[\"a\",\"b\"]]");
	check_request(alone, -1, false, "[]");
}

TEST(a_token_is_for_the_runner_alone)
{
	char *env[] = { (char *)"HTTP_AUTHORIZATION=bEARER x.y.z", (char *)"HTTP_ACCEPT=*/*", NULL };

	check_request(env, -1, true, "[[\"accept\",\"*/*\"]]");
	env[0] = (char *)"HTTP_AUTHORIZATION=Bearer";
	check_request(env, -1, true, "[[\"accept\",\"*/*\"]]");
	env[0] = (char *)"HTTP_AUTHORIZATION=Bearers x";
	check_request(env, -1, true, "[[\"authorization\",\"Bearers x\"],[\"accept\",\"*/*\"]]");
}

TEST(idempotency_keys_are_read_plain_and_quoted)
{
	char key[HEADER_KEY_MAX + 1], longest[HEADER_KEY_MAX + 2];

	CHECK(header_key("8e03978e-40d5-43dd-bc93-6894a57f9324", key));
	CHECK_STR(key, "8e03978e-40d5-43dd-bc93-6894a57f9324");
	CHECK(header_key("\"abc\"", key));
	CHECK_STR(key, "abc");
	CHECK(!header_key("", key) && !header_key("\"\"", key) && !header_key("a b", key) && !header_key("a\"b", key));
	CHECK(!header_key("a\\b", key) && !header_key("k\xc3\xa4", key) && !header_key("\"", key));
	memset(longest, 'k', sizeof longest);
	longest[HEADER_KEY_MAX + 1] = '\0';
	CHECK(!header_key(longest, key));
	longest[HEADER_KEY_MAX] = '\0';
	CHECK(header_key(longest, key));
}

static bool
leaves(const char *name, int status, bool sandbox)
{
	return header_may_leave(name, strlen(name), status, sandbox);
}

TEST(answers_cannot_command_the_web_server)
{
	static const char *const never[] = { "Connection", "keep-alive", "TRANSFER-ENCODING", "Status", "X-Sendfile",
		"X-Sendfile2", "X-Accel-Redirect", "x-accel-buffering", "X-LIGHTTPD-Send-File", "X-Litespeed-Location",
		"Proxy-Authenticate", "Upgrade", "At-Run-Job", "Content-Length", "Trailer", NULL };
	size_t i;

	for (i = 0; never[i] != NULL; i++) {
		CHECK(!leaves(never[i], 200, false));
		CHECK(!leaves(never[i], 302, true));
	}
	CHECK(leaves("Content-Type", 200, true));
	CHECK(leaves("Cache-Control", 200, true));
	CHECK(leaves("WWW-Authenticate", 401, true));
	CHECK(leaves("Access-Control-Allow-Origin", 200, true));
	CHECK(leaves("Content-Security-Policy", 200, true));
}

TEST(location_is_for_redirects_only)
{
	CHECK(leaves("Location", 302, true));
	CHECK(leaves("location", 201, true));
	CHECK(!leaves("Location", 200, true));
	CHECK(!leaves("LOCATION", 404, false));
}

TEST(answers_cannot_speak_for_the_shared_origin)
{
	CHECK(!leaves("Set-Cookie", 200, true));
	CHECK(!leaves("Clear-Site-Data", 200, true));
	CHECK(!leaves("Service-Worker-Allowed", 200, true));
	CHECK(!leaves("strict-transport-security", 200, true));
	CHECK(leaves("Set-Cookie", 200, false));
}

static bool
answer(const char *json, bool keep_length, const char *want, bool has_length)
{
	struct reply r = REPLY_INIT;
	bool ok = header_answer(json, true, keep_length, &r);

	if (ok) {
		CHECK_STR(r.head.data != NULL ? r.head.data : "", want);
		CHECK_INT(r.has_length, has_length);
	}
	reply_clear(&r);
	return ok;
}

TEST(answer_headers_are_read_and_filtered)
{
	CHECK(answer("[]", false, "", false));
	CHECK(answer("[[\"content-type\",\"text/html\"],[\"x\",\"a\\\"b\\\\\\/\\u00e4\\u20ac\"]]", false,
	    "content-type: text/html\r\nx: a\"b\\/\xc3\xa4\xe2\x82\xac\r\n", false));
	CHECK(answer("[[\"x\",\"a\\r\\nb: c\"],[\"y\",\"\\u0000\"],[\"z\",\"\\ud800\"],[\"a b\",\"c\"],[\"k\",\"v\"]]", false,
	    "k: v\r\n", false));
	CHECK(answer("[[\"content-length\",\"12\"]]", false, "", false));
	CHECK(answer("[[\"Content-Length\",\"12\"]]", true, "Content-Length: 12\r\n", true));
	CHECK(answer("[[\"content-length\",\"1x\"]]", true, "", false));
}

TEST(answer_headers_that_are_no_list_of_pairs_are_refused)
{
	static const char *const bad[] = { "", "{}", "[", "[[", "[[\"a\"]]", "[[\"a\",\"b\"", "[[\"a\",\"b\"]", "[\"a\",\"b\"]",
		"[[\"a\",1]]", "[[\"a\",\"b\"]]x", "[[\"a\",\"\\x\"]]", "[[\"a\",\"\\u00\"]]", "[[\"a\",\"b", NULL };
	size_t i;

	for (i = 0; bad[i] != NULL; i++)
		CHECK(!answer(bad[i], false, "", false));
	CHECK(!answer(NULL, false, "", false));
}

TEST(prefer_is_read_as_rfc_7240_says)
{
	static const struct {
		const char *value;
		bool async;
		int wait;
	} rows[] = {
		{ NULL, false, -1 }, { "", false, -1 }, { "respond-async", true, -1 }, { "Respond-Async, wait=5", true, 5 },
		{ "wait=10; foo, respond-async", true, 10 }, { "return=minimal", false, -1 },
		{ "respond-asynchronous", false, -1 }, { "respond-async ;x=y", true, -1 }, { "wait=x", false, -1 },
	};
	size_t i;

	for (i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct prefer p;

		header_prefer(rows[i].value, &p);
		CHECK_INT(p.async, rows[i].async);
		CHECK_INT(p.wait_s, rows[i].wait);
	}
}

TEST(hosts_are_checked_before_they_stand_in_a_url)
{
	static const char *const good[] = { "a", "runner.example.com", "localhost:3000", "127.0.0.1", "[::1]", "[::1]:80", NULL };
	static const char *const bad[] = { "", "a b", "a/b", "a@b", "a:", "a:x", "a:123456", "[::1", "[]", "a?b", ".a", "[x]",
		"[::1]x", "a\r\nb", NULL };
	size_t i;

	for (i = 0; good[i] != NULL; i++)
		CHECK(header_host_ok(good[i]));
	for (i = 0; bad[i] != NULL; i++)
		CHECK(!header_host_ok(bad[i]));
	CHECK(!header_host_ok(NULL));
}

TEST(methods_are_short_tokens)
{
	CHECK(header_method_ok("GET"));
	CHECK(header_method_ok("QUERY"));
	CHECK(header_method_ok("M-SEARCH"));
	CHECK(!header_method_ok(""));
	CHECK(!header_method_ok("GE T"));
	CHECK(!header_method_ok("GET\n"));
	CHECK(header_method_ok("ABCDEFGHIJKLMNOP"));
	CHECK(!header_method_ok("ABCDEFGHIJKLMNOPQ"));
}

TEST(browsers_get_html_and_programs_json)
{
	CHECK(header_wants_html("text/html,application/xhtml+xml,*/*;q=0.8"));
	CHECK(!header_wants_html("*/*"));
	CHECK(!header_wants_html(NULL));
	CHECK(!header_wants_html("application/json, text/html"));
}
