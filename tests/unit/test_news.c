#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/mem.h"
#include "lib/news.h"
#include "tests/t.h"

static struct news
sample(const void *body, size_t n)
{
	struct news s = { .start = START_WARM, .status = 201, .created_at = 1, .admitted_at = 2, .started_at = 3, .done_at = 4,
		.cid = "bafy", .headers_json = "[]", .body = body, .body_bytes = n };

	s.id.row = 42;
	job_nonce(s.id.nonce);
	return s;
}

TEST(news_come_back_as_they_were)
{
	struct news in = sample("a\0b", 3), out;
	struct buf b = BUF_INIT;

	CHECK(news_print(&b, &in));
	CHECK(news_parse(b.data, b.len, &out));
	CHECK_INT(out.id.row, 42);
	CHECK_STR(out.id.nonce, in.id.nonce);
	CHECK_INT(out.status, 201);
	CHECK_INT(out.start, START_WARM);
	CHECK_INT(out.done_at, 4);
	CHECK_STR(out.cid, "bafy");
	CHECK_STR(out.headers_json, "[]");
	CHECK(out.body_bytes == 3 && memcmp(out.body, "a\0b", 3) == 0);
	buf_clear(&b);
}

TEST(news_that_are_too_long_stay_in_the_ledger)
{
	char *big = mem_alloc(NEWS_MAX);
	struct news in = sample(big, NEWS_MAX);
	struct buf b = BUF_INIT;

	CHECK(!news_print(&b, &in));
	CHECK_INT(b.len, 0);
	in.body_bytes = NEWS_MAX - 1024;
	CHECK(news_print(&b, &in));
	buf_clear(&b);
	free(big);
}

TEST(news_that_were_cut_or_changed_are_none)
{
	struct news in = sample("body", 4), out;
	struct buf b = BUF_INIT;
	size_t i;

	news_print(&b, &in);
	for (i = 0; i < b.len; i++)
		CHECK(!news_parse(b.data, i, &out));
	CHECK(!news_parse("!", 1, &out));
	/* Lengths that lie, one byte after the other: refused or harmless, never beyond the datagram. */
	for (i = 0; i < 24; i++) {
		char old = b.data[i];

		b.data[i] = (char)0xff;
		if (news_parse(b.data, b.len, &out))
			CHECK((const char *)out.body + out.body_bytes == b.data + b.len);
		b.data[i] = old;
	}
	buf_clear(&b);
}
