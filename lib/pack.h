/*
 * Our own files in one: a .tar.gz through a strongbox.  For bundles of strangers there is archive.h; this is what `at-rund
 * backup` writes and `restore` reads.
 */
#ifndef LIB_PACK_H
#define LIB_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct err;
struct pack;
struct strongbox;

struct pack *pack_new(struct strongbox *v, struct err *e);
/* A file of bytes, of another file, or all files below a directory (links and sockets are left out; a directory that is not
 * there is fine).  name: in the archive. */
int pack_bytes(struct pack *p, const char *name, const void *data, size_t n, struct err *e);
int pack_file(struct pack *p, const char *name, const char *path, struct err *e);
int pack_tree(struct pack *p, const char *name, const char *dir, struct err *e);
/* Writes the end; the strongbox is the caller's to finish. */
int pack_finish(struct pack *p, struct err *e);
void pack_free(struct pack *p);

/* Unpacks into dir, which is there: plain files only, none of them there yet, and only those whose names wanted() likes;
 * any other is ERR_INPUT. */
int pack_open(struct strongbox *v, const char *dir, bool (*wanted)(const char *name), struct err *e);

#endif
