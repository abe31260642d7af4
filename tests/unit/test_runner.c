#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/runner.h"
#include "lib/syntax.h"
#include "tests/t.h"

#define BOX  "z6LSkL32ZcEdpRFffwVB1KiEwooYMDmBz75MhJotv1yM6ic5"
#define SIGN "z6MkrtoqD5RtJyEQy77aokD7D78KV7KJaThojt5hrfMRE4wL"

TEST(a_document_that_was_written_is_read_back)
{
	const struct runner_key keys[] = { { BOX, 2, true }, { SIGN, 1, false } };
	struct buf b = BUF_INIT;
	struct runner_doc doc;
	struct err e = ERR_INIT;

	runner_did_json("did:web:a.example", "https://a.example", keys, 2, &b);
	CHECK(strstr(b.data, "\"id\":\"did:web:a.example#secrets-2\"") != NULL);
	CHECK(strstr(b.data, "\"assertionMethod\":[\"did:web:a.example#receipts-1\"]") != NULL);
	CHECK_INT(runner_did_parse(b.data, b.len, "did:web:a.example", &doc, &e), 0);
	CHECK_STR(doc.service, "https://a.example");
	CHECK(doc.secrets.n == 1 && strcmp(doc.secrets.item[0], BOX) == 0);
	CHECK(doc.receipts.n == 1 && strcmp(doc.receipts.item[0], SIGN) == 0);
	runner_doc_clear(&doc);
	CHECK_INT(runner_did_parse(b.data, b.len, "did:web:b.example", &doc, &e), -1);
	CHECK_INT(runner_did_parse("[]", 2, "did:web:b.example", &doc, &e), -1);
	buf_clear(&b);
}

TEST(keys_of_another_kind_are_passed_over)
{
	static const char card[] = "{\"software\":\"at-rund\",\"did\":\"did:web:a\",\"keys\":{\"secrets\":[\"" SIGN "\",1,\"z\",\"" BOX
		"\"],\"receipts\":{\"a\":1}}}";
	struct runner_claim c;
	struct err e = ERR_INIT;

	CHECK_INT(runner_card_parse(card, strlen(card), &c, &e), 0);
	CHECK(c.secrets.n == 1 && strcmp(c.secrets.item[0], BOX) == 0);
	CHECK_INT(c.receipts.n, 0);
	CHECK(c.operator == NULL);
	runner_claim_clear(&c);
	CHECK_INT(runner_card_parse("{}", 2, &c, &e), -1);
	CHECK_INT(runner_record_parse("{}", 2, &c, &e), -1);
}

TEST(a_runner_of_its_own_name_answers_where_the_name_says)
{
	static const struct {
		const char *did, *url; /* NULL: none */
	} rows[] = { { "did:web:a.example", "https://a.example" }, { "did:web:localhost%3A3000", "http://localhost:3000" },
		{ "did:web:localhost", "http://localhost" }, { "did:web:localhost.example", "https://localhost.example" },
		{ "did:web:a.example%3A8443", "https://a.example:8443" }, { "did:web:a.example:path", NULL },
		{ "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", NULL } };
	size_t i;

	for (i = 0; i < sizeof rows / sizeof *rows; i++) {
		char *url = runner_web_url(rows[i].did), *rkey = runner_rkey(rows[i].did);

		CHECK(rows[i].url == NULL ? url == NULL : url != NULL && strcmp(url, rows[i].url) == 0);
		CHECK(syntax_rkey(rkey, strlen(rkey)));
		free(url);
		free(rkey);
	}
}
