#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/keyring.h"
#include "lib/mem.h"
#include "lib/receipt.h"
#include "tests/t.h"

#define CID_RECORD "bafyreiaejmtm2aycpv7hao3it2xv7fjrcmz3uqfyk4cdriusrspvlo6moi"
#define CID_BODY   "bafkreidvwcawgr5mwutzczjgteff6kf6xa5guvogprchtysj5nnc4degfa"

static void
fill(struct receipt *r)
{
	*r = (struct receipt){ .runner = mem_str("did:web:runner.example.com"), .job = mem_str("42"),
		.bundle = mem_str("at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/dev.at-run.bundle/hello"), .cid = mem_str(CID_RECORD),
		.method = mem_str("POST"), .target = mem_str("/bundle/a/b/latest/c?d=\"e\""), .request = mem_str(CID_BODY),
		.response = mem_str(CID_BODY), .status = 200, .created_at = INT64_C(1767225600001),
		.started_at = INT64_C(1767225600020), .done_at = INT64_C(1767225600300) };
}

static void
signed_by(const struct keyring_key *k, struct buf *out)
{
	uint8_t sig[KEYRING_SIGNATURE];
	struct receipt r;

	fill(&r);
	receipt_signed_part(&r, k->text, out);
	keyring_sign(k, out->data, out->len, sig);
	receipt_add_signature(out, sig, sizeof sig);
	receipt_clear(&r);
}

TEST(a_receipt_says_what_was_signed)
{
	char *dir = mem_fmt("%s/receipt-keys", t_tmpdir());
	struct keyring *ring = keyring_load(dir, NULL, true, NULL);
	const struct keyring_key *k = keyring_find(ring, SECRET_USE_RECEIPTS, NULL);
	struct buf text = BUF_INIT, again = BUF_INIT, first = BUF_INIT;
	struct err e = ERR_INIT;
	struct receipt r, want;
	char *kid;
	size_t i;

	signed_by(k, &text);
	CHECK_INT(receipt_verify(text.data, text.len, k->text, &e), 0);
	CHECK_INT(receipt_parse(text.data, text.len, &r, &kid, &e), 0);
	CHECK_STR(kid, k->text);
	fill(&want);
	receipt_json(&want, &first);
	receipt_json(&r, &again);
	CHECK_STR(again.data, first.data);
	CHECK(strstr(first.data, "\"createdAt\":\"2026-01-01T00:00:00.001Z\"") != NULL);
	CHECK(strstr(first.data, "\"caller\":null") != NULL);
	for (i = 0; i < text.len; i += 7) {
		char was = text.data[i];

		text.data[i] = was == 'A' ? 'B' : 'A';
		CHECK_INT(receipt_verify(text.data, text.len, k->text, &e), -1);
		text.data[i] = was;
	}
	CHECK_INT(receipt_verify(text.data, text.len, keyring_find(ring, SECRET_USE_SECRETS, NULL)->text, &e), -1);
	CHECK_STR(e.name, "InvalidKey");
	receipt_clear(&r);
	receipt_clear(&want);
	free(kid);
	keyring_free(ring);
	free(dir);
	buf_clear(&text);
	buf_clear(&again);
	buf_clear(&first);
}

TEST(what_is_no_receipt_is_refused)
{
	static const char *const claims[] = { "", "[]", "{}", "{\"runner\":\"did:web:a.example\"}",
		"{\"runner\":\"nobody\",\"job\":\"1\",\"bundle\":\"b\",\"cid\":\"c\",\"method\":\"GET\",\"target\":\"/\",\"request\":\"" CID_BODY
		"\",\"response\":\"" CID_BODY "\",\"status\":200,\"streamed\":false,\"createdAt\":\"2026-01-01T00:00:00.000Z\","
		"\"startedAt\":\"2026-01-01T00:00:00.000Z\",\"doneAt\":\"2026-01-01T00:00:00.000Z\"}",
		"{\"runner\":\"did:web:a.example\",\"job\":\"1\",\"bundle\":\"b\",\"cid\":\"c\",\"method\":\"GET\",\"target\":\"/\",\"request\":\"x\","
		"\"response\":\"" CID_BODY "\",\"status\":200,\"streamed\":false,\"createdAt\":\"2026-01-01T00:00:00.000Z\","
		"\"startedAt\":\"2026-01-01T00:00:00.000Z\",\"doneAt\":\"2026-01-01T00:00:00.000Z\"}",
		"{\"runner\":\"did:web:a.example\",\"job\":\"1\",\"bundle\":\"b\",\"cid\":\"c\",\"method\":\"GET\",\"target\":\"/\",\"request\":\""
		CID_BODY "\",\"response\":\"" CID_BODY "\",\"status\":200,\"streamed\":false,\"createdAt\":\"yesterday\","
		"\"startedAt\":\"2026-01-01T00:00:00.000Z\",\"doneAt\":\"2026-01-01T00:00:00.000Z\"}" };
	static const char *const whole[] = { "", ".", "..", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "e30.e30.e30" };
	struct err e = ERR_INIT;
	struct receipt r;
	char *kid;
	size_t i;

	for (i = 0; i < sizeof claims / sizeof *claims; i++) {
		e = (struct err)ERR_INIT;
		CHECK_INT(receipt_claims(&r, claims[i], strlen(claims[i]), &e), -1);
		CHECK_STR(e.name, "ReceiptMalformed");
	}
	for (i = 0; i < sizeof whole / sizeof *whole; i++) {
		e = (struct err)ERR_INIT;
		CHECK_INT(receipt_parse(whole[i], strlen(whole[i]), &r, &kid, &e), -1);
		CHECK_STR(e.name, "ReceiptMalformed");
		CHECK(kid == NULL);
	}
}
