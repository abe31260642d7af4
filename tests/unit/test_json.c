#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "tests/t.h"

static bool
parses(const char *s, size_t n)
{
	cJSON *t = json_parse(s, n, 8, NULL);

	cJSON_Delete(t);
	return t != NULL;
}

TEST(json_takes_what_rfc_8259_takes)
{
	static const char *const good[] = { "{}", " [ ] ", "0", "-0.5e+3", "\"\"", "true", "null", "{\"a\":[1,{\"b\":null}]}",
		"\"\\u00e9\\ud83d\\ude00\\\\\\/\"", "[1,2,3]", "\"\xc3\xa9\"", "[[[[[[[[]]]]]]]]" };
	size_t i;

	for (i = 0; i < sizeof good / sizeof good[0]; i++)
		if (!parses(good[i], strlen(good[i])))
			t_check(false, good[i], __FILE__, __LINE__);
}

TEST(json_refuses_what_cjson_would_misread)
{
	static const char *const bad[] = { "", " ", "{} x", "{}{}", "01", "1.", ".5", "+1", "1e", "- 1", "nul", "True",
		"\"a\\u0000b\"", "\"\\ud800\"", "\"\\udc00\\ud800\"", "\"\\ud800\\u0041\"", "\"a\nb\"", "\"\x01\"", "\"\xff\"",
		"\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}", "{\"x\":{\"k\":1,\"j\":2,\"k\":3}}",
		"[1,]", "{\"a\":1,}", "{a:1}", "{'a':1}", "[1 2]", "1e400", "-1e999", "\"\\x41\"", "[", "{\"a\"", "\"abc",
		"[[[[[[[[[]]]]]]]]]", "// x\n{}", "\xef\xbb\xbf{}", "NaN", "Infinity", "[\f1]",
		"0.1234567890123456789012345678901234567890123456789012345678901234567" };
	size_t i;

	for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (parses(bad[i], strlen(bad[i])))
			t_check(false, bad[i], __FILE__, __LINE__);
	CHECK(!parses("{\"a\":1}\0", 8));
	CHECK(!parses("\"a\0b\"", 5));
}

TEST(json_says_where_it_went_wrong)
{
	struct err e = ERR_INIT;

	CHECK(json_parse("{\"a\":1,\"a\":2}", 13, 8, &e) == NULL);
	CHECK_INT(e.kind, ERR_INPUT);
	CHECK_STR(e.text, "JSON: the key \"a\" stands twice in one object");
	CHECK(json_parse("[1,x]", 5, 8, &e) == NULL);
	CHECK_STR(e.text, "JSON: not a value at byte 3");
}

TEST(json_members_are_found_by_exact_name_and_type)
{
	const char *s = "{\"Name\":\"x\",\"n\":7,\"f\":1.5,\"z\":null,\"t\":true,\"big\":9007199254740993}";
	cJSON *t = json_parse(s, strlen(s), 8, NULL);
	int64_t v = 42;
	bool b = false;
	const char *text = NULL;

	CHECK(json_string(t, "name") == NULL);
	CHECK_STR(json_string(t, "Name"), "x");
	CHECK(json_string(t, "n") == NULL);
	CHECK(json_member(t, "z") == NULL);
	CHECK(json_string(NULL, "x") == NULL);
	CHECK_INT(json_int(t, "absent", 0, 9, &v, NULL), 0);
	CHECK_INT(v, 42);
	CHECK_INT(json_int(t, "n", 0, 9, &v, NULL), 0);
	CHECK_INT(v, 7);
	CHECK_INT(json_int(t, "n", 8, 9, &v, NULL), -1);
	CHECK_INT(json_int(t, "f", 0, 9, &v, NULL), -1);
	CHECK_INT(json_int(t, "big", 0, INT64_MAX, &v, NULL), -1);
	CHECK_INT(json_int(t, "Name", 0, 9, &v, NULL), -1);
	CHECK_INT(json_bool(t, "t", &b, NULL), 0);
	CHECK(b);
	CHECK_INT(json_bool(t, "n", &b, NULL), -1);
	CHECK_INT(json_text(t, "Name", 0, &text, NULL), -1);
	CHECK_INT(json_text(t, "Name", 1, &text, NULL), 0);
	cJSON_Delete(t);
}

TEST(json_prints_what_it_read)
{
	const char *s = "{\"a\":[1,-2,0.5,9007199254740991,true,false,null,\"\\u007f\\\"\\\\\\n\xc3\xa9\"],\"b\":{}}";
	cJSON *t = json_parse(s, strlen(s), 8, NULL);
	struct buf out = BUF_INIT;

	json_print(t, &out);
	CHECK_STR(out.data, s);
	cJSON_Delete(t);
	buf_clear(&out);
}
