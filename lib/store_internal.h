/*
 * What the faces of the store share among themselves: statements by name, values in and out, errors.  For lib/store*.c
 * only; sqlite3's types go no further.
 *
 *     sqlite3_stmt *q = store_use(s, SQL_WORK_AGAIN, e);
 *     if (q == NULL)
 *             return -1;
 *     bind_int(q, WORK_AGAIN_ROW, row);
 *     return store_run(s, q, e);
 *
 * Every parameter is bound before each use: a statement keeps pointers of its last use, which nobody may look at again.
 * A row of columns is read in order, cells of type text and blob are good until the statement is stepped or reset.
 */
#ifndef LIB_STORE_INTERNAL_H
#define LIB_STORE_INTERNAL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/mem.h"
#include "lib/store.h"
#include "schema.h"

struct err;

struct store {
	sqlite3 *db;
	char *path;
	enum store_face face;
	bool wal;               /* else TRUNCATE: a network file system */
	bool full;              /* synchronous is FULL at the moment, not NORMAL */
	int64_t busy_since_us;  /* when the wait for a lock began */
	int64_t patience_us;    /* how long to wait for it */
	int wal_pages;          /* in the log after our last commit */
	int wal_moved;          /* of these, already in the database */
	bool committed;         /* since our last complete checkpoint */
	int64_t spent_swept;    /* up to this row, on the walk of now */
	int64_t pruned;         /* sync jobs up to this row have lost their bodies */
	sqlite3_stmt *stmt[SQL_COUNT];
};

/* Makes the last failure of s->db an err; always -1.  what: what we were doing, a statement's name. */
int store_fail(struct store *s, int rc, const char *what, struct err *e);
/* The prepared statement, ready for its parameters; NULL when it cannot be prepared. */
sqlite3_stmt *store_use(struct store *s, enum sql which, struct err *e);
/* 1: a row is there to be read; 0: no more, the statement is reset; -1: failure, reset too. */
int store_step(struct store *s, sqlite3_stmt *q, struct err *e);
/* Steps to the end and resets.  Rows changed, or -1. */
int store_run(struct store *s, sqlite3_stmt *q, struct err *e);
/* Steps once.  1 when a row is there (read it, then store_done), 0 when none, -1. */
#define store_row store_step
/* Ends a read early. */
void store_done(sqlite3_stmt *q);
/* Begins a transaction unless inside one; *mine says whether store_leave has to end it. */
int store_enter(struct store *s, bool *mine, struct err *e);
/* Commits (rc 0) or rolls back what store_enter began; returns rc, or -1 when the commit failed. */
int store_leave(struct store *s, bool mine, int rc, struct err *e);

static inline void
bind_int(sqlite3_stmt *q, int n, int64_t v)
{
	sqlite3_bind_int64(q, n, v);
}

/* Borrowed until the statement is stepped; NULL binds NULL. */
static inline void
bind_text(sqlite3_stmt *q, int n, const char *s)
{
	sqlite3_bind_text(q, n, s, -1, SQLITE_STATIC);
}

static inline void
bind_blob(sqlite3_stmt *q, int n, const void *p, size_t bytes)
{
	if (p == NULL)
		sqlite3_bind_null(q, n);
	else
		sqlite3_bind_blob64(q, n, p, bytes, SQLITE_STATIC);
}

/* A copy, NULL for NULL. */
static inline char *
take_text(sqlite3_stmt *q, int col)
{
	const char *p = (const char *)sqlite3_column_text(q, col);

	return p == NULL ? NULL : mem_strn(p, (size_t)sqlite3_column_bytes(q, col));
}

static inline const char *
see_text(sqlite3_stmt *q, int col)
{
	return (const char *)sqlite3_column_text(q, col);
}

static inline int64_t
see_int(sqlite3_stmt *q, int col)
{
	return sqlite3_column_int64(q, col);
}

#endif
