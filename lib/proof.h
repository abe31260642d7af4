/*
 * Is this record really what the author signed?  The whole chain from a DID document's key to the bytes of one record,
 * as com.atproto.sync.getRecord hands it out (facts B.8): every block's hash, the commit's signature, the way through the
 * tree, the record.  Pure: no network, no clock, no state.
 */
#ifndef LIB_PROOF_H
#define LIB_PROOF_H

#include <stddef.h>
#include <stdint.h>

#include "lib/cid.h"
#include "lib/key.h"

struct buf;
struct err;

#define PROOF_REV_TEXT         13
#define PROOF_FUTURE_LEEWAY_MS (5 * 60 * 1000) /* how far another server's clock may be ahead of ours */

struct proof_ask {
	const char *did, *collection, *rkey;
	const struct key *key;    /* of the DID document */
	const struct cid *record; /* the version that it must be; NULL: whatever the repository holds */
	const char *last_rev;     /* the newest one known of this author; NULL: none */
	int64_t now_ms;           /* wall clock; 0: revisions from the future are not refused */
};

struct proof {
	struct cid commit, root, record;
	char rev[PROOF_REV_TEXT + 1]; /* texts of this kind sort by time */
	int nodes;                    /* of the tree, on the way to the record */
	size_t blocks;                /* in the car */
	const uint8_t *bytes;         /* the record's DAG-CBOR (cbor_check passed, a map), borrowed from the car */
	size_t n;
};

/*
 * 0: proven, and *out says by what.  -1: ERR_NOTFOUND "RecordNotInRepository" when it is proven that the repository does
 * not hold the record; otherwise ERR_REMOTE with the name of the broken link, one of proof_names.  An author's key may have
 * been rotated: after "BadSignature" it is worth reading the DID document once more.
 *
 * The revision is checked before absence is believed, so that an old tree cannot hide a newer record.  For
 * RecordNotInRepository *out is filled up to rev, so that the caller can remember it; after other errors it is not.
 */
int proof_record(const struct proof_ask *ask, const uint8_t *car, size_t n, struct proof *out, struct err *e);

/* The chain as lines for people, each ended by a newline. */
void proof_words(const struct proof_ask *ask, const struct proof *p, struct buf *out);

/* All names of broken links, with what each means: those that proof_record and the key's readers give, and NoSigningKey for
 * who reads the DID document.  NULL past the end, and NULL for a name that is not ours. */
const char *proof_names(size_t i);
const char *proof_meaning(const char *name);

/* Milliseconds since 1970 of a rev (or any TID). */
int64_t proof_rev_ms(const char *rev);

#endif
