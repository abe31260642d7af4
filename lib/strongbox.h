/*
 * A stream of bytes into a file, or out of it, sealed with a passphrase: Argon2id makes the key, XChaCha20-Poly1305 in
 * pieces of 64 KiB does the rest (libsodium's crypto_secretstream).  A file that is cut, put together from two, or changed in
 * one bit does not open.
 *
 *     "at-rund vault 1\n"  salt 16  ops u64  memory u64  stream header 24   then pieces, each 17 bytes longer than its text
 *
 * Without a passphrase the bytes go through as they are.
 */
#ifndef LIB_STRONGBOX_H
#define LIB_STRONGBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct err;
struct strongbox;

/* fd stays the caller's.  passphrase NULL: plain.  NULL after an error. */
struct strongbox *strongbox_seal(int fd, const char *passphrase, struct err *e);
int strongbox_write(struct strongbox *v, const void *p, size_t n, struct err *e);
/* The last piece; the file is on the disk afterwards. */
int strongbox_finish(struct strongbox *v, struct err *e);

/* Does the file begin as a sealed one?  fd is at its start, and stays there. */
bool strongbox_is_sealed(int fd);
/* ERR_DENIED "WrongPassphrase": that, or the file was changed. */
struct strongbox *strongbox_open(int fd, const char *passphrase, struct err *e);
/* Up to n bytes, 0 at the end, -1.  A sealed file that ends early is an error. */
ssize_t strongbox_read(struct strongbox *v, void *p, size_t n, struct err *e);

void strongbox_free(struct strongbox *v);

/* Overwrites what must not stay in memory. */
void strongbox_wipe(void *p, size_t n);

#endif
