/*
 * Blocks for fuzz targets whose input must hash to its own names.  The input is cut into blocks (two bytes of length, then
 * that many bytes).  A link in a block whose digest begins with four bytes 0xff and then a number stands for the block of
 * that number, which must come later; it is replaced by that block's real digest.  So a fuzzer can grow whole trees.
 */
#ifndef TESTS_FUZZ_TREES_H
#define TESTS_FUZZ_TREES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/car.h"

#define TREES_BLOCKS 64

struct trees {
	struct cid id[TREES_BLOCKS]; /* the first block is the root */
	size_t at[TREES_BLOCKS], len[TREES_BLOCKS], n;
	uint8_t bytes[8192];
};

static void
trees_link(struct trees *t, size_t block)
{
	static const uint8_t head[] = { 0x01, 0x71, 0x12, 0x20, 0xff, 0xff, 0xff, 0xff };
	uint8_t *p = t->bytes + t->at[block], *end = p + t->len[block];

	for (; end - p >= 4 + 32; p++)
		if (memcmp(p, head, sizeof head) == 0 && p[8] > block && p[8] < t->n)
			memcpy(p + 4, t->id[p[8]].digest, 32);
}

/* false: the input is too long. */
static bool
trees_fill(struct trees *t, const uint8_t *p, size_t n)
{
	size_t i;

	if (n > sizeof t->bytes)
		return false;
	t->n = 0;
	if (n > 0)
		memcpy(t->bytes, p, n);
	for (i = 0; i + 2 <= n && t->n < TREES_BLOCKS; t->n++) {
		size_t len = (size_t)p[i] << 8 | p[i + 1];

		t->at[t->n] = i + 2;
		t->len[t->n] = len < n - i - 2 ? len : n - i - 2;
		i += 2 + t->len[t->n];
	}
	for (i = t->n; i-- > 0;) {
		trees_link(t, i);
		cid_of_bytes(&t->id[i], CID_DAG_CBOR, t->bytes + t->at[i], t->len[i]);
	}
	return true;
}

static void
trees_blocks(const struct trees *t, struct buf *out)
{
	size_t i;

	for (i = 0; i < t->n; i++)
		car_put_block(out, &t->id[i], t->bytes + t->at[i], t->len[i]);
}

#endif
