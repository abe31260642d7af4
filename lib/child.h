/*
 * A short-lived helper command (nix-instantiate, `deno --version`): started with posix_spawn, an empty environment but for
 * PATH, HOME and LANG, no descriptors but its own, output capped, killed at its deadline.  Nothing here runs user code.
 */
#ifndef LIB_CHILD_H
#define LIB_CHILD_H

#include <stddef.h>

struct buf;
struct err;

/* Runs argv (NULL-terminated; argv[0] found in PATH) and waits at most timeout_ms.  0 when it exits 0 with its standard
 * output in out (at most max bytes); otherwise ERR_NOTFOUND (no such program), ERR_TIMEOUT, or ERR_INPUT with the
 * first line of its standard error, or the first that begins with "Error: ". */
int child_run(const char *const argv[], int timeout_ms, size_t max, struct buf *out, struct err *e);
/* The same with at most memory_bytes of address space (0: no limit). */
int child_run_within(const char *const argv[], int timeout_ms, size_t max, size_t memory_bytes, struct buf *out,
    struct err *e);
/* Absolute path of a program in PATH, allocated, or NULL. */
char *child_which(const char *name);

#endif
