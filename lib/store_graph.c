#include "lib/store_graph.h"

#include <string.h>

#include "lib/store_internal.h"

int
work_graph_open(struct store *s, const char *kind, const char *source, struct work_graph *out, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_GRAPH_NEW, e);

	memset(out, 0, sizeof *out);
	if (q == NULL)
		return -1;
	bind_text(q, WORK_GRAPH_NEW_KIND, kind);
	bind_text(q, WORK_GRAPH_NEW_SOURCE, source);
	if (store_run(s, q, e) < 0 || (q = store_use(s, SQL_WORK_GRAPH_GET, e)) == NULL)
		return -1;
	bind_text(q, WORK_GRAPH_GET_KIND, kind);
	bind_text(q, WORK_GRAPH_GET_SOURCE, source);
	if (store_row(s, q, e) != 1)
		return -1;
	out->id = see_int(q, 0);
	out->reading = see_int(q, 1);
	out->checked_at = see_int(q, 2);
	out->owner = take_text(q, 3);
	store_done(q);
	return 0;
}

static int
page(struct store *s, int64_t id, int64_t reading, const char *owner, char *const *dids, size_t n, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_GRAPH_READING, e);
	size_t i;

	if (q == NULL)
		return -1;
	bind_int(q, WORK_GRAPH_READING_ID, id);
	bind_int(q, WORK_GRAPH_READING_READING, reading);
	bind_text(q, WORK_GRAPH_READING_OWNER, owner);
	if (store_run(s, q, e) < 0)
		return -1;
	for (i = 0; i < n; i++) {
		if ((q = store_use(s, SQL_WORK_GRAPH_MEET, e)) == NULL)
			return -1;
		bind_int(q, WORK_GRAPH_MEET_GRAPH, id);
		bind_text(q, WORK_GRAPH_MEET_DID, dids[i]);
		bind_int(q, WORK_GRAPH_MEET_READING, reading);
		if (store_run(s, q, e) < 0)
			return -1;
	}
	return 0;
}

int
work_graph_page(struct store *s, int64_t id, int64_t reading, const char *owner, char *const *dids, size_t n, struct err *e)
{
	bool mine;

	if (store_enter(s, &mine, e) != 0)
		return -1;
	return store_leave(s, mine, page(s, id, reading, owner, dids, n, e), e);
}

static int
done(struct store *s, int64_t id, int64_t reading, const char *name, int64_t now, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_GRAPH_GONE, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_GRAPH_GONE_GRAPH, id);
	bind_int(q, WORK_GRAPH_GONE_READING, reading);
	if (store_run(s, q, e) < 0 || (q = store_use(s, SQL_WORK_GRAPH_DONE, e)) == NULL)
		return -1;
	bind_int(q, WORK_GRAPH_DONE_ID, id);
	bind_text(q, WORK_GRAPH_DONE_NAME, name);
	bind_int(q, WORK_GRAPH_DONE_NOW, now);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_graph_done(struct store *s, int64_t id, int64_t reading, const char *name, int64_t now, struct err *e)
{
	bool mine;

	if (store_enter(s, &mine, e) != 0)
		return -1;
	return store_leave(s, mine, done(s, id, reading, name, now, e), e);
}

int
work_graph_failed(struct store *s, int64_t id, const char *why, int64_t now, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_GRAPH_FAILED, e);

	if (q == NULL)
		return -1;
	bind_int(q, WORK_GRAPH_FAILED_ID, id);
	bind_text(q, WORK_GRAPH_FAILED_WHY, why);
	bind_int(q, WORK_GRAPH_FAILED_NOW, now);
	return store_run(s, q, e) < 0 ? -1 : 0;
}

int
work_graph_has(struct store *s, int64_t id, const char *did, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_GRAPH_HAS, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_int(q, WORK_GRAPH_HAS_GRAPH, id);
	bind_text(q, WORK_GRAPH_HAS_DID, did);
	if ((rc = store_row(s, q, e)) == 1)
		store_done(q);
	return rc;
}

int
work_follower_get(struct store *s, const char *did, const char *operator_did, bool *follows, int64_t *checked_at,
    struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_FOLLOWER_GET, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_text(q, WORK_FOLLOWER_GET_DID, did);
	bind_text(q, WORK_FOLLOWER_GET_OPERATOR, operator_did);
	if ((rc = store_row(s, q, e)) == 1) {
		*follows = see_int(q, 0) != 0;
		*checked_at = see_int(q, 1);
		store_done(q);
	}
	return rc;
}

int
work_follower_put(struct store *s, const char *did, const char *operator_did, bool follows, int64_t now, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_WORK_FOLLOWER_PUT, e);

	if (q == NULL)
		return -1;
	bind_text(q, WORK_FOLLOWER_PUT_DID, did);
	bind_text(q, WORK_FOLLOWER_PUT_OPERATOR, operator_did);
	bind_int(q, WORK_FOLLOWER_PUT_FOLLOWS, follows);
	bind_int(q, WORK_FOLLOWER_PUT_NOW, now);
	return store_run(s, q, e) < 0 ? -1 : 0;
}
