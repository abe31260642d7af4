#include "lib/store_secret.h"

#include "lib/err.h"
#include "lib/store_internal.h"

static int
keys_gone(struct store *s, int64_t now, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_KEYS_GONE, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_KEYS_GONE_NOW, now);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

static int
key_put(struct store *s, const struct store_key *k, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_KEY_PUT, e);

	if (q == NULL)
		return -1;
	bind_text(q, WORK_KEY_PUT_KEY, k->key);
	bind_text(q, WORK_KEY_PUT_USE, k->use);
	bind_int(q, WORK_KEY_PUT_NUMBER, k->number);
	bind_int(q, WORK_KEY_PUT_MADE_AT, k->made_at);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_keys_put(struct store *s, const struct store_key *keys, size_t n, int64_t now, struct err *e)
{
	bool mine;
	size_t i;
	int rc;

	if (store_enter(s, &mine, e) != 0)
		return -1;
	rc = keys_gone(s, now, e);
	for (i = 0; i < n && rc == 0; i++)
		rc = key_put(s, &keys[i], e);
	return store_leave(s, mine, rc, e);
}

int
work_key_drop(struct store *s, const char *key, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_KEY_DROP, e);

	if (q == NULL)
		return -1;
	bind_text(q, WORK_KEY_DROP_KEY, key);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

static int
sealed_drop(struct store *s, const char *did, const char *bundle, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_SEALED_DROP, e);

	if (q == NULL)
		return -1;
	bind_text(q, WORK_SEALED_DROP_DID, did);
	bind_text(q, WORK_SEALED_DROP_BUNDLE, bundle);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_sealed_put(struct store *s, const char *did, const char *bundle, const char *cid, const char *record_json,
    int64_t now, struct err *e)
{
	sqlite3_stmt *q;

	if (record_json == NULL)
		return sealed_drop(s, did, bundle, e);
	if ((q = store_use(s, SQL_WORK_SEALED_PUT, e)) == NULL)
		return -1;
	bind_text(q, WORK_SEALED_PUT_DID, did);
	bind_text(q, WORK_SEALED_PUT_BUNDLE, bundle);
	bind_text(q, WORK_SEALED_PUT_CID, cid);
	bind_text(q, WORK_SEALED_PUT_RECORD_JSON, record_json);
	bind_int(q, WORK_SEALED_PUT_NOW, now);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_sealed_get(struct store *s, const char *did, const char *bundle, char **cid, char **record_json, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_SEALED_GET, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_text(q, WORK_SEALED_GET_DID, did);
	bind_text(q, WORK_SEALED_GET_BUNDLE, bundle);
	if ((rc = store_row(s, q, e)) < 0)
		return -1;
	if (rc == 0)
		return err_set(e, ERR_NOTFOUND, "no sealed secrets for %s/%s", did, bundle);
	*cid = take_text(q, 0);
	*record_json = take_text(q, 1);
	store_done(q);
	return 0;
}

int
work_receipt_put(struct store *s, int64_t row, const char *text, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_RECEIPT_PUT, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_RECEIPT_PUT_JOB, row);
	bind_text(q, WORK_RECEIPT_PUT_TEXT, text);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

char *
front_receipt(struct store *s, int64_t row, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_RECEIPT, e);
	char *text = NULL;

	if (q == NULL)
		return NULL;
	bind_int(q, FRONT_RECEIPT_JOB, row);
	if (store_row(s, q, e) == 1) {
		text = take_text(q, 0);
		store_done(q);
	}
	return text;
}

int
front_keys(struct store *s, void (*fn)(void *arg, const struct store_key *k), void *arg, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_KEYS, e);
	int rc;

	if (q == NULL)
		return -1;
	while ((rc = store_step(s, q, e)) == 1) {
		struct store_key k = { see_text(q, 0), see_text(q, 1), (int)see_int(q, 2), 0, see_int(q, 3) != 0 };

		fn(arg, &k);
	}
	return rc;
}
