#include "lib/store_hoard.h"

#include "lib/store_internal.h"
#include "lib/store_retry.h"

int
work_sizes(struct store *s, int64_t after, int max, void (*fn)(void *arg, const struct work_size *w), void *arg, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_SIZES, e);
	int n = 0, rc;

	if (q == NULL)
		return -1;
	bind_int(q, WORK_SIZES_AFTER, after);
	bind_int(q, WORK_SIZES_MAX, max);
	while ((rc = store_step(s, q, e)) == 1) {
		struct work_size w = { .row = see_int(q, 0), .author = see_text(q, 1), .done = see_int(q, 2) != 0,
			.bytes = see_int(q, 3) };

		fn(arg, &w);
		n++;
	}
	return rc < 0 ? -1 : n;
}

static int
shed(struct store *s, int64_t row, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_SHED_RESULT, e);
	int n;

	if (q == NULL)
		return -1;
	bind_int(q, WORK_SHED_RESULT_ROW, row);
	if (store_run(s, q, e) < 0 || (q = store_use(s, SQL_WORK_SHED_CHUNK, e)) == NULL)
		return -1;
	bind_int(q, WORK_SHED_CHUNK_ROW, row);
	if ((n = store_run(s, q, e)) != 0)
		return n < 0 ? -1 : 1;
	return work_forget(s, row, e);
}

int
work_shed(struct store *s, int64_t row, struct err *e)
{
	bool mine;
	int n;

	if (store_enter(s, &mine, e) != 0)
		return -1;
	n = shed(s, row, e);
	return store_leave(s, mine, n < 0 ? -1 : 0, e) != 0 ? -1 : n;
}

int
work_log_sizes(struct store *s, int64_t after, int max, int64_t *last, int64_t *bytes, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_LOG_SIZES, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_int(q, WORK_LOG_SIZES_AFTER, after);
	bind_int(q, WORK_LOG_SIZES_MAX, max);
	if ((rc = store_row(s, q, e)) != 1)
		return rc;
	*last = see_int(q, 0);
	*bytes = see_int(q, 1);
	store_done(q);
	return *last > 0;
}

int
work_log_drop(struct store *s, int64_t to, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_LOG_DROP, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_LOG_DROP_TO, to);
	return store_run(s, q, e) < 0 ? -1 : 0;
}
