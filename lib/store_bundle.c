#include "lib/store_bundle.h"

#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "lib/store_internal.h"

void
work_bundle_clear(struct work_bundle *b)
{
	free(b->cid);
	free(b->did);
	free(b->name);
	free(b->uri);
	free(b->runtime);
	free(b->code);
	free(b->dir);
	free(b->record_json);
	free(b->rev);
	free(b->commit);
	free(b->proof);
	memset(b, 0, sizeof *b);
}

static int
put_version(struct store *s, const struct work_bundle *b, const char *version, int64_t now, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_VERSION_PUT, e);

	if (q == NULL)
		return -1;
	bind_text(q, WORK_VERSION_PUT_DID, b->did);
	bind_text(q, WORK_VERSION_PUT_NAME, b->name);
	bind_text(q, WORK_VERSION_PUT_VERSION, version);
	bind_text(q, WORK_VERSION_PUT_CID, b->cid);
	bind_int(q, WORK_VERSION_PUT_NOW, now);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_rev_put(struct store *s, const char *did, const char *rev, int64_t now, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_REV_PUT, e);

	if (q == NULL)
		return -1;
	bind_text(q, WORK_REV_PUT_DID, did);
	bind_text(q, WORK_REV_PUT_REV, rev);
	bind_int(q, WORK_REV_PUT_NOW, now);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_rev_get(struct store *s, const char *did, char **rev, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_REV_GET, e);
	int rc;

	*rev = NULL;
	if (q == NULL)
		return -1;
	bind_text(q, WORK_REV_GET_DID, did);
	if ((rc = store_row(s, q, e)) == 1) {
		*rev = take_text(q, 0);
		store_done(q);
	}
	return rc < 0 ? -1 : 0;
}

static int
put_bundle(struct store *s, const struct work_bundle *b, const char *version, int64_t now, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_BUNDLE_PUT, e);

	if (q == NULL)
		return -1;
	bind_text(q, WORK_BUNDLE_PUT_CID, b->cid);
	bind_text(q, WORK_BUNDLE_PUT_DID, b->did);
	bind_text(q, WORK_BUNDLE_PUT_NAME, b->name);
	bind_text(q, WORK_BUNDLE_PUT_URI, b->uri);
	bind_text(q, WORK_BUNDLE_PUT_RUNTIME, b->runtime);
	bind_text(q, WORK_BUNDLE_PUT_CODE, b->code);
	bind_int(q, WORK_BUNDLE_PUT_BYTES, b->bytes);
	bind_text(q, WORK_BUNDLE_PUT_DIR, b->dir);
	bind_text(q, WORK_BUNDLE_PUT_RECORD_JSON, b->record_json);
	bind_text(q, WORK_BUNDLE_PUT_REV, b->rev);
	bind_text(q, WORK_BUNDLE_PUT_COMMIT_CID, b->commit);
	bind_text(q, WORK_BUNDLE_PUT_PROOF, b->proof);
	bind_int(q, WORK_BUNDLE_PUT_NOW, now);
	if (store_run(s, q, e) < 0 || (b->rev != NULL && work_rev_put(s, b->did, b->rev, now, e) != 0))
		return -1;
	return version == NULL ? 0 : put_version(s, b, version, now, e);
}

int
work_bundle_put(struct store *s, const struct work_bundle *b, const char *version, int64_t now, struct err *e)
{
	bool mine;

	if (store_enter(s, &mine, e) != 0)
		return -1;
	return store_leave(s, mine, put_bundle(s, b, version, now, e), e);
}

int
work_bundle_get(struct store *s, const char *did, const char *name, const char *version, struct work_bundle *out,
    struct err *e)
{
	sqlite3_stmt *q = store_use(s, version != NULL ? SQL_WORK_BUNDLE_GET : SQL_WORK_BUNDLE_BY_CID, e);
	int rc, c = 0;

	if (q == NULL)
		return -1;
	if (version != NULL) {
		bind_text(q, WORK_BUNDLE_GET_DID, did);
		bind_text(q, WORK_BUNDLE_GET_NAME, name);
		bind_text(q, WORK_BUNDLE_GET_VERSION, version);
	} else {
		bind_text(q, WORK_BUNDLE_BY_CID_CID, name);
	}
	if ((rc = store_row(s, q, e)) < 0)
		return -1;
	if (rc == 0)
		return err_named(e, ERR_NOTFOUND, "BundleNotFound", "%s was not fetched yet", name);
	out->cid = take_text(q, c++);
	out->did = take_text(q, c++);
	out->name = take_text(q, c++);
	out->uri = take_text(q, c++);
	out->runtime = take_text(q, c++);
	out->code = take_text(q, c++);
	out->dir = take_text(q, c++);
	out->record_json = take_text(q, c++);
	out->bytes = see_int(q, c++);
	out->fetched_at = see_int(q, c++);
	out->checked_at = see_int(q, c);
	store_done(q);
	return 0;
}

int
work_author_put(struct store *s, const char *handle, const char *did, const char *pds, int64_t now, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_AUTHOR_PUT, e);

	if (q == NULL)
		return -1;
	bind_text(q, WORK_AUTHOR_PUT_HANDLE, handle);
	bind_text(q, WORK_AUTHOR_PUT_DID, did);
	bind_text(q, WORK_AUTHOR_PUT_PDS, pds);
	bind_int(q, WORK_AUTHOR_PUT_NOW, now);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_author_get(struct store *s, const char *handle, char **did, int64_t *checked_at, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_AUTHOR_GET, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_text(q, WORK_AUTHOR_GET_HANDLE, handle);
	if ((rc = store_row(s, q, e)) < 0)
		return -1;
	if (rc == 0)
		return err_set(e, ERR_NOTFOUND, "%s was not looked up yet", handle);
	*did = take_text(q, 0);
	*checked_at = see_int(q, 1);
	store_done(q);
	return 0;
}
