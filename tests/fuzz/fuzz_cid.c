/* A CID has one spelling: what is read prints as it was. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cid.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	uint8_t raw[CID_BYTES], out[256];
	char text[CID_TEXT + 1], printed[512];
	struct cid c;
	long len;

	if (cid_parse(&c, (const char *)p, n, NULL) == 0) {
		cid_print(&c, text);
		if (n != CID_TEXT || memcmp(text, p, n) != 0)
			abort();
	}
	if (cid_read(&c, p, n, NULL) == 0) {
		cid_write(&c, raw);
		if (n != CID_BYTES || memcmp(raw, p, n) != 0)
			abort();
	}
	len = base32_parse((const char *)p, n, out, sizeof out);
	if (len >= 0) {
		base32_print(out, (size_t)len, printed);
		if (strlen(printed) != n || memcmp(printed, p, n) != 0)
			abort();
	}
	return 0;
}
