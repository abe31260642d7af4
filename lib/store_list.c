#include "lib/store_list.h"

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/job.h"
#include "lib/store_internal.h"

#define STRETCH 20000 /* rows that one question looks at: some tens of milliseconds */

/* The rows of a statement as JSON objects, a key for each column: texts, and numbers where a key begins with '#'.  The first
 * column is the row and none of them.  *n counts, *last is the row of the last. */
static int
print_rows(struct store *s, sqlite3_stmt *q, const char *const *keys, int columns, struct buf *json, int *n, int64_t *last,
    struct err *e)
{
	int rc, i;

	while ((rc = store_step(s, q, e)) == 1) {
		const char *sep = "";

		*last = see_int(q, 0);
		buf_str(json, (*n)++ > 0 ? ",{" : "{");
		for (i = 1; i < columns; i++) {
			if (see_text(q, i) == NULL)
				continue;
			if (keys[i][0] == '#') {
				buf_fmt(json, "%s\"%s\":%lld", sep, keys[i] + 1, (long long)see_int(q, i));
			} else {
				buf_fmt(json, "%s\"%s\":", sep, keys[i]);
				buf_json_str(json, see_text(q, i));
			}
			sep = ",";
		}
		buf_char(json, '}');
	}
	return rc;
}

/* Where the list begins: below the cursor, or above the newest row. */
static int
newest(struct store *s, enum sql which, int64_t before, int64_t *top, struct err *e)
{
	sqlite3_stmt *q = store_use(s, which, e);

	if (q == NULL || store_row(s, q, e) < 0)
		return -1;
	*top = see_int(q, 0) + 1;
	store_done(q);
	if (before > 0 && before < *top)
		*top = before;
	return 0;
}

int
front_jobs_of(struct store *s, const struct front_list *l, struct buf *json, int64_t *cursor, struct err *e)
{
	static const char *const keys[] = { "", "id", "mode", "state", "outcome", "start", "author", "bundle", "version",
		"endpoint", "caller", "createdAt", "startedAt", "doneAt", "error", "message" };
	int64_t top, floor, last = 0;
	sqlite3_stmt *q;
	int n = 0;

	if (newest(s, SQL_FRONT_NEWEST_JOB, l->before, &top, e) != 0 || (q = store_use(s, SQL_FRONT_JOBS, e)) == NULL)
		return -1;
	floor = top > STRETCH ? top - STRETCH : 1;
	bind_int(q, FRONT_JOBS_BEFORE, top);
	bind_int(q, FRONT_JOBS_FLOOR, floor);
	bind_text(q, FRONT_JOBS_WHO, l->who);
	bind_text(q, FRONT_JOBS_BUNDLE, l->bundle);
	bind_int(q, FRONT_JOBS_LIMIT, l->limit);
	buf_char(json, '[');
	if (print_rows(s, q, keys, (int)(sizeof keys / sizeof *keys), json, &n, &last, e) != 0)
		return -1;
	buf_char(json, ']');
	*cursor = n == l->limit ? last : floor > 1 ? floor : 0;
	return 0;
}

static const char *const line_keys[] = { "", "#line", "at", "level", "source", "job", "bundle", "version", "endpoint",
	"#instance", "text" };
#define LINE_COLUMNS ((int)(sizeof line_keys / sizeof *line_keys))

static int
logs_of_job(struct store *s, const struct front_list *l, struct buf *json, int *n, int64_t *last, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_LOGS_OF_JOB, e);

	if (q == NULL)
		return -1;
	bind_int(q, FRONT_LOGS_OF_JOB_ROW, l->job->row);
	bind_text(q, FRONT_LOGS_OF_JOB_NONCE, l->job->nonce);
	bind_int(q, FRONT_LOGS_OF_JOB_BEFORE, l->before > 0 ? l->before : INT64_MAX);
	bind_text(q, FRONT_LOGS_OF_JOB_WHO, l->who);
	bind_text(q, FRONT_LOGS_OF_JOB_BUNDLE, l->bundle);
	bind_text(q, FRONT_LOGS_OF_JOB_LEVEL, l->level);
	bind_int(q, FRONT_LOGS_OF_JOB_SINCE, l->since);
	bind_int(q, FRONT_LOGS_OF_JOB_LIMIT, l->limit);
	return print_rows(s, q, line_keys, LINE_COLUMNS, json, n, last, e);
}

static int
logs_of_all(struct store *s, const struct front_list *l, int64_t top, int64_t floor, struct buf *json, int *n, int64_t *last,
    struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_LOGS, e);

	if (q == NULL)
		return -1;
	bind_int(q, FRONT_LOGS_BEFORE, top);
	bind_int(q, FRONT_LOGS_FLOOR, floor);
	bind_text(q, FRONT_LOGS_WHO, l->who);
	bind_text(q, FRONT_LOGS_BUNDLE, l->bundle);
	bind_text(q, FRONT_LOGS_LEVEL, l->level);
	bind_int(q, FRONT_LOGS_SINCE, l->since);
	bind_int(q, FRONT_LOGS_LIMIT, l->limit);
	return print_rows(s, q, line_keys, LINE_COLUMNS, json, n, last, e);
}

/* When the oldest line of a stretch was written: what is older needs no look. */
static int64_t
time_of(struct store *s, int64_t floor)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_LOG_AT, NULL);
	int64_t at = 0;

	if (q == NULL)
		return 0;
	bind_int(q, FRONT_LOG_AT_FLOOR, floor);
	if (store_row(s, q, NULL) == 1)
		at = see_int(q, 0);
	store_done(q);
	return at;
}

int
front_logs(struct store *s, const struct front_list *l, struct buf *json, int64_t *cursor, struct err *e)
{
	int64_t top, floor = 1, last = 0;
	int n = 0;

	if (newest(s, SQL_FRONT_NEWEST_LINE, l->before, &top, e) != 0)
		return -1;
	if (l->job == NULL && top > STRETCH)
		floor = top - STRETCH;
	buf_char(json, '[');
	if ((l->job != NULL ? logs_of_job(s, l, json, &n, &last, e) : logs_of_all(s, l, top, floor, json, &n, &last, e)) != 0)
		return -1;
	buf_char(json, ']');
	*cursor = n == l->limit ? last : floor > 1 && time_of(s, floor) >= l->since ? floor : 0;
	return 0;
}
