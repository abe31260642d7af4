/*
 * What people may do with the ledger, by the command line and by the operator's page: read the views, leave orders as rows.
 */
#ifndef LIB_STORE_DESK_H
#define LIB_STORE_DESK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct store;

/* A cell of a row: text is NULL for NULL; number says that JSON may print it bare. */
struct desk_cell {
	const char *name, *text;
	bool number;
};
typedef int desk_row_fn(void *arg, const struct desk_cell *cells, int n); /* non-zero stops */

/* Named parameters: {":id", "42"} pairs, NULL-terminated; a value that is a whole number is bound as one. */
struct desk_arg {
	const char *name, *value;
};

/* Runs the named statement of schema/statements.sql ("desk_jobs", ...) and tells fn of each row. */
int desk_query(struct store *s, const char *statement, const struct desk_arg *args, desk_row_fn *fn, void *arg,
    struct err *e);
/* Leaves an order; *id is its row.  Ring BELL_SCHEDULER afterwards. */
int desk_order(struct store *s, const char *verb, const char *args_json, int64_t *id, struct err *e);
/* Whether it is done, and the scheduler's note (allocated, may be NULL). */
int desk_order_look(struct store *s, int64_t id, bool *done, char **note, struct err *e);

#endif
