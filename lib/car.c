#include "lib/car.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cbor.h"
#include "lib/err.h"
#include "lib/mem.h"

#define VARINT_MAX  9 /* bytes: 63 bits, as the multiformats allow */
#define VERSION     1
#define KEY_ROOTS   "roots"
#define KEY_VERSION "version"

struct block {
	struct cid id;
	const uint8_t *p;
	size_t n;
};

struct car {
	struct cid root[CAR_ROOTS_MAX];
	size_t roots;
	struct block *block; /* sorted by CID, each once */
	size_t blocks, room;
};

static int
malformed(struct err *e, const uint8_t *from, const uint8_t *at, const char *what)
{
	return err_named(e, ERR_REMOTE, "CarMalformed", "CAR at byte %zu: %s", (size_t)(at - from), what);
}

/* Unsigned LEB128 in its shortest form: NULL and *v, or what is wrong. */
static const char *
varint_read(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < VARINT_MAX; i++) {
		if (*p + i == end)
			return "the bytes end inside a length";
		sum |= (uint64_t)((*p)[i] & 0x7f) << (7 * i);
		if ((*p)[i] & 0x80)
			continue;
		if (i > 0 && (*p)[i] == 0)
			return "a length is not in its shortest form";
		*p += i + 1;
		*v = sum;
		return NULL;
	}
	return "a length has over 9 bytes";
}

static const char *
roots_read(struct car *c, struct cbor *at, const struct cbor_item *list)
{
	struct cbor_item it;
	size_t i;

	if (list->kind != CBOR_LIST)
		return "roots are not a list";
	if (list->n > CAR_ROOTS_MAX)
		return "over 8 roots";
	for (i = 0; i < list->n; i++) {
		if (!cbor_next(at, &it) || it.kind != CBOR_LINK)
			return "a root is not a link";
		c->root[c->roots++] = it.link;
	}
	return NULL;
}

static const char *
head_read(struct car *c, const uint8_t *p, size_t n)
{
	struct cbor at = cbor_at(p, n);
	struct cbor_item map, key, value;
	const char *why;

	if (cbor_check(p, n, NULL) != 0 || !cbor_next(&at, &map) || map.kind != CBOR_MAP || map.n != 2)
		return "the head is not a map of roots and version";
	if (!cbor_pair(&at, &key, &value) || !cbor_is(&key, KEY_ROOTS))
		return "the head has no roots";
	why = roots_read(c, &at, &value);
	if (why != NULL)
		return why;
	if (!cbor_pair(&at, &key, &value) || !cbor_is(&key, KEY_VERSION) || value.kind != CBOR_NUMBER ||
	    value.number != VERSION)
		return "not CAR version 1";
	return NULL;
}

static int
block_read(struct car *c, const uint8_t *from, const uint8_t *p, size_t n, struct err *e)
{
	struct block b;
	struct cid real;
	char said[CID_TEXT + 1];

	if (n < CID_BYTES || cid_read(&b.id, p, CID_BYTES, NULL) != 0)
		return malformed(e, from, p, "a block has no CID of dag-cbor or raw and sha-256");
	b.p = p + CID_BYTES;
	b.n = n - CID_BYTES;
	if (b.n > CAR_BLOCK_BYTES_MAX)
		return err_named(e, ERR_REMOTE, "CarTooLarge", "CAR: a block of %zu bytes is over the limit of %u", b.n,
		    CAR_BLOCK_BYTES_MAX);
	if (c->blocks == CAR_BLOCKS_MAX)
		return err_named(e, ERR_REMOTE, "CarTooLarge", "CAR: over %d blocks", CAR_BLOCKS_MAX);
	cid_of_bytes(&real, b.id.codec, b.p, b.n);
	if (!cid_equal(&real, &b.id)) {
		cid_print(&b.id, said);
		return err_named(e, ERR_REMOTE, "BlockHashMismatch", "CAR: the bytes of block %s hash to something else",
		    said);
	}
	if (c->blocks == c->room) {
		c->room = c->room == 0 ? 32 : c->room * 2;
		c->block = mem_grow(c->block, c->room * sizeof *c->block);
	}
	c->block[c->blocks++] = b;
	return 0;
}

static int
cid_order(const struct cid *a, const struct cid *b)
{
	if (a->codec != b->codec)
		return a->codec < b->codec ? -1 : 1;
	return memcmp(a->digest, b->digest, sizeof a->digest);
}

static int
block_order(const void *a, const void *b)
{
	return cid_order(&((const struct block *)a)->id, &((const struct block *)b)->id);
}

static void
index_build(struct car *c)
{
	size_t i, kept = 0;

	if (c->blocks == 0)
		return;
	qsort(c->block, c->blocks, sizeof *c->block, block_order);
	for (i = 1; i < c->blocks; i++)
		if (block_order(&c->block[kept], &c->block[i]) != 0)
			c->block[++kept] = c->block[i];
	c->blocks = kept + 1;
}

/* The next length and that many bytes. */
static const char *
section_read(const uint8_t **p, const uint8_t *end, uint64_t *n)
{
	const char *why = varint_read(p, end, n);

	if (why != NULL)
		return why;
	if (*n > (uint64_t)(end - *p))
		return "a length is beyond the end";
	return NULL;
}

static int
sections_read(struct car *c, const uint8_t *from, const uint8_t *end, struct err *e)
{
	const uint8_t *p = from;
	uint64_t n;
	const char *why = section_read(&p, end, &n);

	if (why == NULL)
		why = head_read(c, p, (size_t)n);
	if (why != NULL)
		return malformed(e, from, p, why);
	p += n;
	while (p < end) {
		why = section_read(&p, end, &n);
		if (why != NULL)
			return malformed(e, from, p, why);
		if (block_read(c, from, p, (size_t)n, e) != 0)
			return -1;
		p += n;
	}
	return 0;
}

int
car_open(struct car **out, const uint8_t *p, size_t n, struct err *e)
{
	struct car *c = NULL;
	int rc = -1;

	if (n > CAR_BYTES_MAX)
		return err_named(e, ERR_REMOTE, "CarTooLarge", "CAR: %zu bytes are over the limit of %u", n, CAR_BYTES_MAX);
	if (n == 0)
		return err_named(e, ERR_REMOTE, "CarMalformed", "CAR: no bytes");
	c = mem_alloc(sizeof *c);
	if (sections_read(c, p, p + n, e) != 0)
		goto out;
	index_build(c);
	*out = c;
	c = NULL;
	rc = 0;
out:
	car_free(c);
	return rc;
}

void
car_free(struct car *c)
{
	if (c == NULL)
		return;
	free(c->block);
	free(c);
}

size_t
car_roots(const struct car *c)
{
	return c->roots;
}

const struct cid *
car_root(const struct car *c, size_t i)
{
	return &c->root[i];
}

size_t
car_blocks(const struct car *c)
{
	return c->blocks;
}

const uint8_t *
car_block(const struct car *c, const struct cid *id, size_t *n)
{
	struct block want = { .id = *id };
	const struct block *b = c->blocks == 0 ? NULL
	    : bsearch(&want, c->block, c->blocks, sizeof want, block_order);

	if (b == NULL)
		return NULL;
	*n = b->n;
	return b->p;
}

static void
varint_put(struct buf *out, uint64_t v)
{
	while (v >= 0x80) {
		buf_char(out, (char)(v | 0x80));
		v >>= 7;
	}
	buf_char(out, (char)v);
}

void
car_put_head(struct buf *out, const struct cid *root)
{
	struct buf head = BUF_INIT;

	cbor_put_map(&head, 2);
	cbor_put_text(&head, KEY_ROOTS, strlen(KEY_ROOTS));
	cbor_put_list(&head, 1);
	cbor_put_link(&head, root);
	cbor_put_text(&head, KEY_VERSION, strlen(KEY_VERSION));
	cbor_put_number(&head, VERSION);
	varint_put(out, head.len);
	buf_add(out, head.data, head.len);
	buf_clear(&head);
}

void
car_put_block(struct buf *out, const struct cid *id, const void *p, size_t n)
{
	uint8_t raw[CID_BYTES];

	cid_write(id, raw);
	varint_put(out, CID_BYTES + n);
	buf_add(out, raw, sizeof raw);
	buf_add(out, p, n);
}
