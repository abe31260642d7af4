#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/key.h"
#include "lib/multibase.h"
#include "tests/repo.h"
#include "tests/t.h"

#define ALICE_DID "did:key:zQ3shtCY61GXEk8DwGWMHxvZUGXqD3M8k3H8j4cZBfNiygzML"
#define ALICE_65  "zRW4BkP1VVqgMPKpHDZjQKaYYm69FZipGTBXx87EQDHzWSe9Am8yvAsLi4feefTVKD6A5tgZ9gksCU93VDGxzfAta"
#define LEGACY_K  "EcdsaSecp256k1VerificationKey2019"
#define LEGACY_P  "EcdsaSecp256r1VerificationKey2019"

static const uint8_t secret[32] = { 7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22,
	23, 24, 25, 26, 27, 28, 29, 30, 31 };

static cJSON *
vectors(const char *name)
{
	size_t n;
	char *text = t_read_file(t_vector(name), &n);
	cJSON *list;

	if (text == NULL)
		SKIP("%s is not there", t_vector(name));
	list = json_parse(text, n, JSON_DEPTH, NULL);
	CHECK(cJSON_IsArray(list));
	free(text);
	return list;
}

static void
one_signature(const cJSON *one)
{
	const char *message = json_string(one, "messageBase64"), *sig = json_string(one, "signatureBase64");
	const char *did = json_string(one, "publicKeyDid"), *tag;
	struct buf m = BUF_INIT, s = BUF_INIT;
	struct key by_did, by_method;
	struct err e = ERR_INIT;
	char text[KEY_DID_TEXT + 1];
	bool valid = cJSON_IsTrue(json_member(one, "validSignature"));

	CHECK_INT(base64_parse(message, strlen(message), &m), 0);
	CHECK_INT(base64_parse(sig, strlen(sig), &s), 0);
	CHECK_INT(key_parse_did(&by_did, did, strlen(did), &e), 0);
	key_print_did(&by_did, text);
	CHECK_STR(text, did);
	CHECK_STR(key_curve_alg(by_did.curve), json_string(one, "algorithm"));
	CHECK_INT(key_parse_method(&by_method, json_string(one, "didDocSuite"), json_string(one, "publicKeyMultibase"), &e),
	    0);
	CHECK(key_equal(&by_did, &by_method));
	CHECK_INT(key_verify(&by_did, m.data, m.len, (uint8_t *)s.data, s.len, false, &e), valid ? 0 : -1);
	if (!valid) {
		tag = cJSON_GetArrayItem(json_array(one, "tags"), 0)->valuestring;
		CHECK_STR(e.name, strcmp(tag, "high-s") == 0 ? "HighSSignature" : "BadSignature");
		/* Tokens may have a large s, but are never DER. */
		CHECK_INT(key_verify(&by_did, m.data, m.len, (uint8_t *)s.data, s.len, true, &e),
		    strcmp(tag, "high-s") == 0 ? 0 : -1);
	}
	buf_clear(&m);
	buf_clear(&s);
}

TEST(key_signature_fixtures_are_judged_rightly)
{
	cJSON *list = vectors("crypto/signature-fixtures.json");
	const cJSON *one;

	cJSON_ArrayForEach(one, list)
		one_signature(one);
	t_note("signature-fixtures.json: %d cases", cJSON_GetArraySize(list));
	cJSON_Delete(list);
}

static void
derived(enum key_curve curve, const uint8_t private[32], const char *want)
{
	struct key k, read;
	char text[KEY_DID_TEXT + 1];

	repo_key(curve, private, &k);
	key_print_did(&k, text);
	CHECK_STR(text, want);
	CHECK_INT(key_parse_did(&read, want, strlen(want), NULL), 0);
	CHECK(key_equal(&k, &read));
}

TEST(key_dids_of_the_w3c_are_derived)
{
	cJSON *list = vectors("crypto/w3c_didkey_K256.json");
	const cJSON *one;
	uint8_t raw[32];
	size_t i;

	cJSON_ArrayForEach(one, list) {
		const char *hex = json_string(one, "privateKeyBytesHex");

		CHECK_INT(strlen(hex), 64);
		for (i = 0; i < 32; i++)
			CHECK_INT(sscanf(hex + 2 * i, "%2hhx", &raw[i]), 1);
		derived(KEY_K256, raw, json_string(one, "publicDidKey"));
	}
	t_note("w3c_didkey_K256.json: %d cases", cJSON_GetArraySize(list));
	cJSON_Delete(list);
	list = vectors("crypto/w3c_didkey_P256.json");
	cJSON_ArrayForEach(one, list) {
		const char *text = json_string(one, "privateKeyBytesBase58");

		CHECK_INT(base58_parse(text, strlen(text), raw, sizeof raw), 32);
		derived(KEY_P256, raw, json_string(one, "publicDidKey"));
	}
	t_note("w3c_didkey_P256.json: %d cases", cJSON_GetArraySize(list));
	cJSON_Delete(list);
}

/* What a document may hold for a point: a text of our own making. */
static const char *
multibase(const uint8_t *p, size_t n)
{
	static char text[BASE58_TEXT_MAX + 2];

	text[0] = 'z';
	CHECK(base58_print(p, n, text + 1, sizeof text - 1) > 0);
	return text;
}

TEST(key_of_a_document_is_read_in_each_form)
{
	struct key a, b;
	struct err e = ERR_INIT;
	uint8_t raw[65];
	int c;

	CHECK_INT(key_parse_did(&a, ALICE_DID, strlen(ALICE_DID), &e), 0);
	CHECK_INT(key_parse_method(&b, "Multikey", ALICE_DID + strlen(KEY_DID_PREFIX), &e), 0);
	CHECK(key_equal(&a, &b));
	CHECK_INT(key_parse_method(&b, LEGACY_K, ALICE_65, &e), 0);
	CHECK(key_equal(&a, &b));
	for (c = 0; c < KEY_CURVE_COUNT; c++) {
		const char *type = c == KEY_P256 ? LEGACY_P : LEGACY_K;

		repo_key((enum key_curve)c, secret, &a);
		memcpy(raw, a.point, 65);
		CHECK_INT(key_parse_method(&b, type, multibase(raw, 65), &e), 0);
		CHECK(key_equal(&a, &b));
		raw[0] = 2 | (a.point[64] & 1);
		CHECK_INT(key_parse_method(&b, type, multibase(raw, 33), &e), 0);
		CHECK(key_equal(&a, &b));
	}
}

static void
refused(const char *type, const char *text, const char *name)
{
	struct err e = ERR_INIT;
	struct key k;

	CHECK_INT(key_parse_method(&k, type, text, &e), -1);
	CHECK_STR(e.name, name);
	CHECK_INT(e.kind, ERR_REMOTE);
}

TEST(key_texts_that_are_no_key_are_refused)
{
	uint8_t raw[66];
	char longest[600];
	struct key k, other;

	repo_key(KEY_K256, secret, &k);
	repo_key(KEY_P256, secret, &other);
	refused("Multikey", "", "KeyMalformed");
	refused("Multikey", "z", "KeyMalformed");
	refused("Multikey", "z0", "KeyMalformed");
	refused("Multikey", "Q3shtCY61GXEk8DwGWMHxvZUGXqD3M8k3H8j4cZBfNiygzML", "KeyMalformed");
	refused("Multikey", "uQ3shtCY61GXEk8DwGWMHxvZUGXqD3M8k3H8j4cZBfNiygzML", "KeyMalformed");
	refused("Multikey", "zQ3shtCY61GXEk8DwGWMHxvZUGXqD3M8k3H8j4cZBfNiygzM", "WrongCurve");
	refused("Multikey", ALICE_65, "WrongCurve"); /* 4 and the first byte of x are no codec */
	refused("Multikey", "z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK", "WrongCurve"); /* Ed25519 */
	refused("Ed25519VerificationKey2020", ALICE_65, "WrongCurve");
	refused("", ALICE_65, "WrongCurve");
	refused(LEGACY_P, ALICE_65, "WrongCurve");
	refused(LEGACY_K, "z", "KeyMalformed");
	memset(longest, 'z', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	refused("Multikey", longest, "KeyMalformed");
	refused(LEGACY_K, longest, "KeyMalformed");
	/* Hybrid forms and infinity, which libraries know. */
	memcpy(raw, k.point, 65);
	raw[0] = 6 | (raw[64] & 1);
	refused(LEGACY_K, multibase(raw, 65), "KeyMalformed");
	refused(LEGACY_K, multibase((const uint8_t *)"", 1), "KeyMalformed");
	memcpy(raw, k.point, 65);
	raw[64] ^= 1;
	refused(LEGACY_K, multibase(raw, 65), "WrongCurve");
	refused(LEGACY_P, multibase(k.point, 65), "WrongCurve");
	refused(LEGACY_K, multibase(other.point, 65), "WrongCurve");
	/* x is not below the field's prime */
	memset(raw, 0xff, sizeof raw);
	raw[0] = 2;
	refused(LEGACY_K, multibase(raw, 33), "WrongCurve");
	refused(LEGACY_P, multibase(raw, 33), "WrongCurve");
	/* a Multikey with the whole point */
	raw[0] = 0xe7;
	raw[1] = 1;
	memcpy(raw + 2, k.point, 64);
	refused("Multikey", multibase(raw, 66), "KeyMalformed");
	CHECK_INT(key_parse_did(&k, ALICE_DID, 7, NULL), -1);
	CHECK_INT(key_parse_did(&k, "did:web:example.com", 19, NULL), -1);
}

TEST(key_takes_its_own_signatures_and_no_flipped_bit)
{
	uint8_t sig[KEY_SIGNATURE_BYTES + 1] = { 0 };
	struct err e = ERR_INIT;
	struct key k, other;
	int c, i;

	for (c = 0; c < KEY_CURVE_COUNT; c++) {
		repo_key((enum key_curve)c, secret, &k);
		repo_key((enum key_curve)!c, secret, &other);
		for (i = 0; i < 20; i++) {
			repo_sign((enum key_curve)c, secret, &i, sizeof i, i % 2, sig);
			CHECK_INT(key_verify(&k, &i, sizeof i, sig, 64, i % 2, &e), 0);
			CHECK_INT(key_verify(&other, &i, sizeof i, sig, 64, i % 2, &e), -1);
			CHECK_STR(e.name, "BadSignature");
		}
		CHECK_INT(key_verify(&k, "x", 1, sig, 64, true, &e), -1);
		CHECK_STR(e.name, "BadSignature");
		for (i = 0; i < 64 * 8; i += 3) {
			repo_sign((enum key_curve)c, secret, "m", 1, false, sig);
			sig[i / 8] ^= (uint8_t)(1 << i % 8);
			CHECK_INT(key_verify(&k, "m", 1, sig, 64, true, &e), -1);
		}
		repo_sign((enum key_curve)c, secret, "", 0, false, sig);
		CHECK_INT(key_verify(&k, "", 0, sig, 64, false, &e), 0);
		CHECK_INT(key_verify(&k, "", 0, sig, 63, false, &e), -1);
		CHECK_INT(key_verify(&k, "", 0, sig, 65, false, &e), -1);
		CHECK_INT(key_verify(&k, "", 0, sig, 0, false, &e), -1);
	}
}

TEST(key_knows_numbers_that_sign_nothing)
{
	static const uint8_t order_k[32] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xfe, 0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36,
		0x41, 0x41 };
	static const uint8_t one[32] = { [31] = 1 }, zero[32] = { 0 }, ones[32] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	const uint8_t *const numbers[] = { zero, one, ones, order_k };
	uint8_t sig[64];
	struct err e = ERR_INIT;
	struct key k;
	size_t r, s;
	int c;

	for (c = 0; c < KEY_CURVE_COUNT; c++) {
		repo_key((enum key_curve)c, secret, &k);
		for (r = 0; r < 4; r++)
			for (s = 0; s < 4; s++) {
				memcpy(sig, numbers[r], 32);
				memcpy(sig + 32, numbers[s], 32);
				CHECK_INT(key_verify(&k, "m", 1, sig, 64, true, &e), -1);
				CHECK_STR(e.name, "BadSignature");
			}
	}
}
