#include "lib/store_traffic.h"

#include <string.h>

#include "lib/store_internal.h"

const int64_t traffic_bound_ms[TRAFFIC_BOUNDS] = { 1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000 };

/* Columns stand in the order of the struct: one list for both ways. */
_Static_assert((int)WORK_TRAFFIC_ADD_CANCELLED - (int)WORK_TRAFFIC_ADD_OK == OUTCOME_CANCELLED - OUTCOME_OK, "outcomes");
_Static_assert((int)WORK_TRAFFIC_ADD_COLD - (int)WORK_TRAFFIC_ADD_UNSTARTED == START_COUNT - 1, "starts");
_Static_assert((int)WORK_TRAFFIC_ADD_MS_30000 - (int)WORK_TRAFFIC_ADD_MS_1 == TRAFFIC_BOUNDS - 1, "bounds");

static void
bind_all(sqlite3_stmt *q, int n, const int64_t *v, int count)
{
	int i;

	for (i = 0; i < count; i++)
		bind_int(q, n + i, v[i]);
}

int
work_traffic_add(struct store *s, const struct traffic *t, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_TRAFFIC_ADD, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_TRAFFIC_ADD_AT, t->at);
	bind_all(q, WORK_TRAFFIC_ADD_OK, t->outcome + OUTCOME_OK, OUTCOME_COUNT - OUTCOME_OK);
	bind_all(q, WORK_TRAFFIC_ADD_UNSTARTED, t->start, START_COUNT);
	bind_int(q, WORK_TRAFFIC_ADD_WAITED, t->waited);
	bind_int(q, WORK_TRAFFIC_ADD_SUM_MS, t->sum_ms);
	bind_all(q, WORK_TRAFFIC_ADD_MS_1, t->within, TRAFFIC_BOUNDS);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_traffic_author_add(struct store *s, int64_t day, const struct traffic_author *a, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_TRAFFIC_AUTHOR_ADD, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_TRAFFIC_AUTHOR_ADD_DAY, day);
	bind_text(q, WORK_TRAFFIC_AUTHOR_ADD_AUTHOR, a->author);
	bind_int(q, WORK_TRAFFIC_AUTHOR_ADD_CALLS, a->calls);
	bind_int(q, WORK_TRAFFIC_AUTHOR_ADD_FAILED, a->failed);
	bind_int(q, WORK_TRAFFIC_AUTHOR_ADD_RAN_MS, a->ran_ms);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_traffic_prune(struct store *s, int64_t before, int64_t day, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_PRUNE_TRAFFIC, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_PRUNE_TRAFFIC_BEFORE, before);
	if (store_run(s, q, e) < 0 || (q = store_use(s, SQL_WORK_PRUNE_TRAFFIC_AUTHOR, e)) == NULL)
		return -1;
	bind_int(q, WORK_PRUNE_TRAFFIC_AUTHOR_DAY, day);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

static void
see_all(sqlite3_stmt *q, int *col, int64_t *v, int count)
{
	int i;

	for (i = 0; i < count; i++)
		v[i] = see_int(q, (*col)++);
}

int
front_traffic(struct store *s, int64_t since, void (*fn)(void *arg, const struct traffic *t), void *arg, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_FRONT_TRAFFIC, e);
	struct traffic t;
	int rc, col;

	if (q == NULL)
		return -1;
	bind_int(q, FRONT_TRAFFIC_SINCE, since);
	while ((rc = store_step(s, q, e)) == 1) {
		memset(&t, 0, sizeof t);
		col = 0;
		see_all(q, &col, &t.at, 1);
		see_all(q, &col, t.outcome + OUTCOME_OK, OUTCOME_COUNT - OUTCOME_OK);
		see_all(q, &col, t.start, START_COUNT);
		see_all(q, &col, &t.waited, 1);
		see_all(q, &col, &t.sum_ms, 1);
		see_all(q, &col, t.within, TRAFFIC_BOUNDS);
		fn(arg, &t);
	}
	return rc;
}
