/*
 * Public keys that sign repositories and tokens: ECDSA over P-256 or K-256 (secp256k1) and SHA-256 (facts B.2, B.8).
 * The doorkeeper of OpenSSL and libsecp256k1.  Only public keys live here; nothing is secret.
 */
#ifndef LIB_KEY_H
#define LIB_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum key_curve { KEY_P256, KEY_K256, KEY_CURVE_COUNT };
const char *key_curve_name(enum key_curve c); /* "P-256", "K-256" */
const char *key_curve_alg(enum key_curve c);  /* "ES256", "ES256K": as tokens name it */

struct key {
	enum key_curve curve;
	uint8_t point[65]; /* 4, x, y: known to lie on the curve */
};

#define KEY_SIGNATURE_BYTES 64 /* r and s, big-endian */
#define KEY_DID_PREFIX      "did:key:"
#define KEY_DID_TEXT        63 /* most characters that key_print_did writes, with room */

/*
 * ERR_REMOTE "KeyMalformed": not such a text.  ERR_REMOTE "WrongCurve": of another curve, or the point does not lie on
 * the curve that the key names.
 */
int key_parse_multikey(struct key *k, const char *s, size_t n, struct err *e); /* z... with multicodec */
int key_parse_did(struct key *k, const char *s, size_t n, struct err *e);      /* did:key:z... */
/* publicKeyMultibase of a verification method of that type: Multikey, or a legacy type, whose point has 33 or 65 bytes
 * and no multicodec. */
int key_parse_method(struct key *k, const char *type, const char *multibase, struct err *e);

void key_print_did(const struct key *k, char out[KEY_DID_TEXT + 1]);
bool key_equal(const struct key *a, const struct key *b);

/*
 * Did the holder of k sign these n bytes?  0: yes.  ERR_REMOTE: "BadSignature" (also any length but 64, so DER is no
 * signature), "HighSSignature": valid, but the twin with the large s, which repositories do not allow; tokens do
 * (allow_high_s).  ERR_INTERNAL: the library failed.
 */
int key_verify(const struct key *k, const void *message, size_t n, const uint8_t *sig, size_t sig_n, bool allow_high_s,
    struct err *e);

#endif
