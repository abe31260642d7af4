/*
 * The runner's own keys, where they lie on disk: keys/secrets-N.key (X25519, opens boxes) and keys/receipts-N.key (Ed25519,
 * signs receipts).  The highest number is the newest; while a key is being rotated two for secrets live side by side.
 *
 * A file that somebody else could read or replace is refused, with the command that mends it.  Where systemd hands the keys
 * over (LoadCredential=, $CREDENTIALS_DIRECTORY), they are taken from there and keys/ is not looked at.
 *
 * While the runner runs, one process reads these files: the keeper (scheduler/keeper.c).
 */
#ifndef LIB_KEYRING_H
#define LIB_KEYRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/secret.h"

struct err;

#define KEYRING_LIVE       2  /* keys for secrets after a rotation: the new one and the one before */
#define KEYRING_MAX        16 /* files that are read at all */
#define KEYRING_SIGNATURE  64

struct keyring_key {
	enum secret_use use;
	int number;
	int64_t made_at;                 /* wall, unix ms */
	uint8_t public_key[SECRET_KEY_BYTES];
	char text[SECRET_KEY_TEXT + 1];  /* the same as Multikey */
	uint8_t *secret_key;             /* 32 bytes, locked and wiped */
};

struct keyring {
	struct keyring_key key[KEYRING_MAX]; /* by use, the newest first */
	size_t n;
};

/*
 * credentials: $CREDENTIALS_DIRECTORY or NULL.  make: when there are none at all, the first ones are made.
 * ERR_DENIED "KeyFileOpen": others may get at a file; ERR_NOTFOUND "NoKeys"; ERR_INPUT: a file is damaged; ERR_INTERNAL.
 */
struct keyring *keyring_load(const char *dir, const char *credentials, bool make, struct err *e);
void keyring_free(struct keyring *k);
/* The newest of that use (text NULL), or the one with that text; NULL. */
const struct keyring_key *keyring_find(const struct keyring *k, enum secret_use use, const char *text);
/* Are there keys of ours in the credentials directory? */
bool keyring_from_credentials(const char *credentials);

/* Makes the next key of that use; of those for secrets, all but the newest KEYRING_LIVE are removed, of those for receipts all
 * but the new one (what they signed is verified by the public half, which stays known).  *number: of the new one. */
int keyring_rotate(const char *dir, enum secret_use use, int *number, struct err *e);
/* Removes the key with that text.  ERR_NOTFOUND; ERR_DENIED: it is the newest, and nothing could be sealed any more. */
int keyring_revoke(const char *dir, const char *text, struct err *e);

void keyring_sign(const struct keyring_key *k, const void *p, size_t n, uint8_t sig[KEYRING_SIGNATURE]);
bool keyring_verify(const uint8_t public_key[SECRET_KEY_BYTES], const void *p, size_t n, const uint8_t sig[KEYRING_SIGNATURE]);

#endif
