#include "tests/repo.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "lib/car.h"
#include "lib/cbor.h"
#include "lib/mem.h"
#include "lib/mst.h"

static void
must(bool ok)
{
	if (!ok)
		abort();
}

/* --- keys --- */

static EC_GROUP *
group_of(enum key_curve curve)
{
	EC_GROUP *g = EC_GROUP_new_by_curve_name(curve == KEY_P256 ? NID_X9_62_prime256v1 : NID_secp256k1);

	must(g != NULL);
	return g;
}

static void
public_point(const EC_GROUP *g, const BIGNUM *secret, uint8_t out[65])
{
	EC_POINT *p = EC_POINT_new(g);

	must(EC_POINT_mul(g, p, secret, NULL, NULL, NULL) == 1);
	must(EC_POINT_point2oct(g, p, POINT_CONVERSION_UNCOMPRESSED, out, 65, NULL) == 65);
	EC_POINT_free(p);
}

void
repo_key(enum key_curve curve, const uint8_t secret[32], struct key *out)
{
	EC_GROUP *g = group_of(curve);
	BIGNUM *d = BN_bin2bn(secret, 32, NULL);

	out->curve = curve;
	public_point(g, d, out->point);
	BN_free(d);
	EC_GROUP_free(g);
}

static EVP_PKEY *
signer(enum key_curve curve, const EC_GROUP *g, const BIGNUM *d)
{
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	OSSL_PARAM *param;
	EVP_PKEY *pkey = NULL;
	uint8_t point[65];

	public_point(g, d, point);
	must(OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME,
	    curve == KEY_P256 ? "prime256v1" : "secp256k1", 0) == 1);
	must(OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_PRIV_KEY, d) == 1);
	must(OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point) == 1);
	param = OSSL_PARAM_BLD_to_param(b);
	must(EVP_PKEY_fromdata_init(ctx) == 1);
	must(EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, param) == 1);
	OSSL_PARAM_free(param);
	OSSL_PARAM_BLD_free(b);
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

static void
compact(const EC_GROUP *g, const uint8_t *der, size_t n, bool high_s, uint8_t out[KEY_SIGNATURE_BYTES])
{
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);
	const BIGNUM *order = EC_GROUP_get0_order(g);
	BIGNUM *half = BN_new(), *s;

	must(sig != NULL);
	s = BN_dup(ECDSA_SIG_get0_s(sig));
	BN_rshift1(half, order);
	if ((BN_cmp(s, half) > 0) != high_s)
		BN_sub(s, order, s);
	must(BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, 32) == 32);
	must(BN_bn2binpad(s, out + 32, 32) == 32);
	BN_free(s);
	BN_free(half);
	ECDSA_SIG_free(sig);
}

static size_t
sign_der(enum key_curve curve, const uint8_t secret[32], const void *message, size_t n, uint8_t out[80])
{
	EC_GROUP *g = group_of(curve);
	BIGNUM *d = BN_bin2bn(secret, 32, NULL);
	EVP_PKEY *pkey = signer(curve, g, d);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
	uint8_t hash[32];
	size_t len = 80;

	SHA256(message, n, hash);
	must(EVP_PKEY_sign_init(ctx) == 1);
	must(EVP_PKEY_sign(ctx, out, &len, hash, sizeof hash) == 1);
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	BN_free(d);
	EC_GROUP_free(g);
	return len;
}

void
repo_sign(enum key_curve curve, const uint8_t secret[32], const void *message, size_t n, bool high_s,
    uint8_t out[KEY_SIGNATURE_BYTES])
{
	EC_GROUP *g = group_of(curve);
	uint8_t der[80];
	size_t len = sign_der(curve, secret, message, n, der);

	compact(g, der, len, high_s, out);
	EC_GROUP_free(g);
}

/* --- blocks --- */

void
repo_blocks_clear(struct repo_blocks *b)
{
	size_t i;

	for (i = 0; i < b->n; i++)
		buf_clear(&b->block[i].bytes);
	free(b->block);
	*b = (struct repo_blocks)REPO_BLOCKS_INIT;
}

struct cid
repo_block_add(struct repo_blocks *b, const void *p, size_t n)
{
	struct repo_block *at;

	b->block = mem_grow(b->block, (b->n + 1) * sizeof *b->block);
	at = &b->block[b->n++];
	at->bytes = (struct buf)BUF_INIT;
	buf_add(&at->bytes, p, n);
	cid_of_bytes(&at->id, CID_DAG_CBOR, p, n);
	return at->id;
}

const struct repo_block *
repo_block_find(const struct repo_blocks *b, const struct cid *id)
{
	size_t i;

	for (i = 0; i < b->n; i++)
		if (cid_equal(&b->block[i].id, id))
			return &b->block[i];
	return NULL;
}

/* --- the tree --- */

static int
leaf_order(const void *a, const void *b)
{
	return strcmp(((const struct repo_leaf *)a)->key, ((const struct repo_leaf *)b)->key);
}

static void
link_or_null(struct buf *out, const char *name, bool set, const struct cid *c)
{
	cbor_put_text(out, name, 1);
	if (set)
		cbor_put_link(out, c);
	else
		cbor_put_null(out);
}

/* How many leaves from the start lie below this level, so that they go into one subtree. */
static size_t
below(const struct repo_leaf *l, size_t n, int level)
{
	size_t i = 0;

	while (i < n && mst_key_depth(l[i].key, strlen(l[i].key)) < level)
		i++;
	return i;
}

static struct cid
node_add(const struct repo_leaf *l, size_t n, int level, struct repo_blocks *blocks)
{
	struct buf entries = BUF_INIT, node = BUF_INIT;
	size_t left_n = below(l, n, level), i, count = 0;
	struct cid left = { .codec = CID_DAG_CBOR }, right = left, made;
	const char *last = "";

	if (left_n > 0)
		left = node_add(l, left_n, level - 1, blocks);
	for (i = left_n; i < n; count++) {
		const struct repo_leaf *at = &l[i];
		size_t right_n = below(l + i + 1, n - i - 1, level), key_n = strlen(at->key);
		size_t shared = mst_prefix(last, strlen(last), at->key, key_n);

		if (right_n > 0)
			right = node_add(l + i + 1, right_n, level - 1, blocks);
		cbor_put_map(&entries, 4);
		cbor_put_text(&entries, "k", 1);
		cbor_put_bytes(&entries, at->key + shared, key_n - shared);
		cbor_put_text(&entries, "p", 1);
		cbor_put_number(&entries, (int64_t)shared);
		link_or_null(&entries, "t", right_n > 0, &right);
		link_or_null(&entries, "v", true, &at->value);
		last = at->key;
		i += 1 + right_n;
	}
	cbor_put_map(&node, 2);
	cbor_put_text(&node, "e", 1);
	cbor_put_list(&node, count);
	buf_add(&node, entries.data, entries.len);
	link_or_null(&node, "l", left_n > 0, &left);
	made = repo_block_add(blocks, node.data, node.len);
	buf_clear(&entries);
	buf_clear(&node);
	return made;
}

struct cid
repo_tree(struct repo_leaf *leaves, size_t n, struct repo_blocks *blocks)
{
	int top = 0;
	size_t i;

	if (n > 0)
		qsort(leaves, n, sizeof *leaves, leaf_order);
	for (i = 0; i < n; i++) {
		int depth = mst_key_depth(leaves[i].key, strlen(leaves[i].key));

		if (depth > top)
			top = depth;
	}
	return node_add(leaves, n, top, blocks);
}

/* --- commits --- */

static void
put_pair(struct buf *out, const char *key, const char *value)
{
	cbor_put_text(out, key, strlen(key));
	cbor_put_text(out, value, strlen(value));
}

static void
commit_put(struct buf *out, const struct repo_commit *c, const uint8_t *sig, size_t sig_n)
{
	cbor_put_map(out, 4 + (sig != NULL) + !c->no_prev);
	put_pair(out, "did", c->did);
	put_pair(out, "rev", c->rev);
	if (sig != NULL) {
		cbor_put_text(out, "sig", 3);
		cbor_put_bytes(out, sig, sig_n);
	}
	cbor_put_text(out, "data", 4);
	cbor_put_link(out, &c->root);
	if (!c->no_prev) {
		cbor_put_text(out, "prev", 4);
		cbor_put_null(out);
	}
	cbor_put_text(out, "version", 7);
	cbor_put_number(out, c->version == 0 ? 3 : c->version);
}

struct cid
repo_commit_add(struct repo_blocks *b, const struct repo_commit *c)
{
	struct buf plain = BUF_INIT, whole = BUF_INIT;
	uint8_t sig[80];
	size_t sig_n = KEY_SIGNATURE_BYTES;
	struct cid made;

	commit_put(&plain, c, NULL, 0);
	if (c->der)
		sig_n = sign_der(c->curve, c->secret, plain.data, plain.len, sig);
	else
		repo_sign(c->curve, c->secret, plain.data, plain.len, c->high_s, sig);
	commit_put(&whole, c, sig, sig_n);
	made = repo_block_add(b, whole.data, whole.len);
	buf_clear(&plain);
	buf_clear(&whole);
	return made;
}

void
repo_car(const struct repo_blocks *b, const struct cid *root, const struct cid *but, struct buf *out)
{
	size_t i;

	car_put_head(out, root);
	for (i = 0; i < b->n; i++)
		if (but == NULL || !cid_equal(&b->block[i].id, but))
			car_put_block(out, &b->block[i].id, b->block[i].bytes.data, b->block[i].bytes.len);
}
