/*
 * The repository's tree (facts B.8): a Merkle search tree that leads from the root, which the commit signs, to each
 * record's CID.  A key's depth is read off its hash, so a set of keys has exactly one tree, and the blocks on the way to
 * where a key must stand prove that it is there or is not.
 */
#ifndef LIB_MST_H
#define LIB_MST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cid.h"

struct car;
struct err;

#define MST_KEY_MAX     1024 /* bytes of "collection/rkey" */
#define MST_DEPTH_MAX   64   /* far more than keys can be found for: a level is two zero bits of sha-256 */
#define MST_ENTRIES_MAX 2048 /* in one node; honest trees have four on average */

/* Leading zero bits of the key's sha-256, in pairs. */
int mst_key_depth(const void *key, size_t n);
/* How many bytes two keys share from their start. */
size_t mst_prefix(const void *a, size_t a_n, const void *b, size_t b_n);
/* "collection/rkey": two parts that are not empty, of letters, digits and _ ~ - : . */
bool mst_key_ok(const char *key, size_t n);

struct mst_entry {
	const uint8_t *key; /* whole, in the node's own buffer until the next entry is read */
	size_t n;
	struct cid value;
	bool has_right;
	struct cid right; /* the subtree between this entry and the next */
};

/*
 * Reads one node and shows each entry to visit, which may be NULL; visit answers 0 to go on, or -1 with e set.
 * Checked: strict DAG-CBOR, the exact fields, keys that are well-formed, ascending, of one depth, and cut at all they
 * share with the one before.  ERR_REMOTE "MstMalformed".
 */
struct mst_node {
	bool has_left;
	struct cid left; /* the subtree before the first entry */
	size_t entries;
	int depth; /* of the entries; -1 when there are none */
};
typedef int mst_visit(void *arg, const struct mst_entry *entry, struct err *e);
int mst_node_read(const uint8_t *p, size_t n, struct mst_node *out, mst_visit *visit, void *arg, struct err *e);

struct mst_found {
	bool found;
	struct cid value; /* when found */
	int nodes;        /* read on the way */
};
/*
 * Walks from root to where the key must stand.  0: proven to be there or not.  -1, ERR_REMOTE: "BlockMissing" (names the
 * block), "MstMalformed" (a node breaks a rule, or does not fit where it hangs).
 */
int mst_find(const struct car *car, const struct cid *root, const char *key, size_t n, struct mst_found *out,
    struct err *e);

#endif
