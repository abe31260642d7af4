/* A blob becomes a directory of plain files: one file, .tar, .tar.gz or .zip, told apart by their first bytes. */
#ifndef LIB_ARCHIVE_H
#define LIB_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

struct archive_limits {
	int64_t bytes;   /* unpacked, of all files together */
	int64_t entries;
	const char *bytes_key, *entries_key; /* config keys, for messages */
};

/* Is this the start of something archive_unpack opens as an archive?  (512 bytes suffice.) */
bool archive_magic(const char *p, size_t n);

/*
 * Unpacks the file blob_fd (from its start) into parent/name, made under another name and renamed when complete; when
 * it already exists nothing is done.  Files become 0444, directories 0755.  single: the name a file that is no archive
 * is stored under.  ERR_INPUT "InvalidBundle": absolute paths, "..", links, devices, over a limit, a broken archive.
 */
int archive_unpack(int blob_fd, const char *parent, const char *name, const char *single,
    const struct archive_limits *limits, struct err *e);

#endif
