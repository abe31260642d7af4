/* Keys and signatures: texts as a DID document may hold them, and 64 bytes that somebody calls a signature. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/key.h"
#include "lib/mem.h"
#include "lib/multibase.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
round_trips(const uint8_t *data, size_t n)
{
	uint8_t raw[BASE58_BYTES_MAX];
	char text[BASE58_TEXT_MAX + 1];
	struct buf bytes = BUF_INIT, base64 = BUF_INIT;
	long len = base58_parse((const char *)data, n, raw, sizeof raw);

	if (len >= 0 && (base58_print(raw, (size_t)len, text, sizeof text) != (long)n ||
	    memcmp(text, data, n) != 0))
		abort();
	if (base64_parse((const char *)data, n, &bytes) == 0) {
		base64_print((uint8_t *)bytes.data, bytes.len, &base64);
		if (base64.len > n || memcmp(base64.data == NULL ? "" : base64.data, data, base64.len) != 0)
			abort();
	}
	buf_clear(&bytes);
	buf_clear(&base64);
}

static void
verify_all(const struct key *k, const uint8_t *data, size_t n)
{
	char did[KEY_DID_TEXT + 1];
	struct key again;

	key_print_did(k, did);
	if (key_parse_did(&again, did, strlen(did), NULL) != 0 || !key_equal(k, &again))
		abort();
	/* Nobody has signed anything here. */
	if (n >= KEY_SIGNATURE_BYTES && key_verify(k, "message", 7, data, KEY_SIGNATURE_BYTES, true, NULL) == 0)
		abort();
	(void)key_verify(k, "message", 7, data, n, false, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const types[] = { "Multikey", "EcdsaSecp256k1VerificationKey2019",
		"EcdsaSecp256r1VerificationKey2019" };
	static const char *const dids[] = { "did:key:zDnaembgSGUhZULN2Caob4HLJPaxBh92N7rtH21TErzqf8HQo",
		"did:key:zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc" };
	char *text = mem_strn((const char *)data, n);
	struct key k;
	size_t i;

	round_trips(data, n);
	for (i = 0; i < sizeof types / sizeof *types; i++)
		if (key_parse_method(&k, types[i], text, NULL) == 0)
			verify_all(&k, data, n);
	if (key_parse_did(&k, text, strlen(text), NULL) == 0)
		verify_all(&k, data, n);
	for (i = 0; n >= KEY_SIGNATURE_BYTES && i < sizeof dids / sizeof *dids; i++)
		if (key_parse_did(&k, dids[i], strlen(dids[i]), NULL) == 0)
			verify_all(&k, data, n);
	free(text);
	return 0;
}
