/*
 * The workshop's face, held by one process at a time (the scheduler's lock sees to it), and by one connection of it.
 *
 * Checkpoints.  SQLite 3.7.0 to 3.51.2 has a race: a checkpointer reads the log's header, and before it reads how much
 * of the log was already moved into the database, a writer, finding everything moved, begins the log anew.  The
 * checkpointer then takes the new log's zero for its own and copies pages of the old one that are being overwritten.
 * A log can only be begun anew while everything in it has been moved, and only a checkpoint moves.  So nothing can go
 * wrong for the only checkpointer
 *
 *   - in the modes RESTART and TRUNCATE, which hold the write lock: nobody begins a log meanwhile;
 *   - in PASSIVE, when the workshop has committed since the last complete checkpoint: if that one led to a new log,
 *     that had happened before our commit went into it, and our commit has not been moved, so that the next new log has
 *     to wait for the checkpoint we are about to do.
 *
 * Hence s->committed, set by our commits and cleared by a complete checkpoint; the last one commits first, because
 * SQLite goes on as PASSIVE when it cannot have the write lock in time.  The work itself, with its waits for the disk, is
 * done on a second connection by a thread of the scheduler's (scheduler/checkpoint.c), one at a time, and only when the
 * first says that it is due; a commit that comes while it runs is not counted, which is on the safe side.  A person's own
 * sqlite3 shell that writes is a second checkpointer and beyond us; the manual says so, and reading (-readonly) does no harm.
 */
#include "lib/store_work.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/err.h"
#include "lib/store_callback.h"
#include "lib/store_internal.h"
#include "lib/store_upload.h"
#include "lib/store_vfs.h"

#define RESTART_PATIENCE_US 20000 /* readers get this long to leave it */
#define FREE_PAGES_MAX      4096  /* kept for the next jobs; more go back to the file system */

void
work_job_clear(struct work_job *j)
{
	free(j->author);
	free(j->bundle);
	free(j->version);
	free(j->endpoint);
	free(j->method);
	free(j->caller);
	free(j->client);
	free(j->bell);
	free(j->did);
	free(j->cid);
	free(j->url);
	free(j->path);
	free(j->query);
	free(j->callback);
	free(j->token);
	free(j->trace);
	free(j->headers_json);
	free(j->body);
	memset(j, 0, sizeof *j);
}

/* --- runs --- */

static int
run_start(struct store *s, int64_t *run, struct err *e)
{
	int64_t now = clock_wall_ms();
	sqlite3_stmt *q = store_use(s, SQL_WORK_RUN_END_OTHERS, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_RUN_END_OTHERS_NOW, now);
	if (store_run(s, q, e) < 0 || (q = store_use(s, SQL_WORK_RUN_START, e)) == NULL)
		return -1;
	bind_int(q, WORK_RUN_START_PID, getpid());
	bind_text(q, WORK_RUN_START_BOOT, clock_boot_id());
	bind_text(q, WORK_RUN_START_VERSION, AT_RUND_VERSION);
	bind_int(q, WORK_RUN_START_NOW, now);
	bind_int(q, WORK_RUN_START_MONO, clock_mono_ms());
	if (store_run(s, q, e) < 0)
		return -1;
	*run = sqlite3_last_insert_rowid(s->db);
	return 0;
}

int
work_run_start(struct store *s, int64_t *run, struct err *e)
{
	bool mine;

	if (store_enter(s, &mine, e) != 0)
		return -1;
	return store_leave(s, mine, run_start(s, run, e), e);
}

int
work_run_beat(struct store *s, int64_t run, bool draining, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_RUN_BEAT, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_RUN_BEAT_NOW, clock_wall_ms());
	bind_int(q, WORK_RUN_BEAT_MONO, clock_mono_ms());
	bind_int(q, WORK_RUN_BEAT_DRAINING, draining);
	bind_int(q, WORK_RUN_BEAT_RUN, run);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_tally(struct store *s, const char *text, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_TALLY, e);

	if (q == NULL)
		return -1;
	bind_text(q, WORK_TALLY_TEXT, text);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_syncs(struct store *s, int64_t n, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_SYNCS, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_SYNCS_N, n);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_run_end(struct store *s, int64_t run, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_RUN_END, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_RUN_END_NOW, clock_wall_ms());
	bind_int(q, WORK_RUN_END_RUN, run);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_boot_job(struct store *s, int64_t *row, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_BOOT_JOB, e);

	if (q == NULL)
		return -1;
	bind_text(q, WORK_BOOT_JOB_BOOT, clock_boot_id());
	if (store_row(s, q, e) < 0)
		return -1;
	*row = see_int(q, 0);
	store_done(q);
	return 0;
}

/* --- jobs: reading --- */

static void
take_job(struct work_job *j, sqlite3_stmt *q)
{
	const char *nonce;
	const void *body;
	int c = 0;

	memset(j, 0, sizeof *j);
	j->id.row = see_int(q, c++);
	nonce = see_text(q, c++);
	if (nonce != NULL && strlen(nonce) == JOB_NONCE_LEN)
		memcpy(j->id.nonce, nonce, JOB_NONCE_LEN + 1);
	j->mode = strcmp(see_text(q, c++), "async") == 0 ? JOB_ASYNC : JOB_SYNC;
	j->state = (enum job_state)job_state_parse(see_text(q, c++));
	j->author = take_text(q, c++);
	j->bundle = take_text(q, c++);
	j->version = take_text(q, c++);
	j->endpoint = take_text(q, c++);
	j->method = take_text(q, c++);
	j->caller = take_text(q, c++);
	j->client = take_text(q, c++);
	j->bell = take_text(q, c++);
	j->did = take_text(q, c++);
	j->cid = take_text(q, c++);
	j->timeout_ms = see_int(q, c++);
	j->created_at = see_int(q, c++);
	j->attempt = (int)see_int(q, c++);
	j->lease = see_int(q, c++);
	j->idempotent = see_int(q, c++) != 0;
	j->cancel = see_int(q, c++) != 0;
	j->created_mono = see_int(q, c++);
	j->upload = sqlite3_column_type(q, c) != SQLITE_NULL;
	j->upload_holds = see_int(q, c++) != 0;
	if (j->upload)
		j->upload_bytes = sqlite3_column_type(q, c) == SQLITE_NULL ? -1 : see_int(q, c);
	c++;
	j->trace = take_text(q, c++);
	j->url = take_text(q, c++);
	j->path = take_text(q, c++);
	j->query = take_text(q, c++);
	j->headers_json = take_text(q, c++);
	body = sqlite3_column_blob(q, c);
	j->body_bytes = (size_t)sqlite3_column_bytes(q, c);
	j->body = body != NULL ? mem_strn(body, j->body_bytes) : NULL;
	j->token = take_text(q, ++c);
	j->callback = take_text(q, ++c);
}

/* The batch is read before anybody is told of it, so that fn may use the store. */
int
work_queued(struct store *s, int64_t after, int max, void (*fn)(void *arg, struct work_job *j), void *arg, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_QUEUED, e);
	struct work_job *batch = NULL;
	int n = 0, room = 0, rc, i;

	if (q == NULL)
		return -1;
	bind_int(q, WORK_QUEUED_AFTER, after);
	bind_int(q, WORK_QUEUED_MAX, max);
	while ((rc = store_step(s, q, e)) == 1) {
		if (n == room) {
			room = room == 0 ? 8 : room * 2;
			batch = mem_grow(batch, (size_t)room * sizeof *batch);
		}
		take_job(&batch[n++], q);
	}
	for (i = 0; i < n; i++) {
		if (rc == 0)
			fn(arg, &batch[i]);
		else
			work_job_clear(&batch[i]);
	}
	free(batch);
	return rc < 0 ? -1 : n;
}

int
work_before_open(struct store *s, int64_t *row, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_OLDEST_OPEN, e);

	if (q == NULL || store_row(s, q, e) < 0)
		return -1;
	*row = see_int(q, 0) - 1;
	store_done(q);
	return 0;
}

int
work_last(struct store *s, int64_t *row, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_LAST, e);

	if (q == NULL || store_row(s, q, e) < 0)
		return -1;
	*row = see_int(q, 0);
	store_done(q);
	return 0;
}

int
work_job_load(struct store *s, int64_t row, struct work_job *out, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_JOB_LOAD, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_int(q, WORK_JOB_LOAD_ROW, row);
	if ((rc = store_row(s, q, e)) < 0)
		return -1;
	if (rc == 0)
		return err_named(e, ERR_NOTFOUND, "JobNotFound", "no job %lld", (long long)row);
	take_job(out, q);
	store_done(q);
	return 0;
}

static int
pick(struct store *s, sqlite3_stmt *q, struct work_job *out, struct err *e)
{
	int64_t row;
	int rc = store_row(s, q, e);

	if (rc < 0)
		return -1;
	if (rc == 0)
		return err_set(e, ERR_NOTFOUND, "no job waits there");
	row = see_int(q, 0);
	store_done(q);
	return work_job_load(s, row, out, e);
}

int
work_next_lane(struct store *s, const char *did, const char *bundle, const char *endpoint, struct work_job *out,
    struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_NEXT_LANE, e);

	if (q == NULL)
		return -1;
	bind_text(q, WORK_NEXT_LANE_DID, did != NULL ? did : "");
	bind_text(q, WORK_NEXT_LANE_BUNDLE, did != NULL ? bundle : "");
	bind_text(q, WORK_NEXT_LANE_ENDPOINT, did != NULL ? endpoint : "");
	return pick(s, q, out, e);
}

int
work_next_admitted_of(struct store *s, const char *did, const char *bundle, const char *endpoint, int64_t after_row,
    struct work_job *out, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_NEXT_ADMITTED_OF, e);

	if (q == NULL)
		return -1;
	bind_text(q, WORK_NEXT_ADMITTED_OF_DID, did);
	bind_text(q, WORK_NEXT_ADMITTED_OF_BUNDLE, bundle);
	bind_text(q, WORK_NEXT_ADMITTED_OF_ENDPOINT, endpoint);
	bind_int(q, WORK_NEXT_ADMITTED_OF_AFTER, after_row);
	return pick(s, q, out, e);
}

/* --- jobs: changing --- */

int
work_admit(struct store *s, int64_t row, const struct work_admission *a, int64_t now, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_ADMIT, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_text(q, WORK_ADMIT_DID, a->did);
	bind_text(q, WORK_ADMIT_CID, a->cid);
	bind_text(q, WORK_ADMIT_RUNTIME, a->runtime);
	bind_text(q, WORK_ADMIT_WALL, a->wall);
	bind_int(q, WORK_ADMIT_TIMEOUT_MS, a->timeout_ms);
	bind_int(q, WORK_ADMIT_IDEMPOTENT, a->idempotent);
	bind_text(q, WORK_ADMIT_TRACE, a->trace);
	bind_int(q, WORK_ADMIT_NOW, now);
	bind_int(q, WORK_ADMIT_ROW, row);
	rc = store_run(s, q, e);
	if (rc == 1 && a->task) {
		if ((q = store_use(s, SQL_WORK_ADMIT_TASK, e)) == NULL)
			return -1;
		bind_int(q, WORK_ADMIT_TASK_ROW, row);
		if (store_run(s, q, e) < 0)
			return -1;
	}
	if (rc != 1 || !a->by_handle)
		return rc;
	if ((q = store_use(s, SQL_WORK_ADMIT_AUTHOR, e)) == NULL)
		return -1;
	bind_text(q, WORK_ADMIT_AUTHOR_DID, a->did);
	bind_int(q, WORK_ADMIT_AUTHOR_ROW, row);
	return store_run(s, q, e) < 0 ? -1 : 1;
}

int
work_admit_many(struct store *s, int64_t first, int64_t last, const struct work_admission *a, int64_t now, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_ADMIT_MANY, e);

	if (q == NULL)
		return -1;
	bind_text(q, WORK_ADMIT_MANY_DID, a->did);
	bind_text(q, WORK_ADMIT_MANY_CID, a->cid);
	bind_text(q, WORK_ADMIT_MANY_RUNTIME, a->runtime);
	bind_text(q, WORK_ADMIT_MANY_WALL, a->wall);
	bind_int(q, WORK_ADMIT_MANY_TIMEOUT_MS, a->timeout_ms);
	bind_int(q, WORK_ADMIT_MANY_IDEMPOTENT, a->idempotent);
	bind_int(q, WORK_ADMIT_MANY_NOW, now);
	bind_int(q, WORK_ADMIT_MANY_FIRST, first);
	bind_int(q, WORK_ADMIT_MANY_LAST, last);
	return store_run(s, q, e);
}

int
work_is_admitted(struct store *s, int64_t row, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_IS_ADMITTED, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_int(q, WORK_IS_ADMITTED_ROW, row);
	if ((rc = store_row(s, q, e)) == 1)
		store_done(q);
	return rc;
}

int
work_start(struct store *s, int64_t row, int64_t run, int64_t instance, enum job_start start, int64_t lease_until,
    int64_t now, int64_t *lease, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_START, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_int(q, WORK_START_RUN, run);
	bind_int(q, WORK_START_INSTANCE, instance);
	bind_text(q, WORK_START_START, job_start_name(start));
	bind_int(q, WORK_START_LEASE, *lease);
	bind_int(q, WORK_START_LEASE_UNTIL, lease_until);
	bind_int(q, WORK_START_NOW, now);
	bind_int(q, WORK_START_ROW, row);
	if ((rc = store_run(s, q, e)) == 1)
		(*lease)++;
	return rc;
}

int
work_again(struct store *s, int64_t row, int64_t lease, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_AGAIN, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_AGAIN_ROW, row);
	bind_int(q, WORK_AGAIN_LEASE, lease);
	return store_run(s, q, e);
}

int
work_done(struct store *s, int64_t row, int64_t lease, const struct work_end *end, int64_t now, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_DONE, e);

	if (q == NULL)
		return -1;
	bind_text(q, WORK_DONE_OUTCOME, job_outcome_name(end->outcome));
	bind_int(q, WORK_DONE_NOW, now);
	bind_text(q, WORK_DONE_ERROR_KIND, end->error_kind);
	bind_text(q, WORK_DONE_ERROR_NAME, end->error_name);
	bind_text(q, WORK_DONE_ERROR, end->error);
	bind_int(q, WORK_DONE_ROW, row);
	bind_int(q, WORK_DONE_LEASE, lease);
	return store_run(s, q, e);
}

int
work_whole(struct store *s, int64_t row, const struct work_whole *w, const struct work_end *end, int64_t now, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_WHOLE, e);

	if (q == NULL)
		return -1;
	bind_text(q, WORK_WHOLE_OUTCOME, job_outcome_name(end->outcome));
	bind_text(q, WORK_WHOLE_DID, w->did);
	bind_text(q, WORK_WHOLE_CID, w->cid);
	bind_text(q, WORK_WHOLE_RUNTIME, w->runtime);
	bind_text(q, WORK_WHOLE_WALL, w->wall);
	bind_int(q, WORK_WHOLE_TIMEOUT_MS, w->timeout_ms);
	bind_int(q, WORK_WHOLE_RUN, w->run);
	bind_int(q, WORK_WHOLE_INSTANCE, w->instance);
	bind_text(q, WORK_WHOLE_START, job_start_name(w->start));
	bind_int(q, WORK_WHOLE_STARTED, w->started_at);
	bind_int(q, WORK_WHOLE_NOW, now);
	bind_text(q, WORK_WHOLE_ERROR_KIND, end->error_kind);
	bind_text(q, WORK_WHOLE_ERROR_NAME, end->error_name);
	bind_text(q, WORK_WHOLE_ERROR, end->error);
	bind_int(q, WORK_WHOLE_ROW, row);
	return store_run(s, q, e);
}

int
work_drop(struct store *s, int64_t row, const struct work_end *end, int64_t now, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_DROP, e);

	if (q == NULL)
		return -1;
	bind_text(q, WORK_DROP_OUTCOME, job_outcome_name(end->outcome));
	bind_int(q, WORK_DROP_NOW, now);
	bind_text(q, WORK_DROP_ERROR_KIND, end->error_kind);
	bind_text(q, WORK_DROP_ERROR_NAME, end->error_name);
	if (end->retry_at != 0)
		bind_int(q, WORK_DROP_RETRY_AT, end->retry_at);
	else
		sqlite3_bind_null(q, WORK_DROP_RETRY_AT);
	bind_text(q, WORK_DROP_ERROR, end->error);
	bind_int(q, WORK_DROP_ROW, row);
	return store_run(s, q, e);
}

int
work_result(struct store *s, int64_t row, int status, const char *headers_json, bool streamed, const void *body, size_t n,
    struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_RESULT, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_RESULT_ROW, row);
	bind_int(q, WORK_RESULT_STATUS, status);
	bind_text(q, WORK_RESULT_HEADERS_JSON, headers_json);
	bind_int(q, WORK_RESULT_STREAMED, streamed);
	bind_blob(q, WORK_RESULT_BODY, n > 0 ? body : NULL, n);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_chunk(struct store *s, int64_t row, int64_t seq, const void *p, size_t n, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_CHUNK, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_CHUNK_ROW, row);
	bind_int(q, WORK_CHUNK_SEQ, seq);
	bind_blob(q, WORK_CHUNK_DATA, n > 0 ? p : "", n);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_unread(struct store *s, int64_t row, int64_t *bytes, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_UNREAD, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_UNREAD_ROW, row);
	if (store_row(s, q, e) < 0)
		return -1;
	*bytes = see_int(q, 0);
	store_done(q);
	return 0;
}

static void
bind_id(sqlite3_stmt *q, int at, int64_t id)
{
	if (id == 0)
		sqlite3_bind_null(q, at);
	else
		bind_int(q, at, id);
}

int
work_log(struct store *s, int64_t row, int64_t instance, int64_t at, const char *level, const char *source,
    const char *text, size_t n, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_LOG, e);

	if (q == NULL)
		return -1;
	bind_id(q, WORK_LOG_ROW, row);
	bind_id(q, WORK_LOG_INSTANCE, instance);
	bind_int(q, WORK_LOG_AT, at);
	bind_text(q, WORK_LOG_LEVEL, level);
	bind_text(q, WORK_LOG_SOURCE, source);
	sqlite3_bind_text64(q, WORK_LOG_TEXT, text, n, SQLITE_STATIC, SQLITE_UTF8);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

static int
recover(struct store *s, int64_t run, int64_t now, int64_t *settled, int64_t *again, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_RECOVER_ATTEMPTS, e);
	int n;

	if (q == NULL)
		return -1;
	bind_int(q, WORK_RECOVER_ATTEMPTS_NOW, now);
	bind_int(q, WORK_RECOVER_ATTEMPTS_RUN, run);
	if (store_run(s, q, e) < 0 || (q = store_use(s, SQL_WORK_RECOVER_AGAIN, e)) == NULL)
		return -1;
	bind_int(q, WORK_RECOVER_AGAIN_RUN, run);
	if ((n = store_run(s, q, e)) < 0)
		return -1;
	*again = n;
	if ((q = store_use(s, SQL_WORK_RECOVER_LOST, e)) == NULL)
		return -1;
	bind_int(q, WORK_RECOVER_LOST_RUN, run);
	bind_int(q, WORK_RECOVER_LOST_NOW, now);
	if ((n = store_run(s, q, e)) < 0)
		return -1;
	*settled = n;
	if ((q = store_use(s, SQL_WORK_RECOVER_UNWRITTEN, e)) == NULL)
		return -1;
	bind_int(q, WORK_RECOVER_UNWRITTEN_RUN, run);
	bind_int(q, WORK_RECOVER_UNWRITTEN_NOW, now);
	if ((n = store_run(s, q, e)) < 0)
		return -1;
	*settled += n;
	return work_upload_recover(s, e) == 0 ? work_callback_sweep(s, e) : -1;
}

int
work_recover(struct store *s, int64_t run, int64_t now, int64_t *settled, int64_t *again, struct err *e)
{
	bool mine;

	if (store_enter(s, &mine, e) != 0)
		return -1;
	return store_leave(s, mine, recover(s, run, now, settled, again, e), e);
}

int
work_counts(struct store *s, int64_t *queued, int64_t *admitted, int64_t *running, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_COUNTS, e);

	if (q == NULL || store_row(s, q, e) < 0)
		return -1;
	*queued = see_int(q, 0);
	*admitted = see_int(q, 1);
	*running = see_int(q, 2);
	store_done(q);
	return 0;
}

/* --- instances and runtimes --- */

int
work_instance_new(struct store *s, int64_t run, const char *runtime, const char *wall, int64_t pid, int64_t pid_start,
    int64_t now, int64_t *id, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_INSTANCE_NEW, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_INSTANCE_NEW_RUN, run);
	bind_text(q, WORK_INSTANCE_NEW_RUNTIME, runtime);
	bind_text(q, WORK_INSTANCE_NEW_WALL, wall);
	bind_id(q, WORK_INSTANCE_NEW_PID, pid);
	bind_id(q, WORK_INSTANCE_NEW_PID_START, pid_start);
	bind_int(q, WORK_INSTANCE_NEW_NOW, now);
	if (store_run(s, q, e) < 0)
		return -1;
	*id = sqlite3_last_insert_rowid(s->db);
	return 0;
}

int
work_instance_set(struct store *s, int64_t id, const char *state, const char *cid, int64_t calls, int64_t now,
    struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_INSTANCE_SET, e);

	if (q == NULL)
		return -1;
	bind_text(q, WORK_INSTANCE_SET_STATE, state);
	bind_text(q, WORK_INSTANCE_SET_CID, cid);
	bind_int(q, WORK_INSTANCE_SET_CALLS, calls);
	bind_int(q, WORK_INSTANCE_SET_NOW, now);
	bind_int(q, WORK_INSTANCE_SET_ID, id);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_instance_pid(struct store *s, int64_t id, int64_t pid, int64_t pid_start, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_INSTANCE_PID, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_INSTANCE_PID_PID, pid);
	bind_int(q, WORK_INSTANCE_PID_PID_START, pid_start);
	bind_int(q, WORK_INSTANCE_PID_ID, id);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_instance_end(struct store *s, int64_t id, const char *why, int64_t now, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_INSTANCE_END, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_INSTANCE_END_NOW, now);
	bind_text(q, WORK_INSTANCE_END_WHY, why);
	bind_int(q, WORK_INSTANCE_END_ID, id);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

struct leftover {
	int64_t id, pid, pid_start;
	char *wall;
};

/* fn will want to end the rows it is told of: they are read first. */
int
work_instance_leftovers(struct store *s, int64_t run,
    void (*fn)(void *arg, int64_t id, const char *wall, int64_t pid, int64_t pid_start), void *arg, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_INSTANCE_LEFTOVERS, e);
	struct leftover *list = NULL;
	size_t n = 0, i;
	int rc;

	if (q == NULL)
		return -1;
	bind_int(q, WORK_INSTANCE_LEFTOVERS_RUN, run);
	while ((rc = store_step(s, q, e)) == 1) {
		list = mem_grow(list, (n + 1) * sizeof *list);
		list[n++] = (struct leftover){ see_int(q, 0), see_int(q, 2), see_int(q, 3), take_text(q, 1) };
	}
	for (i = 0; i < n; i++) {
		if (rc == 0)
			fn(arg, list[i].id, list[i].wall, list[i].pid, list[i].pid_start);
		free(list[i].wall);
	}
	free(list);
	return rc;
}

int
work_runtimes_clear(struct store *s, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_RUNTIMES_CLEAR, e);

	return q == NULL || store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_runtime_put(struct store *s, const char *name, const char *mime_json, const char *version, const char *wall,
    const char *missing, int concurrency, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_RUNTIME_PUT, e);

	if (q == NULL)
		return -1;
	bind_text(q, WORK_RUNTIME_PUT_NAME, name);
	bind_text(q, WORK_RUNTIME_PUT_MIME_JSON, mime_json);
	bind_text(q, WORK_RUNTIME_PUT_VERSION, version);
	bind_text(q, WORK_RUNTIME_PUT_WALL, wall);
	bind_text(q, WORK_RUNTIME_PUT_MISSING, missing);
	bind_int(q, WORK_RUNTIME_PUT_CONCURRENCY, concurrency);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

/* --- orders --- */

struct order {
	int64_t id;
	char *verb, *args;
};

int
work_orders(struct store *s, void (*fn)(void *arg, int64_t id, const char *verb, const char *args_json), void *arg,
    struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_ORDERS, e);
	struct order *list = NULL;
	size_t n = 0, i;
	int rc;

	if (q == NULL)
		return -1;
	while ((rc = store_step(s, q, e)) == 1) {
		list = mem_grow(list, (n + 1) * sizeof *list);
		list[n++] = (struct order){ see_int(q, 0), take_text(q, 1), take_text(q, 2) };
	}
	for (i = 0; i < n; i++) {
		if (rc == 0)
			fn(arg, list[i].id, list[i].verb, list[i].args);
		free(list[i].verb);
		free(list[i].args);
	}
	free(list);
	return rc;
}

int
work_order_done(struct store *s, int64_t id, const char *note, int64_t now, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_ORDER_DONE, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_ORDER_DONE_NOW, now);
	bind_text(q, WORK_ORDER_DONE_NOTE, note);
	bind_int(q, WORK_ORDER_DONE_ID, id);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

/* --- housekeeping --- */

/* The one value of a statement's one row, 0 when it is NULL; -1 on failure. */
static int64_t
value_of(struct store *s, sqlite3_stmt *q, struct err *e)
{
	int64_t v;
	int rc = store_row(s, q, e);

	if (rc < 0)
		return -1;
	v = rc == 1 ? see_int(q, 0) : 0;
	if (rc == 1)
		store_done(q);
	return v;
}

/* Runs a DELETE bounded by two numbers (the second at parameter 0 when there is none) and adds what it dropped. */
static int
prune_by(struct store *s, enum sql which, int at1, int64_t v1, int at2, int64_t v2, int *dropped, struct err *e)
{
	sqlite3_stmt *q = store_use(s, which, e);
	int n;

	if (q == NULL)
		return -1;
	bind_int(q, at1, v1);
	if (at2 > 0)
		bind_int(q, at2, v2);
	if ((n = store_run(s, q, e)) < 0)
		return -1;
	*dropped += n;
	return 0;
}

static int
prune_bodies(struct store *s, int64_t before, int max, int *dropped, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_PRUNE_SYNC_TO, e);
	int64_t to, after = s->pruned;
	int chunks = 0;

	if (q == NULL)
		return -1;
	bind_int(q, WORK_PRUNE_SYNC_TO_AFTER, after);
	bind_int(q, WORK_PRUNE_SYNC_TO_MAX, max);
	bind_int(q, WORK_PRUNE_SYNC_TO_BEFORE, before);
	if ((to = value_of(s, q, e)) <= 0)
		return (int)to;
	if (prune_by(s, SQL_WORK_PRUNE_SYNC_REQUEST, WORK_PRUNE_SYNC_REQUEST_AFTER, after, WORK_PRUNE_SYNC_REQUEST_TO, to,
		dropped, e) != 0 ||
	    prune_by(s, SQL_WORK_PRUNE_SYNC_RESULT, WORK_PRUNE_SYNC_RESULT_AFTER, after, WORK_PRUNE_SYNC_RESULT_TO, to,
		dropped, e) != 0 ||
	    prune_by(s, SQL_WORK_PRUNE_SYNC_CHUNK, WORK_PRUNE_SYNC_CHUNK_AFTER, after, WORK_PRUNE_SYNC_CHUNK_TO, to, &chunks,
		e) != 0)
		return -1;
	if (chunks > 0) { /* there may be more of them */
		*dropped += chunks;
		return 0;
	}
	/* A stretch without bodies was work too: 0 means that nothing is left. */
	*dropped += *dropped == 0;
	s->pruned = to;
	return 0;
}

static int
prune_jobs(struct store *s, int64_t before, int max, int *dropped, struct err *e)
{
	static const struct {
		enum sql which;
		int to;
	} hanging[] = {
		{ SQL_WORK_PRUNE_REQUEST, WORK_PRUNE_REQUEST_TO },
		{ SQL_WORK_PRUNE_RECEIPT, WORK_PRUNE_RECEIPT_TO },
		{ SQL_WORK_PRUNE_CALLBACK, WORK_PRUNE_CALLBACK_TO },
		{ SQL_WORK_PRUNE_LOG_OF, WORK_PRUNE_LOG_OF_TO },
		{ SQL_WORK_PRUNE_ATTEMPT, WORK_PRUNE_ATTEMPT_TO },
		{ SQL_WORK_PRUNE_AFTER, WORK_PRUNE_AFTER_TO },
		{ SQL_WORK_PRUNE_RERUN, WORK_PRUNE_RERUN_TO },
		{ SQL_WORK_PRUNE_JOB, WORK_PRUNE_JOB_TO },
	};
	sqlite3_stmt *q = store_use(s, SQL_WORK_PRUNE_TO, e);
	int64_t to;
	int chunks = 0;
	size_t i;

	if (q == NULL)
		return -1;
	bind_int(q, WORK_PRUNE_TO_MAX, max);
	bind_int(q, WORK_PRUNE_TO_BEFORE, before);
	if ((to = value_of(s, q, e)) <= 0)
		return (int)to;
	/* Chunks first, some at a time and behind their results: half a stream is none. */
	if (prune_by(s, SQL_WORK_PRUNE_RESULT, WORK_PRUNE_RESULT_TO, to, 0, 0, dropped, e) != 0 ||
	    prune_by(s, SQL_WORK_PRUNE_CHUNK, WORK_PRUNE_CHUNK_TO, to, 0, 0, &chunks, e) != 0)
		return -1;
	*dropped += chunks;
	if (chunks > 0)
		return 0;
	for (i = 0; i < sizeof hanging / sizeof *hanging; i++)
		if (prune_by(s, hanging[i].which, hanging[i].to, to, 0, 0, dropped, e) != 0)
			return -1;
	return 0;
}

static int
prune_rest(struct store *s, int64_t before, int max, int *dropped, struct err *e)
{
	if (prune_by(s, SQL_WORK_PRUNE_LOG, WORK_PRUNE_LOG_MAX, max, WORK_PRUNE_LOG_BEFORE, before, dropped, e) != 0 ||
	    prune_by(s, SQL_WORK_PRUNE_INSTANCE, WORK_PRUNE_INSTANCE_MAX, max, WORK_PRUNE_INSTANCE_BEFORE, before, dropped,
		e) != 0 ||
	    prune_by(s, SQL_WORK_PRUNE_ORDERS, WORK_PRUNE_ORDERS_MAX, max, WORK_PRUNE_ORDERS_BEFORE, before, dropped, e) != 0 ||
	    prune_by(s, SQL_WORK_PRUNE_RUN, WORK_PRUNE_RUN_BEFORE, before, 0, 0, dropped, e) != 0)
		return -1;
	return 0;
}

static int
shrink(struct store *s, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_FREE_PAGES, e);
	int64_t n;

	if (q == NULL || (n = value_of(s, q, e)) < 0)
		return -1;
	if (n <= FREE_PAGES_MAX)
		return 0;
	q = store_use(s, SQL_WORK_SHRINK, e);
	return q == NULL || store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_prune(struct store *s, int64_t sync_before, int64_t job_before, int64_t size_max, int max, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_SIZE, e);
	int64_t was = s->pruned, size = q != NULL ? value_of(s, q, e) : -1;
	int dropped = 0, rc;
	bool mine;

	if (size < 0 || store_enter(s, &mine, e) != 0)
		return -1;
	rc = prune_jobs(s, size > size_max ? INT64_MAX : job_before, max, &dropped, e) == 0 &&
		prune_bodies(s, sync_before, max, &dropped, e) == 0 &&
		prune_rest(s, job_before, max, &dropped, e) == 0 && shrink(s, e) == 0
	    ? 0 : -1;
	if (store_leave(s, mine, rc, e) != 0) {
		s->pruned = was;
		return -1;
	}
	return dropped;
}

static int
checkpoint(struct store *s, int mode, struct err *e)
{
	int in_log = -1, moved = -1, rc;

	rc = sqlite3_wal_checkpoint_v2(s->db, "main", mode, &in_log, &moved);
	work_checkpoint_took(s, in_log, moved);
	if (rc == SQLITE_OK && mode == SQLITE_CHECKPOINT_TRUNCATE)
		s->wal_pages = s->wal_moved = 0;
	return rc == SQLITE_OK || (rc & 0xff) == SQLITE_BUSY ? 0 : store_fail(s, rc, "checkpoint", e);
}

/* A commit of our own, so that the rule holds even if a forced checkpoint has to do without the write lock. */
static int
mark(struct store *s, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_MARK, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_MARK_NOW, clock_wall_ms());
	return store_run(s, q, e) < 0 ? -1 : 0;
}

bool
work_checkpoint_due(const struct store *s, int pages)
{
	return s->wal && s->committed && s->wal_pages - s->wal_moved >= pages;
}

int
work_checkpoint_passive(struct store *helper, int *in_log, int *moved, struct err *e)
{
	int rc = sqlite3_wal_checkpoint_v2(helper->db, "main", SQLITE_CHECKPOINT_PASSIVE, in_log, moved);

	return rc == SQLITE_OK || (rc & 0xff) == SQLITE_BUSY ? 0 : store_fail(helper, rc, "checkpoint", e);
}

int
work_checkpoint_restart(struct store *helper, int *in_log, int *moved, struct err *e)
{
	int64_t patience = helper->patience_us;
	int rc;

	/* RESTART leaves it to the next writer to begin anew, who has one chance; while writers come without a gap it was seen to
	 * pass by for as long as they came.  TRUNCATE does so itself, under the write lock. */
	helper->patience_us = RESTART_PATIENCE_US;
	store_vfs_keep_log(true);
	rc = sqlite3_wal_checkpoint_v2(helper->db, "main", SQLITE_CHECKPOINT_TRUNCATE, in_log, moved);
	store_vfs_keep_log(false);
	helper->patience_us = patience;
	return rc == SQLITE_OK || (rc & 0xff) == SQLITE_BUSY ? 0 : store_fail(helper, rc, "checkpoint", e);
}

void
work_checkpoint_took(struct store *s, int in_log, int moved)
{
	if (moved == in_log)
		s->committed = false;
	if (moved > 0)
		s->wal_moved = moved;
}

int
work_checkpoint(struct store *s, int pages, bool force, struct err *e)
{
	if (!s->wal || !sqlite3_get_autocommit(s->db))
		return 0;
	if (force && !s->committed && mark(s, e) != 0)
		return -1;
	if (force)
		return checkpoint(s, SQLITE_CHECKPOINT_TRUNCATE, e);
	return work_checkpoint_due(s, pages) ? checkpoint(s, SQLITE_CHECKPOINT_PASSIVE, e) : 0;
}
