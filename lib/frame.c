#include "lib/frame.h"

#include <assert.h>

#include "lib/buf.h"
#include "lib/err.h"

static void
put32(unsigned char *p, uint32_t v)
{
	p[0] = (unsigned char)(v >> 24);
	p[1] = (unsigned char)(v >> 16);
	p[2] = (unsigned char)(v >> 8);
	p[3] = (unsigned char)v;
}

static uint32_t
get32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void
frame_add(struct buf *to, enum frame_kind kind, bool last, uint32_t call, const void *p, size_t n)
{
	unsigned char head[FRAME_HEAD_BYTES] = { 0 };

	assert(n <= FRAME_MAX);
	head[0] = (unsigned char)kind;
	head[1] = last ? FRAME_LAST : 0;
	put32(head + 4, call);
	put32(head + 8, (uint32_t)n);
	buf_room(to, n + sizeof head);
	buf_add(to, head, sizeof head);
	buf_add(to, p, n);
}

void
frame_add_credit(struct buf *to, uint32_t call, uint32_t bytes)
{
	unsigned char number[4];

	put32(number, bytes);
	frame_add(to, FRAME_CREDIT, false, call, number, sizeof number);
}

int64_t
frame_number(const struct frame *f)
{
	return f->length == 4 ? (int64_t)get32((const unsigned char *)f->data) : -1;
}

/* STAYS goes with the LAST of an answer only. */
static bool
flags_ok(unsigned kind, unsigned flags)
{
	if (flags <= FRAME_LAST)
		return true;
	return flags == (FRAME_LAST | FRAME_STAYS) && (kind == FRAME_HEAD || kind == FRAME_BODY || kind == FRAME_ERROR);
}

void
frame_add_body(struct buf *to, enum frame_kind kind, uint32_t call, const void *p, size_t n)
{
	const char *at = p;

	do {
		size_t part = n < FRAME_MAX ? n : FRAME_MAX;
		frame_add(to, kind, part == n, call, at, part);
		at += part;
		n -= part;
	} while (n > 0);
}

long
frame_next(const char *p, size_t n, struct frame *f, struct err *e)
{
	const unsigned char *h = (const unsigned char *)p;
	uint32_t length;

	if (n < 1)
		return 0;
	if (h[0] < FRAME_HELLO || h[0] > FRAME_DONE)
		return err_set(e, ERR_INPUT, "frame of unknown kind %u", h[0]);
	if (n < FRAME_HEAD_BYTES)
		return 0;
	if (!flags_ok(h[0], h[1]) || h[2] != 0 || h[3] != 0)
		return err_set(e, ERR_INPUT, "frame with unknown flags");
	length = get32(h + 8);
	if (length > FRAME_MAX)
		return err_set(e, ERR_INPUT, "frame of %u bytes, more than %u", length, FRAME_MAX);
	if (n < FRAME_HEAD_BYTES + (size_t)length)
		return 0;
	f->kind = (enum frame_kind)h[0];
	f->last = (h[1] & FRAME_LAST) != 0;
	f->stays = (h[1] & FRAME_STAYS) != 0;
	f->call = get32(h + 4);
	f->data = p + FRAME_HEAD_BYTES;
	f->length = length;
	return FRAME_HEAD_BYTES + (long)length;
}
