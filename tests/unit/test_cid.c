#include <stdio.h>
#include <string.h>

#include "lib/cid.h"
#include "lib/err.h"
#include "tests/t.h"

TEST(cid_of_known_bytes)
{
	struct cid c, d;
	char text[CID_TEXT + 1];
	struct cid_hash h;

	cid_of_bytes(&c, CID_RAW, "", 0);
	cid_print(&c, text);
	CHECK_STR(text, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku");
	cid_hash_init(&h);
	cid_hash_update(&h, "hello ", 6);
	cid_hash_update(&h, "world", 5);
	cid_hash_final(&h, CID_RAW, &d);
	cid_of_bytes(&c, CID_RAW, "hello world", 11);
	CHECK(cid_equal(&c, &d));
	cid_print(&c, text);
	CHECK_STR(text, "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
}

TEST(cid_reads_back_what_it_prints)
{
	static const char *const good[] = { "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm",
		"bafkreidvwcawgr5mwutzczjgteff6kf6xa5guvogprchtysj5nnc4degfa" };
	uint8_t raw[CID_BYTES];
	char text[CID_TEXT + 1];
	struct cid c, d;
	size_t i;

	for (i = 0; i < 2; i++) {
		CHECK_INT(cid_parse(&c, good[i], strlen(good[i]), NULL), 0);
		cid_print(&c, text);
		CHECK_STR(text, good[i]);
		cid_write(&c, raw);
		CHECK_INT(cid_read(&d, raw, sizeof raw, NULL), 0);
		CHECK(cid_equal(&c, &d));
	}
	CHECK_INT(c.codec, CID_RAW);
}

TEST(cid_refuses_what_it_cannot_check)
{
	static const char *const bad[] = { "", "b", "QmbWqxBEKC3P8tqsKc98xmWNzrzDtRLMiMPL8wBuTGsMnR",
		"bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi", /* dag-pb */
		"BAFKREIHDWDCEFGH4DQKJV67UZCMW7OJEE6XEDZDETOJUZJEVTENXQUVYKU",
		"bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyk",
		"bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvykua",
		"bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyk1",
		"bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvykv", /* stray bits: a second spelling */
		"zdj7WWeQ43G6JJvLWQWZpyHuAMq6uYWRjkBXFad11vE2LHhQ7" };
	struct cid c;
	size_t i;

	for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (cid_parse(&c, bad[i], strlen(bad[i]), NULL) == 0)
			t_check(false, bad[i], __FILE__, __LINE__);
}

TEST(base32_is_that_of_rfc_4648)
{
	static const char *const pairs[][2] = { { "", "" }, { "f", "my" }, { "fo", "mzxq" }, { "foo", "mzxw6" },
		{ "foob", "mzxw6yq" }, { "fooba", "mzxw6ytb" }, { "foobar", "mzxw6ytboi" } };
	char text[32];
	uint8_t back[8];
	size_t i;

	for (i = 0; i < 7; i++) {
		base32_print((const uint8_t *)pairs[i][0], strlen(pairs[i][0]), text);
		CHECK_STR(text, pairs[i][1]);
		CHECK_INT(base32_parse(text, strlen(text), back, sizeof back), strlen(pairs[i][0]));
		CHECK(memcmp(back, pairs[i][0], strlen(pairs[i][0])) == 0);
	}
	CHECK_INT(base32_parse("m", 1, back, 8), -1);
	CHECK_INT(base32_parse("mzx", 3, back, 8), -1);
	CHECK_INT(base32_parse("mz", 2, back, 8), -1);
	CHECK_INT(base32_parse("MY", 2, back, 8), -1);
	CHECK_INT(base32_parse("my======", 8, back, 8), -1);
	CHECK_INT(base32_parse("mzxw6ytboi", 10, back, 5), -1);
}
