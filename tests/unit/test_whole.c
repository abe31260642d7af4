/* Requests that come whole over FastCGI, as bytes. */
#include <stdlib.h>
#include <string.h>

#include "fcgi/whole.h"
#include "lib/buf.h"
#include "tests/t.h"

static void
record(struct buf *b, int type, int id, const void *p, size_t n, int padding)
{
	unsigned char head[8] = { 1, (unsigned char)type, (unsigned char)(id >> 8), (unsigned char)id, (unsigned char)(n >> 8),
		(unsigned char)n, (unsigned char)padding, 0 };

	buf_add(b, head, sizeof head);
	buf_add(b, p, n);
	buf_add(b, "\0\0\0\0\0\0\0", (size_t)padding);
}

#define RECORD(type, id, text, padding) record(&b, type, id, text, sizeof text - 1, padding)

TEST(a_whole_request_is_read)
{
	static const char params[] = "\4\3NAMEone\3\0\101\102\103\1\200\0\0\5Xhello";
	struct buf b = BUF_INIT;
	struct whole w = { 0 };
	size_t n;

	RECORD(1, 258, "\0\1\1\0\0\0\0\0", 0);
	RECORD(4, 258, params, 5);
	RECORD(4, 258, "", 0);
	RECORD(5, 258, "{\"a\":", 3);
	RECORD(5, 258, "\0}", 0);
	RECORD(5, 258, "", 0);
	CHECK(whole_parse(&w, b.data, b.len));
	CHECK(w.keep);
	CHECK_INT(w.id, 258);
	CHECK_STR(w.env[0], "NAME=one");
	CHECK_STR(w.env[1], "ABC=");
	CHECK_STR(w.env[2], "X=hello");
	CHECK(w.env[3] == NULL);
	CHECK_INT(w.body_bytes, 7);
	CHECK(memcmp(w.body, "{\"a\":\0}", 8) == 0);
	whole_clear(&w);
	/* Cut anywhere, it is none. */
	for (n = 0; n < b.len; n++)
		CHECK(!whole_parse(&w, b.data, n));
	/* And none with anything after it. */
	RECORD(2, 258, "", 0);
	CHECK(!whole_parse(&w, b.data, b.len));
	buf_clear(&b);
}

TEST(what_is_not_plain_is_left_to_libfcgi)
{
	static const struct {
		const char *what, *begin, *params;
		size_t n;
		int id;
	} rows[] = {
		{ "another role", "\0\2\0\0\0\0\0\0", "\1\1ab", 4, 1 },
		{ "no parameters", "\0\1\0\0\0\0\0\0", "", 0, 1 },
		{ "a name that breaks off", "\0\1\0\0\0\0\0\0", "\5\1ab", 4, 1 },
		{ "a length that breaks off", "\0\1\0\0\0\0\0\0", "\1\1ab\200\0\0", 7, 1 },
		{ "a length beyond everything", "\0\1\0\0\0\0\0\0", "\377\377\377\377\377\377\377\377ab", 10, 1 },
		{ "a byte 0 in a name", "\0\1\0\0\0\0\0\0", "\2\1a\0b", 5, 1 },
		{ "a byte 0 in a value", "\0\1\0\0\0\0\0\0", "\1\2a\0b", 5, 1 },
		{ "another request's records", "\0\1\0\0\0\0\0\0", "\1\1ab", 4, 2 },
	};
	size_t i;

	for (i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct buf b = BUF_INIT;
		struct whole w = { 0 };

		record(&b, 1, 1, rows[i].begin, 8, 0);
		record(&b, 4, rows[i].id, rows[i].params, rows[i].n, 0);
		record(&b, 4, rows[i].id, "", 0, 0);
		record(&b, 5, rows[i].id, "", 0, 0);
		if (whole_parse(&w, b.data, b.len))
			t_check(false, rows[i].what, __FILE__, __LINE__);
		buf_clear(&b);
	}
}

TEST(an_answer_goes_out_in_records)
{
	struct whole w = { .id = 1 };
	struct buf b = BUF_INIT;
	char *long_one = calloc(1, 70000);

	whole_put(&w, &b, "hi", 2);
	whole_end(&w, &b);
	CHECK_INT(b.len, 8 + 2 + 8 + 16);
	CHECK(memcmp(b.data, "\1\6\0\1\0\2\0\0hi\1\6\0\1\0\0\0\0\1\3\0\1\0\10\0\0\0\0\0\0\0\0\0\0", b.len) == 0);
	buf_reset(&b);
	whole_put(&w, &b, long_one, 70000);
	CHECK_INT(b.len, 70000 + 16);
	CHECK(memcmp(b.data, "\1\6\0\1\377\370", 6) == 0);
	CHECK(memcmp(b.data + 8 + 65528, "\1\6\0\1\21\170", 6) == 0);
	free(long_one);
	buf_clear(&b);
}
