/* Every question of lib/syntax, and what follows from a yes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/syntax.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

typedef bool question(const char *s, size_t n);

static question *const questions[] = { syntax_did, syntax_handle, syntax_nsid, syntax_rkey, syntax_tid, syntax_aturi,
	syntax_at_identifier, syntax_datetime, syntax_language, syntax_cid, syntax_uri, syntax_bundle_name, syntax_version,
	syntax_endpoint };

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	/* A copy without anything behind it, so that one byte too far is seen. */
	char *s = malloc(n > 0 ? n : 1);
	size_t i;

	if (s == NULL)
		return 0;
	if (n > 0)
		memcpy(s, p, n);
	for (i = 0; i < sizeof questions / sizeof questions[0]; i++)
		if (questions[i](s, n) && (n == 0 || memchr(s, '\0', n) != NULL || memchr(s, ' ', n) != NULL))
			abort();
	if (syntax_did_known(s, n, false) && !syntax_did(s, n))
		abort();
	if (syntax_did_known(s, n, false) && !syntax_did_known(s, n, true))
		abort();
	if (syntax_handle_public(s, n, false) && !syntax_handle(s, n))
		abort();
	if (syntax_bundle_name(s, n) && !syntax_rkey(s, n))
		abort();
	free(s);
	return 0;
}
