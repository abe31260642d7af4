/*
 * A stream of bytes into a file, or out of it, sealed with a passphrase: Argon2id makes the key, XChaCha20-Poly1305 in
 * pieces of 64 KiB does the rest (libsodium's crypto_secretstream).  A file that is cut, put together from two, or changed in
 * one bit does not open.
 *
 *     "at-rund vault 1\n"  salt 16  ops u64  memory u64  stream header 24   then pieces, each 17 bytes longer than its text
 *
 * Or for the recipients of an age file (age.h): then no secret is where it is made, and behind the head stands a nonce of 16
 * bytes and ChaCha20-Poly1305 in pieces of 64 KiB, the last of them marked, as age has it.
 *
 * Without either the bytes go through as they are.
 */
#ifndef LIB_STRONGBOX_H
#define LIB_STRONGBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct age_keys;
struct err;
struct strongbox;

enum strongbox_kind { STRONGBOX_PLAIN, STRONGBOX_PASSPHRASE, STRONGBOX_AGE };

/* fd stays the caller's.  passphrase NULL: plain.  NULL after an error. */
struct strongbox *strongbox_seal(int fd, const char *passphrase, struct err *e);
struct strongbox *strongbox_seal_for(int fd, const struct age_keys *recipients, struct err *e);
int strongbox_write(struct strongbox *v, const void *p, size_t n, struct err *e);
/* The last piece; the file is on the disk afterwards. */
int strongbox_finish(struct strongbox *v, struct err *e);

/* How does the file begin?  fd is at its start, and stays there. */
enum strongbox_kind strongbox_kind(int fd);
/* ERR_DENIED "WrongPassphrase": that, or the file was changed. */
struct strongbox *strongbox_open(int fd, const char *passphrase, struct err *e);
/* ERR_DENIED "WrongIdentity": it is for others.  ERR_INPUT: it was cut or changed, as when reading. */
struct strongbox *strongbox_open_with(int fd, const struct age_keys *identities, struct err *e);
/* Up to n bytes, 0 at the end, -1.  A sealed file that ends early is an error. */
ssize_t strongbox_read(struct strongbox *v, void *p, size_t n, struct err *e);

void strongbox_free(struct strongbox *v);

/* Overwrites what must not stay in memory. */
void strongbox_wipe(void *p, size_t n);

#endif
