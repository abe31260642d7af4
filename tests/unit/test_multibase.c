#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/multibase.h"
#include "tests/t.h"

static const struct {
	const char *bytes;
	size_t n;
	const char *text;
} pairs58[] = { /* the first three from the base58 draft */
	{ "Hello World!", 12, "2NEpo7TZRRrLZSi2U" },
	{ "The quick brown fox jumps over the lazy dog.", 44,
	    "USm3fpXnKG5EUBx2ndxBDMPVciP5hGey2Jh4NDv6gmeo1LkMeiKrLJUUBk6Z" },
	{ "\0\0\x28\x7f\xb4\xcd", 6, "11233QC4" },
	{ "", 0, "" },
	{ "\0", 1, "1" },
	{ "\x39", 1, "z" },
	{ "\x3a", 1, "21" },
};

TEST(base58_reads_what_it_writes)
{
	uint8_t raw[BASE58_BYTES_MAX];
	char text[BASE58_TEXT_MAX + 1];
	size_t i;

	for (i = 0; i < sizeof pairs58 / sizeof *pairs58; i++) {
		long n = base58_parse(pairs58[i].text, strlen(pairs58[i].text), raw, sizeof raw);

		CHECK_INT(n, pairs58[i].n);
		CHECK(memcmp(raw, pairs58[i].bytes, pairs58[i].n) == 0);
		n = base58_print((const uint8_t *)pairs58[i].bytes, pairs58[i].n, text, sizeof text);
		CHECK_INT(n, strlen(pairs58[i].text));
		CHECK_STR(text, pairs58[i].text);
	}
}

TEST(base58_keeps_its_bounds)
{
	uint8_t raw[BASE58_BYTES_MAX], most[BASE58_BYTES_MAX + 1];
	char text[BASE58_TEXT_MAX + 2];

	CHECK_INT(base58_parse("0", 1, raw, sizeof raw), -1);
	CHECK_INT(base58_parse("a\0b", 3, raw, sizeof raw), -1);
	CHECK_INT(base58_parse("zz", 2, raw, 1), -1);
	memset(text, 'z', sizeof text);
	CHECK_INT(base58_parse(text, BASE58_TEXT_MAX + 1, raw, sizeof raw), -1);
	CHECK_INT(base58_parse(text, BASE58_TEXT_MAX, raw, sizeof raw), -1);
	CHECK(base58_parse(text, 250, raw, sizeof raw) == BASE58_BYTES_MAX);
	memset(text, '1', sizeof text);
	CHECK_INT(base58_parse(text, BASE58_TEXT_MAX, raw, sizeof raw), -1);
	memset(most, 0xff, sizeof most);
	CHECK_INT(base58_print(most, sizeof most, text, sizeof text), -1);
	CHECK_INT(base58_print(most, BASE58_BYTES_MAX, text, sizeof text), 252);
	CHECK_INT(base58_print(most, BASE58_BYTES_MAX, text, 252), -1);
}

TEST(base64_has_one_text_for_each_run_of_bytes)
{
	static const struct {
		const char *text, *bytes; /* bytes NULL: refused */
	} cases[] = {
		{ "", "" }, { "Zg", "f" }, { "Zg==", "f" }, { "Zm8", "fo" }, { "Zm8=", "fo" }, { "Zm9v", "foo" },
		{ "+/+/", "\xfb\xff\xbf" }, { "Zg=", NULL }, { "Zm9v=", NULL }, { "Zm9v====", NULL }, { "Z", NULL },
		{ "Zh", NULL }, { "Zm9", NULL }, { "Zm 9v", NULL }, { "Zm9v\n", NULL }, { "-_-_", NULL }, { "====", NULL },
		{ "=", NULL }, { "Zg==Zg==", NULL },
	};
	struct buf out = BUF_INIT;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof *cases; i++) {
		int rc;

		buf_reset(&out);
		buf_str(&out, ">");
		rc = base64_parse(cases[i].text, strlen(cases[i].text), &out);
		CHECK_INT(rc, cases[i].bytes == NULL ? -1 : 0);
		CHECK_STR(out.data + 1, cases[i].bytes == NULL ? "" : cases[i].bytes);
		if (rc != 0 || strchr(cases[i].text, '=') != NULL)
			continue;
		rc = (int)out.len;
		base64_print((const uint8_t *)out.data + 1, out.len - 1, &out);
		CHECK_STR(out.data + rc, cases[i].text);
	}
	buf_clear(&out);
}
