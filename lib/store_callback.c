#include "lib/store_callback.h"

#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/callback.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/store_front.h"
#include "lib/store_internal.h"

int
front_callback_put(struct store *s, const struct front_job *j, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_CALLBACK_PUT, e);
	struct callback_url u;

	/* The door has read it already; the most that is allowed is enough to find the host. */
	if (q == NULL || callback_url_parse(j->callback, true, &u, e) != 0)
		return -1;
	bind_int(q, FRONT_CALLBACK_PUT_JOB, j->id.row);
	bind_text(q, FRONT_CALLBACK_PUT_URL, j->callback);
	bind_text(q, FRONT_CALLBACK_PUT_HOST, u.host.text);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

static void
member(struct buf *b, const char *key, const char *value)
{
	if (value == NULL)
		return;
	buf_fmt(b, ",\"%s\":", key);
	buf_json_str(b, value);
}

int
front_callback(struct store *s, int64_t row, struct buf *json, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_CALLBACK, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_int(q, FRONT_CALLBACK_JOB, row);
	if ((rc = store_row(s, q, e)) != 1)
		return rc;
	buf_str(json, "{\"url\":");
	buf_json_str(json, see_text(q, 0));
	member(json, "state", see_text(q, 1));
	buf_fmt(json, ",\"attempts\":%lld", (long long)see_int(q, 2));
	if (see_int(q, 3) != 0)
		buf_fmt(json, ",\"status\":%lld", (long long)see_int(q, 3));
	member(json, "error", see_text(q, 4));
	member(json, "nextAt", see_text(q, 5));
	member(json, "triedAt", see_text(q, 6));
	buf_char(json, '}');
	store_done(q);
	return 0;
}

int
callback_settle(struct store *s, int64_t row, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_CALLBACK_SETTLE, e);

	if (q == NULL)
		return -1;
	bind_int(q, CALLBACK_SETTLE_ROW, row);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

/* --- the workshop --- */

void
work_callback_clear(struct work_callback *c)
{
	free(c->url);
	free(c->host);
	free(c->outcome);
	free(c->author);
	free(c->bundle);
	free(c->version);
	free(c->endpoint);
	free(c->did);
	free(c->cid);
	free(c->caller);
	free(c->runtime);
	free(c->error_name);
	free(c->error);
	free(c->request_url);
	free(c->headers_json);
	free(c->body);
	free(c->of);
	memset(c, 0, sizeof *c);
}

int
work_callback_sweep(struct store *s, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_CALLBACK_SWEEP, e);

	return q == NULL || store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_callback_next(struct store *s, int64_t now, const char *jobs_json, const char *hosts_json, int64_t *row, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_CALLBACK_NEXT, e);
	int rc;

	*row = 0;
	if (q == NULL)
		return -1;
	bind_int(q, WORK_CALLBACK_NEXT_NOW, now);
	bind_text(q, WORK_CALLBACK_NEXT_JOBS_JSON, jobs_json);
	bind_text(q, WORK_CALLBACK_NEXT_HOSTS_JSON, hosts_json);
	if ((rc = store_row(s, q, e)) == 1) {
		*row = see_int(q, 0);
		store_done(q);
	}
	return rc < 0 ? -1 : 0;
}

static void
take(struct work_callback *c, sqlite3_stmt *q)
{
	const char *nonce;
	int i = 0;

	c->url = take_text(q, i++);
	c->host = take_text(q, i++);
	c->attempts = (int)see_int(q, i++);
	nonce = see_text(q, i++);
	if (nonce != NULL && strlen(nonce) == JOB_NONCE_LEN)
		memcpy(c->id.nonce, nonce, JOB_NONCE_LEN + 1);
	c->outcome = take_text(q, i++);
	c->author = take_text(q, i++);
	c->bundle = take_text(q, i++);
	c->version = take_text(q, i++);
	c->endpoint = take_text(q, i++);
	c->did = take_text(q, i++);
	c->cid = take_text(q, i++);
	c->caller = take_text(q, i++);
	c->runtime = take_text(q, i++);
	c->created_at = see_int(q, i++);
	c->admitted_at = see_int(q, i++);
	c->started_at = see_int(q, i++);
	c->done_at = see_int(q, i++);
	c->starts = (int)see_int(q, i++);
	c->error_name = take_text(q, i++);
	c->error = take_text(q, i++);
	c->request_url = take_text(q, i++);
	c->status = (int)see_int(q, i++);
	c->headers_json = take_text(q, i++);
	c->streamed = see_int(q, i++) != 0;
	c->body_bytes = (size_t)see_int(q, i++);
	if (sqlite3_column_blob(q, i) != NULL)
		c->body = mem_strn(sqlite3_column_blob(q, i), (size_t)sqlite3_column_bytes(q, i));
	else if (sqlite3_column_type(q, i) != SQLITE_NULL)
		c->body = mem_str("");
	c->of = take_text(q, ++i);
}

int
work_callback_load(struct store *s, int64_t row, int64_t body_max, struct work_callback *out, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_CALLBACK_LOAD, e);
	int rc;

	memset(out, 0, sizeof *out);
	if (q == NULL)
		return -1;
	bind_int(q, WORK_CALLBACK_LOAD_BODY_MAX, body_max);
	bind_int(q, WORK_CALLBACK_LOAD_ROW, row);
	if ((rc = store_row(s, q, e)) != 1)
		return rc == 0 ? err_set(e, ERR_NOTFOUND, "the callback of job %lld is not due", (long long)row) : -1;
	out->id.row = row;
	take(out, q);
	store_done(q);
	return 0;
}

static void
bind_or_null(sqlite3_stmt *q, int n, int64_t v)
{
	if (v > 0)
		bind_int(q, n, v);
	else
		sqlite3_bind_null(q, n);
}

int
work_callback_tried(struct store *s, int64_t row, const struct work_tried *t, int64_t now, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_CALLBACK_TRIED, e);

	if (q == NULL)
		return -1;
	bind_text(q, WORK_CALLBACK_TRIED_STATE, t->state);
	bind_or_null(q, WORK_CALLBACK_TRIED_NEXT_AT, t->next_at);
	bind_int(q, WORK_CALLBACK_TRIED_NOW, now);
	bind_or_null(q, WORK_CALLBACK_TRIED_STATUS, t->status);
	bind_text(q, WORK_CALLBACK_TRIED_ERROR, t->error);
	bind_int(q, WORK_CALLBACK_TRIED_ROW, row);
	return store_run(s, q, e);
}

int
work_callback_again(struct store *s, int64_t row, int64_t now, const char **state, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_CALLBACK_AGAIN, e);
	int rc;

	*state = NULL;
	if (q == NULL)
		return -1;
	bind_int(q, WORK_CALLBACK_AGAIN_NOW, now);
	bind_int(q, WORK_CALLBACK_AGAIN_ROW, row);
	if ((rc = store_run(s, q, e)) != 0)
		return rc;
	if ((q = store_use(s, SQL_WORK_CALLBACK_STATE, e)) == NULL)
		return -1;
	bind_int(q, WORK_CALLBACK_STATE_ROW, row);
	if ((rc = store_row(s, q, e)) == 1) {
		*state = see_text(q, 0) != NULL && strcmp(see_text(q, 0), "void") == 0 ? "void" : "waiting";
		store_done(q);
		rc = 0;
	}
	return rc;
}
