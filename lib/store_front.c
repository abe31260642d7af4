#include "lib/store_front.h"

#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/err.h"
#include "lib/store_callback.h"
#include "lib/store_internal.h"
#include "lib/store_key.h"
#include "lib/store_token.h"
#include "lib/store_upload.h"

static int
insert_request(struct store *s, const struct front_job *j, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_ENQUEUE_REQUEST, e);

	if (q == NULL)
		return -1;
	bind_int(q, FRONT_ENQUEUE_REQUEST_JOB, j->id.row);
	bind_text(q, FRONT_ENQUEUE_REQUEST_URL, j->url);
	bind_text(q, FRONT_ENQUEUE_REQUEST_PATH, j->path);
	bind_text(q, FRONT_ENQUEUE_REQUEST_QUERY, j->query);
	bind_text(q, FRONT_ENQUEUE_REQUEST_HEADERS_JSON, j->headers_json);
	bind_blob(q, FRONT_ENQUEUE_REQUEST_BODY, j->body_bytes > 0 ? j->body : NULL, j->body_bytes);
	bind_text(q, FRONT_ENQUEUE_REQUEST_TOKEN, j->token);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

static int
insert_job(struct store *s, struct front_job *j, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_ENQUEUE, e);

	if (q == NULL)
		return -1;
	sqlite3_bind_text(q, FRONT_ENQUEUE_NONCE, j->id.nonce, JOB_NONCE_LEN, SQLITE_STATIC);
	bind_text(q, FRONT_ENQUEUE_MODE, j->mode == JOB_SYNC ? "sync" : "async");
	bind_text(q, FRONT_ENQUEUE_AUTHOR, j->author);
	bind_text(q, FRONT_ENQUEUE_BUNDLE, j->bundle);
	bind_text(q, FRONT_ENQUEUE_VERSION, j->version);
	bind_text(q, FRONT_ENQUEUE_ENDPOINT, j->endpoint);
	bind_text(q, FRONT_ENQUEUE_METHOD, j->method);
	bind_text(q, FRONT_ENQUEUE_CALLER, j->caller);
	bind_text(q, FRONT_ENQUEUE_CLIENT, j->client);
	bind_int(q, FRONT_ENQUEUE_TIMEOUT_MS, j->timeout_ms);
	bind_text(q, FRONT_ENQUEUE_BELL, j->bell);
	bind_int(q, FRONT_ENQUEUE_CREATED_AT, j->created_at);
	bind_int(q, FRONT_ENQUEUE_CREATED_MONO, j->created_mono);
	bind_text(q, FRONT_ENQUEUE_TRACE, j->trace);
	if (store_run(s, q, e) < 0)
		return -1;
	j->id.row = sqlite3_last_insert_rowid(s->db);
	if (j->callback != NULL && front_callback_put(s, j, e) != 0)
		return -1;
	if (j->upload && front_upload_new(s, j->id.row, j->upload_bytes, j->upload_holds, e) != 0)
		return -1;
	return insert_request(s, j, e);
}

/* What a key means belongs to its caller, and a DID in a token is only a claim here.  Whoever shows the very token that the
 * job came with is that caller. */
static int
check_twin(struct store *s, struct front_job *j, struct err *e)
{
	int same = j->met == MET_TWIN && j->token != NULL ? front_token_same(s, j->twin.row, j->token, e) : 1;

	if (same == 0)
		j->met = MET_UNPROVEN;
	return same < 0 ? -1 : 0;
}

int
front_enqueue(struct store *s, struct front_job *j, struct err *e)
{
	j->met = MET_NOBODY;
	if (j->key != NULL && key_meet(s, j, e) != 0)
		return -1;
	if (j->met != MET_NOBODY)
		return check_twin(s, j, e);
	if (insert_job(s, j, e) != 0)
		return -1;
	return j->key != NULL ? key_bind(s, j, e) : 0;
}

int
front_load(struct store *s, const char *author, const char *bundle, int64_t cap, int64_t few, struct front_load *out, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_LOAD, e);

	if (q == NULL)
		return -1;
	bind_int(q, FRONT_LOAD_CAP, cap);
	if (store_row(s, q, e) < 0)
		return -1;
	out->total = out->author = out->bundle = see_int(q, 0);
	store_done(q);
	if (out->total < few)
		return 0;
	if ((q = store_use(s, SQL_FRONT_LOAD_OF, e)) == NULL)
		return -1;
	bind_text(q, FRONT_LOAD_OF_AUTHOR, author);
	bind_int(q, FRONT_LOAD_OF_CAP, cap);
	bind_text(q, FRONT_LOAD_OF_BUNDLE, bundle);
	if (store_row(s, q, e) < 0)
		return -1;
	out->author = see_int(q, 0);
	out->bundle = see_int(q, 1);
	store_done(q);
	return 0;
}

static int64_t
longest(struct store *s, const char *author, const char *bundle)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_LONGEST, NULL);
	int64_t ms = 0;

	if (q == NULL)
		return 0;
	bind_text(q, FRONT_LONGEST_AUTHOR, author);
	bind_text(q, FRONT_LONGEST_BUNDLE, bundle);
	if (store_row(s, q, NULL) == 1)
		ms = see_int(q, 0);
	store_done(q);
	return ms;
}

/* Of one row of front_ends. */
static int64_t
end_in(sqlite3_stmt *q, int64_t usual_ms)
{
	int64_t mono = clock_mono_ms(), in = INT64_MAX, started = see_int(q, 0);

	if (sqlite3_column_type(q, 1) != SQLITE_NULL)
		in = see_int(q, 1) - mono;
	if (sqlite3_column_type(q, 2) != SQLITE_NULL && see_int(q, 2) - mono < in)
		in = see_int(q, 2) - mono;
	/* One that runs for longer than any did is no guide. */
	started = started > 0 ? started + usual_ms - clock_wall_ms() : 0;
	return started > 0 && started < in ? started : in;
}

int64_t
front_place_in(struct store *s, const char *author, const char *bundle)
{
	int64_t usual = longest(s, author, bundle), least = INT64_MAX, in;
	sqlite3_stmt *q = store_use(s, author != NULL ? SQL_FRONT_ENDS_OF : SQL_FRONT_ENDS, NULL);

	if (q == NULL)
		return 0;
	if (author != NULL) {
		bind_text(q, FRONT_ENDS_OF_AUTHOR, author);
		bind_text(q, FRONT_ENDS_OF_BUNDLE, bundle);
	}
	while (store_step(s, q, NULL) == 1)
		if ((in = end_in(q, usual)) < least)
			least = in;
	return least == INT64_MAX ? 0 : least > 1 ? least : 1;
}

/* --- looking --- */

static void
view_light(struct front_view *v, sqlite3_stmt *q)
{
	int c = 0;

	v->mode = strcmp(see_text(q, c++), "async") == 0 ? JOB_ASYNC : JOB_SYNC;
	v->state = (enum job_state)job_state_parse(see_text(q, c++));
	v->outcome = (enum job_outcome)job_outcome_parse(see_text(q, c++));
	v->start = (enum job_start)job_start_parse(see_text(q, c++));
	v->created_at = see_int(q, c++);
	v->admitted_at = see_int(q, c++);
	v->started_at = see_int(q, c++);
	v->done_at = see_int(q, c++);
	v->timeout_ms = see_int(q, c++);
	v->lease_until = see_int(q, c++);
	v->error_kind = take_text(q, c++);
	v->error_name = take_text(q, c++);
	v->error = take_text(q, c++);
	v->cancel = see_int(q, c++) != 0;
	v->task = see_int(q, c++) != 0;
	v->retry_at = see_int(q, c++);
	v->has_result = sqlite3_column_type(q, c) != SQLITE_NULL;
	v->streamed = see_int(q, c++) != 0;
	v->status = (int)see_int(q, c);
}

static void
view_whole(struct front_view *v, sqlite3_stmt *q)
{
	const void *body;
	int c = 18;

	v->author = take_text(q, c++);
	v->bundle = take_text(q, c++);
	v->version = take_text(q, c++);
	v->endpoint = take_text(q, c++);
	v->did = take_text(q, c++);
	v->cid = take_text(q, c++);
	v->runtime = take_text(q, c++);
	v->wall = take_text(q, c++);
	v->caller = take_text(q, c++);
	v->starts = (int)see_int(q, c++);
	v->headers_json = take_text(q, c++);
	body = sqlite3_column_blob(q, c);
	v->body_bytes = (size_t)sqlite3_column_bytes(q, c);
	v->body = body != NULL ? mem_strn(body, v->body_bytes) : NULL;
	v->taken = see_int(q, ++c);
}

_Static_assert((int)FRONT_LOOK_ROW == (int)FRONT_LOOK_LIGHT_ROW && (int)FRONT_LOOK_NONCE == (int)FRONT_LOOK_LIGHT_NONCE,
    "the two ways to look take the same parameters");

int
front_look(struct store *s, const struct job_id *id, bool light, struct front_view *v, struct err *e)
{
	sqlite3_stmt *q = store_use(s, light ? SQL_FRONT_LOOK_LIGHT : SQL_FRONT_LOOK, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_int(q, FRONT_LOOK_ROW, id->row);
	bind_text(q, FRONT_LOOK_NONCE, id->nonce);
	if ((rc = store_row(s, q, e)) < 0)
		return -1;
	if (rc == 0)
		return err_named(e, ERR_NOTFOUND, "JobNotFound", "no such job, or it was long ago");
	memset(v, 0, sizeof *v);
	v->id = *id;
	view_light(v, q);
	if (!light)
		view_whole(v, q);
	store_done(q);
	return 0;
}

void
front_view_clear(struct front_view *v)
{
	free(v->author);
	free(v->bundle);
	free(v->version);
	free(v->endpoint);
	free(v->did);
	free(v->cid);
	free(v->runtime);
	free(v->wall);
	free(v->caller);
	free(v->error_kind);
	free(v->error_name);
	free(v->error);
	free(v->headers_json);
	free(v->body);
	memset(v, 0, sizeof *v);
}

int
front_attempts(struct store *s, int64_t row, void (*fn)(void *arg, const struct front_attempt *a), void *arg, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_ATTEMPTS, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_int(q, FRONT_ATTEMPTS_JOB, row);
	while ((rc = store_step(s, q, e)) == 1) {
		struct front_attempt a = { .n = (int)see_int(q, 0), .outcome = see_text(q, 1), .started_at = see_int(q, 2),
			.ended_at = see_int(q, 3), .again_at = see_int(q, 4), .error_name = see_text(q, 5), .error = see_text(q, 6) };

		fn(arg, &a);
	}
	return rc;
}

int
front_chunks(struct store *s, int64_t row, int64_t seq, size_t max_bytes, struct buf *out, int64_t *next, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_CHUNKS, e);
	size_t before = out->len;
	int rc;

	if (q == NULL)
		return -1;
	*next = seq;
	bind_int(q, FRONT_CHUNKS_ROW, row);
	bind_int(q, FRONT_CHUNKS_SEQ, seq);
	while ((rc = store_step(s, q, e)) == 1) {
		size_t n = (size_t)sqlite3_column_bytes(q, 1);

		if (out->len > before && out->len - before + n > max_bytes) {
			store_done(q);
			return 0;
		}
		buf_add(out, sqlite3_column_blob(q, 1), n);
		*next = see_int(q, 0) + 1;
	}
	return rc;
}

static int
taken(struct store *s, int64_t row, int64_t seq, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_TAKEN, e);

	if (q == NULL)
		return -1;
	bind_int(q, FRONT_TAKEN_ROW, row);
	bind_int(q, FRONT_TAKEN_SEQ, seq);
	if (store_run(s, q, e) < 0 || (q = store_use(s, SQL_FRONT_TAKEN_CHUNKS, e)) == NULL)
		return -1;
	bind_int(q, FRONT_TAKEN_CHUNKS_ROW, row);
	bind_int(q, FRONT_TAKEN_CHUNKS_SEQ, seq);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
front_taken(struct store *s, int64_t row, int64_t seq, struct err *e)
{
	bool mine;

	if (store_enter(s, &mine, e) != 0)
		return -1;
	return store_leave(s, mine, taken(s, row, seq, e), e);
}

/* --- asking for its end --- */

static int
run_for(struct store *s, enum sql which, int row_at, int64_t row, int nonce_at, const char *nonce, int now_at, struct err *e)
{
	sqlite3_stmt *q = store_use(s, which, e);

	if (q == NULL)
		return -1;
	bind_int(q, row_at, row);
	if (nonce_at > 0)
		bind_text(q, nonce_at, nonce);
	if (now_at > 0)
		bind_int(q, now_at, clock_wall_ms());
	return store_run(s, q, e);
}

static int
job_exists(struct store *s, const struct job_id *id, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_EXISTS, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_int(q, FRONT_EXISTS_ROW, id->row);
	bind_text(q, FRONT_EXISTS_NONCE, id->nonce);
	if ((rc = store_row(s, q, e)) < 0)
		return -1;
	store_done(q);
	return rc == 1 ? 0 : err_named(e, ERR_NOTFOUND, "JobNotFound", "no such job, or it was long ago");
}

int
front_job_caller(struct store *s, const struct job_id *id, char **caller, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_JOB_CALLER, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_int(q, FRONT_JOB_CALLER_ROW, id->row);
	bind_text(q, FRONT_JOB_CALLER_NONCE, id->nonce);
	if ((rc = store_row(s, q, e)) < 0)
		return -1;
	if (rc == 1)
		*caller = take_text(q, 0);
	store_done(q);
	return rc == 1 ? 0 : err_named(e, ERR_NOTFOUND, "JobNotFound", "no such job, or it was long ago");
}

static int
cancel(struct store *s, const struct job_id *id, struct err *e)
{
	int changed = run_for(s, SQL_FRONT_CANCEL, FRONT_CANCEL_ROW, id->row, FRONT_CANCEL_NONCE, id->nonce, 0, e);

	if (changed < 0)
		return -1;
	if (changed == 0)
		return job_exists(s, id, e);
	if (run_for(s, SQL_FRONT_CANCEL_WAITING, FRONT_CANCEL_WAITING_ROW, id->row, 0, NULL, FRONT_CANCEL_WAITING_NOW, e) < 0 ||
	    callback_settle(s, id->row, e) != 0)
		return -1;
	return run_for(s, SQL_FRONT_CANCEL_ORDER, FRONT_CANCEL_ORDER_ROW, id->row, 0, NULL, FRONT_CANCEL_ORDER_NOW, e) < 0
	    ? -1 : 0;
}

int
front_cancel(struct store *s, const struct job_id *id, struct err *e)
{
	bool mine;

	if (store_enter(s, &mine, e) != 0)
		return -1;
	return store_leave(s, mine, cancel(s, id, e), e);
}

static int
lapse(struct store *s, const struct job_id *id, int64_t mono_now_ms, const char *boot, bool *lapsed, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_LAPSE, e);
	int n;

	if (q == NULL)
		return -1;
	bind_int(q, FRONT_LAPSE_NOW, clock_wall_ms());
	bind_int(q, FRONT_LAPSE_ROW, id->row);
	bind_text(q, FRONT_LAPSE_NONCE, id->nonce);
	bind_int(q, FRONT_LAPSE_MONO, mono_now_ms);
	bind_text(q, FRONT_LAPSE_BOOT, boot);
	if ((n = store_run(s, q, e)) < 0)
		return -1;
	*lapsed = n == 1;
	return *lapsed ? callback_settle(s, id->row, e) : 0;
}

bool
front_lapse(struct store *s, const struct job_id *id, int64_t mono_now_ms, const char *boot, struct err *e)
{
	bool mine, lapsed = false;

	return store_enter(s, &mine, e) == 0 && store_leave(s, mine, lapse(s, id, mono_now_ms, boot, &lapsed, e), e) == 0 && lapsed;
}

/* --- the runner as a whole --- */

int
front_pulse(struct store *s, struct front_pulse *p, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_PULSE, e);
	int rc;

	if (q == NULL || (rc = store_row(s, q, e)) < 0)
		return -1;
	memset(p, 0, sizeof *p);
	if (rc == 1) {
		p->any = true;
		p->seen_at = see_int(q, 0);
		p->draining = see_int(q, 1) != 0;
		p->ended = see_int(q, 2) != 0;
		p->seen_mono = see_int(q, 3);
		p->this_boot = see_text(q, 4) != NULL && strcmp(see_text(q, 4), clock_boot_id()) == 0;
		store_done(q);
	}
	return 0;
}

int
front_counts(struct store *s, struct front_pulse *p, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_COUNTS, e);

	if (q == NULL || store_row(s, q, e) < 0)
		return -1;
	p->queued = see_int(q, 0);
	p->running = see_int(q, 1);
	p->instances = see_int(q, 2);
	store_done(q);
	return 0;
}

int
front_tally(struct store *s, struct buf *out, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_TALLY, e);
	int rc;

	if (q == NULL || (rc = store_row(s, q, e)) < 0)
		return -1;
	if (rc == 1 && see_text(q, 0) != NULL)
		buf_str(out, see_text(q, 0));
	store_done(q);
	return 0;
}

static void
member(struct buf *b, const char *key, const char *value)
{
	buf_fmt(b, ",\"%s\":", key);
	buf_json_str(b, value);
}

int
front_runtimes(struct store *s, struct buf *json, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_RUNTIMES, e);
	const char *sep = "";
	int rc;

	if (q == NULL)
		return -1;
	buf_char(json, '[');
	while ((rc = store_step(s, q, e)) == 1) {
		buf_fmt(json, "%s{\"name\":", sep);
		buf_json_str(json, see_text(q, 0));
		buf_fmt(json, ",\"mimeTypes\":%s", see_text(q, 1));
		member(json, "version", see_text(q, 2));
		member(json, "wall", see_text(q, 3));
		buf_fmt(json, ",\"available\":%s}", see_text(q, 3) != NULL ? "true" : "false");
		sep = ",";
	}
	buf_char(json, ']');
	return rc;
}
