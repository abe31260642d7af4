#include "lib/cid.h"

/* SHA-256 comes from libsodium: one call without a context on the heap.  This is the only use of it outside the
 * secrets, and it is no secret. */
#include <sodium/crypto_hash_sha256.h>
#include <string.h>

#include "lib/err.h"

static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";

void
base32_print(const uint8_t *p, size_t n, char *out)
{
	uint32_t acc = 0;
	int bits = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		acc = (acc << 8 | p[i]) & 0xffff;
		for (bits += 8; bits >= 5; bits -= 5)
			*out++ = digits[acc >> (bits - 5) & 31];
	}
	if (bits > 0)
		*out++ = digits[acc << (5 - bits) & 31];
	*out = '\0';
}

static int
digit_value(char c)
{
	if (c >= 'a' && c <= 'z')
		return c - 'a';
	if (c >= '2' && c <= '7')
		return c - '2' + 26;
	return -1;
}

long
base32_parse(const char *s, size_t n, uint8_t *out, size_t room)
{
	uint32_t acc = 0;
	int bits = 0;
	size_t i, len = 0;

	for (i = 0; i < n; i++) {
		int v = digit_value(s[i]);

		if (v < 0)
			return -1;
		acc = (acc << 5 | (uint32_t)v) & 0xffff;
		bits += 5;
		if (bits >= 8) {
			if (len == room)
				return -1;
			bits -= 8;
			out[len++] = (uint8_t)(acc >> bits);
		}
	}
	/* Five or more bits left over: a digit that carries nothing.  Bits set: a second spelling of the same bytes. */
	if (bits >= 5 || (acc & ((1u << bits) - 1)) != 0)
		return -1;
	return (long)len;
}

int
cid_read(struct cid *c, const uint8_t *p, size_t n, struct err *e)
{
	if (n != CID_BYTES || p[0] != 1)
		return err_set(e, ERR_INPUT, "not a CIDv1 with a 32-byte hash");
	if (p[1] != CID_RAW && p[1] != CID_DAG_CBOR)
		return err_set(e, ERR_INPUT, "CID codec 0x%02x is neither raw nor dag-cbor", p[1]);
	if (p[2] != 0x12 || p[3] != 32)
		return err_set(e, ERR_INPUT, "CID hash 0x%02x is not sha2-256", p[2]);
	c->codec = (enum cid_codec)p[1];
	memcpy(c->digest, p + 4, 32);
	return 0;
}

int
cid_parse(struct cid *c, const char *s, size_t n, struct err *e)
{
	uint8_t raw[CID_BYTES];

	if (n != CID_TEXT || s[0] != 'b' || base32_parse(s + 1, n - 1, raw, sizeof raw) != CID_BYTES)
		return err_set(e, ERR_INPUT, "not a CIDv1 in base32 of 59 characters");
	return cid_read(c, raw, sizeof raw, e);
}

void
cid_write(const struct cid *c, uint8_t out[CID_BYTES])
{
	out[0] = 1;
	out[1] = (uint8_t)c->codec;
	out[2] = 0x12;
	out[3] = 32;
	memcpy(out + 4, c->digest, 32);
}

void
cid_print(const struct cid *c, char out[CID_TEXT + 1])
{
	uint8_t raw[CID_BYTES];

	cid_write(c, raw);
	out[0] = 'b';
	base32_print(raw, sizeof raw, out + 1);
}

bool
cid_equal(const struct cid *a, const struct cid *b)
{
	return a->codec == b->codec && memcmp(a->digest, b->digest, sizeof a->digest) == 0;
}

void
cid_of_bytes(struct cid *c, enum cid_codec codec, const void *p, size_t n)
{
	c->codec = codec;
	crypto_hash_sha256(c->digest, p, n);
}

_Static_assert(sizeof(crypto_hash_sha256_state) <= sizeof(struct cid_hash), "cid_hash is too small");
_Static_assert(_Alignof(crypto_hash_sha256_state) <= _Alignof(struct cid_hash), "cid_hash is not aligned");

void
cid_hash_init(struct cid_hash *h)
{
	crypto_hash_sha256_init((crypto_hash_sha256_state *)(void *)h->state);
}

void
cid_hash_update(struct cid_hash *h, const void *p, size_t n)
{
	crypto_hash_sha256_update((crypto_hash_sha256_state *)(void *)h->state, p, n);
}

void
cid_hash_final(struct cid_hash *h, enum cid_codec codec, struct cid *c)
{
	c->codec = codec;
	crypto_hash_sha256_final((crypto_hash_sha256_state *)(void *)h->state, c->digest);
}
