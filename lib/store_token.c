#include "lib/store_token.h"

#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "lib/mem.h"
#include "lib/store_front.h"
#include "lib/store_internal.h"

int64_t
store_token_until(int64_t expires_at, int64_t timeout_ms)
{
	return expires_at + STORE_TOKEN_LEEWAY_MS + timeout_ms;
}

int
front_token_put(struct store *s, const struct front_job *j, struct err *e)
{
	const struct front_token *t = j->token;
	sqlite3_stmt *q = store_use(s, SQL_FRONT_TOKEN_PUT, e);

	if (q == NULL)
		return -1;
	bind_int(q, FRONT_TOKEN_PUT_JOB, j->id.row);
	bind_text(q, FRONT_TOKEN_PUT_ISSUER, j->caller);
	bind_text(q, FRONT_TOKEN_PUT_NONCE, t->nonce);
	bind_text(q, FRONT_TOKEN_PUT_ALG, t->alg);
	sqlite3_bind_text(q, FRONT_TOKEN_PUT_SIGNED, t->signed_, (int)t->signed_bytes, SQLITE_STATIC);
	bind_blob(q, FRONT_TOKEN_PUT_SIGNATURE, t->signature, t->signature_bytes);
	bind_int(q, FRONT_TOKEN_PUT_UNTIL_AT, t->until_at);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
front_token_same(struct store *s, int64_t row, const struct front_job *j, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_TOKEN_SAME, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_int(q, FRONT_TOKEN_SAME_JOB, row);
	sqlite3_bind_text(q, FRONT_TOKEN_SAME_SIGNED, j->token->signed_, (int)j->token->signed_bytes, SQLITE_STATIC);
	bind_blob(q, FRONT_TOKEN_SAME_SIGNATURE, j->token->signature, j->token->signature_bytes);
	if ((rc = store_row(s, q, e)) == 1)
		store_done(q);
	return rc;
}

int
work_token_load(struct store *s, int64_t row, struct work_token *out, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_TOKEN_GET, e);
	int rc;

	memset(out, 0, sizeof *out);
	if (q == NULL)
		return -1;
	bind_int(q, WORK_TOKEN_GET_JOB, row);
	if ((rc = store_row(s, q, e)) != 1)
		return rc == 0 ? err_set(e, ERR_NOTFOUND, "the token of job %lld is gone", (long long)row) : -1;
	out->issuer = take_text(q, 0);
	out->nonce = take_text(q, 1);
	out->alg = take_text(q, 2);
	out->signed_ = take_text(q, 3);
	out->signed_bytes = (size_t)sqlite3_column_bytes(q, 3);
	if (sqlite3_column_bytes(q, 4) == (int)sizeof out->signature)
		memcpy(out->signature, sqlite3_column_blob(q, 4), sizeof out->signature);
	out->until_at = see_int(q, 5);
	store_done(q);
	return 0;
}

void
work_token_clear(struct work_token *t)
{
	free(t->issuer);
	free(t->nonce);
	free(t->alg);
	free(t->signed_);
	memset(t, 0, sizeof *t);
}

int
work_token_drop(struct store *s, int64_t row, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_TOKEN_DROP, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_TOKEN_DROP_JOB, row);
	if (store_run(s, q, e) < 0 || (q = store_use(s, SQL_WORK_TOKEN_NOBODY, e)) == NULL)
		return -1;
	bind_int(q, WORK_TOKEN_NOBODY_JOB, row);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_tokens(struct store *s, int64_t now, void (*fn)(void *arg, int64_t row, const char *issuer, const char *nonce,
    int64_t until_at), void *arg, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_TOKENS, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_int(q, WORK_TOKENS_NOW, now);
	while ((rc = store_step(s, q, e)) == 1)
		fn(arg, see_int(q, 0), see_text(q, 1), see_text(q, 2), see_int(q, 3));
	return rc;
}

int
work_token_prune(struct store *s, int64_t now, int max, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_TOKENS_TO, e);
	int64_t after = s->tokens_swept, to;

	if (q == NULL)
		return -1;
	bind_int(q, WORK_TOKENS_TO_AFTER, after);
	bind_int(q, WORK_TOKENS_TO_MAX, max);
	if (store_row(s, q, e) != 1)
		return -1;
	to = s->tokens_swept = see_int(q, 0);
	store_done(q);
	if (to == 0)
		return 0;
	if ((q = store_use(s, SQL_WORK_PRUNE_TOKENS, e)) == NULL)
		return -1;
	bind_int(q, WORK_PRUNE_TOKENS_AFTER, after);
	bind_int(q, WORK_PRUNE_TOKENS_TO, to);
	bind_int(q, WORK_PRUNE_TOKENS_NOW, now);
	return store_run(s, q, e);
}
