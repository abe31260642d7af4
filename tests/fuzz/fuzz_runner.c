/* What strangers say a runner is, and has signed: DID documents, cards, records, receipts. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/receipt.h"
#include "lib/runner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
documents(const char *text, size_t n)
{
	struct runner_claim claim;
	struct runner_doc doc;

	(void)runner_did_parse(text, n, "did:web:runner.example.com", &doc, NULL);
	runner_doc_clear(&doc);
	(void)runner_card_parse(text, n, &claim, NULL);
	runner_claim_clear(&claim);
	(void)runner_record_parse(text, n, &claim, NULL);
	runner_claim_clear(&claim);
}

/* Claims that were read are written so that they are read again. */
static void
receipts(const char *text, size_t n)
{
	struct buf first = BUF_INIT, second = BUF_INIT;
	struct receipt r, again;
	char *kid;

	if (receipt_claims(&r, text, n, NULL) == 0) {
		receipt_json(&r, &first);
		if (receipt_claims(&again, first.data, first.len, NULL) != 0)
			abort();
		receipt_json(&again, &second);
		if (strcmp(first.data, second.data) != 0)
			abort();
		receipt_clear(&again);
		receipt_clear(&r);
	}
	if (receipt_parse(text, n, &r, &kid, NULL) == 0) {
		receipt_clear(&r);
		free(kid);
	}
	/* Nobody has signed anything here. */
	if (receipt_verify(text, n, "z6MkrtoqD5RtJyEQy77aokD7D78KV7KJaThojt5hrfMRE4wL", NULL) == 0)
		abort();
	buf_clear(&first);
	buf_clear(&second);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = mem_strn((const char *)data, n), *did;

	documents(text, n);
	receipts(text, n);
	if (strlen(text) == n) {
		did = runner_web_url(text);
		free(did);
		did = runner_rkey(text);
		free(did);
	}
	free(text);
	return 0;
}
