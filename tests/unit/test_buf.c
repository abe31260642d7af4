#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/mem.h"
#include "tests/t.h"

TEST(buf_grows_and_stays_terminated)
{
	struct buf b = BUF_INIT;
	int i;

	for (i = 0; i < 10000; i++) {
		buf_char(&b, (char)('a' + i % 26));
		CHECK(b.data[b.len] == '\0');
	}
	CHECK_INT(b.len, 10000);
	buf_fmt(&b, "%s-%d", "end", 7);
	CHECK_STR(b.data + 10000, "end-7");
	buf_clear(&b);
	CHECK(b.data == NULL && b.len == 0);
}

TEST(buf_drops_from_the_front)
{
	struct buf b = BUF_INIT;

	buf_str(&b, "hello world");
	buf_drop(&b, 6);
	CHECK_STR(b.data, "world");
	buf_drop(&b, 99);
	CHECK_INT(b.len, 0);
	buf_drop(&b, 0);
	buf_reset(&b);
	buf_clear(&b);
}

TEST(buf_take_hands_over_even_nothing)
{
	struct buf b = BUF_INIT;
	char *p = buf_take(&b);

	CHECK_STR(p, "");
	free(p);
	buf_str(&b, "x");
	p = buf_take(&b);
	CHECK_STR(p, "x");
	CHECK(b.data == NULL);
	free(p);
}

TEST(buf_json_makes_every_byte_harmless)
{
	static const struct {
		const char *in;
		size_t n;
		const char *out;
	} table[] = {
		{ "", 0, "\"\"" },
		{ "a\"b\\c", 5, "\"a\\\"b\\\\c\"" },
		{ "\n\r\t\0\x1f\x7f", 6, "\"\\n\\u000d\\u0009\\u0000\\u001f\\u007f\"" },
		{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"" },
		{ "\xff", 1, "\"\xef\xbf\xbd\"" },
		{ "\xc0\x80", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ "\xed\xa0\x80x", 4, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx\"" },
		{ "\xe2\x82", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ "</script>", 9, "\"</script>\"" },
	};
	size_t i;

	for (i = 0; i < sizeof table / sizeof *table; i++) {
		struct buf b = BUF_INIT;
		buf_json(&b, table[i].in, table[i].n);
		CHECK_STR(b.data, table[i].out);
		buf_clear(&b);
	}
}

TEST(buf_json_null)
{
	struct buf b = BUF_INIT;

	buf_json_str(&b, NULL);
	CHECK_STR(b.data, "null");
	buf_clear(&b);
}
