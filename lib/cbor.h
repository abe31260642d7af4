/*
 * DAG-CBOR as the AT Protocol allows it (facts B.7), so strictly that each value has exactly one spelling: definite
 * lengths, shortest heads, map keys are texts in ascending order (shorter first, then by bytes) and stand once, no
 * floats, no undefined, tag 42 only and around a CID that we can check (lib/cid.h), texts in UTF-8, whole numbers within
 * plus and minus 2^53 - 1.
 *
 * Reading is two steps and allocates nothing.  cbor_check reads everything once and decides; a cursor then walks bytes
 * that are known to be good.  Since the spelling is unique, the bytes of a part are also the spelling of that part.
 */
#ifndef LIB_CBOR_H
#define LIB_CBOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cid.h"

struct buf;
struct err;

#define CBOR_BYTES_MAX  (5u * 1024u * 1024u) /* of a whole value */
#define CBOR_DEPTH_MAX  32                   /* lists and maps inside one another */
#define CBOR_ITEMS_MAX  131072               /* in one list; pairs in one map */
#define CBOR_KEY_MAX    8192                 /* bytes of a map key */
#define CBOR_NUMBER_MAX INT64_C(9007199254740991)

enum cbor_kind {
	CBOR_NULL,
	CBOR_BOOL,
	CBOR_NUMBER,
	CBOR_BYTES,
	CBOR_TEXT,
	CBOR_LIST,
	CBOR_MAP,
	CBOR_LINK,
	CBOR_KIND_COUNT
};
const char *cbor_kind_name(enum cbor_kind k); /* "null", "text", ... for messages */

/* One value, or the head of a list or map whose children follow at the cursor. */
struct cbor_item {
	enum cbor_kind kind;
	int64_t number;      /* NUMBER; BOOL: 0 or 1 */
	const uint8_t *data; /* BYTES, TEXT: borrowed, no NUL behind them */
	size_t n;            /* BYTES, TEXT: how many bytes; LIST: items; MAP: pairs */
	struct cid link;     /* LINK */
};

struct cbor {
	const uint8_t *p, *end;
};

/* Are these n bytes exactly one value under all the rules?  ERR_INPUT with the offset and the broken rule. */
int cbor_check(const uint8_t *p, size_t n, struct err *e);

/* Starts at checked bytes. */
struct cbor cbor_at(const uint8_t *p, size_t n);
/* The next value.  false: the end (or bytes that never passed cbor_check; then the cursor stands still). */
bool cbor_next(struct cbor *c, struct cbor_item *it);
/* Steps over the children of the list or map it, just read. Nothing to do for other kinds. */
void cbor_skip(struct cbor *c, const struct cbor_item *it);
/* Reads a map's next key and value; false when the cursor is not at a text. */
bool cbor_pair(struct cbor *c, struct cbor_item *key, struct cbor_item *value);
/* Is the text s? */
bool cbor_is(const struct cbor_item *it, const char *s);

/* Writing: each appends one head or value.  A list's n items, a map's n keys and values are put behind its head by the
 * caller, keys in the order of cbor_key_order. */
void cbor_put_null(struct buf *out);
void cbor_put_bool(struct buf *out, bool v);
void cbor_put_number(struct buf *out, int64_t v);
void cbor_put_bytes(struct buf *out, const void *p, size_t n);
void cbor_put_text(struct buf *out, const char *s, size_t n);
void cbor_put_link(struct buf *out, const struct cid *c);
void cbor_put_list(struct buf *out, size_t n);
void cbor_put_map(struct buf *out, size_t n);
/* Below, at or above zero as key a stands before, is, or stands behind key b. */
int cbor_key_order(const void *a, size_t a_n, const void *b, size_t b_n);

/* Appends the map at checked bytes p without the pair of that key; ERR_INPUT when it is no map or has no such key. */
int cbor_without(const uint8_t *p, size_t n, const char *key, struct buf *out, struct err *e);

#endif
