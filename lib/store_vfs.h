/*
 * How the store's files are written: SQLite's own way, but for the log, where the frames of a commit go out in one write
 * instead of two for each page.  For lib/store.c only.
 */
#ifndef LIB_STORE_VFS_H
#define LIB_STORE_VFS_H

#include <stdbool.h>

#define STORE_VFS "at-rund"

/* Once, before the first connection.  0, or an error code of SQLite's. */
int store_vfs_register(void);

/*
 * In this thread, a log that is cut to nothing keeps its file: to give 32 MiB back to the file system and take them again stops
 * all writers for tens of milliseconds.  Only where everything in it has been moved and synced: until the next header is written,
 * a recovery reads the old frames, which is what the database holds.
 */
void store_vfs_keep_log(bool yes);

#endif
