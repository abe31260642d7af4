/*
 * An author's repository made by hand: keys that sign, trees, commits, CAR files.  It is the other side of lib/proof: what
 * a personal data server does, so that a test can also do it wrongly.  Broken promises end the program.
 */
#ifndef TESTS_REPO_H
#define TESTS_REPO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/cid.h"
#include "lib/key.h"

/* The public half of a secret key of 32 bytes. */
void repo_key(enum key_curve curve, const uint8_t secret[32], struct key *out);
/* r and s over the message's sha-256; low or high s as asked.  Not the same twice. */
void repo_sign(enum key_curve curve, const uint8_t secret[32], const void *message, size_t n, bool high_s,
    uint8_t out[KEY_SIGNATURE_BYTES]);

struct repo_block {
	struct cid id;
	struct buf bytes;
};
struct repo_blocks {
	struct repo_block *block;
	size_t n;
};
#define REPO_BLOCKS_INIT { NULL, 0 }
void repo_blocks_clear(struct repo_blocks *b);
/* Adds a dag-cbor block (copied) and tells its CID. */
struct cid repo_block_add(struct repo_blocks *b, const void *p, size_t n);
const struct repo_block *repo_block_find(const struct repo_blocks *b, const struct cid *id);

struct repo_leaf {
	const char *key;
	struct cid value;
};
/* Adds the nodes of the tree of these leaves (sorted in place) and tells its root. */
struct cid repo_tree(struct repo_leaf *leaves, size_t n, struct repo_blocks *blocks);

struct repo_commit { /* what is put into the commit; zero-initialised is usual */
	const char *did, *rev;
	struct cid root;
	enum key_curve curve;
	const uint8_t *secret;
	bool high_s, der; /* sign it wrongly */
	int version;      /* 0: 3 */
	bool no_prev;
};
struct cid repo_commit_add(struct repo_blocks *b, const struct repo_commit *c);

/* The whole car: head and all blocks but `but` (which may be NULL). */
void repo_car(const struct repo_blocks *b, const struct cid *root, const struct cid *but, struct buf *out);

#endif
