#include "lib/store_desk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/err.h"
#include "lib/store_internal.h"

#define CELLS_MAX 64

static int
find(const char *name)
{
	int i;

	for (i = 0; i < SQL_COUNT; i++)
		if (strcmp(sql_name[i], name) == 0)
			return i;
	return -1;
}

static bool
whole_number(const char *s, int64_t *n)
{
	char *end;

	if (*s != '-' && (*s < '0' || *s > '9'))
		return false;
	errno = 0;
	*n = strtoll(s, &end, 10);
	return errno == 0 && *end == '\0' && end > s;
}

/* A parameter that is not named stays NULL, which the statements read as "all". */
static int
bind_args(sqlite3_stmt *q, const char *statement, const struct desk_arg *args, struct err *e)
{
	int64_t n;
	int at;

	sqlite3_clear_bindings(q);
	for (; args != NULL && args->name != NULL; args++) {
		at = sqlite3_bind_parameter_index(q, args->name);
		if (at == 0)
			return err_set(e, ERR_INTERNAL, "%s has no parameter %s", statement, args->name);
		if (args->value != NULL && whole_number(args->value, &n))
			bind_int(q, at, n);
		else
			bind_text(q, at, args->value);
	}
	return 0;
}

static int
tell(sqlite3_stmt *q, desk_row_fn *fn, void *arg)
{
	struct desk_cell cells[CELLS_MAX];
	int n = sqlite3_column_count(q), i;

	if (n > CELLS_MAX)
		n = CELLS_MAX;
	for (i = 0; i < n; i++) {
		int type = sqlite3_column_type(q, i);

		cells[i].name = sqlite3_column_name(q, i);
		cells[i].number = type == SQLITE_INTEGER || type == SQLITE_FLOAT;
		cells[i].text = see_text(q, i);
	}
	return fn(arg, cells, n);
}

int
desk_query(struct store *s, const char *statement, const struct desk_arg *args, desk_row_fn *fn, void *arg, struct err *e)
{
	int which = find(statement), rc;
	sqlite3_stmt *q;

	if (which < 0)
		return err_set(e, ERR_INTERNAL, "no statement is called %s", statement);
	q = store_use(s, (enum sql)which, e);
	if (q == NULL || bind_args(q, statement, args, e) != 0)
		return -1;
	while ((rc = store_step(s, q, e)) == 1) {
		if (tell(q, fn, arg) != 0) {
			store_done(q);
			rc = 0;
			break;
		}
	}
	sqlite3_clear_bindings(q);
	return rc;
}

int
desk_order(struct store *s, const char *verb, const char *args_json, int64_t *id, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_DESK_ORDER, e);

	if (q == NULL)
		return -1;
	bind_text(q, DESK_ORDER_VERB, verb);
	bind_text(q, DESK_ORDER_ARGS_JSON, args_json);
	bind_int(q, DESK_ORDER_NOW, clock_wall_ms());
	if (store_run(s, q, e) < 0)
		return -1;
	*id = sqlite3_last_insert_rowid(s->db);
	return 0;
}

int
desk_order_look(struct store *s, int64_t id, bool *done, char **note, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_DESK_ORDER_LOOK, e);
	int rc;

	if (q == NULL)
		return -1;
	bind_int(q, DESK_ORDER_LOOK_ID, id);
	if ((rc = store_row(s, q, e)) < 0)
		return -1;
	if (rc == 0)
		return err_set(e, ERR_NOTFOUND, "no order %lld", (long long)id);
	*done = see_int(q, 0) != 0;
	*note = take_text(q, 1);
	store_done(q);
	return 0;
}
