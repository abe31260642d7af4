/* did_parse on the bytes after the first; did_of_txt on the same bytes.  What is taken keeps its promises. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/did.h"
#include "lib/syntax.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const char did[] = "did:plc:7iza6de2dwap2sbkpav7c6c6";
	struct did_doc d = DID_DOC_INIT;
	char *found = NULL;

	if (n == 0)
		return 0;
	if (did_parse((const char *)p + 1, n - 1, did, (p[0] & 1) != 0, &d, NULL) == 0) {
		if (strcmp(d.did, did) != 0 || d.pds == NULL || strncmp(d.pds, "http", 4) != 0)
			abort();
		if (d.handle != NULL && !syntax_handle(d.handle, strlen(d.handle)))
			abort();
		if ((d.key == NULL) != (d.key_type == NULL))
			abort();
	}
	did_doc_clear(&d);
	if (did_of_txt(p + 1, (int)n - 1, &found, NULL) == 0 && !syntax_did(found, strlen(found)))
		abort();
	free(found);
	return 0;
}
