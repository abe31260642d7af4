/* CAR files: arbitrary bytes, and arbitrary blocks under their right names, all of which must then be found. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "tests/fuzz/trees.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
open_raw(const uint8_t *data, size_t n)
{
	struct car *c = NULL;
	size_t i, len;

	if (car_open(&c, data, n, NULL) != 0)
		return;
	for (i = 0; i < car_roots(c); i++)
		if (car_block(c, car_root(c, i), &len) != NULL && len > n)
			abort();
	car_free(c);
}

static void
open_named(const uint8_t *data, size_t n)
{
	static struct trees t;
	struct buf b = BUF_INIT;
	struct car *c = NULL;
	size_t i, len;

	if (!trees_fill(&t, data, n) || t.n == 0)
		return;
	car_put_head(&b, &t.id[0]);
	trees_blocks(&t, &b);
	if (car_open(&c, (uint8_t *)b.data, b.len, NULL) != 0)
		abort();
	for (i = 0; i < t.n; i++) {
		const uint8_t *p = car_block(c, &t.id[i], &len);

		if (p == NULL || len != t.len[i] || memcmp(p, t.bytes + t.at[i], len) != 0)
			abort();
	}
	car_free(c);
	buf_clear(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	open_raw(data, n);
	open_named(data, n);
	return 0;
}
