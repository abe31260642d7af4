/*
 * The head of an age file (age-encryption.org/v1) whose recipients are X25519 keys, so that who seals a file needs nothing that
 * opens it.  `age` and `rage` open what is made here, and the other way round; strongbox.h is the stream behind the head.
 *
 *     age-encryption.org/v1
 *     -> X25519 SHARE           ephemeral; the line below it is the file key, sealed for one recipient
 *     ...
 *     --- MAC                   of all above
 */
#ifndef LIB_AGE_H
#define LIB_AGE_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

#define AGE_MAGIC    "age-encryption.org/v1\n"
#define AGE_MAGIC_N  22
#define AGE_HEAD_MAX 65536
#define AGE_END      "\n--- "

enum { AGE_KEY = 32, AGE_FILE_KEY = 16, AGE_NONCE = 16, AGE_KEYS_MAX = 20 };

struct age_keys {
	uint8_t key[AGE_KEYS_MAX][AGE_KEY];
	size_t n;
};

/*
 * Recipients (age1...) or identities (AGE-SECRET-KEY-1...) of a text, separated by blanks, commas or lines; a line that begins
 * with '#' is a comment.  ERR_INPUT: anything else, none, or too many.  Who has identities wipes them.
 */
int age_recipients(struct age_keys *out, const char *text, struct err *e);
int age_identities(struct age_keys *out, const char *text, struct err *e);

/* Makes a file key, and appends the head that hands it to each recipient, up to the end of its last line. */
int age_head_make(const struct age_keys *recipients, uint8_t file_key[AGE_FILE_KEY], struct buf *out, struct err *e);
/* head: all of it, up to the end of the line of the MAC.  ERR_DENIED "WrongIdentity": it is for others; ERR_INPUT: it is none. */
int age_head_open(const char *head, size_t n, const struct age_keys *identities, uint8_t file_key[AGE_FILE_KEY], struct err *e);
/* The key of the stream behind head and nonce. */
void age_stream_key(const uint8_t file_key[AGE_FILE_KEY], const uint8_t nonce[AGE_NONCE], uint8_t key[AGE_KEY]);

#endif
