/*
 * A commit writes a head of 24 bytes and a page for each frame, one after the other; each write takes the file's lock, touches
 * its times and enters the file system's journal, which costs more than the bytes.  So writes that follow each other are
 * gathered.  They go out
 *
 *   - with the page whose head says that it ends a commit (its bytes 4 to 7 are not zero): before SQLite tells anybody of the
 *     commit, and so that a failure is SQLite's to handle;
 *   - before anything else is done with the file: a read, a sync, a truncation, a write somewhere else;
 *   - at once, when a head is written where SQLite has just read one: it mends checksums, and no page follows.
 *
 * What is gathered and never goes out belongs to no commit: a process that is killed, or a transaction that is rolled back,
 * whose frames nobody was told of.
 */
#include "lib/store_vfs.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define GATHER_MAX 65536
#define HEAD_BYTES 24 /* of a frame */

struct log_file {
	sqlite3_file base;
	bool commits; /* the last head was of a frame that ends a commit; its page is still to come */
	sqlite3_int64 at, read_at;
	int n, room;
	char *bytes;
	/* SQLite's own file follows */
};

static sqlite3_vfs *own;
static _Thread_local bool keep_log;

static struct log_file *
log_of(sqlite3_file *f)
{
	return (struct log_file *)f;
}

static sqlite3_file *
real_of(sqlite3_file *f)
{
	return (sqlite3_file *)(log_of(f) + 1);
}

static int
flush(sqlite3_file *f)
{
	struct log_file *l = log_of(f);
	int n = l->n;

	l->n = 0;
	return n > 0 ? real_of(f)->pMethods->xWrite(real_of(f), l->bytes, n, l->at) : SQLITE_OK;
}

/* False when there is no memory for it: then it is written as it comes. */
static bool
room_for(struct log_file *l, int n)
{
	int room = l->room > 0 ? l->room : 16384;
	char *bytes;

	while (room < l->n + n)
		room *= 2;
	if (room == l->room)
		return true;
	if ((bytes = sqlite3_realloc(l->bytes, room)) == NULL)
		return false;
	l->bytes = bytes;
	l->room = room;
	return true;
}

static int
log_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	static const char none[4];
	struct log_file *l = log_of(f);
	int rc;

	if (l->n > 0 && (at != l->at + l->n || l->n + n > GATHER_MAX) && (rc = flush(f)) != SQLITE_OK)
		return rc;
	if (n > GATHER_MAX || (n == HEAD_BYTES && at == l->read_at) || !room_for(l, n)) {
		rc = flush(f);
		return rc == SQLITE_OK ? real_of(f)->pMethods->xWrite(real_of(f), p, n, at) : rc;
	}
	if (l->n == 0)
		l->at = at;
	memcpy(l->bytes + l->n, p, (size_t)n);
	l->n += n;
	if (n == HEAD_BYTES) {
		l->commits = memcmp((const char *)p + 4, none, sizeof none) != 0;
		return SQLITE_OK;
	}
	if (!l->commits)
		return SQLITE_OK;
	l->commits = false;
	return flush(f);
}

static int
log_close(sqlite3_file *f)
{
	int rc = flush(f), closed = real_of(f)->pMethods->xClose(real_of(f));

	sqlite3_free(log_of(f)->bytes);
	return rc != SQLITE_OK ? rc : closed;
}

static int
log_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	int rc = flush(f);

	log_of(f)->read_at = at;
	return rc == SQLITE_OK ? real_of(f)->pMethods->xRead(real_of(f), p, n, at) : rc;
}

void
store_vfs_keep_log(bool yes)
{
	keep_log = yes;
}

static int
log_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	int rc = flush(f);

	if (size == 0 && keep_log)
		return rc;
	return rc == SQLITE_OK ? real_of(f)->pMethods->xTruncate(real_of(f), size) : rc;
}

static int
log_sync(sqlite3_file *f, int flags)
{
	int rc = flush(f);

	return rc == SQLITE_OK ? real_of(f)->pMethods->xSync(real_of(f), flags) : rc;
}

static int
log_size(sqlite3_file *f, sqlite3_int64 *size)
{
	int rc = flush(f);

	return rc == SQLITE_OK ? real_of(f)->pMethods->xFileSize(real_of(f), size) : rc;
}

/* --- these have nothing to do with the bytes --- */

static int
log_lock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int
log_unlock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int
log_reserved(sqlite3_file *f, int *out)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}

static int
log_control(sqlite3_file *f, int op, void *arg)
{
	return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int
log_sector(sqlite3_file *f)
{
	return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int
log_device(sqlite3_file *f)
{
	return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static const sqlite3_io_methods methods = {
	.iVersion = 1,
	.xClose = log_close,
	.xRead = log_read,
	.xWrite = log_write,
	.xTruncate = log_truncate,
	.xSync = log_sync,
	.xFileSize = log_size,
	.xLock = log_lock,
	.xUnlock = log_unlock,
	.xCheckReservedLock = log_reserved,
	.xFileControl = log_control,
	.xSectorSize = log_sector,
	.xDeviceCharacteristics = log_device,
};

static int
open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out_flags)
{
	struct log_file *l = log_of(f);
	int rc;

	(void)vfs;
	if (!(flags & SQLITE_OPEN_WAL))
		return own->xOpen(own, name, f, flags, out_flags);
	memset(l, 0, sizeof *l);
	l->read_at = -1;
	rc = own->xOpen(own, name, real_of(f), flags, out_flags);
	/* SQLite closes what has methods, also after a failure. */
	if (real_of(f)->pMethods != NULL)
		l->base.pMethods = &methods;
	return rc;
}

int
store_vfs_register(void)
{
	static sqlite3_vfs vfs;

	own = sqlite3_vfs_find(NULL);
	if (own == NULL)
		return SQLITE_ERROR;
	vfs = *own;
	vfs.zName = STORE_VFS;
	vfs.szOsFile = own->szOsFile + (int)sizeof(struct log_file);
	vfs.xOpen = open_file;
	return sqlite3_vfs_register(&vfs, 0);
}
