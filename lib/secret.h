/*
 * What an author hands to one runner and to nobody else: names and values, in a box that only the runner's key opens
 * (X25519, XSalsa20-Poly1305: libsodium's crypto_box_seal).
 *
 * A sealed box does not say who made it, so the context stands inside: author, bundle, runner, key and expiry.  A box that
 * was copied into another repository, or under another bundle's name, opens and is refused.  The plain text is
 *
 *     {"author":"did:…","bundle":"hello","runner":"did:web:…","key":"z6LS…","expires":"2027-01-01T00:00:00Z",
 *      "env":{"API_KEY":"…"}}
 *
 * padded with spaces to a multiple of SECRET_PAD, so that its length says little.  The record dev.at-run.secret that carries
 * the box repeats bundle, runner and key for whoever looks; what counts is inside.
 *
 * Nothing here logs, and every message leaves values out.
 */
#ifndef LIB_SECRET_H
#define LIB_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

#define SECRET_KEY_BYTES   32
#define SECRET_KEY_TEXT    48            /* "z6LS..." or "z6Mk...": characters of a public key as Multikey */
#define SECRET_PAD         256
#define SECRET_PLAIN_MAX   (32u * 1024u) /* of the plain text, padding included */
#define SECRET_BOX_MAX     (SECRET_PLAIN_MAX + 48u)
#define SECRET_NAMES_MAX   64

/* --- public keys as texts --- */

enum secret_use {
	SECRET_USE_SECRETS,  /* X25519: boxes are sealed for it */
	SECRET_USE_RECEIPTS, /* Ed25519: receipts are signed with it */
	SECRET_USE_COUNT
};
const char *secret_use_name(enum secret_use u); /* "secrets", "receipts" */

void secret_key_print(enum secret_use u, const uint8_t key[SECRET_KEY_BYTES], char out[SECRET_KEY_TEXT + 1]);
/* ERR_INPUT "InvalidKey" unless it is a Multikey of that use. */
int secret_key_parse(enum secret_use u, const char *text, uint8_t key[SECRET_KEY_BYTES], struct err *e);

/* --- names and values --- */

/* In memory that is locked and wiped; "NAME=value" and a NUL each. */
struct secret_env {
	int refs;
	size_t n, bytes;
	int64_t expires_at; /* wall, unix ms */
	char *block;
};
struct secret_env *secret_env_new(const char *block, size_t bytes, int64_t expires_at); /* a copy; NULL: no such block */
struct secret_env *secret_env_ref(struct secret_env *s);
void secret_env_unref(struct secret_env *s); /* the last one wipes; NULL is fine */
/* The next pair: *name (n bytes, no NUL behind) and *value; at begins at 0.  false past the end. */
bool secret_env_next(const struct secret_env *s, size_t *at, const char **name, size_t *n, const char **value);
bool secret_env_has(const struct secret_env *s, const char *name);

/* Appends {"NAME":"value",...}: those of names (NULL: all). */
struct conf_list;
void secret_env_json(const struct secret_env *s, const struct conf_list *names, struct buf *out);

/* Values shorter than this are not looked for: "1" stands in every line. */
#define SECRET_REDACT_MIN 6
/* Does the text hold one of the values, or a line of one?  Then out is the text with "[secret NAME]" in its place. */
bool secret_redact(const struct secret_env *s, const char *text, size_t n, struct buf *out);

/* --- boxes --- */

struct secret_context {
	const char *author, *bundle, *runner, *key;
	int64_t expires_at; /* wall, unix ms; for secret_open: now */
};

/*
 * NAME=value lines (blank lines and # comments are skipped, quotes around a value are taken off) or one JSON object of
 * strings.  ERR_INPUT with the line.
 */
int secret_read(const char *text, size_t n, struct secret_env **out, struct err *e);
/* Appends the box for c->key.  ERR_INPUT: too large, or no such key. */
int secret_seal(const struct secret_context *c, const struct secret_env *env, struct buf *box, struct err *e);
/*
 * Opens a box with a key pair and compares the context.  ERR_DENIED: "SecretUnreadable" (damaged, or for another key),
 * "SecretMalformed", "SecretMismatch" (which part), "SecretExpired" (when).
 */
int secret_open(const struct secret_context *now, const uint8_t secret_key[SECRET_KEY_BYTES],
    const uint8_t public_key[SECRET_KEY_BYTES], const void *box, size_t n, struct secret_env **out, struct err *e);
/* The half of it behind the cryptography: what a stranger's plain text means. */
int secret_plain(const struct secret_context *now, const char *plain, size_t n, struct secret_env **out, struct err *e);

/* --- records --- */

struct secret_record {
	char *bundle, *runner, *key;
	struct buf *box;
};
/* Appends the JSON of a record dev.at-run.secret (type: its collection). */
void secret_record_json(const struct secret_context *c, const char *type, const void *box, size_t n, const char *created_at,
    struct buf *out);
/* ERR_INPUT "SecretMalformed".  secret_record_clear afterwards in any case. */
int secret_record_parse(const char *json, size_t n, struct secret_record *out, struct err *e);
void secret_record_clear(struct secret_record *r);
/* The record key: one record for each bundle and runner, "hello:did:web:host"; what a record key may not hold becomes ~. */
char *secret_rkey(const char *bundle, const char *runner);

/* --- small things --- */

void secret_wipe(void *p, size_t n);
/* Unix ms ⇄ "2027-01-01T00:00:00Z" (and with .fff, and what syntax_datetime takes); -1 when it is none. */
void secret_time_print(int64_t ms, char out[32]);
int64_t secret_time_parse(const char *s);

#endif
