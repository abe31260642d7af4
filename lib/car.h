/*
 * CAR version 1: a list of blocks, each behind the CID that its bytes must hash to.  Opening one checks every block, so
 * that whoever gets a block by its CID holds the right bytes.  Blocks may come in any order, twice, or unasked for.
 *
 * Bytes come from strangers; all errors are ERR_REMOTE with the name CarMalformed, CarTooLarge or BlockHashMismatch.
 */
#ifndef LIB_CAR_H
#define LIB_CAR_H

#include <stddef.h>
#include <stdint.h>

#include "lib/cid.h"

struct car;
struct err;

#define CAR_BYTES_MAX       (8u * 1024u * 1024u)
#define CAR_BLOCK_BYTES_MAX (1024u * 1024u) /* a record's own limit; tree nodes are far smaller */
#define CAR_BLOCKS_MAX      1024            /* a proof needs about one for each level of the tree, and two */
#define CAR_ROOTS_MAX       8

/* The blocks stay in p, which must live longer than the car. */
int car_open(struct car **out, const uint8_t *p, size_t n, struct err *e);
void car_free(struct car *c);

size_t car_roots(const struct car *c);
const struct cid *car_root(const struct car *c, size_t i);
size_t car_blocks(const struct car *c); /* different ones */

/* The block of that CID, borrowed; NULL: it is not in here.  An empty block is not NULL. */
const uint8_t *car_block(const struct car *c, const struct cid *id, size_t *n);

/* Appending a car: the head once, then blocks. */
struct buf;
void car_put_head(struct buf *out, const struct cid *root);
void car_put_block(struct buf *out, const struct cid *id, const void *p, size_t n);

#endif
