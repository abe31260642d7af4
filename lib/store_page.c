#include "lib/store_page.h"

#include <string.h>

#include "lib/err.h"
#include "lib/store_internal.h"

int
page_token_put(struct store *s, const char *name, const char *hash, int64_t now, int64_t until, int64_t *id, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_PAGE_TOKEN_PUT, e);

	if (q == NULL)
		return -1;
	bind_text(q, PAGE_TOKEN_PUT_NAME, name);
	bind_text(q, PAGE_TOKEN_PUT_HASH, hash);
	bind_int(q, PAGE_TOKEN_PUT_NOW, now);
	if (until > 0)
		bind_int(q, PAGE_TOKEN_PUT_UNTIL, until);
	else
		sqlite3_bind_null(q, PAGE_TOKEN_PUT_UNTIL);
	if (store_run(s, q, e) < 0)
		return -1;
	*id = sqlite3_last_insert_rowid(s->db);
	return 0;
}

static int
revoke(struct store *s, int64_t id, int64_t now, int *n, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_PAGE_TOKEN_GONE, e);

	if (q == NULL)
		return -1;
	bind_int(q, PAGE_TOKEN_GONE_NOW, now);
	if (id > 0)
		bind_int(q, PAGE_TOKEN_GONE_ID, id);
	else
		sqlite3_bind_null(q, PAGE_TOKEN_GONE_ID);
	if ((*n = store_run(s, q, e)) < 0 || (q = store_use(s, SQL_PAGE_TOKEN_OUT, e)) == NULL)
		return -1;
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
page_token_revoke(struct store *s, int64_t id, int64_t now, int *n, struct err *e)
{
	bool mine;

	if (store_enter(s, &mine, e) != 0)
		return -1;
	return store_leave(s, mine, revoke(s, id, now, n, e), e);
}

/* Both statements take the same two parameters. */
_Static_assert((int)PAGE_TOKEN_GET_ID == (int)PAGE_SESSION_GET_ID && (int)PAGE_TOKEN_GET_NOW == (int)PAGE_SESSION_GET_NOW, "");

static int
hash_of(struct store *s, enum sql which, int64_t id, int64_t now, char hash[PASS_HASH + 1], struct err *e)
{
	sqlite3_stmt *q = store_use(s, which, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_int(q, PAGE_TOKEN_GET_ID, id);
	bind_int(q, PAGE_TOKEN_GET_NOW, now);
	if ((rc = store_row(s, q, e)) != 1)
		return rc;
	if (see_text(q, 0) != NULL && strlen(see_text(q, 0)) == PASS_HASH)
		memcpy(hash, see_text(q, 0), PASS_HASH + 1);
	else
		rc = 0;
	store_done(q);
	return rc;
}

int
page_token_hash(struct store *s, int64_t id, int64_t now, char hash[PASS_HASH + 1], struct err *e)
{
	return hash_of(s, SQL_PAGE_TOKEN_GET, id, now, hash, e);
}

int
page_session_hash(struct store *s, int64_t id, int64_t now, char hash[PASS_HASH + 1], struct err *e)
{
	return hash_of(s, SQL_PAGE_SESSION_GET, id, now, hash, e);
}

int
page_session_end(struct store *s, int64_t id, int64_t now, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_PAGE_SESSION_END, e);

	if (q == NULL)
		return -1;
	bind_int(q, PAGE_SESSION_END_ID, id);
	bind_int(q, PAGE_SESSION_END_NOW, now);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

static int
session_put(struct store *s, int64_t token, const char *hash, int64_t now, int64_t until, int64_t *id, struct err *e)
{
	sqlite3_stmt *q;

	if (page_session_end(s, 0, now, e) != 0 || (q = store_use(s, SQL_PAGE_SESSION_PUT, e)) == NULL)
		return -1;
	bind_int(q, PAGE_SESSION_PUT_TOKEN, token);
	bind_text(q, PAGE_SESSION_PUT_HASH, hash);
	bind_int(q, PAGE_SESSION_PUT_NOW, now);
	bind_int(q, PAGE_SESSION_PUT_UNTIL, until);
	if (store_run(s, q, e) < 0)
		return -1;
	*id = sqlite3_last_insert_rowid(s->db);
	if ((q = store_use(s, SQL_PAGE_TOKEN_USED, e)) == NULL)
		return -1;
	bind_int(q, PAGE_TOKEN_USED_NOW, now);
	bind_int(q, PAGE_TOKEN_USED_ID, token);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
page_session_put(struct store *s, int64_t token, const char *hash, int64_t now, int64_t until, int64_t *id, struct err *e)
{
	bool mine;

	if (store_enter(s, &mine, e) != 0)
		return -1;
	return store_leave(s, mine, session_put(s, token, hash, now, until, id, e), e);
}

int
page_wrong(struct store *s, const char *client, int64_t after, int64_t *tries, int64_t *since, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_PAGE_WRONG_GET, e);
	int rc;

	*tries = *since = 0;
	if (q == NULL)
		return -1;
	bind_text(q, PAGE_WRONG_GET_CLIENT, client);
	bind_int(q, PAGE_WRONG_GET_AFTER, after);
	if ((rc = store_row(s, q, e)) != 1)
		return rc;
	*since = see_int(q, 0);
	*tries = see_int(q, 1);
	store_done(q);
	return 0;
}

static int
wrong_add(struct store *s, const char *client, int64_t after, int64_t now, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_PAGE_WRONG_ADD, e);

	if (q == NULL)
		return -1;
	bind_text(q, PAGE_WRONG_ADD_CLIENT, client);
	bind_int(q, PAGE_WRONG_ADD_NOW, now);
	bind_int(q, PAGE_WRONG_ADD_AFTER, after);
	if (store_run(s, q, e) < 0 || (q = store_use(s, SQL_PAGE_WRONG_OLD, e)) == NULL)
		return -1;
	bind_int(q, PAGE_WRONG_OLD_AFTER, after);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
page_wrong_add(struct store *s, const char *client, int64_t after, int64_t now, struct err *e)
{
	bool mine;

	if (store_enter(s, &mine, e) != 0)
		return -1;
	return store_leave(s, mine, wrong_add(s, client, after, now, e), e);
}
