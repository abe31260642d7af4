/*
 * The chain of proof: arbitrary bytes; arbitrary blocks whose first is the commit; and arbitrary blocks whose first is the
 * tree's root under a commit that really is signed, so that what lies behind the signature is reached.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "lib/buf.h"
#include "lib/cbor.h"
#include "lib/data.h"
#include "lib/err.h"
#include "lib/mst.h"
#include "lib/proof.h"
#include "tests/fuzz/trees.h"
#include "tests/repo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const uint8_t secret[32] = { 1, 2, 3 };

static void
ask_for(const struct buf *car, const struct key *key)
{
	struct proof_ask ask = { .did = "did:plc:obexdyjlfqefdulieaknknxm", .collection = "D2", .rkey = "269196",
		.key = key, .last_rev = "3l6oveex3ii2l", .now_ms = INT64_C(1900000000000) };
	struct buf words = BUF_INIT;
	struct err e = ERR_INIT;
	struct proof p;

	if (proof_record(&ask, (const uint8_t *)car->data, car->len, &p, &e) == 0) {
		proof_words(&ask, &p, &words);
		if (cbor_check(p.bytes, p.n, NULL) != 0)
			abort();
		(void)data_json(p.bytes, p.n, &words, NULL);
	} else if (e.kind != ERR_INPUT && proof_meaning(e.name) == NULL) {
		abort();
	}
	buf_clear(&words);
}

static void
signed_commit(const struct cid *root, struct repo_blocks *b)
{
	struct repo_commit c = { .did = "did:plc:obexdyjlfqefdulieaknknxm", .rev = "3lonbndhf722s", .root = *root,
		.curve = KEY_K256, .secret = secret };

	(void)repo_commit_add(b, &c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct trees t;
	static struct key key = { .point = { 0 } };
	struct repo_blocks commit = REPO_BLOCKS_INIT;
	struct buf car = BUF_INIT;
	struct mst_node node;

	if (key.point[0] == 0)
		repo_key(KEY_K256, secret, &key);
	buf_add(&car, data, n);
	ask_for(&car, &key);
	if (!trees_fill(&t, data, n) || t.n == 0)
		goto out;
	buf_reset(&car);
	car_put_head(&car, &t.id[0]);
	trees_blocks(&t, &car);
	ask_for(&car, &key);

	/* Signing is slow, and a root that is no node is refused at once. */
	if (mst_node_read(t.bytes + t.at[0], t.len[0], &node, NULL, NULL, NULL) != 0)
		goto out;
	signed_commit(&t.id[0], &commit);
	buf_reset(&car);
	car_put_head(&car, &commit.block[0].id);
	car_put_block(&car, &commit.block[0].id, commit.block[0].bytes.data, commit.block[0].bytes.len);
	trees_blocks(&t, &car);
	ask_for(&car, &key);
out:
	repo_blocks_clear(&commit);
	buf_clear(&car);
	return 0;
}
