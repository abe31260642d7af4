#include "lib/store_schedule.h"

#include "lib/clock.h"
#include "lib/err.h"
#include "lib/store_internal.h"

int
work_enrol(struct store *s, const char *did, const char *bundle, int64_t now, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_ENROL, e);

	if (q == NULL)
		return -1;
	bind_text(q, WORK_ENROL_DID, did);
	bind_text(q, WORK_ENROL_BUNDLE, bundle);
	bind_int(q, WORK_ENROL_NOW, now);
	return store_run(s, q, e);
}

int
work_unenrol(struct store *s, const char *did, const char *bundle, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_UNENROL, e);

	if (q == NULL)
		return -1;
	bind_text(q, WORK_UNENROL_DID, did);
	bind_text(q, WORK_UNENROL_BUNDLE, bundle);
	return store_run(s, q, e);
}

int
work_enrolments(struct store *s, void (*fn)(void *arg, const char *did, const char *bundle), void *arg, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_ENROLMENTS, e);
	int rc;

	if (q == NULL)
		return -1;
	while ((rc = store_step(s, q, e)) == 1)
		fn(arg, see_text(q, 0), see_text(q, 1));
	return rc;
}

/* --- schedules --- */

int
work_schedules(struct store *s, void (*fn)(void *arg, const struct work_schedule *w), void *arg, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_SCHEDULES, e);
	int rc;

	if (q == NULL)
		return -1;
	while ((rc = store_step(s, q, e)) == 1) {
		struct work_schedule w = { see_int(q, 0), see_text(q, 1), see_text(q, 2), see_text(q, 3), see_text(q, 4),
			see_text(q, 5), see_text(q, 6), see_text(q, 7), see_text(q, 8), see_int(q, 9) != 0, see_int(q, 10),
			see_int(q, 11), (int)see_int(q, 12) };

		fn(arg, &w);
	}
	return rc;
}

int
work_schedule_put(struct store *s, const struct work_schedule *w, int64_t now, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_SCHEDULE_PUT, e);

	if (q == NULL)
		return -1;
	bind_text(q, WORK_SCHEDULE_PUT_DID, w->did);
	bind_text(q, WORK_SCHEDULE_PUT_BUNDLE, w->bundle);
	bind_text(q, WORK_SCHEDULE_PUT_ENDPOINT, w->endpoint);
	bind_text(q, WORK_SCHEDULE_PUT_CRON, w->cron);
	bind_text(q, WORK_SCHEDULE_PUT_ZONE, w->zone);
	bind_text(q, WORK_SCHEDULE_PUT_OVERLAP, w->overlap);
	bind_text(q, WORK_SCHEDULE_PUT_MISSED, w->missed);
	bind_text(q, WORK_SCHEDULE_PUT_ERROR, w->error);
	bind_int(q, WORK_SCHEDULE_PUT_NEXT_AT, w->next_at);
	bind_int(q, WORK_SCHEDULE_PUT_NOW, now);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_schedule_drop(struct store *s, int64_t id, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_SCHEDULE_DROP, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_SCHEDULE_DROP_ID, id);
	return store_run(s, q, e);
}

int
work_schedule_pause(struct store *s, int64_t id, bool paused, int64_t next_at, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_SCHEDULE_PAUSE, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_SCHEDULE_PAUSE_ID, id);
	bind_int(q, WORK_SCHEDULE_PAUSE_PAUSED, paused);
	bind_int(q, WORK_SCHEDULE_PAUSE_NEXT_AT, next_at);
	return store_run(s, q, e);
}

int
work_schedule_set(struct store *s, int64_t id, int64_t next_at, int queued, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_SCHEDULE_SET, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_SCHEDULE_SET_ID, id);
	bind_int(q, WORK_SCHEDULE_SET_NEXT_AT, next_at);
	bind_int(q, WORK_SCHEDULE_SET_QUEUED, queued);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

/* --- firings --- */

int
work_firing(struct store *s, int64_t schedule, int64_t due_at, const char *what, int64_t now, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_FIRING, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_FIRING_SCHEDULE, schedule);
	bind_int(q, WORK_FIRING_DUE_AT, due_at);
	bind_text(q, WORK_FIRING_WHAT, what);
	bind_int(q, WORK_FIRING_NOW, now);
	return store_run(s, q, e);
}

int
work_firing_queued(struct store *s, int64_t schedule, int64_t *due_at, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_FIRING_QUEUED, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_int(q, WORK_FIRING_QUEUED_SCHEDULE, schedule);
	if ((rc = store_row(s, q, e)) < 0)
		return -1;
	if (rc == 0)
		return err_set(e, ERR_NOTFOUND, "none waits");
	*due_at = see_int(q, 0);
	store_done(q);
	return 0;
}

static int
put_job(struct store *s, const struct work_fire *f, int64_t now, struct job_id *made, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_FIRE_JOB, e);

	if (q == NULL)
		return -1;
	job_nonce(made->nonce);
	bind_text(q, WORK_FIRE_JOB_NONCE, made->nonce);
	bind_text(q, WORK_FIRE_JOB_DID, f->did);
	bind_text(q, WORK_FIRE_JOB_BUNDLE, f->bundle);
	bind_text(q, WORK_FIRE_JOB_ENDPOINT, f->endpoint);
	bind_int(q, WORK_FIRE_JOB_TIMEOUT_MS, f->timeout_ms);
	bind_int(q, WORK_FIRE_JOB_NOW, now);
	bind_int(q, WORK_FIRE_JOB_MONO, clock_mono_ms());
	if (store_run(s, q, e) < 0)
		return -1;
	made->row = sqlite3_last_insert_rowid(s->db);
	if ((q = store_use(s, SQL_WORK_FIRE_REQUEST, e)) == NULL)
		return -1;
	bind_int(q, WORK_FIRE_REQUEST_JOB, made->row);
	bind_text(q, WORK_FIRE_REQUEST_URL, f->url);
	bind_text(q, WORK_FIRE_REQUEST_HEADERS_JSON, f->headers_json);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

/* A time that waited is taken over; a new one must not be there yet. */
static int
claim(struct store *s, const struct work_fire *f, int64_t now, const struct job_id *made, struct err *e)
{
	sqlite3_stmt *q;
	int n = work_firing(s, f->schedule, f->due_at, f->what, now, e);

	if (n < 0 || (q = store_use(s, SQL_WORK_FIRING_JOB, e)) == NULL)
		return -1;
	bind_int(q, WORK_FIRING_JOB_SCHEDULE, f->schedule);
	bind_int(q, WORK_FIRING_JOB_DUE_AT, f->due_at);
	bind_text(q, WORK_FIRING_JOB_WHAT, f->what);
	bind_int(q, WORK_FIRING_JOB_JOB, made->row);
	return store_run(s, q, e);
}

static int
fire(struct store *s, const struct work_fire *f, int64_t now, struct job_id *made, struct err *e)
{
	sqlite3_stmt *q;
	int n;

	if (put_job(s, f, now, made, e) != 0 || (n = claim(s, f, now, made, e)) < 0)
		return -1;
	if (n == 0)
		return 0;
	if ((q = store_use(s, SQL_WORK_SCHEDULE_FIRED, e)) == NULL)
		return -1;
	bind_int(q, WORK_SCHEDULE_FIRED_ID, f->schedule);
	bind_int(q, WORK_SCHEDULE_FIRED_NEXT_AT, f->next_at);
	bind_int(q, WORK_SCHEDULE_FIRED_QUEUED, f->queued);
	bind_int(q, WORK_SCHEDULE_FIRED_JOB, made->row);
	bind_int(q, WORK_SCHEDULE_FIRED_NOW, now);
	return store_run(s, q, e) < 0 ? -1 : 1;
}

int
work_fire(struct store *s, const struct work_fire *f, int64_t now, struct job_id *made, struct err *e)
{
	int rc;

	if (store_begin(s, true, e) != 0)
		return -1;
	rc = fire(s, f, now, made, e);
	if (rc == 1 && store_commit(s, e) == 0)
		return 1;
	store_rollback(s);
	return rc == 0 ? 0 : -1;
}

static bool
one(struct store *s, enum sql which, int at, int64_t row)
{
	sqlite3_stmt *q = store_use(s, which, NULL);

	if (q == NULL)
		return false;
	bind_int(q, at, row);
	if (store_row(s, q, NULL) != 1)
		return false;
	store_done(q);
	return true;
}

bool
work_was_fired(struct store *s, int64_t row)
{
	return one(s, SQL_WORK_WAS_FIRED, WORK_WAS_FIRED_ROW, row);
}

bool
work_is_over(struct store *s, int64_t row)
{
	return row == 0 || !one(s, SQL_WORK_IS_OPEN, WORK_IS_OPEN_ROW, row);
}

int
work_firing_prune(struct store *s, int64_t before, int max, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_PRUNE_FIRINGS, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_PRUNE_FIRINGS_MAX, max);
	bind_int(q, WORK_PRUNE_FIRINGS_BEFORE, before);
	return store_run(s, q, e);
}
