#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/jwt.h"
#include "lib/mem.h"
#include "lib/multibase.h"
#include "tests/repo.h"
#include "tests/t.h"

#define RUNNER "did:web:runner.example.com"
#define ALICE  "did:plc:7iza6de2dwap2sbkpav7c6c6"
#define METHOD "dev.at-run.invoke"
#define NOW    1780000000
#define HEAD   "{\"typ\":\"JWT\",\"alg\":\"ES256K\"}"
#define CLAIMS(aud, lxm, iat, exp) \
	"{\"iss\":\"" ALICE "\",\"aud\":\"" aud "\",\"lxm\":\"" lxm "\",\"jti\":\"n1\",\"iat\":" iat ",\"exp\":" exp "}"
#define GOOD CLAIMS(RUNNER, METHOD, "1780000000", "1780000060")

static const uint8_t secret[32] = { 9, 8, 7, 6, 5, 4, 3, 2, 1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 9, 8,
	7, 6, 5 };

static void
add_part(struct buf *out, const void *p, size_t n)
{
	size_t from = out->len;

	base64_print(p, n, out);
	for (; from < out->len; from++)
		out->data[from] = out->data[from] == '+' ? '-' : out->data[from] == '/' ? '_' : out->data[from];
}

static char *
token(const char *head, const char *claims, enum key_curve curve, bool high_s)
{
	struct buf out = BUF_INIT;
	uint8_t sig[KEY_SIGNATURE_BYTES];

	add_part(&out, head, strlen(head));
	buf_char(&out, '.');
	add_part(&out, claims, strlen(claims));
	repo_sign(curve, secret, out.data, out.len, high_s, sig);
	buf_char(&out, '.');
	add_part(&out, sig, sizeof sig);
	return buf_take(&out);
}

/* The name that reading or judging a token gives; "" when it is fine. */
static const char *
judged(const char *text)
{
	static struct err e;
	struct jwt t;

	e = (struct err)ERR_INIT;
	if (jwt_parse(&t, text, strlen(text), &e) == 0) {
		jwt_check(&t, RUNNER, "#at_run", METHOD, NOW, &e);
		jwt_clear(&t);
	}
	if (e.kind != ERR_NONE) {
		CHECK_INT(e.kind, ERR_DENIED);
		CHECK(jwt_meaning(e.name) != NULL);
	}
	return e.name;
}

TEST(jwt_is_read_and_bears_its_signature)
{
	static const struct {
		enum key_curve curve;
		bool high_s;
		const char *head;
	} cases[] = {
		{ KEY_K256, false, HEAD },
		{ KEY_K256, true, HEAD }, /* tokens may (facts B.9) */
		{ KEY_P256, false, "{\"alg\":\"ES256\",\"typ\":\"jwt\",\"kid\":\"#atproto\"}" },
		{ KEY_P256, true, "{\"alg\":\"ES256\",\"kid\":\"" ALICE "#atproto\"}" },
	}, *c;

	for (T_EACH(c, cases)) {
		char *text = token(c->head, GOOD, c->curve, c->high_s);
		struct err e = ERR_INIT;
		struct jwt t;
		struct key k;

		CHECK_INT(jwt_parse(&t, text, strlen(text), &e), 0);
		CHECK_STR(t.issuer, ALICE);
		CHECK_STR(t.audience, RUNNER);
		CHECK_STR(t.method, METHOD);
		CHECK_STR(t.nonce, "n1");
		CHECK_INT(t.until_s, NOW + 60);
		CHECK_INT(t.alg, c->curve);
		CHECK_INT(jwt_check(&t, RUNNER, "#at_run", METHOD, NOW, &e), 0);
		repo_key(c->curve, secret, &k);
		CHECK_INT(key_verify(&k, text, t.signed_n, t.signature, sizeof t.signature, true, &e), 0);
		text[3] ^= 1;
		CHECK_INT(key_verify(&k, text, t.signed_n, t.signature, sizeof t.signature, true, &e), -1);
		jwt_clear(&t);
		free(text);
	}
}

TEST(jwt_that_is_refused_has_a_name)
{
	static const struct {
		const char *head, *claims, *name;
	} cases[] = {
		{ HEAD, GOOD, "" },
		{ HEAD, CLAIMS(RUNNER "#at_run", METHOD, "1780000000", "1780000060"), "" },
		{ HEAD, CLAIMS(RUNNER "#at_runner", METHOD, "1780000000", "1780000060"), "BadJwtAudience" },
		{ HEAD, CLAIMS(RUNNER "#", METHOD, "1780000000", "1780000060"), "BadJwtAudience" },
		{ HEAD, CLAIMS(RUNNER ".evil.com", METHOD, "1780000000", "1780000060"), "BadJwtAudience" },
		{ HEAD, CLAIMS("did:web:runner", METHOD, "1780000000", "1780000060"), "BadJwtAudience" },
		{ HEAD, CLAIMS("", METHOD, "1780000000", "1780000060"), "BadJwtAudience" },
		{ HEAD, CLAIMS(RUNNER, "dev.at-run.invoke2", "1780000000", "1780000060"), "BadJwtLexiconMethod" },
		{ HEAD, CLAIMS(RUNNER, "*", "1780000000", "1780000060"), "BadJwtLexiconMethod" },
		{ HEAD, CLAIMS(RUNNER, METHOD, "1779999900", "1779999971"), "" },           /* leeway */
		{ HEAD, CLAIMS(RUNNER, METHOD, "1779999900", "1779999970"), "JwtExpired" },
		{ HEAD, CLAIMS(RUNNER, METHOD, "1780000030", "1780000090"), "" },
		{ HEAD, CLAIMS(RUNNER, METHOD, "1780000031", "1780000090"), "JwtNotYetValid" },
		{ HEAD, CLAIMS(RUNNER, METHOD, "1780000000", "1780003600"), "" },
		{ HEAD, CLAIMS(RUNNER, METHOD, "1780000000", "1780003631"), "JwtLifetimeTooLong" },
		{ HEAD, CLAIMS(RUNNER, METHOD, "1.5", "1780000060"), "BadJwt" },
		{ HEAD, CLAIMS(RUNNER, METHOD, "0", "\"soon\""), "BadJwt" },
		{ HEAD, "{\"iss\":\"" ALICE "\",\"aud\":\"" RUNNER "\",\"exp\":1780000060,\"jti\":\"x\"}", "BadJwtLexiconMethod" },
		{ HEAD, "{\"iss\":\"" ALICE "\",\"aud\":[\"" RUNNER "\"],\"lxm\":\"" METHOD "\",\"exp\":1780000060,\"jti\":\"x\"}",
		    "BadJwtAudience" },
		{ HEAD, "{\"iss\":\"" ALICE "\",\"aud\":\"" RUNNER "\",\"lxm\":\"" METHOD "\",\"jti\":\"x\"}", "BadJwt" },
		{ HEAD, "{\"iss\":\"" ALICE "\",\"aud\":\"" RUNNER "\",\"lxm\":\"" METHOD "\",\"exp\":1780000060}", "BadJwtId" },
		{ HEAD, "{\"iss\":\"" ALICE "\",\"lxm\":\"" METHOD "\",\"exp\":1780000060,\"jti\":\"a b\"}", "BadJwtId" },
		{ HEAD, "{\"iss\":\"alice.test\",\"exp\":1780000060,\"jti\":\"x\"}", "BadJwtIss" },
		{ HEAD, "{\"exp\":1780000060,\"jti\":\"x\"}", "BadJwtIss" },
		{ HEAD, "{\"iss\":\"" ALICE "#atproto_labeler\",\"exp\":1780000060,\"jti\":\"x\"}", "BadJwtKey" },
		{ HEAD, "{\"exp\":1780000060,\"exp\":1780000060}", "BadJwt" },
		{ HEAD, "[]", "BadJwt" },
		{ HEAD, "null", "BadJwt" },
		{ "{\"typ\":\"at+jwt\",\"alg\":\"ES256K\"}", GOOD, "BadJwtType" },
		{ "{\"typ\":\"refresh+jwt\",\"alg\":\"ES256K\"}", GOOD, "BadJwtType" },
		{ "{\"typ\":7,\"alg\":\"ES256K\"}", GOOD, "BadJwtType" },
		{ "{\"typ\":\"JWT\",\"alg\":\"none\"}", GOOD, "BadJwtAlgorithm" },
		{ "{\"typ\":\"JWT\",\"alg\":\"HS256\"}", GOOD, "BadJwtAlgorithm" },
		{ "{\"typ\":\"JWT\",\"alg\":\"es256k\"}", GOOD, "BadJwtAlgorithm" },
		{ "{\"typ\":\"JWT\"}", GOOD, "BadJwtAlgorithm" },
		{ "{\"alg\":\"ES256K\",\"kid\":\"#atproto_labeler\"}", GOOD, "BadJwtKey" },
		{ "{\"alg\":\"ES256K\",\"kid\":\"did:plc:z72i7hdynmk6r22z27h6tvur#atproto\"}", GOOD, "BadJwtKey" },
		{ "{\"alg\":\"ES256K\",\"crit\":[\"exp\"]}", GOOD, "BadJwt" },
		{ "{}x", GOOD, "BadJwt" },
	}, *c;

	for (T_EACH(c, cases)) {
		char *text = token(c->head, c->claims, KEY_K256, false);

		if (strcmp(judged(text), c->name) != 0)
			fprintf(stderr, "%s . %s\n", c->head, c->claims);
		CHECK_STR(judged(text), c->name);
		free(text);
	}
}

TEST(jwt_of_other_texts_is_none)
{
	static const char *const none[] = { "", ".", "..", "...", "x.y.z", "Bearer", "a", "e30.e30", "e30.e30.", "e30.e30.!",
		"e30=.e30.AA" };
	char *text = token(HEAD, GOOD, KEY_K256, false), *longer;
	size_t i, n = strlen(text);
	struct jwt t;

	for (i = 0; i < sizeof none / sizeof *none; i++)
		CHECK(judged(none[i])[0] != '\0');
	for (i = 0; i < n; i++)
		CHECK_INT(jwt_parse(&t, text, i, NULL), -1);
	longer = mem_fmt("%sAAAA", text);
	CHECK_STR(judged(longer), "BadJwtSignature");
	free(longer);
	longer = mem_fmt("%s.", text);
	CHECK_STR(judged(longer), "BadJwt");
	free(longer);
	longer = mem_array(1, JWT_MAX + 2);
	memset(longer, 'a', JWT_MAX + 1);
	CHECK_STR(judged(longer), "BadJwt");
	free(longer);
	free(text);
}

TEST(jwt_for_a_runner_without_did_is_for_nobody)
{
	char *text = token(HEAD, GOOD, KEY_K256, false);
	struct err e = ERR_INIT;
	struct jwt t;

	CHECK_INT(jwt_parse(&t, text, strlen(text), &e), 0);
	CHECK_INT(jwt_check(&t, NULL, "#at_run", METHOD, NOW, &e), -1);
	CHECK_STR(e.name, "BadJwtAudience");
	jwt_clear(&t);
	free(text);
}

TEST(jwt_names_are_said_once)
{
	size_t i, k;

	for (i = 0; jwt_names(i) != NULL; i++) {
		CHECK(strlen(jwt_names(i)) < sizeof((struct err *)0)->name);
		for (k = 0; k < i; k++)
			CHECK(strcmp(jwt_names(i), jwt_names(k)) != 0);
	}
	CHECK(jwt_meaning("SomethingElse") == NULL);
}
