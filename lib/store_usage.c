#include "lib/store_usage.h"

#include "lib/store_internal.h"

int
work_usage_put(struct store *s, int64_t day, const char *kind, const char *name, int64_t cpu_ms, int64_t egress_bytes,
    struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_USAGE_PUT, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_USAGE_PUT_DAY, day);
	bind_text(q, WORK_USAGE_PUT_KIND, kind);
	bind_text(q, WORK_USAGE_PUT_NAME, name);
	bind_int(q, WORK_USAGE_PUT_CPU_MS, cpu_ms);
	bind_int(q, WORK_USAGE_PUT_EGRESS_BYTES, egress_bytes);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_usage_read(struct store *s, int64_t day, void (*fn)(void *arg, const char *kind, const char *name, int64_t cpu_ms,
    int64_t egress_bytes), void *arg, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_USAGE_READ, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_int(q, WORK_USAGE_READ_DAY, day);
	while ((rc = store_step(s, q, e)) == 1)
		fn(arg, see_text(q, 0), see_text(q, 1), see_int(q, 2), see_int(q, 3));
	return rc;
}

int
work_open_callers(struct store *s, void (*fn)(void *arg, const char *caller, const char *client), void *arg, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_OPEN_CALLERS, e);
	int rc;

	if (q == NULL)
		return -1;
	while ((rc = store_step(s, q, e)) == 1)
		fn(arg, see_text(q, 0), see_text(q, 1));
	return rc;
}

int
work_usage_prune(struct store *s, int64_t day, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_PRUNE_USAGE, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_PRUNE_USAGE_DAY, day);
	return store_run(s, q, e) < 0 ? -1 : 0;
}
