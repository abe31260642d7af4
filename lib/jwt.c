#include "lib/jwt.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/multibase.h"
#include "lib/syntax.h"

/* A head and claims are flat. */
#define DEPTH 4

static const struct {
	const char *name, *meaning;
} names[] = {
	{ "BadJwt", "no token at all: not three parts of base64url with JSON in the first two" },
	{ "BadJwtType", "a token of another kind, such as an access token" },
	{ "BadJwtAlgorithm", "an algorithm that is neither ES256 nor ES256K, \"none\" among them, or not the one of the account's key" },
	{ "BadJwtKey", "signed with another key than the account's #atproto key" },
	{ "BadJwtIss", "the issuer is not a DID, or one that is not registered" },
	{ "BadJwtId", "no jti, so that it could be used again and again" },
	{ "BadJwtAudience", "for somebody else: aud is neither this runner's DID nor that and #at_run" },
	{ "BadJwtLexiconMethod", "for another method than the one that is called; that of a bundle's call is dev.at-run.invoke" },
	{ "JwtExpired", "its time is over" },
	{ "JwtNotYetValid", "its time has not come" },
	{ "JwtLifetimeTooLong", "valid for more than an hour" },
	{ "BadJwtSignature", "not signed by the account's key: forged, or by a key that was replaced" },
	{ "JwtReplayed", "used before: a token is good for one call" },
};

const char *
jwt_names(size_t i)
{
	return i < sizeof names / sizeof *names ? names[i].name : NULL;
}

const char *
jwt_meaning(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(names[i].name, name) == 0)
			return names[i].meaning;
	return NULL;
}

static int
refuse(struct err *e, const char *name, const char *why)
{
	return err_named(e, ERR_DENIED, name, "token: %s", why);
}

/* --- the parts --- */

/* The JSON object in one part, or NULL. */
static cJSON *
part(const char *s, size_t n)
{
	struct buf text = BUF_INIT;
	cJSON *tree = NULL;

	if (base64url_parse(s, n, &text) == 0 && text.len > 0)
		tree = json_parse(text.data, text.len, DEPTH, NULL);
	buf_clear(&text);
	if (cJSON_IsObject(tree))
		return tree;
	cJSON_Delete(tree);
	return NULL;
}

static int
read_head(struct jwt *t, const cJSON *head, const char **kid, struct err *e)
{
	const cJSON *type = json_member(head, "typ");
	const char *alg = json_string(head, "alg");

	if (type != NULL && (!cJSON_IsString(type) || strcasecmp(type->valuestring, "JWT") != 0))
		return refuse(e, "BadJwtType", "its typ is not JWT");
	/* What must be understood, and is not, is a reason to refuse (RFC 7515 4.1.11). */
	if (json_member(head, "crit") != NULL)
		return refuse(e, "BadJwt", "it has critical extensions, of which none is known");
	if (alg != NULL && strcmp(alg, "ES256") == 0)
		t->alg = KEY_P256;
	else if (alg != NULL && strcmp(alg, "ES256K") == 0)
		t->alg = KEY_K256;
	else
		return err_named(e, ERR_DENIED, "BadJwtAlgorithm", "token: its algorithm is %.40s; ES256 and ES256K are known",
		    alg != NULL ? alg : "not said");
	*kid = json_string(head, "kid");
	if (*kid == NULL && json_member(head, "kid") != NULL)
		return refuse(e, "BadJwtKey", "its kid is no text");
	return 0;
}

/* "#atproto", alone or behind the account's DID. */
static bool
is_account_key(const char *kid, const char *did)
{
	size_t n = strlen(did);

	if (strncmp(kid, did, n) == 0)
		kid += n;
	return strcmp(kid, "#atproto") == 0;
}

static int
read_issuer(struct jwt *t, const cJSON *claims, const char *kid, struct err *e)
{
	const char *iss = json_string(claims, "iss");
	size_t n = iss != NULL ? strcspn(iss, "#") : 0;

	if (n == 0 || !syntax_did(iss, n))
		return refuse(e, "BadJwtIss", "its issuer is not a DID");
	/* An older form of kid. */
	if (iss[n] != '\0' && strcmp(iss + n, "#atproto") != 0)
		return refuse(e, "BadJwtKey", "its issuer names another key than #atproto");
	t->issuer = mem_strn(iss, n);
	if (kid != NULL && !is_account_key(kid, t->issuer))
		return refuse(e, "BadJwtKey", "its kid names another key than #atproto");
	return 0;
}

static int
read_nonce(struct jwt *t, const cJSON *claims, struct err *e)
{
	const char *jti = json_string(claims, "jti"), *p;

	if (jti == NULL || jti[0] == '\0' || strlen(jti) > JWT_NONCE_MAX)
		return refuse(e, "BadJwtId", "it has no jti of 1 to 256 characters");
	for (p = jti; *p != '\0'; p++)
		if (*p < '!' || *p > '~')
			return refuse(e, "BadJwtId", "its jti has characters that are not printable ASCII");
	t->nonce = mem_str(jti);
	return 0;
}

static int
read_claims(struct jwt *t, const cJSON *claims, const char *kid, struct err *e)
{
	const int64_t most = INT64_C(9007199254740991);
	int64_t iat = -1, nbf = -1;

	t->until_s = -1;
	if (json_int(claims, "exp", 0, most, &t->until_s, NULL) != 0 || json_int(claims, "iat", 0, most, &iat, NULL) != 0 ||
	    json_int(claims, "nbf", 0, most, &nbf, NULL) != 0)
		return refuse(e, "BadJwt", "exp, iat or nbf is not a whole number of seconds");
	if (t->until_s < 0)
		return refuse(e, "BadJwt", "it has no exp");
	t->since_s = iat > nbf ? iat : nbf;
	if (read_issuer(t, claims, kid, e) != 0 || read_nonce(t, claims, e) != 0)
		return -1;
	t->audience = mem_str(json_string(claims, "aud"));
	t->method = mem_str(json_string(claims, "lxm"));
	return 0;
}

static int
read_signature(struct jwt *t, const char *s, size_t n, struct err *e)
{
	struct buf raw = BUF_INIT;
	int rc = -1;

	if (base64url_parse(s, n, &raw) != 0)
		refuse(e, "BadJwt", "its signature is not base64url");
	else if (raw.len != sizeof t->signature)
		refuse(e, "BadJwtSignature", "a signature has 64 bytes, r and s");
	else
		rc = 0;
	if (rc == 0)
		memcpy(t->signature, raw.data, sizeof t->signature);
	buf_clear(&raw);
	return rc;
}

int
jwt_parse(struct jwt *t, const char *s, size_t n, struct err *e)
{
	const char *dot = n <= JWT_MAX ? memchr(s, '.', n) : NULL;
	const char *dot2 = dot != NULL ? memchr(dot + 1, '.', (size_t)(s + n - dot - 1)) : NULL;
	const char *kid = NULL;
	cJSON *head = NULL, *claims = NULL;
	int rc = -1;

	memset(t, 0, sizeof *t);
	if (dot2 == NULL)
		return refuse(e, "BadJwt", n > JWT_MAX ? "it has more than 8192 characters" : "it has not three parts");
	head = part(s, (size_t)(dot - s));
	claims = part(dot + 1, (size_t)(dot2 - dot - 1));
	t->signed_n = (size_t)(dot2 - s);
	if (head == NULL || claims == NULL)
		refuse(e, "BadJwt", "its parts are not JSON in base64url");
	else if (read_head(t, head, &kid, e) == 0 && read_claims(t, claims, kid, e) == 0 &&
	    read_signature(t, dot2 + 1, (size_t)(s + n - dot2 - 1), e) == 0)
		rc = 0;
	cJSON_Delete(head);
	cJSON_Delete(claims);
	if (rc != 0)
		jwt_clear(t);
	return rc;
}

void
jwt_clear(struct jwt *t)
{
	free(t->issuer);
	free(t->audience);
	free(t->method);
	free(t->nonce);
	memset(t, 0, sizeof *t);
}

/* --- the judgement --- */

static bool
is_for(const char *audience, const char *did, const char *fragment)
{
	size_t n = did != NULL ? strlen(did) : 0;

	if (n == 0 || audience == NULL || strncmp(audience, did, n) != 0)
		return false;
	return audience[n] == '\0' || strcmp(audience + n, fragment) == 0;
}

int
jwt_check(const struct jwt *t, const char *did, const char *fragment, const char *method, int64_t now_s, struct err *e)
{
	if (now_s >= t->until_s + JWT_LEEWAY_S)
		return err_named(e, ERR_DENIED, "JwtExpired", "token: it expired %lld s ago", (long long)(now_s - t->until_s));
	if (t->since_s > now_s + JWT_LEEWAY_S)
		return err_named(e, ERR_DENIED, "JwtNotYetValid", "token: it is valid only in %lld s",
		    (long long)(t->since_s - now_s));
	if (t->until_s - now_s > JWT_LIFE_S + JWT_LEEWAY_S)
		return err_named(e, ERR_DENIED, "JwtLifetimeTooLong", "token: it is valid for %lld s more; %d are allowed",
		    (long long)(t->until_s - now_s), JWT_LIFE_S);
	if (!is_for(t->audience, did, fragment))
		return err_named(e, ERR_DENIED, "BadJwtAudience", "token: it is for %.100s, not for %.100s or %.100s%s",
		    t->audience != NULL ? t->audience : "nobody", did != NULL ? did : "(this runner has no DID)",
		    did != NULL ? did : "", fragment);
	if (t->method == NULL || strcmp(t->method, method) != 0)
		return err_named(e, ERR_DENIED, "BadJwtLexiconMethod", "token: it is for the method %.100s, not for %s",
		    t->method != NULL ? t->method : "(none)", method);
	return 0;
}
