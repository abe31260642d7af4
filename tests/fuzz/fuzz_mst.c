/* Trees: one node of arbitrary bytes, and trees of arbitrary nodes that are looked through for keys of several depths. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "lib/mst.h"
#include "tests/fuzz/trees.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct last {
	uint8_t key[MST_KEY_MAX];
	size_t n;
};

static int
ascending(void *arg, const struct mst_entry *entry, struct err *e)
{
	struct last *l = arg;
	size_t both = mst_prefix(l->key, l->n, entry->key, entry->n);

	(void)e;
	if (both == entry->n || (both < l->n && entry->key[both] < l->key[both]) ||
	    !mst_key_ok((const char *)entry->key, entry->n))
		abort();
	memcpy(l->key, entry->key, entry->n);
	l->n = entry->n;
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const keys[] = { "A0/374913", "C1/438573", "D2/269196", "E3/391311", "F4/789697", "a/b" };
	static struct trees t;
	struct last last = { .n = 0 };
	struct buf b = BUF_INIT;
	struct car *c = NULL;
	struct mst_found f;
	struct mst_node node;
	size_t i;

	(void)mst_node_read(data, n, &node, ascending, &last, NULL);
	if (!trees_fill(&t, data, n) || t.n == 0)
		return 0;
	car_put_head(&b, &t.id[0]);
	trees_blocks(&t, &b);
	if (car_open(&c, (uint8_t *)b.data, b.len, NULL) != 0)
		abort();
	for (i = 0; i < sizeof keys / sizeof *keys; i++)
		if (mst_find(c, &t.id[0], keys[i], strlen(keys[i]), &f, NULL) == 0 && f.nodes < 1)
			abort();
	car_free(c);
	buf_clear(&b);
	return 0;
}
