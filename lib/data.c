#include "lib/data.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cbor.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/multibase.h"

static void
cut_back(struct buf *b, size_t len)
{
	b->len = len;
	if (b->data != NULL)
		b->data[len] = '\0';
}

/* --- DAG-CBOR to JSON; recursion is bounded by CBOR_DEPTH_MAX --- */

static int value_json(struct cbor *c, struct buf *out, struct err *e);

static int
list_json(struct cbor *c, size_t n, struct buf *out, struct err *e)
{
	size_t i;

	buf_char(out, '[');
	for (i = 0; i < n; i++) {
		if (i > 0)
			buf_char(out, ',');
		if (value_json(c, out, e) != 0)
			return -1;
	}
	buf_char(out, ']');
	return 0;
}

static int
map_json(struct cbor *c, size_t n, struct buf *out, struct err *e)
{
	struct cbor_item key;
	size_t i;

	buf_char(out, '{');
	for (i = 0; i < n; i++) {
		if (i > 0)
			buf_char(out, ',');
		if (!cbor_next(c, &key) || key.kind != CBOR_TEXT)
			return err_set(e, ERR_INPUT, "CBOR: unchecked bytes");
		/* A reader of the JSON could not tell such a map from a link. */
		if (cbor_is(&key, "$link") || cbor_is(&key, "$bytes"))
			return err_set(e, ERR_INPUT, "a map has the reserved key \"%.*s\"", (int)key.n,
			    (const char *)key.data);
		buf_json(out, (const char *)key.data, key.n);
		buf_char(out, ':');
		if (value_json(c, out, e) != 0)
			return -1;
	}
	buf_char(out, '}');
	return 0;
}

static void
link_json(const struct cid *link, struct buf *out)
{
	char text[CID_TEXT + 1];

	cid_print(link, text);
	buf_fmt(out, "{\"$link\":\"%s\"}", text);
}

static int
value_json(struct cbor *c, struct buf *out, struct err *e)
{
	struct cbor_item it;

	if (!cbor_next(c, &it))
		return err_set(e, ERR_INPUT, "CBOR: unchecked bytes");
	switch (it.kind) {
	case CBOR_BOOL:
		buf_str(out, it.number != 0 ? "true" : "false");
		return 0;
	case CBOR_NUMBER:
		buf_fmt(out, "%" PRId64, it.number);
		return 0;
	case CBOR_TEXT:
		buf_json(out, (const char *)it.data, it.n);
		return 0;
	case CBOR_BYTES:
		buf_str(out, "{\"$bytes\":\"");
		base64_print(it.data, it.n, out);
		buf_str(out, "\"}");
		return 0;
	case CBOR_LINK:
		link_json(&it.link, out);
		return 0;
	case CBOR_LIST:
		return list_json(c, it.n, out, e);
	case CBOR_MAP:
		return map_json(c, it.n, out, e);
	case CBOR_NULL:
	case CBOR_KIND_COUNT:
		break;
	}
	buf_str(out, "null");
	return 0;
}

int
data_json(const uint8_t *p, size_t n, struct buf *out, struct err *e)
{
	struct cbor c = cbor_at(p, n);
	size_t before = out->len;

	if (value_json(&c, out, e) != 0) {
		cut_back(out, before);
		return -1;
	}
	return 0;
}

/* --- JSON to DAG-CBOR; recursion is bounded by json_parse's depth --- */

static int value_cbor(const cJSON *v, struct buf *out, struct err *e);

static int
number_cbor(const cJSON *v, struct buf *out, struct err *e)
{
	double d = v->valuedouble;

	if (d != floor(d))
		return err_set(e, ERR_INPUT, "%g is not a whole number", d);
	if (fabs(d) > (double)CBOR_NUMBER_MAX)
		return err_set(e, ERR_INPUT, "%g is beyond 2^53 - 1", d);
	cbor_put_number(out, (int64_t)d);
	return 0;
}

/* The text of an object whose only key is `key`. */
static const char *
lone_text(const cJSON *obj, const char *key, struct err *e)
{
	const char *s = json_string(obj, key);

	if (s == NULL)
		err_set(e, ERR_INPUT, "%s is not a text", key);
	else if (cJSON_GetArraySize(obj) != 1) {
		err_set(e, ERR_INPUT, "%s does not stand alone in its object", key);
		s = NULL;
	}
	return s;
}

static int
link_cbor(const cJSON *obj, struct buf *out, struct err *e)
{
	const char *s = lone_text(obj, "$link", e);
	struct cid c;

	if (s == NULL || cid_parse(&c, s, strlen(s), e) != 0)
		return -1;
	cbor_put_link(out, &c);
	return 0;
}

static int
bytes_cbor(const cJSON *obj, struct buf *out, struct err *e)
{
	const char *s = lone_text(obj, "$bytes", e);
	struct buf raw = BUF_INIT;
	int rc = -1;

	if (s == NULL)
		goto out;
	if (base64_parse(s, strlen(s), &raw) != 0) {
		err_set(e, ERR_INPUT, "$bytes is not base64");
		goto out;
	}
	cbor_put_bytes(out, raw.data, raw.len);
	rc = 0;
out:
	buf_clear(&raw);
	return rc;
}

static int
type_check(const cJSON *obj, struct err *e)
{
	const cJSON *type = cJSON_GetObjectItemCaseSensitive(obj, "$type");
	int64_t size = -1;

	if (type == NULL)
		return 0;
	if (!cJSON_IsString(type) || type->valuestring[0] == '\0')
		return err_set(e, ERR_INPUT, "$type is not a text, or empty");
	if (strcmp(type->valuestring, "blob") != 0)
		return 0;
	if (json_string(json_object(obj, "ref"), "$link") == NULL)
		return err_set(e, ERR_INPUT, "a blob has no ref with a $link");
	if (json_string(obj, "mimeType") == NULL)
		return err_set(e, ERR_INPUT, "a blob has no mimeType");
	if (json_int(obj, "size", 0, CBOR_NUMBER_MAX, &size, NULL) != 0 || size < 0)
		return err_set(e, ERR_INPUT, "a blob has no size");
	return 0;
}

static int
member_order(const void *a, const void *b)
{
	const cJSON *x = *(const cJSON *const *)a, *y = *(const cJSON *const *)b;

	return cbor_key_order(x->string, strlen(x->string), y->string, strlen(y->string));
}

static int
object_cbor(const cJSON *obj, struct buf *out, struct err *e)
{
	size_t n = (size_t)cJSON_GetArraySize(obj), i = 0;
	const cJSON **sorted = mem_array(n + 1, sizeof *sorted);
	const cJSON *m;
	int rc = -1;

	if (type_check(obj, e) != 0)
		goto out;
	cJSON_ArrayForEach(m, obj)
		sorted[i++] = m;
	qsort(sorted, n, sizeof *sorted, member_order);
	cbor_put_map(out, n);
	for (i = 0; i < n; i++) {
		cbor_put_text(out, sorted[i]->string, strlen(sorted[i]->string));
		if (value_cbor(sorted[i], out, e) != 0)
			goto out;
	}
	rc = 0;
out:
	free(sorted);
	return rc;
}

static int
array_cbor(const cJSON *list, struct buf *out, struct err *e)
{
	const cJSON *m;

	cbor_put_list(out, (size_t)cJSON_GetArraySize(list));
	cJSON_ArrayForEach(m, list)
		if (value_cbor(m, out, e) != 0)
			return -1;
	return 0;
}

static int
value_cbor(const cJSON *v, struct buf *out, struct err *e)
{
	if (cJSON_IsNull(v))
		cbor_put_null(out);
	else if (cJSON_IsBool(v))
		cbor_put_bool(out, cJSON_IsTrue(v));
	else if (cJSON_IsNumber(v))
		return number_cbor(v, out, e);
	else if (cJSON_IsString(v))
		cbor_put_text(out, v->valuestring, strlen(v->valuestring));
	else if (cJSON_IsArray(v))
		return array_cbor(v, out, e);
	else if (cJSON_GetObjectItemCaseSensitive(v, "$link") != NULL)
		return link_cbor(v, out, e);
	else if (cJSON_GetObjectItemCaseSensitive(v, "$bytes") != NULL)
		return bytes_cbor(v, out, e);
	else
		return object_cbor(v, out, e);
	return 0;
}

int
data_cbor(const char *json, size_t n, struct buf *out, struct err *e)
{
	cJSON *tree = json_parse(json, n, CBOR_DEPTH_MAX + 1, e);
	size_t before = out->len;
	int rc = -1;

	if (tree == NULL)
		return -1;
	if (!cJSON_IsObject(tree))
		err_set(e, ERR_INPUT, "not an object");
	else if (value_cbor(tree, out, e) == 0)
		/* The caps of lib/cbor.h stand in one place: what we wrote must pass them. */
		rc = cbor_check((const uint8_t *)out->data + before, out->len - before, e);
	if (rc != 0)
		cut_back(out, before);
	cJSON_Delete(tree);
	return rc;
}
