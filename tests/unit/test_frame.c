#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/frame.h"
#include "lib/mem.h"
#include "tests/t.h"

TEST(a_frame_reads_back)
{
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	struct frame f;

	frame_add(&b, FRAME_HEAD, false, 7, "{}", 2);
	frame_add(&b, FRAME_BODY, true, 0xfffffffeu, "", 0);
	CHECK_INT(frame_next(b.data, b.len, &f, &e), FRAME_HEAD_BYTES + 2);
	CHECK(f.kind == FRAME_HEAD && !f.last && f.call == 7 && f.length == 2 && memcmp(f.data, "{}", 2) == 0);
	buf_drop(&b, FRAME_HEAD_BYTES + 2);
	CHECK_INT(frame_next(b.data, b.len, &f, &e), FRAME_HEAD_BYTES);
	CHECK(f.kind == FRAME_BODY && f.last && f.call == 0xfffffffeu && f.length == 0);
	buf_clear(&b);
}

TEST(an_end_may_stay_and_room_is_a_number)
{
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	struct frame f;
	char more[FRAME_HEAD_BYTES + 4] = { FRAME_MORE, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 4, 0, 1, 0, 2 };

	frame_add(&b, FRAME_BODY, true, 1, "x", 1);
	b.data[1] |= FRAME_STAYS;
	CHECK_INT(frame_next(b.data, b.len, &f, &e), FRAME_HEAD_BYTES + 1);
	CHECK(f.last && f.stays);
	CHECK_INT(frame_number(&f), -1);
	CHECK_INT(frame_next(more, sizeof more, &f, &e), (long)sizeof more);
	CHECK(f.kind == FRAME_MORE && f.call == 7 && !f.stays);
	CHECK_INT(frame_number(&f), 65538);
	buf_reset(&b);
	frame_add_credit(&b, 7, 65538);
	CHECK_INT(b.len, sizeof more);
	CHECK(b.data[0] == FRAME_CREDIT && memcmp(b.data + 1, more + 1, sizeof more - 1) == 0);
	buf_clear(&b);
}

TEST(a_frame_in_pieces_waits_for_its_end)
{
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	struct frame f;
	size_t n;

	frame_add(&b, FRAME_LOG, true, 1, "hello", 5);
	for (n = 0; n < b.len; n++) {
		/* A copy of exactly n bytes, so that a sanitizer sees a look beyond. */
		char *part = mem_dup(b.data, n);
		CHECK_INT(frame_next(part, n, &f, &e), 0);
		free(part);
	}
	CHECK_INT(frame_next(b.data, b.len, &f, &e), (long)b.len);
	buf_clear(&b);
}

TEST(a_frame_that_cannot_be_is_refused)
{
	static const struct {
		const char *what;
		unsigned char head[FRAME_HEAD_BYTES];
	} bad[] = {
		{ "kind 0", { 0 } },
		{ "a frame only the host sends", { FRAME_CALL } },
		{ "kind 255", { 255 } },
		{ "STAYS without LAST", { FRAME_BODY, 2 } },
		{ "a log that stays", { FRAME_LOG, 3 } },
		{ "unknown flag", { FRAME_BODY, 4 } },
		{ "unknown kind", { FRAME_DONE + 1 } },
		{ "all flags", { FRAME_BODY, 255 } },
		{ "third byte", { FRAME_BODY, 0, 1 } },
		{ "fourth byte", { FRAME_BODY, 0, 0, 1 } },
		{ "one byte too long", { FRAME_BODY, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1 } },
		{ "4 GiB", { FRAME_BODY, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255 } },
	};
	size_t i;

	for (i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct err e = ERR_INIT;
		struct frame f;
		if (frame_next((const char *)bad[i].head, FRAME_HEAD_BYTES, &f, &e) != -1)
			t_note("taken: %s", bad[i].what);
		CHECK_INT(frame_next((const char *)bad[i].head, FRAME_HEAD_BYTES, &f, &e), -1);
		CHECK_INT(e.kind, ERR_INPUT);
	}
}

TEST(a_frame_of_the_longest_kind_is_taken)
{
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	struct frame f;
	char *payload = mem_alloc(FRAME_MAX);

	frame_add(&b, FRAME_BODY, false, 1, payload, FRAME_MAX);
	CHECK_INT(frame_next(b.data, b.len, &f, &e), FRAME_HEAD_BYTES + (long)FRAME_MAX);
	buf_clear(&b);
	free(payload);
}

TEST(a_long_body_is_cut_into_frames_and_ends_once)
{
	static const size_t sizes[] = { 0, 1, FRAME_MAX - 1, FRAME_MAX, FRAME_MAX + 1, 3 * FRAME_MAX };
	const size_t *n;

	for (T_EACH(n, sizes)) {
		struct buf b = BUF_INIT;
		struct err e = ERR_INIT;
		struct frame f;
		char *body = mem_alloc(*n + 1);
		size_t got = 0, at = 0;
		int lasts = 0;

		memset(body, 'x', *n);
		frame_add_body(&b, FRAME_BODY, 3, body, *n);
		while (at < b.len) {
			long used = frame_next(b.data + at, b.len - at, &f, &e);
			CHECK(used > 0);
			at += (size_t)used;
			got += f.length;
			lasts += f.last;
			CHECK(f.last == (at == b.len));
		}
		CHECK_INT(got, *n);
		CHECK_INT(lasts, 1);
		buf_clear(&b);
		free(body);
	}
}
