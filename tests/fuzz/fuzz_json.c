/* json_parse: never crashes; what it takes, it prints as text that it takes again and prints the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	cJSON *t = json_parse((const char *)p, n, JSON_DEPTH, NULL), *again;
	struct buf one = BUF_INIT, two = BUF_INIT;

	if (t == NULL)
		return 0;
	json_print(t, &one);
	again = json_parse(one.data, one.len, JSON_DEPTH, NULL);
	if (again == NULL)
		abort();
	json_print(again, &two);
	if (one.len != two.len || memcmp(one.data, two.data, one.len) != 0)
		abort();
	cJSON_Delete(t);
	cJSON_Delete(again);
	buf_clear(&one);
	buf_clear(&two);
	return 0;
}
