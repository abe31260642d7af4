/*
 * Inter-service tokens (facts B.9): "the account iss asks the service aud for the method lxm, until exp, this once (jti)".
 * Reading and judging; pure.  Whose signature it bears is asked of key_verify() over its first signed_n characters: that needs the account's
 * key, and is done where keys are known (scheduler/callers.c).
 *
 * Every refusal is ERR_DENIED with a name of its own, one of jwt_names, all of them 401.
 */
#ifndef LIB_JWT_H
#define LIB_JWT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/key.h"

struct err;

#define JWT_MAX      8192 /* characters of a token */
#define JWT_NONCE_MAX 256
#define JWT_LEEWAY_S  30   /* how far another clock may be from ours */
#define JWT_LIFE_S    3600 /* a token for longer is refused: each is remembered until its end */

struct jwt {
	enum key_curve alg;
	char *issuer;   /* a DID */
	char *audience; /* text, not looked at yet; NULL: none */
	char *method;   /* lxm; NULL: none */
	char *nonce;    /* jti: printable, never empty */
	int64_t until_s, since_s; /* exp, and iat or nbf, whichever is later; -1: none */
	size_t signed_n; /* so many characters of the token's text are signed */
	uint8_t signature[KEY_SIGNATURE_BYTES];
};

/* BadJwt, BadJwtType, BadJwtAlgorithm, BadJwtKey, BadJwtIss, BadJwtId, BadJwtSignature (not 64 bytes).  jwt_clear after 0. */
int jwt_parse(struct jwt *t, const char *s, size_t n, struct err *e);
void jwt_clear(struct jwt *t);

/* Is it for this service (its DID, or that and fragment, nothing else), for this method, and is now its time?
 * BadJwtAudience, BadJwtLexiconMethod, JwtExpired, JwtNotYetValid, JwtLifetimeTooLong. */
int jwt_check(const struct jwt *t, const char *did, const char *fragment, const char *method, int64_t now_s,
    struct err *e);

/* Names of refusals with what each means; NULL past the end, and for a name that is not ours. */
const char *jwt_names(size_t i);
const char *jwt_meaning(const char *name);

#endif
