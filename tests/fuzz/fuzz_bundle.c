/* bundle_parse: what it takes, bundle_json writes and bundle_parse takes again as the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct bundle *b, *again;
	struct buf one = BUF_INIT, two = BUF_INIT;
	bool local;

	if (n == 0)
		return 0;
	local = (p[0] & 1) != 0;
	b = bundle_parse((const char *)p + 1, n - 1, local, NULL);
	if (b == NULL)
		return 0;
	bundle_json(b, &one);
	again = bundle_parse(one.data, one.len, local, NULL);
	if (again == NULL)
		abort();
	bundle_json(again, &two);
	if (strcmp(one.data, two.data) != 0 || bundle_entry_default(b, 0) == NULL)
		abort();
	bundle_free(b);
	bundle_free(again);
	buf_clear(&one);
	buf_clear(&two);
	return 0;
}
