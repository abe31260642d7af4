#include "lib/store_token.h"

#include <string.h>

#include "lib/err.h"
#include "lib/store_internal.h"

#define PROOF_KEPT_MS 60000

int64_t
store_token_until(int64_t expires_at, int64_t timeout_ms)
{
	return expires_at + STORE_TOKEN_LEEWAY_MS + timeout_ms;
}

int
front_token_same(struct store *s, int64_t row, const char *token, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_TOKEN_SAME, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_int(q, FRONT_TOKEN_SAME_JOB, row);
	bind_text(q, FRONT_TOKEN_SAME_TOKEN, token);
	if ((rc = store_row(s, q, e)) == 1)
		store_done(q);
	return rc;
}

int
work_token_nobody(struct store *s, int64_t row, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_TOKEN_NOBODY, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_TOKEN_NOBODY_JOB, row);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_spent(struct store *s, int64_t now, void (*fn)(void *arg, int64_t row, const char *issuer, const char *nonce,
    int64_t until_at), void *arg, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_SPENT, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_int(q, WORK_SPENT_NOW, now);
	while ((rc = store_step(s, q, e)) == 1)
		fn(arg, see_int(q, 0), see_text(q, 1), see_text(q, 2), see_int(q, 3));
	return rc;
}

int
work_spent_to(struct store *s, int64_t *row, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_SPENT_TO, e);
	int rc;

	*row = 0;
	if (q == NULL || (rc = store_row(s, q, e)) < 0)
		return -1;
	if (rc == 1)
		*row = see_int(q, 0);
	store_done(q);
	return 0;
}

int
work_spent_after(struct store *s, int64_t row, void (*fn)(void *arg, int64_t row, const char *token), void *arg,
    struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_SPENT_AFTER, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_int(q, WORK_SPENT_AFTER_AFTER, row);
	while ((rc = store_step(s, q, e)) == 1)
		fn(arg, see_int(q, 0), see_text(q, 1));
	return rc;
}

int
work_spent_put(struct store *s, int64_t row, const char *issuer, const char *nonce, int64_t until_at, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_SPENT_PUT, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_SPENT_PUT_JOB, row);
	bind_text(q, WORK_SPENT_PUT_ISSUER, issuer);
	bind_text(q, WORK_SPENT_PUT_NONCE, nonce);
	bind_int(q, WORK_SPENT_PUT_UNTIL_AT, until_at);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_spent_mark(struct store *s, int64_t row, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_SPENT_MARK, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_SPENT_MARK_ROW, row);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_spent_prune(struct store *s, int64_t now, int max, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_PRUNE_SPENT_TO, e);
	int64_t after = s->spent_swept, to;

	if (q == NULL)
		return -1;
	bind_int(q, WORK_PRUNE_SPENT_TO_AFTER, after);
	bind_int(q, WORK_PRUNE_SPENT_TO_MAX, max);
	if (store_row(s, q, e) != 1)
		return -1;
	to = s->spent_swept = see_int(q, 0);
	store_done(q);
	if (to == 0)
		return 0;
	if ((q = store_use(s, SQL_WORK_PRUNE_SPENT, e)) == NULL)
		return -1;
	bind_int(q, WORK_PRUNE_SPENT_AFTER, after);
	bind_int(q, WORK_PRUNE_SPENT_TO, to);
	bind_int(q, WORK_PRUNE_SPENT_NOW, now);
	return store_run(s, q, e);
}

/* --- whose is a token? --- */

int
front_proof_ask(struct store *s, const char *token, const char *caller, const char *bell, int64_t now, int most, int64_t *id,
    struct err *e)
{
	sqlite3_stmt *q;
	bool mine;
	int n = -1;

	if (store_enter(s, &mine, e) != 0)
		return -1;
	if ((q = store_use(s, SQL_FRONT_PROOF_ASK, e)) != NULL) {
		bind_text(q, FRONT_PROOF_ASK_TOKEN, token);
		bind_text(q, FRONT_PROOF_ASK_CALLER, caller);
		bind_text(q, FRONT_PROOF_ASK_BELL, bell);
		bind_int(q, FRONT_PROOF_ASK_NOW, now);
		bind_int(q, FRONT_PROOF_ASK_MOST, most);
		n = store_run(s, q, e);
		*id = sqlite3_last_insert_rowid(s->db);
	}
	if (n == 0)
		n = err_named(e, ERR_BUSY, "NotEnoughResources", "%d tokens are being checked already; ask again a little later", most);
	return store_leave(s, mine, n < 0 ? -1 : 0, e);
}

static enum err_kind
kind_of(const char *name)
{
	int k;

	for (k = 0; k < ERR_KIND_COUNT; k++)
		if (strcmp(err_kind_name((enum err_kind)k), name) == 0)
			return (enum err_kind)k;
	return ERR_INTERNAL;
}

int
front_proof_look(struct store *s, int64_t id, const char *token, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_PROOF_LOOK, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_int(q, FRONT_PROOF_LOOK_ID, id);
	bind_text(q, FRONT_PROOF_LOOK_TOKEN, token);
	if ((rc = store_row(s, q, e)) < 0)
		return -1;
	if (rc == 0)
		return err_set(e, ERR_INTERNAL, "the question after a token is gone");
	rc = see_int(q, 0) != 0;
	if (rc == 1 && see_text(q, 1) != NULL)
		rc = err_named(e, kind_of(see_text(q, 1)), see_text(q, 2), "%s", see_text(q, 3));
	store_done(q);
	return rc;
}

int
front_proof_drop(struct store *s, int64_t id, const char *token, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_PROOF_DROP, e);

	if (q == NULL)
		return -1;
	bind_int(q, FRONT_PROOF_DROP_ID, id);
	bind_text(q, FRONT_PROOF_DROP_TOKEN, token);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_proofs(struct store *s, int max, void (*fn)(void *arg, int64_t id, const char *token, const char *caller,
    const char *bell), void *arg, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_PROOFS, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_int(q, WORK_PROOFS_MAX, max);
	while ((rc = store_step(s, q, e)) == 1)
		fn(arg, see_int(q, 0), see_text(q, 1), see_text(q, 2), see_text(q, 3));
	return rc;
}

int
work_proof_done(struct store *s, int64_t id, const char *token, const struct err *why, int64_t now, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_PROOF_DONE, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_PROOF_DONE_ID, id);
	bind_text(q, WORK_PROOF_DONE_TOKEN, token);
	bind_text(q, WORK_PROOF_DONE_ERROR_KIND, why != NULL ? err_kind_name(why->kind) : NULL);
	bind_text(q, WORK_PROOF_DONE_ERROR_NAME, why != NULL ? err_name(why) : NULL);
	bind_text(q, WORK_PROOF_DONE_ERROR, why != NULL ? why->text : NULL);
	bind_int(q, WORK_PROOF_DONE_NOW, now);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_proof_prune(struct store *s, int64_t now, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_PRUNE_PROOFS, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_PRUNE_PROOFS_BEFORE, now - PROOF_KEPT_MS);
	bind_int(q, WORK_PRUNE_PROOFS_AFTER, now + PROOF_KEPT_MS);
	return store_run(s, q, e) < 0 ? -1 : 0;
}
