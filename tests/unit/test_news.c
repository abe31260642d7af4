#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/mem.h"
#include "lib/news.h"
#include "tests/t.h"

static struct news
sample(const void *body, size_t n)
{
	struct news s = { .kind = NEWS_ANSWER, .start = START_WARM, .status = 201, .created_at = 1, .admitted_at = 2, .started_at = 3, .done_at = 4,
		.cid = "bafy", .headers_json = "[]", .body = body, .body_bytes = n };

	s.id.row = 42;
	job_nonce(s.id.nonce);
	return s;
}

static const char *
t_news(struct buf *b, const struct news *in, size_t *n)
{
	CHECK(news_print(b, in));
	*n = b->len;
	return b->data;
}

TEST(news_of_many_jobs_share_a_bell)
{
	struct news in = sample("one", 3), out;
	struct buf b = BUF_INIT;
	const char *p;
	size_t n;
	int i;

	CHECK(news_print(&b, &in));
	in = (struct news){ .kind = NEWS_LOOK, .id.row = 43 };
	CHECK(news_print(&b, &in));
	in = (struct news){ .kind = NEWS_ADMITTED, .id.row = 44, .admitted_at = 7 };
	CHECK(news_print(&b, &in));
	p = b.data;
	n = b.len;
	for (i = 0; news_next(&p, &n, &out); i++)
		CHECK_INT(out.id.row, 42 + i);
	CHECK_INT(i, 3);
	CHECK_INT(n, 0);
	CHECK_INT(out.kind, NEWS_ADMITTED);
	CHECK_INT(out.admitted_at, 7);
	buf_clear(&b);
}

TEST(news_come_back_as_they_were)
{
	struct news in = sample("a\0b", 3), out;
	struct buf b = BUF_INIT;
	const char *p;
	size_t n;

	p = t_news(&b, &in, &n);
	CHECK(news_next(&p, &n, &out));
	CHECK_INT(n, 0);
	CHECK_INT(out.kind, NEWS_ANSWER);
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

static bool
reads(const char *p, size_t n, struct news *out)
{
	return news_next(&p, &n, out);
}

TEST(news_that_were_cut_or_changed_are_none)
{
	struct news in = sample("body", 4), out;
	struct buf b = BUF_INIT;
	size_t i;

	news_print(&b, &in);
	for (i = 0; i < b.len; i++)
		CHECK(!reads(b.data, i, &out));
	CHECK(!reads("!", 1, &out));
	/* Lengths that lie, one byte after the other: refused or harmless, never beyond the datagram. */
	for (i = 0; i < 32; i++) {
		char old = b.data[i];

		b.data[i] = (char)0xff;
		if (reads(b.data, b.len, &out))
			CHECK((const char *)out.body + out.body_bytes == b.data + b.len);
		b.data[i] = old;
	}
	buf_clear(&b);
}
