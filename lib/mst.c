/*
 * A walk goes down one level at a time.  Each node must fit where it hangs: its entries have exactly the depth of that
 * level, and all its keys lie between the two keys around the link that led there.  That is why the walk may end at the
 * level of the wanted key: deeper down there is no place for it.
 */
#include "lib/mst.h"

#include <string.h>

#include "lib/car.h"
#include "lib/cbor.h"
#include "lib/err.h"

static int
malformed(struct err *e, const char *what)
{
	return err_named(e, ERR_REMOTE, "MstMalformed", "tree node: %s", what);
}

int
mst_key_depth(const void *key, size_t n)
{
	struct cid hash;
	int depth = 0;
	size_t i;

	cid_of_bytes(&hash, CID_RAW, key, n);
	for (i = 0; i < sizeof hash.digest; i++) {
		uint8_t b = hash.digest[i];

		if (b != 0)
			return depth + (b < 4 ? 3 : b < 16 ? 2 : b < 64 ? 1 : 0);
		depth += 4;
	}
	return depth;
}

size_t
mst_prefix(const void *a, size_t a_n, const void *b, size_t b_n)
{
	const uint8_t *x = a, *y = b;
	size_t n = a_n < b_n ? a_n : b_n, i = 0;

	while (i < n && x[i] == y[i])
		i++;
	return i;
}

bool
mst_key_ok(const char *key, size_t n)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_~-:.";
	const char *slash = n == 0 ? NULL : memchr(key, '/', n);
	size_t i;

	if (slash == NULL || slash == key || slash == key + n - 1 || n > MST_KEY_MAX)
		return false;
	for (i = 0; i < n; i++)
		if (key + i != slash && (key[i] == '\0' || strchr(letters, key[i]) == NULL))
			return false;
	return true;
}

/* Bytes in their own order, a shorter one before what it begins. */
static int
key_order(const uint8_t *a, size_t a_n, const uint8_t *b, size_t b_n)
{
	int order = memcmp(a, b, a_n < b_n ? a_n : b_n);

	return order != 0 ? order : a_n < b_n ? -1 : a_n > b_n;
}

/* A link to another node, or null. */
static bool
subtree_read(const struct cbor_item *it, bool *has, struct cid *link)
{
	if (it->kind == CBOR_NULL) {
		*has = false;
		return true;
	}
	*has = true;
	*link = it->link;
	return it->kind == CBOR_LINK && it->link.codec == CID_DAG_CBOR;
}

struct fields { /* of an entry as it is spelt */
	size_t shared;
	struct cbor_item rest;
};

/* {"k": bytes, "p": number, "t": link or null, "v": link}; DAG-CBOR leaves no other order. */
static const char *
fields_read(struct cbor *c, struct fields *f, struct mst_entry *entry)
{
	struct cbor_item it, key;

	if (!cbor_next(c, &it) || it.kind != CBOR_MAP || it.n != 4)
		return "an entry is not a map of k, p, t and v";
	if (!cbor_pair(c, &key, &f->rest) || !cbor_is(&key, "k") || f->rest.kind != CBOR_BYTES)
		return "an entry has no bytes k";
	if (!cbor_pair(c, &key, &it) || !cbor_is(&key, "p") || it.kind != CBOR_NUMBER || it.number < 0 ||
	    it.number > MST_KEY_MAX)
		return "an entry has no number p from 0 to 1024";
	f->shared = (size_t)it.number;
	if (!cbor_pair(c, &key, &it) || !cbor_is(&key, "t") || !subtree_read(&it, &entry->has_right, &entry->right))
		return "an entry has no link or null t";
	if (!cbor_pair(c, &key, &it) || !cbor_is(&key, "v") || it.kind != CBOR_LINK)
		return "an entry has no link v";
	entry->value = it.link;
	return NULL;
}

struct reader {
	uint8_t key[MST_KEY_MAX]; /* of the last entry */
	size_t n;
	struct mst_node node;
};

/* Puts the entry's whole key into r->key and checks it against the one that stood there. */
static const char *
key_unfold(struct reader *r, const struct fields *f)
{
	const uint8_t *rest = f->rest.data;
	size_t shared = f->shared, rest_n = f->rest.n;
	int depth;

	if (shared > r->n)
		return "a key shares more with the one before than that has";
	if (rest_n == 0 || shared + rest_n > MST_KEY_MAX)
		return "a key is empty or over 1024 bytes";
	if (shared < r->n) {
		if (rest[0] == r->key[shared])
			return "a key shares more with the one before than it says";
		if (rest[0] < r->key[shared])
			return "keys are out of order";
	}
	memcpy(r->key + shared, rest, rest_n);
	r->n = shared + rest_n;
	if (!mst_key_ok((const char *)r->key, r->n))
		return "a key is not of the form collection/rkey";
	depth = mst_key_depth(r->key, r->n);
	if (r->node.depth >= 0 && depth != r->node.depth)
		return "keys of different depths in one node";
	r->node.depth = depth;
	return NULL;
}

static int
entries_read(struct cbor *c, struct reader *r, mst_visit *visit, void *arg, struct err *e)
{
	struct mst_entry entry;
	struct fields f;
	const char *why;
	size_t i;

	for (i = 0; i < r->node.entries; i++) {
		why = fields_read(c, &f, &entry);
		if (why == NULL)
			why = key_unfold(r, &f);
		if (why != NULL)
			return malformed(e, why);
		entry.key = r->key;
		entry.n = r->n;
		if (visit != NULL && visit(arg, &entry, e) != 0)
			return -1;
	}
	return 0;
}

/* {"e": list, "l": link or null}; the subtree on the left stands behind the entries. */
int
mst_node_read(const uint8_t *p, size_t n, struct mst_node *out, mst_visit *visit, void *arg, struct err *e)
{
	struct reader r = { .n = 0, .node = { .depth = -1 } };
	struct cbor c = cbor_at(p, n);
	struct cbor_item it, key;
	struct err broken;

	if (cbor_check(p, n, &broken) != 0)
		return malformed(e, broken.text);
	if (!cbor_next(&c, &it) || it.kind != CBOR_MAP || it.n != 2)
		return malformed(e, "not a map of e and l");
	if (!cbor_pair(&c, &key, &it) || !cbor_is(&key, "e") || it.kind != CBOR_LIST)
		return malformed(e, "no list e");
	if (it.n > MST_ENTRIES_MAX)
		return malformed(e, "over 2048 entries");
	r.node.entries = it.n;
	if (entries_read(&c, &r, visit, arg, e) != 0)
		return -1;
	if (!cbor_pair(&c, &key, &it) || !cbor_is(&key, "l") || !subtree_read(&it, &r.node.has_left, &r.node.left))
		return malformed(e, "no link or null l");
	*out = r.node;
	return 0;
}

/* --- the walk --- */

struct bound { /* a key around the link that leads on; none: the tree's edge */
	uint8_t key[MST_KEY_MAX];
	size_t n;
	bool set;
};

struct walk {
	const uint8_t *key; /* wanted */
	size_t n;
	struct bound low, high; /* around the node that is read */
	struct bound before, after; /* around the wanted key in this node, if entries set them */
	bool found;
	struct cid value;
	bool has_next; /* the subtree behind `before` */
	struct cid next;
};

static void
bound_set(struct bound *b, const struct mst_entry *entry)
{
	memcpy(b->key, entry->key, entry->n);
	b->n = entry->n;
	b->set = true;
}

static int
walk_entry(void *arg, const struct mst_entry *entry, struct err *e)
{
	struct walk *w = arg;
	int order;

	if ((w->low.set && key_order(entry->key, entry->n, w->low.key, w->low.n) <= 0) ||
	    (w->high.set && key_order(entry->key, entry->n, w->high.key, w->high.n) >= 0))
		return malformed(e, "a key lies outside the keys around its subtree");
	order = key_order(entry->key, entry->n, w->key, w->n);
	if (order == 0) {
		w->found = true;
		w->value = entry->value;
	} else if (order < 0) {
		bound_set(&w->before, entry);
		w->has_next = entry->has_right;
		w->next = entry->right;
	} else if (!w->after.set) {
		bound_set(&w->after, entry);
	}
	return 0;
}

/* Reads one node on the way.  level: the depth it must have, -1: it is the root and says so itself. */
static int
walk_node(struct walk *w, const struct car *car, const struct cid *id, int *level, struct err *e)
{
	struct mst_node node;
	char text[CID_TEXT + 1];
	const uint8_t *p;
	size_t n;

	p = car_block(car, id, &n);
	if (p == NULL) {
		cid_print(id, text);
		return err_named(e, ERR_REMOTE, "BlockMissing", "the proof lacks tree node %s", text);
	}
	w->before.set = w->after.set = w->has_next = false;
	if (mst_node_read(p, n, &node, walk_entry, w, e) != 0)
		return -1;
	if (node.entries == 0 && (*level < 0 ? node.has_left : !node.has_left))
		return malformed(e, *level < 0 ? "a root without entries has a subtree" : "empty below the root");
	if (node.entries > 0 && *level >= 0 && node.depth != *level)
		return malformed(e, "not of the depth at which it hangs");
	if (node.entries > 0)
		*level = node.depth;
	if (!w->before.set) {
		w->has_next = node.has_left;
		w->next = node.left;
	}
	return 0;
}

int
mst_find(const struct car *car, const struct cid *root, const char *key, size_t n, struct mst_found *out, struct err *e)
{
	struct walk w = { .key = (const uint8_t *)key, .n = n };
	struct cid at = *root;
	int wanted = mst_key_depth(key, n), level = -1;

	*out = (struct mst_found){ .found = false };
	for (;;) {
		if (walk_node(&w, car, &at, &level, e) != 0)
			return -1;
		out->nodes++;
		if (level > MST_DEPTH_MAX)
			return malformed(e, "over 64 levels");
		if (w.found || level <= wanted || !w.has_next)
			break;
		/* A leaf has depth 0, so that the level ends this loop before it could be below. */
		level--;
		at = w.next;
		if (w.before.set)
			w.low = w.before;
		if (w.after.set)
			w.high = w.after;
	}
	out->found = w.found;
	out->value = w.value;
	return 0;
}
