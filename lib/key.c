/*
 * K-256 goes to libsecp256k1, which is six times as fast as OpenSSL and has a context without state; P-256 goes to
 * OpenSSL.  Neither is trusted with a form we do not expect: lengths, leading bytes and the size of s are checked here.
 */
#include "lib/key.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/sha.h>
#include <secp256k1.h>
#include <stdatomic.h>
#include <string.h>

#include "lib/err.h"
#include "lib/multibase.h"

static const struct curve {
	const char *name, *alg, *legacy;
	uint8_t codec[2];    /* multicodec as a varint */
	uint8_t half_n[32];  /* the largest s that is low */
} curves[KEY_CURVE_COUNT] = {
	[KEY_P256] = {
		"P-256", "ES256", "EcdsaSecp256r1VerificationKey2019", { 0x80, 0x24 },
		{ 0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		    0xde, 0x73, 0x7d, 0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8 },
	},
	[KEY_K256] = {
		"K-256", "ES256K", "EcdsaSecp256k1VerificationKey2019", { 0xe7, 0x01 },
		{ 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		    0x5d, 0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0 },
	},
};

const char *
key_curve_name(enum key_curve c)
{
	return curves[c].name;
}

const char *
key_curve_alg(enum key_curve c)
{
	return curves[c].alg;
}

static int
malformed(struct err *e, const char *what)
{
	return err_named(e, ERR_REMOTE, "KeyMalformed", "signing key: %s", what);
}

/* --- points --- */

static bool
point_p256(const uint8_t *p, size_t n, uint8_t out[65])
{
	EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	EC_POINT *point = group == NULL ? NULL : EC_POINT_new(group);
	bool ok = point != NULL && EC_POINT_oct2point(group, point, p, n, NULL) == 1 &&
	    EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, out, 65, NULL) == 65;

	EC_POINT_free(point);
	EC_GROUP_free(group);
	return ok;
}

static bool
point_k256(const uint8_t *p, size_t n, uint8_t out[65])
{
	secp256k1_pubkey point;
	size_t out_n = 65;

	return secp256k1_ec_pubkey_parse(secp256k1_context_static, &point, p, n) == 1 &&
	    secp256k1_ec_pubkey_serialize(secp256k1_context_static, out, &out_n, &point,
	    SECP256K1_EC_UNCOMPRESSED) == 1;
}

static int
point_read(struct key *k, enum key_curve curve, const uint8_t *p, size_t n, struct err *e)
{
	bool ok;

	/* Both libraries also know hybrid forms (6, 7), and OpenSSL the point at infinity (0). */
	if (!(n == 33 && (p[0] == 2 || p[0] == 3)) && !(n == 65 && p[0] == 4))
		return malformed(e, "not a point of 33 or 65 bytes");
	ok = curve == KEY_P256 ? point_p256(p, n, k->point) : point_k256(p, n, k->point);
	/* Else the next user of OpenSSL in this thread finds our stranger's failure and takes it for its own. */
	ERR_clear_error();
	if (!ok)
		return err_named(e, ERR_REMOTE, "WrongCurve", "signing key: the point does not lie on %s",
		    curves[curve].name);
	k->curve = curve;
	return 0;
}

/* --- texts --- */

/* "z" and base58btc: bytes written, or -1 with e set. */
static long
multibase_read(const char *s, size_t n, uint8_t out[BASE58_BYTES_MAX], struct err *e)
{
	long len = n < 1 || s[0] != 'z' ? -1 : base58_parse(s + 1, n - 1, out, BASE58_BYTES_MAX);

	if (len < 0)
		malformed(e, "not multibase base58btc (z...)");
	return len;
}

int
key_parse_multikey(struct key *k, const char *s, size_t n, struct err *e)
{
	uint8_t raw[BASE58_BYTES_MAX];
	long len = multibase_read(s, n, raw, e);
	int c;

	if (len < 0)
		return -1;
	if (len < 2)
		return malformed(e, "too short for a Multikey");
	for (c = 0; c < KEY_CURVE_COUNT; c++) {
		if (memcmp(raw, curves[c].codec, 2) != 0)
			continue;
		if (len != 2 + 33)
			return malformed(e, "a Multikey holds a point of 33 bytes");
		return point_read(k, (enum key_curve)c, raw + 2, 33, e);
	}
	return err_named(e, ERR_REMOTE, "WrongCurve", "signing key: multicodec 0x%02x%02x is neither P-256 nor K-256",
	    raw[0], raw[1]);
}

int
key_parse_did(struct key *k, const char *s, size_t n, struct err *e)
{
	const size_t skip = strlen(KEY_DID_PREFIX);

	if (n < skip || memcmp(s, KEY_DID_PREFIX, skip) != 0)
		return malformed(e, "not a did:key");
	return key_parse_multikey(k, s + skip, n - skip, e);
}

int
key_parse_method(struct key *k, const char *type, const char *multibase, struct err *e)
{
	uint8_t raw[BASE58_BYTES_MAX];
	size_t n = strlen(multibase);
	long len;
	int c;

	if (strcmp(type, "Multikey") == 0)
		return key_parse_multikey(k, multibase, n, e);
	for (c = 0; c < KEY_CURVE_COUNT; c++) {
		if (strcmp(type, curves[c].legacy) != 0)
			continue;
		len = multibase_read(multibase, n, raw, e);
		return len < 0 ? -1 : point_read(k, (enum key_curve)c, raw, (size_t)len, e);
	}
	return err_named(e, ERR_REMOTE, "WrongCurve", "signing key: type \"%.60s\" is neither P-256 nor K-256", type);
}

void
key_print_did(const struct key *k, char out[KEY_DID_TEXT + 1])
{
	const size_t skip = strlen(KEY_DID_PREFIX);
	uint8_t raw[2 + 33];

	memcpy(raw, curves[k->curve].codec, 2);
	raw[2] = 2 | (k->point[64] & 1);
	memcpy(raw + 3, k->point + 1, 32);
	memcpy(out, KEY_DID_PREFIX, skip);
	out[skip] = 'z';
	/* 35 bytes are 48 digits at most. */
	base58_print(raw, sizeof raw, out + skip + 1, KEY_DID_TEXT - skip);
}

bool
key_equal(const struct key *a, const struct key *b)
{
	return a->curve == b->curve && memcmp(a->point, b->point, sizeof a->point) == 0;
}

/* --- signatures: 1 valid, 0 not, -1 the library failed --- */

static int
verify_k256(const struct key *k, const uint8_t hash[32], const uint8_t sig[KEY_SIGNATURE_BYTES])
{
	const secp256k1_context *ctx = secp256k1_context_static;
	secp256k1_ecdsa_signature s;
	secp256k1_pubkey point;

	if (secp256k1_ec_pubkey_parse(ctx, &point, k->point, sizeof k->point) != 1)
		return -1;
	/* Out of range: no signature at all. */
	if (secp256k1_ecdsa_signature_parse_compact(ctx, &s, sig) != 1)
		return 0;
	secp256k1_ecdsa_signature_normalize(ctx, &s, &s);
	return secp256k1_ecdsa_verify(ctx, &s, hash, &point);
}

static EVP_PKEY *
pkey_p256(const struct key *k)
{
	char group[] = "prime256v1";
	OSSL_PARAM param[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)(uintptr_t)k->point,
		    sizeof k->point),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY *pkey = NULL;

	if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, param) != 1)
		pkey = NULL;
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

/* One INTEGER of DER: shortest form, with a zero byte in front where the first bit is set. */
static size_t
der_number(const uint8_t v[32], uint8_t *out)
{
	size_t skip = 0, pad;

	while (skip < 31 && v[skip] == 0)
		skip++;
	pad = v[skip] >> 7;
	out[0] = 2;
	out[1] = (uint8_t)(pad + 32 - skip);
	out[2] = 0;
	memcpy(out + 2 + pad, v + skip, 32 - skip);
	return 2 + pad + 32 - skip;
}

static int
verify_p256(const struct key *k, const uint8_t hash[32], const uint8_t sig[KEY_SIGNATURE_BYTES])
{
	EVP_PKEY *pkey = pkey_p256(k);
	EVP_PKEY_CTX *ctx = pkey == NULL ? NULL : EVP_PKEY_CTX_new(pkey, NULL);
	uint8_t der[2 + 2 * 35];
	size_t n = 2;
	int rc = -1;

	n += der_number(sig, der + n);
	n += der_number(sig + 32, der + n);
	der[0] = 0x30;
	der[1] = (uint8_t)(n - 2);
	/* Below zero also stands for a signature that cannot be one (r or s out of range). */
	if (ctx != NULL && EVP_PKEY_verify_init(ctx) == 1)
		rc = EVP_PKEY_verify(ctx, der, n, hash, 32) == 1;
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	return rc;
}

/* Looked up once: OpenSSL 3 does it for each SHA256() anew, which takes as long as the hash. */
static const EVP_MD *
sha256(void)
{
	static _Atomic(EVP_MD *) kept;
	EVP_MD *md = atomic_load(&kept), *none = NULL;

	if (md == NULL && (md = EVP_MD_fetch(NULL, "SHA256", NULL)) != NULL && !atomic_compare_exchange_strong(&kept, &none, md)) {
		EVP_MD_free(md);
		md = none;
	}
	return md;
}

int
key_verify(const struct key *k, const void *message, size_t n, const uint8_t *sig, size_t sig_n, bool allow_high_s,
    struct err *e)
{
	uint8_t hash[SHA256_DIGEST_LENGTH];
	int valid;

	if (sig_n != KEY_SIGNATURE_BYTES)
		return err_named(e, ERR_REMOTE, "BadSignature", "a signature has 64 bytes (r and s), this has %zu%s",
		    sig_n, sig_n > 8 && sig[0] == 0x30 ? " and looks like DER" : "");
	if (EVP_Digest(message, n, hash, NULL, sha256(), NULL) != 1)
		valid = -1;
	else
		valid = k->curve == KEY_K256 ? verify_k256(k, hash, sig) : verify_p256(k, hash, sig);
	ERR_clear_error();
	if (valid < 0)
		return err_set(e, ERR_INTERNAL, "the signature could not be checked (%s)", curves[k->curve].name);
	if (valid == 0)
		return err_named(e, ERR_REMOTE, "BadSignature", "the signature is not by this %s key",
		    curves[k->curve].name);
	if (!allow_high_s && memcmp(sig + 32, curves[k->curve].half_n, 32) > 0)
		return err_named(e, ERR_REMOTE, "HighSSignature",
		    "the signature is the twin with the large s, which repositories do not allow");
	return 0;
}
