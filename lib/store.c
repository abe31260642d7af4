/*
 * One SQLite file, several processes.  Who waits for whom:
 *
 * Writers are few (a thread in each FastCGI process, the scheduler, now and then a person), every transaction begins
 * with BEGIN IMMEDIATE and is short.  Readers in WAL mode wait for nobody.  The waiting that is left is for the
 * write lock, and SQLite's own back-off is too coarse for it (a claim's p99 was 105 ms): ours yields a few times and then
 * sleeps for tenths of milliseconds.
 *
 * The file itself is never opened here but through SQLite: closing any descriptor of it would drop the locks that other
 * connections of this process hold.  stat() is harmless, and so is creating a file that is not there.
 */
#include "lib/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/err.h"
#include "lib/store_internal.h"
#include "lib/store_vfs.h"

#define PATIENCE_US   5000000
#define SPINS         16       /* a commit without fsync takes about as long */
#define NAP_NS        100000L
#define NAP_LONG_NS   500000L
#define NAPS_SHORT    200      /* 20 ms, then it is no short transaction any more */
#define ROOM_BYTES    65536    /* of a small transaction in the log, twice */

/* --- errors --- */

static bool
disk_is_full(struct store *s, int rc)
{
	int sys = s->db != NULL ? sqlite3_system_errno(s->db) : 0;

	return (rc & 0xff) == SQLITE_FULL || ((rc & 0xff) == SQLITE_IOERR && (sys == ENOSPC || sys == EDQUOT));
}

int
store_fail(struct store *s, int rc, const char *what, struct err *e)
{
	const char *why = s->db != NULL ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc);

	if (disk_is_full(s, rc))
		return err_named(e, ERR_BUSY, ERR_DISK_FULL, "%s: the disk that holds the database is full", what);
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return err_set(e, ERR_BUSY, "%s: %s stayed locked for %lld ms", what, s->path,
		    (long long)(s->patience_us / 1000));
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return err_named(e, ERR_INTERNAL, STORE_UNUSABLE,
		    "%s is damaged or no database (%s, at %s); stop the runner, keep the file, and put a backup in its "
		    "place, or what `sqlite3 FILE .recover | sqlite3 NEW` saves of it", s->path, why, what);
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_CANTOPEN:
		return err_named(e, ERR_INTERNAL, STORE_UNUSABLE,
		    "%s: %s: %s; user %ld must be able to write the file, its -wal and -shm and their directory", what,
		    s->path, why, (long)geteuid());
	case SQLITE_TOOBIG:
		return err_set(e, ERR_INPUT, "%s: a value is too big for the database", what);
	default:
		return err_set(e, ERR_INTERNAL, "%s: %s: %s (%d)", what, s->path, why, rc);
	}
}

/* --- waiting --- */

static int
on_busy(void *arg, int count)
{
	struct store *s = arg;
	struct timespec nap = { 0, count < SPINS + NAPS_SHORT ? NAP_NS : NAP_LONG_NS };

	if (count == 0)
		s->busy_since_us = clock_mono_us();
	if (s->patience_us == 0 || (count > 0 && clock_mono_us() - s->busy_since_us >= s->patience_us))
		return 0;
	if (count < SPINS)
		sched_yield();
	else
		nanosleep(&nap, NULL);
	return 1;
}

static int
on_commit(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct store *s = arg;

	(void)db;
	(void)name;
	if (pages < s->wal_pages)
		s->wal_moved = 0; /* the log was begun anew */
	s->wal_pages = pages;
	s->committed = true;
	return SQLITE_OK;
}

/* --- statements --- */

sqlite3_stmt *
store_use(struct store *s, enum sql which, struct err *e)
{
	int rc;

	if (s->stmt[which] != NULL)
		return s->stmt[which];
	rc = sqlite3_prepare_v3(s->db, sql_text[which], -1, SQLITE_PREPARE_PERSISTENT, &s->stmt[which], NULL);
	if (rc == SQLITE_OK)
		return s->stmt[which];
	store_fail(s, rc, sql_name[which], e);
	return NULL;
}

static const char *
name_of(const struct store *s, const sqlite3_stmt *q)
{
	size_t i;

	for (i = 0; i < SQL_COUNT; i++)
		if (s->stmt[i] == q)
			return sql_name[i];
	return "statement";
}

int
store_step(struct store *s, sqlite3_stmt *q, struct err *e)
{
	int rc = sqlite3_step(q);

	if (rc == SQLITE_ROW)
		return 1;
	if (rc == SQLITE_DONE) {
		sqlite3_reset(q);
		return 0;
	}
	store_fail(s, rc, name_of(s, q), e);
	sqlite3_reset(q);
	return -1;
}

int
store_run(struct store *s, sqlite3_stmt *q, struct err *e)
{
	int rc;

	while ((rc = store_step(s, q, e)) == 1)
		;
	return rc < 0 ? -1 : sqlite3_changes(s->db);
}

void
store_done(sqlite3_stmt *q)
{
	sqlite3_reset(q);
}

/* A block of several statements, or a pragma, which acts when it is prepared and so cannot be kept. */
static int
run_text(struct store *s, enum sql which, struct err *e)
{
	int rc = sqlite3_exec(s->db, sql_text[which], NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : store_fail(s, rc, sql_name[which], e);
}

static int
run_schema(struct store *s, const char *text, const char *what, struct err *e)
{
	int rc = sqlite3_exec(s->db, text, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : store_fail(s, rc, what, e);
}

/* --- transactions --- */

static int
run_once(struct store *s, enum sql which, struct err *e)
{
	sqlite3_stmt *q = store_use(s, which, e);

	return q == NULL || store_run(s, q, e) < 0 ? -1 : 0;
}

int
store_begin(struct store *s, bool durable, struct err *e)
{
	if (durable != s->full) {
		if (run_text(s, durable ? SQL_SYNC_FULL : SQL_SYNC_NORMAL, e) != 0)
			return -1;
		s->full = durable;
	}
	return run_once(s, SQL_BEGIN, e);
}

int
store_commit(struct store *s, struct err *e)
{
	return run_once(s, SQL_COMMIT, e);
}

void
store_warm(struct store *s)
{
	sqlite3_stmt *q = store_use(s, s->face == STORE_FRONT ? SQL_FRONT_WARM : SQL_WORK_WARM, NULL);

	/* When it cannot be read, the next transaction says so. */
	if (q != NULL)
		store_run(s, q, NULL);
}

bool
store_has_log(const struct store *s)
{
	return s->wal;
}

/* By a descriptor of our own: nobody has locks on the log.  Without a log each commit waits for the disk itself. */
int
store_sync(struct store *s, struct err *e)
{
	char *log = mem_fmt("%s-wal", s->path);
	int fd, rc = 0;

	if (s->wal) {
		fd = open(log, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || fdatasync(fd) != 0)
			rc = err_errno(e, "sync %s", log);
		if (fd >= 0)
			close(fd);
	}
	free(log);
	return rc;
}

void
store_rollback(struct store *s)
{
	/* A full disk or an I/O error may have rolled back already. */
	if (!sqlite3_get_autocommit(s->db))
		run_once(s, SQL_ROLLBACK, NULL);
}

bool
store_has_room(const struct store *s)
{
	const char *slash = strrchr(s->path, '/');
	char *dir = slash == NULL ? mem_str(".") : mem_fmt("%.*s", slash == s->path ? 1 : (int)(slash - s->path), s->path);
	int fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600), rc = 0;

	if (fd < 0) {
		rc = errno;
	} else {
		rc = posix_fallocate(fd, 0, ROOM_BYTES);
		close(fd);
	}
	free(dir);
	return rc != ENOSPC && rc != EDQUOT;
}

int
store_enter(struct store *s, bool *mine, struct err *e)
{
	*mine = sqlite3_get_autocommit(s->db) != 0;
	return *mine ? store_begin(s, s->full, e) : 0;
}

int
store_leave(struct store *s, bool mine, int rc, struct err *e)
{
	if (!mine)
		return rc;
	if (rc == 0 && store_commit(s, e) == 0)
		return 0;
	store_rollback(s);
	return -1;
}

/* --- opening --- */

static void
configure_library(void)
{
	/* Each connection belongs to one thread at a time, and nobody reads SQLite's memory statistics, whose counters
	 * are one lock for all threads. */
	sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	/* Pages of a cache one by one, not twenty at once: the door has a connection for each thread. */
	sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
	store_vfs_register(); /* when it fails, so does the first open */
}

/* Shared memory, which the log needs, does not work on these. */
static bool
on_network(const char *path)
{
	static const uint32_t kinds[] = {
		0x6969,     /* NFS */
		0x517b,     /* SMB */
		0xff534d42, /* CIFS */
		0xfe534d42, /* SMB2 */
		0x65735546, /* FUSE: sshfs and the like */
		0x01021997, /* 9P */
		0x00c36400, /* Ceph */
		0x5346414f, /* AFS */
		0x73757245, /* Coda */
		0x0bd00bd0, /* Lustre */
		0x47504653, /* GPFS */
		0x19830326, /* BeeGFS */
		0x7461636f, /* OCFS2 */
		0x01161970, /* GFS2 */
	};
	struct statfs fs;
	size_t i;

	if (statfs(path, &fs) != 0)
		return false;
	for (i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if ((uint32_t)fs.f_type == kinds[i])
			return true;
	return false;
}

/* Only the workshop creates; the mode is what -wal and -shm get, too. */
static int
ensure_file(struct store *s, struct err *e)
{
	struct stat st;
	int fd;

	if (stat(s->path, &st) == 0) {
		if (!S_ISREG(st.st_mode))
			return err_named(e, ERR_INTERNAL, STORE_UNUSABLE, "%s is no file", s->path);
		return 0;
	}
	if (errno != ENOENT)
		return err_errno(e, "%s", s->path);
	if (s->face != STORE_WORK)
		return err_set(e, ERR_NOTFOUND, "%s is not there; at-rund-scheduler makes it when it starts", s->path);
	fd = open(s->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0660);
	if (fd < 0)
		return err_errno(e, "create %s", s->path);
	if (fchmod(fd, 0660) != 0) {
		err_errno(e, "create %s", s->path);
		close(fd);
		return -1;
	}
	close(fd);
	return 0;
}

static int
connect_file(struct store *s, struct err *e)
{
	/* TRUSTED_SCHEMA stays on: SQLite 3.40 does not count json_valid() of our CHECKs as innocuous. */
	static const int off[] = { SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, SQLITE_DBCONFIG_ENABLE_FKEY };
	static const int on[] = { SQLITE_DBCONFIG_DEFENSIVE, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE };
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
	size_t i;
	int rc;

	flags |= s->face == STORE_READER ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
	rc = sqlite3_open_v2(s->path, &s->db, flags, STORE_VFS);
	if (rc != SQLITE_OK)
		return store_fail(s, rc, "open", e);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_LOOKASIDE, NULL, 1200, s->face == STORE_WORK ? 100 : 16);
	for (i = 0; i < sizeof off / sizeof *off; i++)
		sqlite3_db_config(s->db, off[i], 0, NULL);
	for (i = 0; i < sizeof on / sizeof *on; i++)
		sqlite3_db_config(s->db, on[i], 1, NULL);
	sqlite3_busy_handler(s->db, on_busy, s);
	if (run_text(s, SQL_OPEN_CONNECTION, e) != 0 ||
	    run_text(s, s->face == STORE_WORK ? SQL_OPEN_CACHE_WORK : SQL_OPEN_CACHE_SMALL, e) != 0)
		return -1;
	/* After the pragma wal_autocheckpoint, which takes the hook for itself. */
	sqlite3_wal_hook(s->db, on_commit, s);
	return 0;
}

struct identity {
	int64_t application, version, objects;
};

static int
read_identity(struct store *s, struct identity *id, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_OPEN_IDENTITY, e);

	if (q == NULL || store_row(s, q, e) < 0)
		return -1;
	id->application = see_int(q, 0);
	id->version = see_int(q, 1);
	id->objects = see_int(q, 2);
	store_done(q);
	return 0;
}

static bool
is_empty(const struct identity *id)
{
	return id->application == 0 && id->version == 0 && id->objects == 0;
}

static int
check_identity(struct store *s, const struct identity *id, struct err *e)
{
	if (is_empty(id)) {
		if (s->face == STORE_WORK)
			return 0;
		return err_set(e, ERR_NOTFOUND, "%s is empty; at-rund-scheduler fills it when it starts", s->path);
	}
	if (id->application != STORE_APPLICATION_ID)
		return err_named(e, ERR_INTERNAL, STORE_UNUSABLE,
		    "%s belongs to another program (application id %lld); move it away or name another home", s->path,
		    (long long)id->application);
	if (id->version > schema_version)
		return err_named(e, ERR_INTERNAL, STORE_UNUSABLE,
		    "%s is of version %lld, this program knows %d; install the newer at-rund again, or put back the copy "
		    "%s.before-%lld", s->path, (long long)id->version, schema_version, s->path, (long long)id->version);
	if (id->version < schema_version && s->face != STORE_WORK)
		return err_set(e, ERR_INTERNAL, "%s is of version %lld, this program wants %d; start at-rund-scheduler, "
		    "which brings it up to date", s->path, (long long)id->version, schema_version);
	return 0;
}

static int
create(struct store *s, struct err *e)
{
	struct identity id = { 0 };
	bool mine;

	if (run_text(s, SQL_OPEN_CREATE, e) != 0 || store_enter(s, &mine, e) != 0)
		return -1;
	/* Somebody may have been faster. */
	if (read_identity(s, &id, e) != 0)
		return store_leave(s, mine, -1, e);
	if (!is_empty(&id))
		return store_leave(s, mine, 0, e);
	if (run_schema(s, schema_text, "schema.sql", e) != 0 || run_schema(s, schema_views, "views.sql", e) != 0)
		return store_leave(s, mine, -1, e);
	return store_leave(s, mine, 0, e);
}

/* A copy under a passing name first: a half-written one must not look like a backup. */
int
store_copy(struct store *s, const char *to, struct err *e)
{
	char *part = mem_fmt("%s.part", to);
	sqlite3_stmt *q;
	int fd = -1, rc = -1;

	if (unlink(part) != 0 && errno != ENOENT) {
		err_errno(e, "%s", part);
		goto out;
	}
	if ((q = store_use(s, SQL_OPEN_COPY, e)) == NULL)
		goto out;
	bind_text(q, OPEN_COPY_PATH, part);
	if (store_run(s, q, e) < 0)
		goto out;
	fd = open(part, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fchmod(fd, 0660) != 0 || fsync(fd) != 0 || rename(part, to) != 0) {
		err_errno(e, "copy to %s", to);
		goto out;
	}
	rc = 0;
out:
	if (fd >= 0)
		close(fd);
	free(part);
	return rc;
}

static int
copy_before(struct store *s, int version, struct err *e)
{
	char *to = mem_fmt("%s.before-%d", s->path, version);
	int rc = store_copy(s, to, e);

	free(to);
	return rc;
}

static int
drop_views(struct store *s, struct err *e)
{
	sqlite3_stmt *q = store_use(s, SQL_OPEN_VIEWS, e);
	char *drops[64];
	size_t n = 0, i;
	int rc;

	if (q == NULL)
		return -1;
	while ((rc = store_step(s, q, e)) == 1)
		if (n < sizeof drops / sizeof *drops)
			drops[n++] = take_text(q, 0);
	for (i = 0; i < n; i++) {
		if (rc == 0)
			rc = run_schema(s, drops[i], "drop views", e);
		free(drops[i]);
	}
	return rc;
}

static int
run_steps(struct store *s, int64_t version, struct err *e)
{
	const struct schema_step *m;
	struct identity id = { 0 };
	int64_t at = version;

	/* One after the other, none left out. */
	for (m = schema_migration; m->text != NULL; m++) {
		if (m->version != at + 1)
			continue;
		if (run_schema(s, m->text, m->name, e) != 0)
			return -1;
		at = m->version;
	}
	if (run_schema(s, schema_views, "views.sql", e) != 0 || read_identity(s, &id, e) != 0)
		return -1;
	if (id.version != schema_version)
		return err_set(e, ERR_INTERNAL, "no step leads from version %lld of %s to %d", (long long)version, s->path,
		    schema_version);
	return 0;
}

/* All steps in one transaction: it is of the new version or as it was. */
static int
migrate(struct store *s, struct err *e)
{
	struct identity id = { 0 };
	bool mine;
	int rc = -1;

	if (read_identity(s, &id, e) != 0 || copy_before(s, schema_version, e) != 0)
		return err_wrap(e, "before bringing %s to version %d", s->path, schema_version);
	if (store_begin(s, true, e) != 0)
		return -1;
	mine = true;
	if (read_identity(s, &id, e) == 0 && id.version < schema_version && drop_views(s, e) == 0)
		rc = run_steps(s, id.version, e);
	if (store_leave(s, mine, rc, e) != 0)
		return err_wrap(e, "bringing %s to version %d (nothing was changed)", s->path, schema_version);
	return 0;
}

static int
choose_journal(struct store *s, struct err *e)
{
	sqlite3_stmt *q;
	int rc;

	if (s->face == STORE_WORK && run_text(s, on_network(s->path) ? SQL_OPEN_NETWORK : SQL_OPEN_WAL, e) != 0)
		return -1;
	q = store_use(s, SQL_OPEN_JOURNAL, e);
	if (q == NULL || (rc = store_row(s, q, e)) < 0)
		return -1;
	s->wal = rc == 1 && strcmp(see_text(q, 0), "wal") == 0;
	store_done(q);
	return 0;
}

static int
open_all(struct store *s, struct err *e)
{
	struct identity id = { 0 };
	sqlite3_stmt *q;

	if (ensure_file(s, e) != 0 || connect_file(s, e) != 0)
		return -1;
	if (read_identity(s, &id, e) != 0 || check_identity(s, &id, e) != 0)
		return -1;
	if (is_empty(&id) && create(s, e) != 0)
		return -1;
	if (choose_journal(s, e) != 0)
		return -1;
	if (!is_empty(&id) && id.version < schema_version && migrate(s, e) != 0)
		return -1;
	if ((q = store_use(s, SQL_OPEN_SANE, e)) == NULL || store_row(s, q, e) < 0)
		return -1;
	/* Needed once: what it takes is given back. */
	sqlite3_finalize(q);
	s->stmt[SQL_OPEN_SANE] = NULL;
	sqlite3_db_release_memory(s->db);
	return 0;
}

struct store *
store_open(const char *path, enum store_face face, struct err *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct store *s = mem_alloc(sizeof *s);

	pthread_once(&once, configure_library);
	s->path = mem_str(path);
	s->face = face;
	s->patience_us = PATIENCE_US;
	if (open_all(s, e) == 0)
		return s;
	store_close(s);
	return NULL;
}

void
store_close(struct store *s)
{
	size_t i;

	if (s == NULL)
		return;
	for (i = 0; i < SQL_COUNT; i++)
		sqlite3_finalize(s->stmt[i]);
	sqlite3_close(s->db);
	free(s->path);
	free(s);
}

const char *
store_library_version(void)
{
	return sqlite3_libversion();
}

bool
store_library_has_wal_bug(void)
{
	int n = sqlite3_libversion_number();

	/* Fixed in 3.51.3, and in the later patches of two older lines. */
	if (n >= 3051003)
		return false;
	return !(n >= 3044006 && n < 3045000) && !(n >= 3050007 && n < 3051000);
}

int
store_schema_version(void)
{
	return schema_version;
}
