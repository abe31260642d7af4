#include "tests/t.h"

#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "scheduler/collect.h"

static int
head(const char *json, char **headers, int *status, struct err *e)
{
	return collect_head(json, strlen(json), 65536, status, headers, e);
}

TEST(a_head_becomes_status_and_headers_in_lower_case)
{
	struct err e = ERR_INIT;
	char *h = NULL;
	int status = 0;

	CHECK_INT(head("{\"status\":201,\"headers\":[[\"Content-Type\",\"text/plain\"],[\"x\",\"\"]]}", &h, &status, &e), 0);
	CHECK_INT(status, 201);
	CHECK_STR(h, "[[\"content-type\",\"text/plain\"],[\"x\",\"\"]]");
	free(h);
}

TEST(a_head_that_http_does_not_allow_is_refused)
{
	static const char *const bad[] = { "{\"status\":199,\"headers\":[]}", "{\"status\":600,\"headers\":[]}",
		"{\"status\":\"200\",\"headers\":[]}", "{\"headers\":[]}", "{\"status\":200}", "{\"status\":200,\"headers\":{}}",
		"{\"status\":200,\"headers\":[[\"a b\",\"c\"]]}", "{\"status\":200,\"headers\":[[\"\",\"c\"]]}",
		"{\"status\":200,\"headers\":[[\"a\",\"c\\r\\nset-cookie: x\"]]}",
		"{\"status\":200,\"headers\":[[\"a\\n\",\"c\"]]}", "{\"status\":200,\"headers\":[[\"a\",1]]}",
		"{\"status\":200,\"headers\":[[\"a\"]]}", "{\"status\":200,\"headers\":[[\"a\",\"b\",\"c\"]]}",
		"{\"status\":200,\"headers\":[[\"a\",\"\\u0000\"]]}", "[]", "", "{\"status\":200,\"headers\":[]} x" };
	size_t i;

	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct err e = ERR_INIT;
		char *h = NULL;
		int status;

		CHECK_INT(head(bad[i], &h, &status, &e), -1);
		CHECK(e.text[0] != '\0' && h == NULL);
	}
}

TEST(a_head_over_its_limit_names_the_key)
{
	const char *json = "{\"status\":200,\"headers\":[[\"a\",\"0123456789\"]]}";
	struct err e = ERR_INIT;
	char *h = NULL;
	int status;

	CHECK_INT(collect_head(json, strlen(json), 16, &status, &h, &e), -1);
	CHECK(strstr(e.text, "limits.header = 16") != NULL);
}

TEST(an_error_of_the_bundle_says_name_message_and_where)
{
	const char *json = "{\"name\":\"TypeError\",\"message\":\"x is not a function\",\"where\":\"main.js:3:9\"}";
	const char *odd = "{\"name\":\"<b>\\n\",\"message\":\"m\"}";
	struct err why = ERR_INIT, e = ERR_INIT;

	CHECK_INT(collect_error(json, strlen(json), &why, &e), 0);
	CHECK_STR(why.name, "TypeError");
	CHECK_STR(why.text, "x is not a function (main.js:3:9)");
	CHECK_INT(collect_error(odd, strlen(odd), &why, &e), 0);
	CHECK_STR(why.name, "b");
}

TEST(three_things_never_share_an_outcome)
{
	/* refused: nobody's fault but the asker's or another server's; lost: ours. */
	static const enum err_kind refused[] = { ERR_INPUT, ERR_DENIED, ERR_NOTFOUND, ERR_BUSY, ERR_REMOTE, ERR_TIMEOUT };
	size_t i;

	for (i = 0; i < sizeof refused / sizeof refused[0]; i++)
		CHECK_INT(collect_outcome(refused[i]), OUTCOME_REFUSED);
	CHECK_INT(collect_outcome(ERR_INTERNAL), OUTCOME_LOST);
}

TEST(a_limit_is_told_with_its_key_and_value)
{
	char out[64];

	collect_limit_ms("limits.timeout", 30000, out, sizeof out);
	CHECK_STR(out, "limits.timeout = 30s");
	collect_limit_bytes("limits.response", 6 << 20, out, sizeof out);
	CHECK_STR(out, "limits.response = 6M");
}

TEST(hello_of_another_protocol_is_refused)
{
	const char *ok = "{\"protocol\":1,\"runtime\":\"node\",\"version\":\"v20\"}", *bad = "{\"protocol\":2}";
	struct err e = ERR_INIT;
	char *version = NULL;

	CHECK_INT(collect_hello(ok, strlen(ok), &version, &e), 0);
	CHECK_STR(version, "v20");
	free(version);
	CHECK_INT(collect_hello(bad, strlen(bad), &version, &e), -1);
}
