/*
 * Both ends of the fetcher's socket in words: requests, and answers, of which nothing is believed.
 */
#include "scheduler/fetcher.h"

#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/bundle.h"
#include "lib/cid.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/syntax.h"
#include "scheduler/fetcher_task.h"

void
fetcher_message_add(struct buf *out, const char *p, size_t n)
{
	unsigned char head[4] = { (unsigned char)(n >> 24), (unsigned char)(n >> 16), (unsigned char)(n >> 8),
		(unsigned char)n };

	buf_add(out, head, 4);
	buf_add(out, p, n);
}

long
fetcher_message_next(const char *p, size_t n, const char **json, size_t *json_n, struct err *e)
{
	const unsigned char *u = (const unsigned char *)p;
	uint32_t len;

	if (n < 4)
		return 0;
	len = (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
	if (len < 2 || len > FETCHER_MESSAGE_MAX)
		return err_set(e, ERR_REMOTE, "a message of %u bytes between scheduler and fetcher", len);
	if (n - 4 < len)
		return 0;
	*json = p + 4;
	*json_n = len;
	return 4 + (long)len;
}

/* --- requests --- */

static const char *const words[FETCHER_OP_COUNT] = {
	[FETCHER_BUNDLE] = "bundle",
	[FETCHER_IDENTITY] = "identity",
	[FETCHER_RECORDS] = "records",
	[FETCHER_POST] = "post",
};

static void
add_text(struct buf *json, const char *name, const char *value)
{
	if (value == NULL)
		return;
	buf_fmt(json, ",\"%s\":", name);
	buf_json_str(json, value);
}

void
fetcher_request_add(struct buf *out, const struct fetcher_request *r)
{
	struct buf json = BUF_INIT;

	buf_fmt(&json, "{\"id\":%llu,\"op\":\"%s\"", (unsigned long long)r->id, words[r->op]);
	add_text(&json, "author", r->author);
	add_text(&json, "name", r->name);
	add_text(&json, "version", r->version);
	add_text(&json, "knownCid", r->known_cid);
	add_text(&json, "lastRev", r->last_rev);
	add_text(&json, "url", r->url);
	add_text(&json, "body", r->body);
	add_text(&json, "signature", r->signature);
	add_text(&json, "collection", r->collection);
	add_text(&json, "cursor", r->cursor);
	add_text(&json, "member", r->member);
	add_text(&json, "value", r->value);
	add_text(&json, "only", r->only);
	if (r->renew)
		buf_str(&json, ",\"renew\":true");
	buf_fmt(&json, ",\"deadlineMs\":%lld}", (long long)(r->deadline_ms > 0 ? r->deadline_ms : 1));
	fetcher_message_add(out, json.data, json.len);
	buf_clear(&json);
}

/* --- answers --- */

void
fetcher_answer_clear(struct fetcher_answer *a)
{
	size_t i;

	free(a->did);
	free(a->handle);
	free(a->pds);
	free(a->uri);
	free(a->cid);
	free(a->record_json);
	free(a->code);
	free(a->dir);
	free(a->rev);
	free(a->commit);
	free(a->proof);
	free(a->sealed_cid);
	free(a->sealed_json);
	bundle_free(a->bundle);
	free(a->key);
	free(a->key_type);
	for (i = 0; i < a->n_records; i++) {
		free(a->records[i].uri);
		free(a->records[i].cid);
		free(a->records[i].value_json);
	}
	free(a->records);
	free(a->cursor);
	memset(a, 0, sizeof *a);
}

static bool
plain(const char *s, size_t max)
{
	size_t n = strlen(s);

	return n > 0 && n <= max && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:/.-") == n;
}

static bool
cid_is(const char *s, enum cid_codec codec)
{
	struct cid c;

	return s != NULL && cid_parse(&c, s, strlen(s), NULL) == 0 && c.codec == codec;
}

/* "bundles/", the CID of the code, and perhaps "-" and a few letters or digits: nothing that leads elsewhere. */
static bool
dir_is(const char *dir, const char *code)
{
	size_t n = strlen("bundles/");

	if (dir == NULL || strncmp(dir, "bundles/", n) != 0 || strncmp(dir + n, code, CID_TEXT) != 0)
		return false;
	dir += n + CID_TEXT;
	return *dir == '\0' ||
	    (*dir == '-' && strlen(dir) <= 32 && strspn(dir, "-abcdefghijklmnopqrstuvwxyz234567") == strlen(dir));
}

static bool
uri_is(const char *uri, const char *did)
{
	size_t n = strlen(did);

	return uri != NULL && syntax_aturi(uri, strlen(uri)) && strncmp(uri + 5, did, n) == 0 && uri[5 + n] == '/';
}

static bool
rev_is(const char *rev)
{
	return rev != NULL && syntax_tid(rev, strlen(rev));
}

/* Each takes what it reads into out; false when something of it cannot be. */

static bool
read_who(const cJSON *tree, struct fetcher_answer *out)
{
	const char *did = json_string(tree, "did"), *handle = json_string(tree, "handle"), *pds = json_string(tree, "pds");

	if (did == NULL || !syntax_did(did, strlen(did)) ||
	    (handle != NULL ? !syntax_handle(handle, strlen(handle)) : json_member(tree, "handle") != NULL) ||
	    pds == NULL || !plain(pds, 300))
		return false;
	out->did = mem_str(did);
	out->handle = mem_str(handle);
	out->pds = mem_str(pds);
	return true;
}

static bool
read_sealed(const cJSON *tree, struct fetcher_answer *out)
{
	const cJSON *sealed = json_object(tree, "sealed"), *record = json_object(sealed, "record");
	const char *cid = json_string(sealed, "cid");
	struct buf text = BUF_INIT;

	if (json_member(tree, "sealed") == NULL)
		return true;
	if (record == NULL || !cid_is(cid, CID_DAG_CBOR))
		return false;
	json_print(record, &text);
	out->sealed_cid = mem_str(cid);
	out->sealed_json = buf_take(&text);
	return true;
}

static bool
read_bundle(const cJSON *tree, struct fetcher_answer *out, struct err *e)
{
	const char *uri = json_string(tree, "uri"), *cid = json_string(tree, "cid"), *code = json_string(tree, "code"),
		   *dir = json_string(tree, "dir"), *rev = json_string(tree, "rev"), *commit = json_string(tree, "commit"),
		   *proof = json_string(tree, "proof");
	const cJSON *record = json_object(tree, "record"), *timings = json_object(tree, "timings");
	struct buf text = BUF_INIT;

	out->bytes = -1;
	if (!cJSON_IsTrue(json_member(tree, "proven")) || !rev_is(rev) || !cid_is(commit, CID_DAG_CBOR) || proof == NULL ||
	    strlen(proof) > FETCHER_PROOF_MAX)
		return false;
	if (!uri_is(uri, out->did) || !cid_is(cid, CID_DAG_CBOR) || !cid_is(code, CID_RAW) || !dir_is(dir, code) ||
	    record == NULL || json_int(tree, "bytes", 0, INT64_C(1) << 40, &out->bytes, e) != 0 || out->bytes < 0 ||
	    json_bool(tree, "unchanged", &out->unchanged, e) != 0 ||
	    json_int(timings, "identity", 0, INT64_C(1) << 40, &out->identity_ms, e) != 0 ||
	    json_int(timings, "record", 0, INT64_C(1) << 40, &out->record_ms, e) != 0 ||
	    json_int(timings, "blob", 0, INT64_C(1) << 40, &out->blob_ms, e) != 0)
		return false;
	json_print(record, &text);
	out->record_json = buf_take(&text);
	out->bundle = bundle_parse(out->record_json, strlen(out->record_json), false, e);
	if (out->bundle == NULL || strcmp(out->bundle->code, code) != 0 || !read_sealed(tree, out))
		return false;
	out->uri = mem_str(uri);
	out->cid = mem_str(cid);
	out->code = mem_str(code);
	out->dir = mem_str(dir);
	out->rev = mem_str(rev);
	out->commit = mem_str(commit);
	out->proof = mem_str(proof);
	return true;
}

/* The key is read by lib/key.c, which believes nothing either. */
static bool
read_identity(const cJSON *tree, struct fetcher_answer *out, struct err *e)
{
	const char *key = json_string(tree, "key"), *type = json_string(tree, "keyType");

	(void)e;
	if ((key == NULL) != (type == NULL) || (key != NULL && (strlen(key) > 200 || strlen(type) > 100)))
		return false;
	out->key = mem_str(key);
	out->key_type = mem_str(type);
	return true;
}

static bool
read_records(const cJSON *tree, struct fetcher_answer *out, struct err *e)
{
	const cJSON *list = json_array(tree, "records"), *item;
	const char *cursor = json_string(tree, "cursor");
	int n = cJSON_GetArraySize(list);

	if (list == NULL || n > FETCHER_PAGE_MAX || (cursor != NULL && strlen(cursor) > FETCHER_CURSOR_MAX) ||
	    json_int(tree, "seen", 0, FETCHER_PAGE_MAX, &out->seen, e) != 0)
		return false;
	out->records = mem_array((size_t)n + 1, sizeof *out->records);
	cJSON_ArrayForEach(item, list) {
		const char *uri = json_string(item, "uri"), *cid = json_string(item, "cid");
		const cJSON *value = json_object(item, "value");
		struct fetcher_record *r = &out->records[out->n_records];
		struct buf text = BUF_INIT;

		if (!uri_is(uri, out->did) || !cid_is(cid, CID_DAG_CBOR) || value == NULL)
			return false;
		out->n_records++;
		json_print(value, &text);
		*r = (struct fetcher_record){ mem_str(uri), mem_str(cid), buf_take(&text) };
	}
	out->cursor = mem_str(cursor);
	return true;
}

static bool
read_post(const cJSON *tree, struct fetcher_answer *out, struct err *e)
{
	return json_int(tree, "status", 100, 999, &out->status, e) == 0 && out->status != 0 &&
	    json_int(tree, "retryAfter", 0, INT64_C(1) << 40, &out->retry_after_s, e) == 0;
}

static bool
read_ok(const cJSON *tree, struct fetcher_answer *out, struct err *e)
{
	static bool (*const read[FETCHER_OP_COUNT])(const cJSON *, struct fetcher_answer *, struct err *) = {
		[FETCHER_BUNDLE] = read_bundle,
		[FETCHER_IDENTITY] = read_identity,
		[FETCHER_RECORDS] = read_records,
		[FETCHER_POST] = read_post,
	};
	const char *op = json_string(tree, "op");
	int i;

	for (i = 0; op != NULL && i < FETCHER_OP_COUNT; i++)
		if (strcmp(op, words[i]) == 0)
			break;
	if (op == NULL || i == FETCHER_OP_COUNT || (i != FETCHER_POST && !read_who(tree, out)))
		return false;
	out->op = (enum fetcher_op)i;
	return read[i](tree, out, e);
}

static bool
read_error(const cJSON *tree, struct fetcher_answer *a)
{
	const char *did = json_string(tree, "did"), *rev = json_string(tree, "rev");
	struct err *out = &a->error;
	const char *kind = json_string(tree, "kind"), *name = json_string(tree, "name"),
		   *message = json_string(tree, "message");
	char *p;
	int k;

	if (kind == NULL || name == NULL || message == NULL || !plain(name, sizeof out->name - 1) ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != strlen(name))
		return false;
	for (k = ERR_NONE + 1; k < ERR_KIND_COUNT; k++)
		if (strcmp(kind, err_kind_name((enum err_kind)k)) == 0)
			break;
	if (k == ERR_KIND_COUNT)
		return false;
	err_named(out, (enum err_kind)k, name, "%s", message);
	if (did != NULL && syntax_did(did, strlen(did)) && rev_is(rev)) {
		a->did = mem_str(did);
		a->rev = mem_str(rev);
	}
	for (p = out->text; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	return true;
}

int
fetcher_answer_parse(const char *json, size_t n, struct fetcher_answer *out, struct err *e)
{
	cJSON *tree = json_parse(json, n, JSON_DEPTH, e);
	struct err why = ERR_INIT;
	int64_t id = -1;
	bool fine;

	memset(out, 0, sizeof *out);
	if (tree == NULL)
		return err_wrap(e, "the fetcher's answer");
	fine = json_bool(tree, "ok", &out->ok, &why) == 0 &&
	    json_int(tree, "id", 0, INT64_C(9007199254740991), &id, &why) == 0 && id >= 0 &&
	    (out->ok ? read_ok(tree, out, &why) : read_error(tree, out));
	out->id = id >= 0 ? (uint64_t)id : 0;
	cJSON_Delete(tree);
	if (fine)
		return 0;
	fetcher_answer_clear(out);
	return err_set(e, ERR_REMOTE, "the fetcher's answer is malformed%s%s", why.text[0] != '\0' ? ": " : "", why.text);
}
