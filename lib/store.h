/*
 * The ledger on disk.  Three faces look at one database: the door (store_front.h), the workshop
 * (store_work.h) and the desk (store_desk.h: command line).  This header is what they share.
 *
 * Threads: a struct store belongs to one thread at a time.  Processes: a handle never crosses a fork.
 *
 * The WAL-reset bug (SQLite 3.7.0 to 3.51.2, DESIGN 9): every face opens with wal_autocheckpoint=0 and
 * SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE; only store_work_checkpoint() ever checkpoints.
 */
#ifndef LIB_STORE_H
#define LIB_STORE_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct store;

#define STORE_APPLICATION_ID 0x61747264 /* "atrd" */

/* Error name of a file that no second try will open: damaged, foreign, of a newer version, or not ours to write. */
#define STORE_UNUSABLE "DatabaseUnusable"

enum store_face { STORE_FRONT, STORE_WORK, STORE_DESK, STORE_READER };

/*
 * Opens the database at path.  STORE_WORK creates and migrates it (after a copy to PATH.before-N);
 * the others want it there and up to date.  STORE_READER opens read-only.
 * Errors: corrupt, foreign, or of a newer version: ERR_INTERNAL, STORE_UNUSABLE, that names the file and the way out.
 */
struct store *store_open(const char *path, enum store_face face, struct err *e);
void store_close(struct store *s);

/* A whole and consistent copy as a new database at `to`, while others go on writing. */
int store_copy(struct store *s, const char *to, struct err *e);

/* BEGIN IMMEDIATE / COMMIT.  durable: this commit and all before it survive a power cut (synchronous=FULL). */
int store_begin(struct store *s, bool durable, struct err *e);
int store_commit(struct store *s, struct err *e);
/* Does it keep a log?  Not on a network file system; what is to last must then be begun as durable. */
bool store_has_log(const struct store *s);
/* What is committed, by whomever, survives a power cut from now on.  Waits for the disk. */
int store_sync(struct store *s, struct err *e);
void store_rollback(struct store *s);
/*
 * Is there room for a transaction or two on the disk that holds the database?  A few KiB are reserved and given back.  Where
 * that cannot be tried (no O_TMPFILE, no right to write), it says yes: the next commit knows.
 */
bool store_has_room(const struct store *s);

/*
 * Of the front or work face: reads what another has written since, so that the next transaction, which wants these pages, begins
 * with them at hand.  For a moment when there is nothing else to do.
 */
void store_warm(struct store *s);

/* Of the linked library, "3.40.1", and whether it has the WAL-reset bug. */
const char *store_library_version(void);
bool store_library_has_wal_bug(void);
int store_schema_version(void);

#endif
