/*
 * One head decoder serves the check and the cursor, so that the two cannot disagree on where a value ends.  The check
 * keeps its own small stack instead of recursing: depth is a stranger's choice.
 */
#include "lib/cbor.h"

#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/utf8.h"

enum major { UNSIGNED, NEGATIVE, BYTES, TEXT, LIST, MAP, TAG, SIMPLE };
#define TAG_CID 42

const char *
cbor_kind_name(enum cbor_kind k)
{
	static const char *const names[CBOR_KIND_COUNT] = {
		[CBOR_NULL] = "null",
		[CBOR_BOOL] = "a boolean",
		[CBOR_NUMBER] = "a number",
		[CBOR_BYTES] = "bytes",
		[CBOR_TEXT] = "a text",
		[CBOR_LIST] = "a list",
		[CBOR_MAP] = "a map",
		[CBOR_LINK] = "a link",
	};

	return names[k];
}

/* Reads one head: NULL, or the rule it breaks. */
static const char *
head_read(struct cbor *c, enum major *major, uint64_t *value)
{
	/* The least value that needs the width, by the additional information 24 to 27. */
	static const uint64_t least[] = { 24, 0x100, 0x10000, 0x100000000 };
	unsigned info, width, i;
	uint64_t v = 0;

	if (c->p == c->end)
		return "the bytes end too early";
	*major = (enum major)(c->p[0] >> 5);
	info = c->p[0] & 31;
	if (info < 24) {
		*value = info;
		c->p++;
		return NULL;
	}
	if (*major == SIMPLE)
		return "only false, true and null are allowed as simple values";
	if (info == 31)
		return "indefinite lengths are not allowed";
	if (info > 27)
		return "a reserved head";
	width = 1u << (info - 24);
	if ((size_t)(c->end - c->p) < 1 + (size_t)width)
		return "the bytes end too early";
	for (i = 0; i < width; i++)
		v = v << 8 | c->p[1 + i];
	if (v < least[info - 24])
		return "a head is not in its shortest form";
	*value = v;
	c->p += 1 + width;
	return NULL;
}

static const char *
number_read(enum major major, uint64_t v, struct cbor_item *it)
{
	if (v > (uint64_t)CBOR_NUMBER_MAX - (major == NEGATIVE))
		return "a number is beyond 2^53 - 1";
	it->kind = CBOR_NUMBER;
	it->number = major == NEGATIVE ? -1 - (int64_t)v : (int64_t)v;
	return NULL;
}

static const char *
run_read(struct cbor *c, enum cbor_kind kind, uint64_t v, struct cbor_item *it)
{
	if (v > (uint64_t)(c->end - c->p))
		return "a length is beyond the end";
	it->kind = kind;
	it->data = c->p;
	it->n = (size_t)v;
	c->p += v;
	return NULL;
}

static const char *
container_read(struct cbor *c, enum major major, uint64_t v, struct cbor_item *it)
{
	if (v > CBOR_ITEMS_MAX)
		return "a list or map has over 131072 members";
	/* Each member takes a byte at least: a short input cannot promise much. */
	if (v * (major == MAP ? 2 : 1) > (uint64_t)(c->end - c->p))
		return "a length is beyond the end";
	it->kind = major == MAP ? CBOR_MAP : CBOR_LIST;
	it->n = (size_t)v;
	return NULL;
}

static const char *
link_read(struct cbor *c, uint64_t tag, struct cbor_item *it)
{
	enum major major;
	uint64_t n;
	const char *why;

	if (tag != TAG_CID)
		return "tag 42 is the only one allowed";
	why = head_read(c, &major, &n);
	if (why != NULL)
		return why;
	if (major != BYTES || n != 1 + CID_BYTES || (uint64_t)(c->end - c->p) < n)
		return "tag 42 does not hold a CID of sha-256";
	if (c->p[0] != 0 || cid_read(&it->link, c->p + 1, CID_BYTES, NULL) != 0)
		return "tag 42 does not hold a CID of dag-cbor or raw and sha-256";
	c->p += n;
	it->kind = CBOR_LINK;
	return NULL;
}

static const char *
simple_read(uint64_t v, struct cbor_item *it)
{
	if (v < 20 || v > 22)
		return "only false, true and null are allowed as simple values";
	it->kind = v == 22 ? CBOR_NULL : CBOR_BOOL;
	it->number = v == 21;
	return NULL;
}

/* One value or the head of a container: NULL, or the rule it breaks.  UTF-8 and the order of keys are not looked at. */
static const char *
item_read(struct cbor *c, struct cbor_item *it)
{
	enum major major;
	uint64_t v;
	const char *why = head_read(c, &major, &v);

	if (why != NULL)
		return why;
	*it = (struct cbor_item){ .kind = CBOR_NULL };
	switch (major) {
	case UNSIGNED:
	case NEGATIVE:
		return number_read(major, v, it);
	case BYTES:
		return run_read(c, CBOR_BYTES, v, it);
	case TEXT:
		return run_read(c, CBOR_TEXT, v, it);
	case LIST:
	case MAP:
		return container_read(c, major, v, it);
	case TAG:
		return link_read(c, v, it);
	case SIMPLE:
		break;
	}
	return simple_read(v, it);
}

struct level {
	size_t left;        /* values still to come; keys and values both count */
	bool map;
	const uint8_t *key; /* the last key, NULL: none yet */
	size_t key_n;
};

static const char *
key_check(struct level *l, const struct cbor_item *it)
{
	if (it->kind != CBOR_TEXT)
		return "a map key is not a text";
	if (it->n > CBOR_KEY_MAX)
		return "a map key has over 8192 bytes";
	if (l->key != NULL) {
		int order = cbor_key_order(l->key, l->key_n, it->data, it->n);

		if (order == 0)
			return "a map key stands twice";
		if (order > 0)
			return "map keys are out of order";
	}
	l->key = it->data;
	l->key_n = it->n;
	return NULL;
}

static const char *
value_check(struct cbor *c, struct level *stack, size_t *depth)
{
	struct level *l = *depth > 0 ? &stack[*depth - 1] : NULL;
	struct cbor_item it;
	const char *why = item_read(c, &it);

	if (why == NULL && it.kind == CBOR_TEXT && !utf8_valid((const char *)it.data, it.n))
		why = "a text is not UTF-8";
	if (why == NULL && l != NULL && l->map && l->left % 2 == 0)
		why = key_check(l, &it);
	if (why != NULL)
		return why;
	if (l != NULL)
		l->left--;
	if (it.kind != CBOR_LIST && it.kind != CBOR_MAP)
		return NULL;
	if (*depth == CBOR_DEPTH_MAX)
		return "lists and maps lie over 32 deep in one another";
	stack[(*depth)++] = (struct level){ .left = it.kind == CBOR_MAP ? it.n * 2 : it.n, .map = it.kind == CBOR_MAP };
	return NULL;
}

int
cbor_check(const uint8_t *p, size_t n, struct err *e)
{
	struct level stack[CBOR_DEPTH_MAX];
	struct cbor c = cbor_at(p, n);
	size_t depth = 0;

	if (n > CBOR_BYTES_MAX)
		return err_set(e, ERR_INPUT, "CBOR: %zu bytes are over the limit of %u", n, CBOR_BYTES_MAX);
	do {
		const uint8_t *at = c.p;
		const char *why = value_check(&c, stack, &depth);

		if (why != NULL)
			return err_set(e, ERR_INPUT, "CBOR at byte %zu: %s", (size_t)(at - p), why);
		while (depth > 0 && stack[depth - 1].left == 0)
			depth--;
	} while (depth > 0);
	if (c.p != c.end)
		return err_set(e, ERR_INPUT, "CBOR at byte %zu: more bytes behind the value", (size_t)(c.p - p));
	return 0;
}

struct cbor
cbor_at(const uint8_t *p, size_t n)
{
	/* p may be NULL when n is 0, and NULL + 0 is not C. */
	return (struct cbor){ p, n == 0 ? p : p + n };
}

bool
cbor_next(struct cbor *c, struct cbor_item *it)
{
	struct cbor at = *c;

	if (item_read(&at, it) != NULL)
		return false;
	*c = at;
	return true;
}

void
cbor_skip(struct cbor *c, const struct cbor_item *it)
{
	size_t left = it->kind == CBOR_MAP ? it->n * 2 : it->kind == CBOR_LIST ? it->n : 0;
	struct cbor_item child;

	/* The sum cannot overflow: container_read bounds each count by the bytes that are left. */
	while (left > 0 && cbor_next(c, &child)) {
		left--;
		left += child.kind == CBOR_MAP ? child.n * 2 : child.kind == CBOR_LIST ? child.n : 0;
	}
}

bool
cbor_pair(struct cbor *c, struct cbor_item *key, struct cbor_item *value)
{
	return cbor_next(c, key) && key->kind == CBOR_TEXT && cbor_next(c, value);
}

bool
cbor_is(const struct cbor_item *it, const char *s)
{
	return it->kind == CBOR_TEXT && it->n == strlen(s) && memcmp(it->data, s, it->n) == 0;
}

static void
head_put(struct buf *out, enum major major, uint64_t v)
{
	uint8_t head[9];
	unsigned width, i;

	if (v < 24) {
		buf_char(out, (char)(major << 5 | v));
		return;
	}
	width = v < 0x100 ? 1 : v < 0x10000 ? 2 : v < 0x100000000 ? 4 : 8;
	head[0] = (uint8_t)(major << 5 | (width == 1 ? 24 : width == 2 ? 25 : width == 4 ? 26 : 27));
	for (i = 0; i < width; i++)
		head[1 + i] = (uint8_t)(v >> (8 * (width - 1 - i)));
	buf_add(out, head, 1 + width);
}

void
cbor_put_null(struct buf *out)
{
	head_put(out, SIMPLE, 22);
}

void
cbor_put_bool(struct buf *out, bool v)
{
	head_put(out, SIMPLE, v ? 21 : 20);
}

void
cbor_put_number(struct buf *out, int64_t v)
{
	if (v < 0)
		head_put(out, NEGATIVE, (uint64_t)(-1 - v));
	else
		head_put(out, UNSIGNED, (uint64_t)v);
}

void
cbor_put_bytes(struct buf *out, const void *p, size_t n)
{
	head_put(out, BYTES, n);
	buf_add(out, p, n);
}

void
cbor_put_text(struct buf *out, const char *s, size_t n)
{
	head_put(out, TEXT, n);
	buf_add(out, s, n);
}

void
cbor_put_link(struct buf *out, const struct cid *c)
{
	uint8_t raw[1 + CID_BYTES] = { 0 };

	cid_write(c, raw + 1);
	head_put(out, TAG, TAG_CID);
	cbor_put_bytes(out, raw, sizeof raw);
}

void
cbor_put_list(struct buf *out, size_t n)
{
	head_put(out, LIST, n);
}

void
cbor_put_map(struct buf *out, size_t n)
{
	head_put(out, MAP, n);
}

int
cbor_key_order(const void *a, size_t a_n, const void *b, size_t b_n)
{
	if (a_n != b_n)
		return a_n < b_n ? -1 : 1;
	return a_n == 0 ? 0 : memcmp(a, b, a_n);
}

int
cbor_without(const uint8_t *p, size_t n, const char *key, struct buf *out, struct err *e)
{
	struct cbor c = cbor_at(p, n);
	struct cbor_item map, k, v;
	const uint8_t *at, *first;
	size_t i;

	if (!cbor_next(&c, &map) || map.kind != CBOR_MAP)
		return err_set(e, ERR_INPUT, "CBOR: not a map");
	first = c.p;
	for (i = 0; i < map.n; i++) {
		at = c.p;
		if (!cbor_pair(&c, &k, &v))
			break;
		cbor_skip(&c, &v);
		if (!cbor_is(&k, key))
			continue;
		cbor_put_map(out, map.n - 1);
		buf_add(out, first, (size_t)(at - first));
		buf_add(out, c.p, (size_t)(c.end - c.p));
		return 0;
	}
	return err_set(e, ERR_INPUT, "CBOR: the map has no key \"%s\"", key);
}
