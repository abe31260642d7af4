/*
 * Content identifiers: CIDv1, raw or dag-cbor, sha2-256, written in lower-case base32.  Nothing else is made or
 * trusted here, so a CID is a codec and 32 bytes.
 */
#ifndef LIB_CID_H
#define LIB_CID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum cid_codec { CID_RAW = 0x55, CID_DAG_CBOR = 0x71 };

#define CID_BYTES  36 /* version, codec, hash, length, digest */
#define CID_TEXT   59 /* "b" and 58 digits */

struct cid {
	enum cid_codec codec;
	uint8_t digest[32];
};

/* Exactly one CID in n characters; ERR_INPUT says which part we cannot check. */
int cid_parse(struct cid *c, const char *s, size_t n, struct err *e);
void cid_print(const struct cid *c, char out[CID_TEXT + 1]);
/* The binary form, as it stands in CBOR behind its zero byte. */
int cid_read(struct cid *c, const uint8_t *p, size_t n, struct err *e);
void cid_write(const struct cid *c, uint8_t out[CID_BYTES]);
bool cid_equal(const struct cid *a, const struct cid *b);
void cid_of_bytes(struct cid *c, enum cid_codec codec, const void *p, size_t n);

/* The same for bytes that come in pieces. */
struct cid_hash {
	_Alignas(8) unsigned char state[128];
};
void cid_hash_init(struct cid_hash *h);
void cid_hash_update(struct cid_hash *h, const void *p, size_t n);
void cid_hash_final(struct cid_hash *h, enum cid_codec codec, struct cid *c);

/* RFC 4648 base32, lower case, no padding.  base32_print writes (n * 8 + 4) / 5 characters and a NUL. */
void base32_print(const uint8_t *p, size_t n, char *out);
/* Bytes written, or -1: a foreign character, an impossible length, or stray bits in the last digit. */
long base32_parse(const char *s, size_t n, uint8_t *out, size_t room);

#endif
