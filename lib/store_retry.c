#include "lib/store_retry.h"

#include <stdlib.h>

#include "lib/clock.h"
#include "lib/err.h"
#include "lib/store_internal.h"

#define STRETCH 500 /* rows looked at in one go */

int
work_after_put(struct store *s, int64_t row, const struct work_after *a, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_AFTER_PUT, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_AFTER_PUT_ROW, row);
	bind_int(q, WORK_AFTER_PUT_WORKS, a->works);
	bind_int(q, WORK_AFTER_PUT_FAILED, a->failed);
	bind_int(q, WORK_AFTER_PUT_MS, a->ms);
	bind_text(q, WORK_AFTER_PUT_OUTCOME, job_outcome_name(a->outcome));
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_attempt_put(struct store *s, int64_t row, const struct work_attempt *a, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_ATTEMPT_PUT, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_ATTEMPT_PUT_ROW, row);
	bind_int(q, WORK_ATTEMPT_PUT_N, a->n);
	bind_int(q, WORK_ATTEMPT_PUT_RUN, a->run);
	bind_int(q, WORK_ATTEMPT_PUT_INSTANCE, a->instance);
	bind_int(q, WORK_ATTEMPT_PUT_STARTED_AT, a->started_at);
	bind_int(q, WORK_ATTEMPT_PUT_ENDED_AT, a->ended_at);
	bind_text(q, WORK_ATTEMPT_PUT_OUTCOME, job_outcome_name(a->outcome));
	bind_text(q, WORK_ATTEMPT_PUT_ERROR_NAME, a->error_name);
	bind_text(q, WORK_ATTEMPT_PUT_ERROR, a->error);
	if (a->again_at > 0)
		bind_int(q, WORK_ATTEMPT_PUT_AGAIN_AT, a->again_at);
	else
		sqlite3_bind_null(q, WORK_ATTEMPT_PUT_AGAIN_AT);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_attempts(struct store *s, int64_t row, int *kills, int64_t *again_at, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_ATTEMPTS, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_ATTEMPTS_ROW, row);
	if (store_row(s, q, e) < 0)
		return -1;
	*kills = (int)see_int(q, 0);
	*again_at = see_int(q, 1);
	store_done(q);
	return 0;
}

/* --- jobs made again --- */

static int
rerun(struct store *s, int64_t row, int64_t timeout_ms, int64_t now, struct job_id *made, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_RERUN_JOB, e);
	int n;

	if (q == NULL)
		return -1;
	job_nonce(made->nonce);
	bind_text(q, WORK_RERUN_JOB_NONCE, made->nonce);
	bind_int(q, WORK_RERUN_JOB_TIMEOUT_MS, timeout_ms);
	bind_int(q, WORK_RERUN_JOB_NOW, now);
	bind_int(q, WORK_RERUN_JOB_MONO, clock_mono_ms());
	bind_int(q, WORK_RERUN_JOB_ROW, row);
	if ((n = store_run(s, q, e)) < 0)
		return -1;
	if (n == 0)
		return err_named(e, ERR_INPUT, "JobNotDone", "job %lld is not done, or its request is no longer kept", (long long)row);
	made->row = sqlite3_last_insert_rowid(s->db);
	if ((q = store_use(s, SQL_WORK_RERUN_REQUEST, e)) == NULL)
		return -1;
	bind_int(q, WORK_RERUN_REQUEST_MADE, made->row);
	bind_int(q, WORK_RERUN_REQUEST_ROW, row);
	if (store_run(s, q, e) < 0 || (q = store_use(s, SQL_WORK_RERUN_CALLBACK, e)) == NULL)
		return -1;
	bind_int(q, WORK_RERUN_CALLBACK_MADE, made->row);
	bind_int(q, WORK_RERUN_CALLBACK_ROW, row);
	if (store_run(s, q, e) < 0 || (q = store_use(s, SQL_WORK_RERUN_LINK, e)) == NULL)
		return -1;
	bind_int(q, WORK_RERUN_LINK_MADE, made->row);
	bind_int(q, WORK_RERUN_LINK_ROW, row);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

/* In a transaction of our own, which survives a power cut. */
static int
finish(struct store *s, int rc, struct err *e)
{
	if (rc >= 0 && store_commit(s, e) != 0)
		rc = -1;
	if (rc < 0)
		store_rollback(s);
	return rc;
}

int
work_rerun(struct store *s, int64_t row, int64_t timeout_ms, int64_t now, struct job_id *made, struct err *e)
{
	if (store_begin(s, true, e) != 0)
		return -1;
	return finish(s, rerun(s, row, timeout_ms, now, made, e), e);
}

bool
work_is_rerun(struct store *s, int64_t row)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_IS_RERUN, NULL);
	bool yes = false;

	if (q == NULL)
		return false;
	bind_int(q, WORK_IS_RERUN_ROW, row);
	if (store_row(s, q, NULL) == 1) {
		yes = true;
		store_done(q);
	}
	return yes;
}

/* The ids of one stretch that the order speaks of; *after moves to its end, 0: that was the last. */
static int
stretch(struct store *s, const struct work_failed *f, bool fresh, int64_t *after, int64_t ids[STRETCH], struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_FAILED_TO, e);
	int64_t to;
	int n = 0, rc;

	if (q == NULL)
		return -1;
	bind_int(q, WORK_FAILED_TO_AFTER, *after);
	bind_int(q, WORK_FAILED_TO_MAX, STRETCH);
	if (store_row(s, q, e) < 0)
		return -1;
	to = see_int(q, 0);
	store_done(q);
	if (to > 0) {
		if ((q = store_use(s, SQL_WORK_FAILED, e)) == NULL)
			return -1;
		bind_int(q, WORK_FAILED_AFTER, *after);
		bind_int(q, WORK_FAILED_TO, to);
		bind_text(q, WORK_FAILED_AUTHOR, f->author);
		bind_text(q, WORK_FAILED_BUNDLE, f->bundle);
		bind_text(q, WORK_FAILED_OUTCOME, f->outcome);
		bind_int(q, WORK_FAILED_SINCE, f->since);
		bind_int(q, WORK_FAILED_BEFORE, f->before > 0 ? f->before : INT64_MAX);
		bind_int(q, WORK_FAILED_POISONED, f->poisoned);
		bind_int(q, WORK_FAILED_FRESH, fresh);
		while ((rc = store_step(s, q, e)) == 1)
			ids[n++] = see_int(q, 0);
		if (rc < 0)
			return -1;
	}
	*after = to;
	return n;
}

int
work_redrive(struct store *s, const struct work_failed *f, int64_t *after, int64_t timeout_ms, int64_t now, struct err *e)
{
	int64_t ids[STRETCH];
	int n = stretch(s, f, true, after, ids, e), i, done = 0;

	if (n <= 0 || store_begin(s, true, e) != 0)
		return n <= 0 ? n : -1;
	for (i = 0; i < n; i++) {
		struct job_id made;
		struct err why = ERR_INIT;

		/* Whose request is gone stays where it is. */
		if (rerun(s, ids[i], timeout_ms, now, &made, &why) == 0)
			done++;
		else if (why.kind != ERR_INPUT)
			return finish(s, err_wrap(&why, "redrive"), e);
	}
	return finish(s, done, e);
}

int
work_forget(struct store *s, int64_t row, struct err *e)
{
	static const enum sql which[] = { SQL_WORK_PURGE_REQUEST, SQL_WORK_PURGE_RESULT, SQL_WORK_PURGE_CHUNK, SQL_WORK_PURGE_RECEIPT,
		SQL_WORK_PURGE_CALLBACK, SQL_WORK_PURGE_LOG,
		SQL_WORK_PURGE_AFTER, SQL_WORK_PURGE_ATTEMPT, SQL_WORK_PURGE_RERUN, SQL_WORK_PURGE_JOB };
	size_t i;

	for (i = 0; i < sizeof which / sizeof *which; i++) {
		sqlite3_stmt *q = store_use(s, which[i], e);

		if (q == NULL)
			return -1;
		bind_int(q, 1, row); /* the only parameter of each */
		if (store_run(s, q, e) < 0)
			return -1;
	}
	return 0;
}

int
work_purge(struct store *s, const struct work_failed *f, int64_t *after, struct err *e)
{
	int64_t ids[STRETCH];
	int n = stretch(s, f, false, after, ids, e), i;

	if (n <= 0 || store_begin(s, false, e) != 0)
		return n <= 0 ? n : -1;
	for (i = 0; i < n; i++)
		if (work_forget(s, ids[i], e) != 0)
			return finish(s, -1, e);
	return finish(s, n, e);
}
