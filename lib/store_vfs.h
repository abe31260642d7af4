/*
 * How the store's files are written: SQLite's own way, but for the log, where the frames of a commit go out in one write
 * instead of two for each page.  For lib/store.c only.
 */
#ifndef LIB_STORE_VFS_H
#define LIB_STORE_VFS_H

#define STORE_VFS "at-rund"

/* Once, before the first connection.  0, or an error code of SQLite's. */
int store_vfs_register(void);

#endif
