/* Small files that the command line writes. */
#ifndef CLI_FILES_H
#define CLI_FILES_H

#include <sys/types.h>

struct buf;
struct err;

/* The home that a command which makes one works on: --home, AT_RUND_HOME, ~/.at-rund; never /etc.  Allocated. */
char *files_home(void);
/* A directory, with those above it (0755). */
int files_dirs(const char *path, mode_t mode, struct err *e);
/* Writes a file that is not there yet, to the disk. */
int files_new(const char *path, const struct buf *text, mode_t mode, struct err *e);
/* Writes a file or replaces it in one step, with the directories above it. */
int files_put(const char *path, const struct buf *text, mode_t mode, struct err *e);
/* Also to another file system. */
int files_move(const char *from, const char *to, struct err *e);

#endif
