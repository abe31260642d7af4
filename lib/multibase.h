/*
 * Texts for bytes: base58btc (keys, behind the multibase letter "z") and base64 (bytes in JSON).
 * base32, which only CIDs use, stands in lib/cid.h.
 */
#ifndef LIB_MULTIBASE_H
#define LIB_MULTIBASE_H

#include <stddef.h>
#include <stdint.h>

struct buf;

/* The work grows with the square of the length, so that longer texts are refused. */
#define BASE58_TEXT_MAX  256
#define BASE58_BYTES_MAX 184 /* never more come out of BASE58_TEXT_MAX characters, or go in */

/* Bytes written, or -1: a foreign character, too long, or no room. */
long base58_parse(const char *s, size_t n, uint8_t *out, size_t room);
/* Characters written (a NUL follows), or -1: over BASE58_BYTES_MAX bytes or no room. */
long base58_print(const uint8_t *p, size_t n, char *out, size_t room);

/*
 * The letters of RFC 4648 section 4; padding may be absent but not wrong; nothing else between the letters, and no stray
 * bits in the last one, so that each run of bytes has one text with and one without padding.  Appends the bytes to
 * out and returns 0, or returns -1 and leaves out as it was.
 */
int base64_parse(const char *s, size_t n, struct buf *out);
/* The same in the letters of section 5, as tokens have it: padding is refused. */
int base64url_parse(const char *s, size_t n, struct buf *out);
void base64_print(const uint8_t *p, size_t n, struct buf *out); /* appends, without padding */

#endif
