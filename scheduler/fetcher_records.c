/*
 * A page of a collection as the author's server tells it.  There is no proof of a whole collection short of the whole
 * repository, so whoever uses this believes the server about its own user, and says so.
 */
#include "scheduler/fetcher_task.h"

#include <string.h>

#include "lib/buf.h"
#include "lib/cid.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/pds.h"
#include "lib/syntax.h"

struct page {
	const char *collection, *cursor, *member, *value, *only; /* borrowed from the request's tree; NULL: not said */
};

static int
read_request(struct page *p, const cJSON *tree, struct err *e)
{
	p->collection = json_string(tree, "collection");
	p->cursor = json_string(tree, "cursor");
	p->member = json_string(tree, "member");
	p->value = json_string(tree, "value");
	p->only = json_string(tree, "only");
	if (p->collection == NULL || !syntax_nsid(p->collection, strlen(p->collection)))
		return err_set(e, ERR_INPUT, "not a collection");
	if ((p->member == NULL) != (p->value == NULL))
		return err_set(e, ERR_INPUT, "member and value go together");
	return 0;
}

/* "at://DID/COLLECTION/…" of this author, and a CID: anything else on a page is passed over. */
static bool
is_record(const struct task *t, const struct page *p, const char *uri, const char *cid)
{
	size_t did = strlen(t->doc.did), collection = strlen(p->collection);
	struct cid c;

	return uri != NULL && cid != NULL && syntax_aturi(uri, strlen(uri)) && strncmp(uri + 5, t->doc.did, did) == 0 &&
	    uri[5 + did] == '/' && strncmp(uri + 6 + did, p->collection, collection) == 0 &&
	    uri[6 + did + collection] == '/' && cid_parse(&c, cid, strlen(cid), NULL) == 0 && c.codec == CID_DAG_CBOR;
}

static bool
is_wanted(const struct page *p, const cJSON *value)
{
	const char *s = p->member != NULL ? json_string(value, p->member) : NULL;

	return p->member == NULL || (s != NULL && strcmp(s, p->value) == 0);
}

static void
add_value(const struct page *p, const cJSON *value, struct buf *out)
{
	const char *s = p->only != NULL ? json_string(value, p->only) : NULL;

	if (p->only == NULL) {
		json_print(value, out);
		return;
	}
	buf_char(out, '{');
	if (s != NULL) {
		buf_json_str(out, p->only);
		buf_char(out, ':');
		buf_json_str(out, s);
	}
	buf_char(out, '}');
}

static int
read_page(const struct task *t, const struct page *p, const struct buf *json, struct buf *out, struct err *e)
{
	cJSON *tree = json_parse(json->data, json->len, JSON_DEPTH + 2, e);
	const cJSON *list = json_array(tree, "records"), *item;
	const char *cursor = json_string(tree, "cursor");
	int seen = cJSON_GetArraySize(list), told = 0;
	int rc = -1;

	if (list == NULL || seen > FETCHER_PAGE_MAX || (cursor != NULL && strlen(cursor) > FETCHER_CURSOR_MAX)) {
		err_set(e, ERR_REMOTE, "%.100s sends no page of records of %.100s", t->doc.pds, p->collection);
		goto out;
	}
	buf_fmt(out, ",\"seen\":%d,\"records\":[", seen);
	cJSON_ArrayForEach(item, list) {
		const char *uri = json_string(item, "uri"), *cid = json_string(item, "cid");
		const cJSON *value = json_object(item, "value");

		if (value == NULL || !is_record(t, p, uri, cid) || !is_wanted(p, value))
			continue;
		buf_fmt(out, "%s{\"uri\":", told++ > 0 ? "," : "");
		buf_json_str(out, uri);
		buf_str(out, ",\"cid\":");
		buf_json_str(out, cid);
		buf_str(out, ",\"value\":");
		add_value(p, value, out);
		buf_char(out, '}');
	}
	buf_str(out, "],\"cursor\":");
	/* A server that sends us round in circles has no more. */
	if (seen == 0 || (cursor != NULL && p->cursor != NULL && strcmp(cursor, p->cursor) == 0))
		cursor = NULL;
	buf_json_str(out, cursor);
	rc = 0;
out:
	cJSON_Delete(tree);
	return rc;
}

static int
get_page(struct task *t, const struct page *p, struct buf *json, struct err *e)
{
	struct http_limits limits;
	struct pds_conf pc = { &t->f->policy, &limits, NULL };

	if (task_limits(t, t->f->conf->record_bytes, "atproto.record", 0, &limits, e) != 0)
		return -1;
	buf_reset(json);
	return pds_records_get(t->http, &pc, t->doc.pds, t->doc.did, p->collection, p->cursor, FETCHER_PAGE_MAX, json, e);
}

int
task_records(struct task *t, const cJSON *tree, struct buf *out, struct err *e)
{
	struct buf json = BUF_INIT;
	struct page p;
	int rc = -1;

	if (read_request(&p, tree, e) == 0 && who_is(t, e) == 0 &&
	    (get_page(t, &p, &json, e) == 0 || (who_moved(t, e) && get_page(t, &p, &json, e) == 0)))
		rc = read_page(t, &p, &json, out, e);
	buf_clear(&json);
	return rc;
}
