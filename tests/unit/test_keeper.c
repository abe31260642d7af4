#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/keyring.h"
#include "lib/mem.h"
#include "lib/notice.h"
#include "lib/receipt.h"
#include "scheduler/keeper.h"
#include "tests/t.h"

#define AUTHOR "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
#define RUNNER "did:web:runner.example.com"
#define NOW    INT64_C(1767225600000)

static struct keyring *
keys(void)
{
	static int n;
	char *dir = mem_fmt("%s/keeper-%d", t_tmpdir(), ++n);
	struct keyring *ring = keyring_load(dir, NULL, true, NULL);

	free(dir);
	return ring;
}

static void
ask(const struct keyring *ring, const struct buf *question, int64_t now, struct keeper_answer *a)
{
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	const char *message;
	size_t n;

	CHECK_INT(keeper_message_next(question->data, question->len, &message, &n, &e), question->len);
	keeper_serve(ring, message, n, now, &out);
	CHECK_INT(keeper_answer_parse(out.data, out.len, a, &e), 0);
	buf_clear(&out);
}

TEST(the_keeper_opens_what_was_sealed_for_one_of_its_keys)
{
	struct keyring *ring = keys(), *other = keys();
	struct secret_context c = { AUTHOR, "hello", RUNNER, keyring_find(ring, SECRET_USE_SECRETS, NULL)->text, NOW + 1000 };
	struct secret_env *env = NULL;
	struct buf box = BUF_INIT, question = BUF_INIT;
	struct keeper_answer a;

	CHECK_INT(secret_read("A=one\nB=two", 11, &env, NULL), 0);
	CHECK_INT(secret_seal(&c, env, &box, NULL), 0);
	keeper_ask_open(&question, 7, &c, box.data, box.len);
	ask(ring, &question, NOW, &a);
	CHECK_INT(a.id, 7);
	CHECK_INT(a.error.kind, ERR_NONE);
	CHECK(a.env != NULL && secret_env_has(a.env, "A") && secret_env_has(a.env, "B"));
	CHECK_INT(a.env->expires_at, NOW + 1000);
	keeper_answer_clear(&a);
	ask(ring, &question, NOW + 1000, &a);
	CHECK_STR(a.error.name, "SecretExpired");
	CHECK(a.env == NULL);
	keeper_answer_clear(&a);
	ask(other, &question, NOW, &a);
	CHECK_STR(a.error.name, "SecretUnknownKey");
	CHECK(strstr(a.error.text, keyring_find(other, SECRET_USE_SECRETS, NULL)->text) != NULL);
	keeper_answer_clear(&a);
	secret_env_unref(env);
	buf_clear(&box);
	buf_clear(&question);
	keyring_free(ring);
	keyring_free(other);
}

TEST(the_keeper_signs_receipts_and_nothing_else)
{
	static const char *const others[] = { "{}", "[]", "", "{\"id\":1,\"op\":\"sign\",\"bytes\":\"AAAA\"}",
		"{\"id\":1,\"op\":\"receipt\"}", "{\"id\":1,\"op\":\"receipt\",\"claims\":{\"iss\":\"did:plc:x\"}}",
		"{\"id\":1,\"op\":\"open\"}",
		"{\"id\":1,\"op\":\"open\",\"author\":\"a\",\"bundle\":\"b\",\"runner\":\"r\",\"key\":\"k\",\"box\":\"?\"}" };
	struct keyring *ring = keys();
	struct buf question = BUF_INIT, out = BUF_INIT;
	struct keeper_answer a;
	struct receipt r = { .runner = mem_str(RUNNER), .job = mem_str("42"), .bundle = mem_str("at://a/b/c"), .cid = mem_str("bafy"),
		.method = mem_str("GET"), .target = mem_str("/"), .status = 200,
		.request = mem_str("bafkreidvwcawgr5mwutzczjgteff6kf6xa5guvogprchtysj5nnc4degfa"),
		.response = mem_str("bafkreidvwcawgr5mwutzczjgteff6kf6xa5guvogprchtysj5nnc4degfa"), .created_at = NOW,
		.started_at = NOW, .done_at = NOW };
	size_t i;

	keeper_ask_receipt(&question, 3, &r);
	ask(ring, &question, NOW, &a);
	CHECK(a.receipt != NULL);
	CHECK_INT(receipt_verify(a.receipt, strlen(a.receipt), keyring_find(ring, SECRET_USE_RECEIPTS, NULL)->text, NULL), 0);
	keeper_answer_clear(&a);
	for (i = 0; i < sizeof others / sizeof *others; i++) {
		buf_reset(&out);
		keeper_serve(ring, others[i], strlen(others[i]), NOW, &out);
		CHECK(strstr(out.data, "\"ok\":false") != NULL);
	}
	receipt_clear(&r);
	buf_clear(&question);
	buf_clear(&out);
	keyring_free(ring);
}

/* What is signed as one thing can be taken for no other: each type stands in its head, and takes its own claims alone. */
TEST(the_keeper_signs_callbacks_under_a_type_of_their_own)
{
#define CLAIMS "{\"job\":\"42\",\"url\":\"https://a.example.com/\"," \
	       "\"body\":\"bafkreidvwcawgr5mwutzczjgteff6kf6xa5guvogprchtysj5nnc4degfa\"," \
	       "\"attempt\":1,\"signedAt\":\"2026-01-02T03:04:05.678Z\"}"
	static const char *const others[] = { "{\"id\":1,\"op\":\"receipt\",\"claims\":" CLAIMS "}", "{\"id\":1,\"op\":\"callback\"}",
		"{\"id\":1,\"op\":\"callback\",\"claims\":{}}" };
	struct keyring *ring = keys();
	struct buf question = BUF_INIT, out = BUF_INIT;
	struct keeper_answer a;
	struct receipt r;
	struct notice n;
	char *kid = NULL;
	size_t i;

	CHECK_INT(notice_claims(&n, CLAIMS, strlen(CLAIMS), NULL), 0);
	keeper_ask_callback(&question, 3, &n);
	ask(ring, &question, NOW, &a);
	CHECK(a.callback != NULL && a.receipt == NULL);
	CHECK(strncmp(a.callback, "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0LXJ1bmQtY2FsbGJhY2siL", 50) == 0);
	CHECK_INT(receipt_verify(a.callback, strlen(a.callback), keyring_find(ring, SECRET_USE_RECEIPTS, NULL)->text, NULL), 0);
	CHECK_INT(receipt_parse(a.callback, strlen(a.callback), &r, &kid, NULL), -1);
	keeper_answer_clear(&a);
	for (i = 0; i < sizeof others / sizeof *others; i++) {
		buf_reset(&out);
		keeper_serve(ring, others[i], strlen(others[i]), NOW, &out);
		CHECK(strstr(out.data, "\"ok\":false") != NULL);
	}
	notice_clear(&n);
	buf_clear(&question);
	buf_clear(&out);
	keyring_free(ring);
}

TEST(the_keeper_tells_its_public_keys_first)
{
	struct keyring *ring = keys();
	struct buf out = BUF_INIT;
	struct keeper_answer a;

	keeper_hello(ring, &out);
	CHECK_INT(keeper_answer_parse(out.data, out.len, &a, NULL), 0);
	CHECK_INT(a.n_keys, 2);
	CHECK_STR(a.keys[0].key, ring->key[0].text);
	CHECK_STR(a.keys[1].key, ring->key[1].text);
	CHECK_INT(a.keys[1].use, SECRET_USE_RECEIPTS);
	keeper_answer_clear(&a);
	buf_clear(&out);
	keyring_free(ring);
}

TEST(an_answer_that_is_none_is_refused)
{
	static const struct {
		const char *p;
		size_t n;
	} bad[] = { { "", 0 }, { "{}", 2 }, { "{\"id\":1,\"ok\":true}", 18 }, { "{\"id\":0,\"ok\":true,\"keys\":[]}", 28 },
		{ "{\"id\":0,\"ok\":true,\"keys\":[{\"use\":\"x\"}]}", 40 }, { "{\"id\":1,\"ok\":true,\"expiresAt\":1}\0A=1", 36 },
		{ "{\"id\":1,\"ok\":true,\"expiresAt\":1}\0A\0", 35 }, { "{\"id\":1,\"ok\":true,\"expiresAt\":1}\0=\0", 35 },
		{ "{\"id\":1,\"ok\":false,\"kind\":\"none\",\"name\":\"\",\"message\":\"\"}", 57 } };
	struct keeper_answer a;
	size_t i;

	for (i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct err e = ERR_INIT;

		CHECK_INT(keeper_answer_parse(bad[i].p, bad[i].n, &a, &e), -1);
		CHECK_INT(e.kind, ERR_INTERNAL);
	}
}
