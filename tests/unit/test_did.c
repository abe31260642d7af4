#include <stdlib.h>
#include <string.h>

#include "lib/did.h"
#include "lib/err.h"
#include "tests/t.h"

#define DID "did:plc:7iza6de2dwap2sbkpav7c6c6"
#define KEY "zQ3shtCY61GXEk8DwGWMHxvZUGXqD3M8k3H8j4cZBfNiygzML"
#define AKA "\"alsoKnownAs\":[\"https://x.example\",\"at://Alice.Example.com\",\"at://second.example.com\"]"
#define METHOD \
	"\"verificationMethod\":[{\"id\":\"#other\",\"type\":\"Multikey\"},{\"id\":\"" DID \
	"#atproto\",\"type\":\"Multikey\",\"controller\":\"" DID "\",\"publicKeyMultibase\":\"" KEY "\"}]"
#define SERVICE(url) \
	"\"service\":[{\"id\":\"#atproto_pds\",\"type\":\"AtprotoPersonalDataServer\",\"serviceEndpoint\":\"" url "\"}]"
#define DOC(did, more) "{\"id\":\"" did "\"," more "}"

static int
parse(const char *text, bool dev, struct did_doc *d, struct err *e)
{
	return did_parse(text, strlen(text), DID, dev, d, e);
}

TEST(did_document_gives_handle_key_and_pds)
{
	struct did_doc d = DID_DOC_INIT, copy = DID_DOC_INIT;

	CHECK_INT(parse(DOC(DID, AKA "," METHOD "," SERVICE("https://pds.example.com")), false, &d, NULL), 0);
	CHECK_STR(d.did, DID);
	CHECK_STR(d.handle, "alice.example.com");
	CHECK_STR(d.pds, "https://pds.example.com");
	CHECK_STR(d.key, KEY);
	CHECK_STR(d.key_type, "Multikey");
	CHECK(did_doc_names(&d, "ALICE.example.com"));
	CHECK(!did_doc_names(&d, "second.example.com"));
	did_doc_copy(&copy, &d);
	did_doc_clear(&d);
	CHECK_STR(copy.pds, "https://pds.example.com");
	did_doc_clear(&copy);
}

TEST(did_document_of_the_old_form)
{
	size_t n;
	char *text = t_read_file(t_vector("proofs/alice_diddoc_legacy.json"), &n);
	struct did_doc d = DID_DOC_INIT;

	if (text == NULL)
		SKIP("no vectors at %s", t_vector("proofs"));
	CHECK_INT(did_parse(text, n, "did:plc:obexdyjlfqefdulieaknknxm", true, &d, NULL), 0);
	CHECK_STR(d.handle, "alice.test");
	CHECK_STR(d.pds, "http://localhost:2583");
	CHECK_STR(d.key_type, "EcdsaSecp256k1VerificationKey2019");
	CHECK_INT(did_parse(text, n, "did:plc:obexdyjlfqefdulieaknknxm", false, &d, NULL), -1);
	CHECK_INT(did_parse(text, n, "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", true, &d, NULL), -1);
	did_doc_clear(&d);
	free(text);
}

TEST(did_document_that_lies_is_refused_with_a_reason)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "<html>", "JSON" },
		{ "[]", "is about nobody" },
		{ DOC("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", SERVICE("https://h.example.com")), "is about did:plc:aaa" },
		{ DOC(DID, "\"service\":[]"), "names no #atproto_pds" },
		{ DOC(DID, SERVICE("http://h.example.com")), "is not https://host" },
		{ DOC(DID, SERVICE("https://h.example.com/path")), "is not https://host" },
		{ DOC(DID, SERVICE("https://u@h.example.com")), "is not https://host" },
		{ DOC(DID, SERVICE("https://h.example.com:123456")), "is not https://host" },
		{ DOC(DID, SERVICE("https://h.example.com?x")), "is not https://host" },
		{ DOC(DID, SERVICE("https://")), "is not https://host" },
		{ DOC(DID, SERVICE("ftp://h.example.com")), "is not https://host" },
		{ DOC(DID, "\"service\":[{\"id\":\"#atproto_pds\",\"type\":\"Other\",\"serviceEndpoint\":\"https://h.de\"}]"),
		    "is not an AtprotoPersonalDataServer" },
		{ DOC(DID, "\"verificationMethod\":[{\"id\":\"#atproto\",\"type\":\"Multikey\",\"controller\":\"did:web:evil.com\","
			   "\"publicKeyMultibase\":\"" KEY "\"}]," SERVICE("https://h.example.com")), "somebody else" },
		{ DOC(DID, "\"verificationMethod\":[{\"id\":\"#atproto\",\"type\":\"Multikey\",\"controller\":\"" DID "\","
			   "\"publicKeyMultibase\":\"m0OIl\"}]," SERVICE("https://h.example.com")), "malformed" },
	};
	size_t i;

	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct did_doc d = DID_DOC_INIT;
		struct err e = ERR_INIT;

		CHECK_INT(parse(bad[i].text, false, &d, &e), -1);
		CHECK_INT(e.kind, ERR_REMOTE);
		if (strstr(e.text, bad[i].why) == NULL)
			CHECK_STR(e.text, bad[i].why);
		CHECK(d.did == NULL);
	}
}

TEST(did_document_with_little_in_it_is_enough)
{
	struct did_doc d = DID_DOC_INIT;

	CHECK_INT(parse(DOC(DID, SERVICE("https://h.example.com:8443/")), false, &d, NULL), 0);
	CHECK_STR(d.pds, "https://h.example.com:8443");
	CHECK(d.handle == NULL && d.key == NULL);
	did_doc_clear(&d);
}

/* A DNS answer to "a." TXT with the given records: count, then length-prefixed texts. */
static int
answer(unsigned char *p, const char *const *txt, int n)
{
	static const unsigned char head[] = { 0, 1, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 16, 0, 1 };
	int at = sizeof head, i;

	memcpy(p, head, sizeof head);
	p[7] = (unsigned char)n;
	for (i = 0; i < n; i++) {
		static const unsigned char rr[] = { 0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60 };
		size_t len = strlen(txt[i]), half = len / 2;

		memcpy(p + at, rr, sizeof rr);
		at += sizeof rr;
		p[at++] = 0;
		p[at++] = (unsigned char)(len + 2);
		/* In two chunks, which belong together. */
		p[at++] = (unsigned char)half;
		memcpy(p + at, txt[i], half);
		at += (int)half;
		p[at++] = (unsigned char)(len - half);
		memcpy(p + at, txt[i] + half, len - half);
		at += (int)(len - half);
	}
	return at;
}

TEST(did_of_txt_takes_exactly_one)
{
	static const char *const one[] = { "v=spf1 -all", "did=" DID, "did=nonsense" };
	static const char *const two[] = { "did=" DID, "did=did:web:example.com" };
	unsigned char p[1024];
	struct err e = ERR_INIT;
	char *did = NULL;
	int n = answer(p, one, 3), i;

	CHECK_INT(did_of_txt(p, n, &did, NULL), 0);
	CHECK_STR(did, DID);
	free(did);
	for (i = 0; i < n; i++) { /* cut anywhere: no crash, and never another DID */
		did = NULL;
		if (did_of_txt(p, i, &did, NULL) == 0)
			CHECK_STR(did, DID);
		free(did);
	}
	CHECK_INT(did_of_txt(p, answer(p, two, 2), &did, &e), -1);
	CHECK_INT(e.kind, ERR_REMOTE);
	CHECK_INT(did_of_txt(p, answer(p, one, 1), &did, &e), -1);
	CHECK_INT(e.kind, ERR_NOTFOUND);
}
