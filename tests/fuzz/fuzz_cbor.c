/* DAG-CBOR and JSON of the data model under arbitrary bytes: what both spellings take means the same in both. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cbor.h"
#include "lib/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
same(const struct buf *a, const void *p, size_t n)
{
	if (a->len != n || (n > 0 && memcmp(a->data, p, n) != 0))
		abort();
}

/* Bytes to JSON and back: the same bytes, unless JSON forbids what the map holds. */
static void
from_cbor(const uint8_t *p, size_t n)
{
	struct buf json = BUF_INIT, again = BUF_INIT, without = BUF_INIT;
	struct cbor c = cbor_at(p, n);
	struct cbor_item it;

	if (!cbor_next(&c, &it))
		abort();
	cbor_skip(&c, &it);
	if (c.p != c.end)
		abort();
	if (data_json(p, n, &json, NULL) == 0 && data_cbor(json.data, json.len, &again, NULL) == 0)
		same(&again, p, n);
	if (cbor_without(p, n, "a", &without, NULL) == 0 &&
	    cbor_check((uint8_t *)without.data, without.len, NULL) != 0)
		abort();
	buf_clear(&json);
	buf_clear(&again);
	buf_clear(&without);
}

static void
from_json(const uint8_t *p, size_t n)
{
	struct buf cbor = BUF_INIT, json = BUF_INIT, again = BUF_INIT;

	if (data_cbor((const char *)p, n, &cbor, NULL) == 0) {
		if (cbor_check((uint8_t *)cbor.data, cbor.len, NULL) != 0)
			abort();
		if (data_json((uint8_t *)cbor.data, cbor.len, &json, NULL) != 0 ||
		    (data_cbor(json.data, json.len, &again, NULL) == 0 &&
		    (again.len != cbor.len || memcmp(again.data, cbor.data, cbor.len) != 0)))
			abort();
	}
	buf_clear(&cbor);
	buf_clear(&json);
	buf_clear(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (cbor_check(data, n, NULL) == 0)
		from_cbor(data, n);
	from_json(data, n);
	return 0;
}
