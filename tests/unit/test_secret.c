#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/secret.h"
#include "lib/syntax.h"
#include "tests/t.h"

#define AUTHOR "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
#define RUNNER "did:web:runner.example.com"
#define NOW    INT64_C(1767225600000) /* 2026-01-01 */
#define DAY    INT64_C(86400000)

struct box {
	uint8_t secret[SECRET_KEY_BYTES], public[SECRET_KEY_BYTES];
	char key[SECRET_KEY_TEXT + 1];
	struct secret_context seal, open;
	struct buf bytes;
};

static void
sealed(struct box *b, const char *text)
{
	struct secret_env *env = NULL;
	struct err e = ERR_INIT;

	CHECK(sodium_init() >= 0);
	memset(b, 0, sizeof *b);
	crypto_box_keypair(b->public, b->secret);
	secret_key_print(SECRET_USE_SECRETS, b->public, b->key);
	b->seal = (struct secret_context){ AUTHOR, "hello", RUNNER, b->key, NOW + DAY };
	b->open = (struct secret_context){ AUTHOR, "hello", RUNNER, b->key, NOW };
	CHECK_INT(secret_read(text, strlen(text), &env, &e), 0);
	CHECK_INT(secret_seal(&b->seal, env, &b->bytes, &e), 0);
	secret_env_unref(env);
}

static const char *
refusal(struct box *b)
{
	static struct err e;
	struct secret_env *env = NULL;

	e = (struct err)ERR_INIT;
	CHECK_INT(secret_open(&b->open, b->secret, b->public, b->bytes.data, b->bytes.len, &env, &e), -1);
	CHECK(env == NULL);
	CHECK_INT(e.kind, ERR_DENIED);
	return e.name;
}

TEST(a_box_opens_for_whom_it_was_sealed)
{
	struct box b;
	struct secret_env *env = NULL;
	struct err e = ERR_INIT;
	struct buf json = BUF_INIT;

	sealed(&b, "API_KEY=sk-12345678\n# a comment\n\nTWO=\"with spaces \"\r\n");
	CHECK_INT(secret_open(&b.open, b.secret, b.public, b.bytes.data, b.bytes.len, &env, &e), 0);
	CHECK_INT(env->n, 2);
	CHECK_INT(env->expires_at, NOW + DAY);
	CHECK(secret_env_has(env, "API_KEY") && secret_env_has(env, "TWO") && !secret_env_has(env, "API"));
	secret_env_json(env, NULL, &json);
	CHECK_STR(json.data, "{\"API_KEY\":\"sk-12345678\",\"TWO\":\"with spaces \"}");
	CHECK_INT((b.bytes.len - crypto_box_SEALBYTES) % SECRET_PAD, 0);
	secret_env_unref(env);
	buf_clear(&json);
	buf_clear(&b.bytes);
}

TEST(only_the_names_that_were_asked_for_are_told)
{
	char *want[] = { "TWO", "THREE" };
	struct conf_list names = { want, 2 };
	struct secret_env *env = NULL;
	struct buf json = BUF_INIT;

	CHECK_INT(secret_read("ONE=1\nTWO=2", 11, &env, NULL), 0);
	secret_env_json(env, &names, &json);
	CHECK_STR(json.data, "{\"TWO\":\"2\"}");
	secret_env_unref(env);
	buf_clear(&json);
}

TEST(a_box_of_another_context_is_refused)
{
	struct box b;

	sealed(&b, "A=1");
	b.open.author = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb";
	CHECK_STR(refusal(&b), "SecretMismatch");
	b.open = b.seal;
	b.open.expires_at = NOW;
	b.open.bundle = "other";
	CHECK_STR(refusal(&b), "SecretMismatch");
	b.open.bundle = "hello";
	b.open.runner = "did:web:elsewhere.example.com";
	CHECK_STR(refusal(&b), "SecretMismatch");
	b.open.runner = RUNNER;
	b.open.key = "z6LSanother";
	CHECK_STR(refusal(&b), "SecretMismatch");
	b.open.key = b.key;
	b.open.expires_at = NOW + DAY;
	CHECK_STR(refusal(&b), "SecretExpired");
	buf_clear(&b.bytes);
}

TEST(every_flipped_bit_of_a_box_is_seen)
{
	struct box b;
	size_t i;

	sealed(&b, "A=1");
	for (i = 0; i < b.bytes.len; i++) {
		b.bytes.data[i] ^= 4;
		CHECK_STR(refusal(&b), "SecretUnreadable");
		b.bytes.data[i] ^= 4;
	}
	b.bytes.len--;
	CHECK_STR(refusal(&b), "SecretUnreadable");
	b.bytes.len = 47;
	CHECK_STR(refusal(&b), "SecretUnreadable");
	buf_clear(&b.bytes);
}

TEST(a_box_for_another_key_is_unreadable)
{
	struct box b, other;

	sealed(&b, "A=1");
	sealed(&other, "A=1");
	memcpy(b.secret, other.secret, sizeof b.secret);
	memcpy(b.public, other.public, sizeof b.public);
	CHECK_STR(refusal(&b), "SecretUnreadable");
	buf_clear(&b.bytes);
	buf_clear(&other.bytes);
}

static const struct {
	const char *plain, *name;
} plains[] = {
	{ "", "SecretMalformed" },
	{ "[]", "SecretMalformed" },
	{ "{}", "SecretMalformed" },
	{ "{\"author\":1,\"bundle\":\"hello\",\"runner\":\"r\",\"key\":\"k\",\"expires\":\"2027-01-01T00:00:00Z\",\"env\":{}}",
	    "SecretMalformed" },
	{ "{\"author\":\"a\",\"bundle\":\"b\",\"runner\":\"r\",\"key\":\"k\",\"env\":{\"A\":\"1\"}}", "SecretMalformed" },
	{ "{\"author\":\"a\",\"bundle\":\"b\",\"runner\":\"r\",\"key\":\"k\",\"expires\":\"soon\",\"env\":{\"A\":\"1\"}}",
	    "SecretMalformed" },
	{ "{\"author\":\"a\",\"bundle\":\"b\",\"runner\":\"r\",\"key\":\"k\",\"expires\":\"2027-01-01T00:00:00Z\",\"env\":{}}",
	    "SecretMalformed" },
	{ "{\"author\":\"a\",\"bundle\":\"b\",\"runner\":\"r\",\"key\":\"k\",\"expires\":\"2027-01-01T00:00:00Z\","
	  "\"env\":{\"1A\":\"1\"}}", "SecretMalformed" },
	{ "{\"author\":\"a\",\"bundle\":\"b\",\"runner\":\"r\",\"key\":\"k\",\"expires\":\"2027-01-01T00:00:00Z\","
	  "\"env\":{\"A\":1}}", "SecretMalformed" },
	{ "{\"author\":\"a\",\"bundle\":\"b\",\"runner\":\"r\",\"key\":\"k\",\"expires\":\"2027-01-01T00:00:00Z\",\"env\":[]}",
	    "SecretMalformed" },
	{ "{\"author\":\"a\",\"bundle\":\"b\",\"runner\":\"r\",\"key\":\"k\",\"expires\":\"2025-01-01T00:00:00Z\","
	  "\"env\":{\"A\":\"1\"}}", "SecretExpired" },
	{ "{\"author\":\"a\",\"bundle\":\"b\",\"runner\":\"r\",\"key\":\"k\",\"expires\":\"2027-01-01T00:00:00+01:00\","
	  "\"env\":{\"A\":\"1\"}}", "" },
};

TEST(a_plain_text_that_is_none_is_refused_by_name)
{
	const struct secret_context now = { "a", "b", "r", "k", NOW };
	size_t i;

	for (i = 0; i < sizeof plains / sizeof *plains; i++) {
		struct secret_env *env = NULL;
		struct err e = ERR_INIT;

		CHECK_INT(secret_plain(&now, plains[i].plain, strlen(plains[i].plain), &env, &e),
		    *plains[i].name == '\0' ? 0 : -1);
		CHECK_STR(e.name, plains[i].name);
		if (env != NULL)
			CHECK_INT(env->expires_at, INT64_C(1798758000000));
		secret_env_unref(env);
	}
}

static const struct {
	const char *text, *json; /* NULL: refused */
} typed[] = {
	{ "A=1", "{\"A\":\"1\"}" },
	{ "A=", "{\"A\":\"\"}" },
	{ "A=b=c", "{\"A\":\"b=c\"}" },
	{ "A='x \"y\"'\nB=2\n", "{\"A\":\"x \\\"y\\\"\",\"B\":\"2\"}" },
	{ " \n{\"A\":\"line\\nline\"}", "{\"A\":\"line\\nline\"}" },
	{ "", NULL },
	{ "# nothing\n", NULL },
	{ "A", NULL },
	{ "A B=1", NULL },
	{ "1A=1", NULL },
	{ "A=1\nA=2", NULL },
	{ "A=\xff", NULL },
	{ "A=\xc3\xbc", "{\"A\":\"\xc3\xbc\"}" },
	{ "{\"A\":1}", NULL },
	{ "{\"A\":\"1\"", NULL },
	{ "{\"A\":\"1\",\"A\":\"2\"}", NULL },
	{ "{\"A\":{\"B\":\"1\"}}", NULL },
};

TEST(what_an_author_types_is_lines_or_json)
{
	size_t i;

	for (i = 0; i < sizeof typed / sizeof *typed; i++) {
		struct secret_env *env = NULL;
		struct buf json = BUF_INIT;
		struct err e = ERR_INIT;
		int rc = secret_read(typed[i].text, strlen(typed[i].text), &env, &e);

		CHECK_INT(rc, typed[i].json != NULL ? 0 : -1);
		if (rc == 0) {
			secret_env_json(env, NULL, &json);
			CHECK_STR(json.data, typed[i].json);
		} else {
			CHECK_INT(e.kind, ERR_INPUT);
		}
		secret_env_unref(env);
		buf_clear(&json);
	}
}

TEST(values_are_cut_out_of_a_log)
{
	static const struct {
		const char *text, *becomes;
	} lines[] = {
		{ "nothing here", NULL },
		{ "the key is sk-12345678!", "the key is [secret KEY]!" },
		{ "sk-12345678sk-12345678", "[secret KEY][secret KEY]" },
		{ "sk-12345678-longer", "[secret LONG]" },
		{ "second line", "[secret PEM]" },
		{ "first line\nsecond line", "[secret PEM]" },
		{ "a 1 stays", NULL },
	};
	static const char block[] = "KEY=sk-12345678\0LONG=sk-12345678-longer\0PEM=first line\nsecond line\0ONE=1";
	struct secret_env *env = secret_env_new(block, sizeof block, 0);
	size_t i;

	for (i = 0; i < sizeof lines / sizeof *lines; i++) {
		struct buf out = BUF_INIT;
		bool any = secret_redact(env, lines[i].text, strlen(lines[i].text), &out);

		CHECK(any == (lines[i].becomes != NULL));
		if (any)
			CHECK_STR(out.data, lines[i].becomes);
		buf_clear(&out);
	}
	secret_env_unref(env);
}

TEST(a_record_of_secrets_is_read_back)
{
	struct box b;
	struct secret_record r;
	struct buf json = BUF_INIT;
	struct err e = ERR_INIT;
	char *rkey = secret_rkey("hello", "did:web:localhost%3A3000");

	CHECK_STR(rkey, "hello:did:web:localhost~3A3000");
	CHECK(syntax_rkey(rkey, strlen(rkey)));
	free(rkey);
	sealed(&b, "A=1");
	secret_record_json(&b.seal, "dev.at-run.secret", b.bytes.data, b.bytes.len, "2026-01-01T00:00:00Z", &json);
	CHECK_INT(secret_record_parse(json.data, json.len, &r, &e), 0);
	CHECK_STR(r.bundle, "hello");
	CHECK_STR(r.runner, RUNNER);
	CHECK_STR(r.key, b.key);
	CHECK_INT(r.box->len, b.bytes.len);
	CHECK(memcmp(r.box->data, b.bytes.data, b.bytes.len) == 0);
	secret_record_clear(&r);
	CHECK_INT(secret_record_parse("{}", 2, &r, &e), -1);
	CHECK_STR(e.name, "SecretMalformed");
	secret_record_clear(&r);
	buf_clear(&json);
	buf_clear(&b.bytes);
}

TEST(more_secrets_than_fit_are_refused)
{
	struct secret_env *env = NULL;
	struct buf text = BUF_INIT, box = BUF_INIT;
	struct err e = ERR_INIT;
	struct box b;
	int i;

	for (i = 0; i <= SECRET_NAMES_MAX; i++)
		buf_fmt(&text, "N%d=x\n", i);
	CHECK_INT(secret_read(text.data, text.len, &env, &e), -1);
	buf_reset(&text);
	buf_str(&text, "A=");
	for (i = 0; i < 30000; i++)
		buf_char(&text, '\x01'); /* six bytes each in JSON */
	sealed(&b, "A=1");
	CHECK_INT(secret_read(text.data, text.len, &env, &e), 0);
	CHECK_INT(secret_seal(&b.seal, env, &box, &e), -1);
	CHECK_INT(box.len, 0);
	secret_env_unref(env);
	buf_clear(&text);
	buf_clear(&b.bytes);
}

TEST(keys_of_a_runner_are_multikeys_of_their_use)
{
	uint8_t key[SECRET_KEY_BYTES] = { 9 }, back[SECRET_KEY_BYTES];
	char text[SECRET_KEY_TEXT + 1];
	struct err e = ERR_INIT;

	secret_key_print(SECRET_USE_SECRETS, key, text);
	CHECK_INT(strlen(text), SECRET_KEY_TEXT);
	CHECK(strncmp(text, "z6LS", 4) == 0);
	CHECK_INT(secret_key_parse(SECRET_USE_SECRETS, text, back, &e), 0);
	CHECK(memcmp(key, back, sizeof key) == 0);
	CHECK_INT(secret_key_parse(SECRET_USE_RECEIPTS, text, back, &e), -1);
	CHECK_STR(e.name, "InvalidKey");
	secret_key_print(SECRET_USE_RECEIPTS, key, text);
	CHECK(strncmp(text, "z6Mk", 4) == 0);
	CHECK_INT(secret_key_parse(SECRET_USE_RECEIPTS, "z", back, &e), -1);
	CHECK_INT(secret_key_parse(SECRET_USE_RECEIPTS, "", back, &e), -1);
}
