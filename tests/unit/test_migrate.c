/* From one version of the schema to the next.  The next one is made up: tests/migrate/. */
#include <fcntl.h>
#include <libgen.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/store.h"
#include "tests/t.h"

/* What open_next, which lies beside this program, says of a file; lives until the next call. */
static const char *
open_next(const char *path)
{
	static char said[1024];
	char self[4096] = "", *program;
	size_t n = 0;
	ssize_t got;
	int out[2];
	pid_t pid;

	CHECK(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
	program = mem_fmt("%s/open_next", dirname(self));
	CHECK(pipe2(out, O_CLOEXEC) == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		dup2(out[1], STDOUT_FILENO);
		execl(program, program, path, (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	while (n < sizeof said - 1 && (got = read(out[0], said + n, sizeof said - 1 - n)) > 0)
		n += (size_t)got;
	said[n] = '\0';
	said[strcspn(said, "\n")] = '\0';
	close(out[0]);
	CHECK(waitpid(pid, NULL, 0) == pid);
	free(program);
	return said;
}

/* All rows of a query, a line each; caller frees. */
static char *
ask(const char *path, const char *text)
{
	struct buf b = BUF_INIT;
	sqlite3 *db = NULL;
	sqlite3_stmt *q = NULL;
	int i;

	CHECK_INT(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	if (sqlite3_prepare_v2(db, text, -1, &q, NULL) != SQLITE_OK)
		buf_str(&b, sqlite3_errmsg(db));
	while (sqlite3_step(q) == SQLITE_ROW)
		for (i = 0; i < sqlite3_column_count(q); i++)
			buf_fmt(&b, "%s%s", sqlite3_column_text(q, i) != NULL ? (const char *)sqlite3_column_text(q, i) : "NULL",
			    i + 1 < sqlite3_column_count(q) ? "|" : "\n");
	sqlite3_finalize(q);
	sqlite3_close(db);
	return buf_take(&b);
}

static void
says(const char *path, const char *text, const char *want)
{
	char *got = ask(path, text);

	CHECK_STR(got, want);
	free(got);
}

/* The version of open_next. */
static int
next(void)
{
	return store_schema_version() + 1;
}

static void
says_version(const char *path, int version)
{
	char *want = mem_fmt("%d\n", version);

	says(path, "PRAGMA user_version", want);
	free(want);
}

static void
change(const char *path, const char *text)
{
	free(ask(path, text));
}

/* A ledger of today's version with an order in it, closed. */
static char *
todays(const char *dir, const char *name)
{
	char *path = mem_fmt("%s/%s", dir, name);
	struct err e = ERR_INIT;
	struct store *s = store_open(path, STORE_WORK, &e);

	CHECK(s != NULL);
	store_close(s);
	change(path, "INSERT INTO orders (verb, created_at) VALUES ('drain', 1)");
	return path;
}

/* Everything but the text, which remembers how a column came. */
static const char shape[] =
    "SELECT m.type, m.name, p.* FROM sqlite_schema m LEFT JOIN pragma_table_xinfo(m.name) p"
    " WHERE m.name NOT LIKE 'sqlite_%' ORDER BY m.type, m.name, p.cid";

TEST(a_migrated_ledger_is_like_a_fresh_one_and_keeps_its_rows)
{
	const char *dir = t_tmpdir();
	char *path = todays(dir, "old.db"), *fresh = mem_fmt("%s/fresh.db", dir), *copy = mem_fmt("%s.before-%d", path, next());
	char *want;

	CHECK_STR(open_next(path), "ok");
	CHECK_STR(open_next(path), "ok");
	CHECK_STR(open_next(fresh), "ok");
	want = ask(fresh, shape);
	CHECK(strstr(want, "colour") != NULL && strstr(want, "v_jobs") != NULL);
	says(path, shape, want);
	says_version(path, next());
	says(path, "SELECT verb, colour FROM orders", "drain|grey\n");
	says(path, "PRAGMA integrity_check", "ok\n");
	says_version(copy, store_schema_version());
	says(copy, "SELECT verb FROM orders", "drain\n");
	says(copy, "PRAGMA integrity_check", "ok\n");
	free(want);
	free(copy);
	free(fresh);
	free(path);
}

TEST(a_ledger_of_the_first_version_becomes_like_a_fresh_one)
{
	const char *dir = t_tmpdir();
	char *path = mem_fmt("%s/first.db", dir), *fresh = todays(dir, "fresh.db"), *want, *first;
	struct err e = ERR_INIT;
	struct store *s;
	sqlite3 *db = NULL;

	first = t_read_file("tests/migrate/001_first.sql", NULL);
	CHECK(first != NULL);
	CHECK_INT(sqlite3_open(path, &db), SQLITE_OK);
	CHECK_INT(sqlite3_exec(db, "PRAGMA auto_vacuum = INCREMENTAL", NULL, NULL, NULL), SQLITE_OK);
	CHECK_INT(sqlite3_exec(db, first, NULL, NULL, NULL), SQLITE_OK);
	CHECK_INT(sqlite3_exec(db, "PRAGMA user_version = 1", NULL, NULL, NULL), SQLITE_OK);
	CHECK_INT(sqlite3_exec(db, "INSERT INTO orders (verb, created_at) VALUES ('drain', 1)", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	s = store_open(path, STORE_WORK, &e);
	CHECK_STR(e.text, "");
	store_close(s);
	want = ask(fresh, shape);
	says(path, shape, want);
	says(path, "SELECT verb FROM orders", "drain\n");
	says(path, "PRAGMA integrity_check", "ok\n");
	free(want);
	free(first);
	free(fresh);
	free(path);
}

TEST(a_migration_that_fails_changes_nothing)
{
	char *path = todays(t_tmpdir(), "odd.db"), *was, *is;

	change(path, "CREATE TABLE shade (x)");
	was = ask(path, shape);
	CHECK(strstr(open_next(path), "nothing was changed") != NULL);
	is = ask(path, shape);
	CHECK_STR(is, was);
	says_version(path, store_schema_version());
	free(is);
	free(was);
	free(path);
}

TEST(a_newer_ledger_is_refused_by_today_s_programs)
{
	char *path = todays(t_tmpdir(), "new.db"), *version = mem_fmt("is of version %d", next());
	char *copy = mem_fmt(".before-%d", next());
	struct err e = ERR_INIT;

	CHECK_STR(open_next(path), "ok");
	CHECK(store_open(path, STORE_WORK, &e) == NULL);
	CHECK(strstr(e.text, version) != NULL && strstr(e.text, copy) != NULL);
	free(copy);
	free(version);
	free(path);
}

TEST(an_older_ledger_waits_for_the_scheduler)
{
	char *path = todays(t_tmpdir(), "old.db");
	struct err e = ERR_INIT;

	change(path, "PRAGMA user_version = 0");
	CHECK(store_open(path, STORE_FRONT, &e) == NULL);
	CHECK(strstr(e.text, "start at-rund-scheduler") != NULL);
	CHECK(store_open(path, STORE_WORK, &e) == NULL);
	CHECK(strstr(e.text, "no step leads from version 0") != NULL);
	free(path);
}
