#include "lib/store_upload.h"

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/store_internal.h"

/* Runs a statement that knows a row alone.  Rows changed, -1. */
static int
run_row(struct store *s, enum sql which, int at, int64_t row, struct err *e)
{
	sqlite3_stmt *q = store_use(s, which, e);

	if (q == NULL)
		return -1;
	bind_int(q, at, row);
	return store_run(s, q, e);
}

/* --- the door --- */

int
front_upload_new(struct store *s, int64_t row, int64_t bytes, bool holds, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_UPLOAD_NEW, e);

	if (q == NULL)
		return -1;
	bind_int(q, FRONT_UPLOAD_NEW_JOB, row);
	bind_int(q, FRONT_UPLOAD_NEW_HOLDS, holds);
	if (bytes >= 0)
		bind_int(q, FRONT_UPLOAD_NEW_BYTES, bytes);
	else
		sqlite3_bind_null(q, FRONT_UPLOAD_NEW_BYTES);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
front_upload_look(struct store *s, int64_t row, int64_t *allowed, bool *whole, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_UPLOAD_LOOK, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_int(q, FRONT_UPLOAD_LOOK_JOB, row);
	if ((rc = store_row(s, q, e)) != 1)
		return rc;
	*allowed = see_int(q, 0);
	*whole = see_int(q, 1) != 0;
	store_done(q);
	return 1;
}

int
front_piece(struct store *s, int64_t row, int64_t seq, bool last, const void *p, size_t n, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_PIECE, e);

	if (q == NULL)
		return -1;
	bind_int(q, FRONT_PIECE_JOB, row);
	bind_int(q, FRONT_PIECE_SEQ, seq);
	bind_int(q, FRONT_PIECE_LAST, last);
	bind_blob(q, FRONT_PIECE_DATA, n > 0 ? p : "", n);
	return store_run(s, q, e);
}

static int
put_body(struct store *s, int64_t row, const void *p, size_t n, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_UPLOAD_BODY, e);
	int changed;

	if (q == NULL)
		return -1;
	bind_int(q, FRONT_UPLOAD_BODY_JOB, row);
	bind_blob(q, FRONT_UPLOAD_BODY_BODY, n > 0 ? p : NULL, n);
	if ((changed = store_run(s, q, e)) <= 0)
		return changed;
	return run_row(s, SQL_FRONT_UPLOAD_DROP, FRONT_UPLOAD_DROP_JOB, row, e);
}

int
front_upload_body(struct store *s, int64_t row, const void *p, size_t n, struct err *e)
{
	int changed;
	bool mine;

	if (store_enter(s, &mine, e) != 0)
		return -1;
	changed = put_body(s, row, p, n, e);
	return store_leave(s, mine, changed < 0 ? -1 : 0, e) != 0 ? -1 : changed;
}

int
front_upload_fault(struct store *s, int64_t row, const struct err *why, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_UPLOAD_FAULT, e);

	if (q == NULL)
		return -1;
	bind_int(q, FRONT_UPLOAD_FAULT_JOB, row);
	bind_text(q, FRONT_UPLOAD_FAULT_NAME, err_name(why));
	bind_text(q, FRONT_UPLOAD_FAULT_TEXT, why->text);
	return store_run(s, q, e);
}

int
front_upload_drop(struct store *s, int64_t row, struct err *e)
{
	bool mine;
	int rc;

	if (store_enter(s, &mine, e) != 0)
		return -1;
	rc = run_row(s, SQL_FRONT_UPLOAD_DROP, FRONT_UPLOAD_DROP_JOB, row, e) < 0 ||
		run_row(s, SQL_FRONT_PIECE_DROP, FRONT_PIECE_DROP_JOB, row, e) < 0 ? -1 : 0;
	return store_leave(s, mine, rc, e);
}

/* --- the workshop --- */

int
work_upload_allow(struct store *s, int64_t row, int64_t bytes, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_UPLOAD_ALLOW, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_UPLOAD_ALLOW_ROW, row);
	bind_int(q, WORK_UPLOAD_ALLOW_ALLOWED, bytes);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_upload_whole(struct store *s, int64_t row, struct err *e)
{
	return run_row(s, SQL_WORK_UPLOAD_WHOLE, WORK_UPLOAD_WHOLE_ROW, row, e) < 0 ? -1 : 0;
}

int
work_upload_fault(struct store *s, int64_t row, struct err *why, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_UPLOAD_FAULT, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_int(q, WORK_UPLOAD_FAULT_ROW, row);
	if ((rc = store_row(s, q, e)) != 1)
		return rc;
	err_named(why, ERR_INPUT, see_text(q, 0), "%s", see_text(q, 1));
	store_done(q);
	return 1;
}

static int
drop_pieces(struct store *s, int64_t row, int64_t before, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_PIECES_DROP, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_PIECES_DROP_ROW, row);
	bind_int(q, WORK_PIECES_DROP_SEQ, before);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_pieces(struct store *s, int64_t row, size_t max, int64_t *seq, struct buf *out, bool *last, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_PIECES, e);
	size_t was = out->len;
	int64_t next = *seq;
	int rc;

	if (q == NULL)
		return -1;
	bind_int(q, WORK_PIECES_ROW, row);
	bind_int(q, WORK_PIECES_SEQ, next);
	while ((rc = store_step(s, q, e)) == 1) {
		size_t n = (size_t)sqlite3_column_bytes(q, 2);

		if (see_int(q, 0) != next || out->len - was + n > max) {
			store_done(q);
			break;
		}
		buf_add(out, sqlite3_column_blob(q, 2), n);
		*last = see_int(q, 1) != 0;
		next++;
	}
	if (rc < 0)
		return -1;
	if (next == *seq)
		return 0;
	*seq = next;
	return drop_pieces(s, row, next, e) == 0 ? 1 : -1;
}

int
work_upload_drop(struct store *s, int64_t row, struct err *e)
{
	bool mine;
	int rc;

	if (store_enter(s, &mine, e) != 0)
		return -1;
	rc = run_row(s, SQL_WORK_UPLOAD_DROP, WORK_UPLOAD_DROP_ROW, row, e) < 0 || drop_pieces(s, row, INT64_MAX, e) != 0 ? -1 : 0;
	return store_leave(s, mine, rc, e);
}

int
work_upload_recover(struct store *s, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_RECOVER_PIECES, e);

	if (q == NULL || store_run(s, q, e) < 0)
		return -1;
	q = store_use(s, SQL_WORK_RECOVER_UPLOADS, e);
	return q == NULL || store_run(s, q, e) < 0 ? -1 : 0;
}
