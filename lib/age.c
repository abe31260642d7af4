#include "lib/age.h"

#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/multibase.h"

#define SEALED (AGE_FILE_KEY + crypto_aead_chacha20poly1305_ietf_ABYTES)
#define COLUMNS 64 /* of a line of base64; a body ends with a shorter one */

/* ---- HKDF-SHA256 (RFC 5869), one block of it ---- */

static void
hmac(const uint8_t *key, size_t n, const void *p, size_t bytes, uint8_t out[32])
{
	crypto_auth_hmacsha256_state s;

	crypto_auth_hmacsha256_init(&s, key, n);
	crypto_auth_hmacsha256_update(&s, p, bytes);
	crypto_auth_hmacsha256_final(&s, out);
}

static void
hkdf(const uint8_t *secret, size_t n, const uint8_t *salt, size_t salt_n, const char *info, uint8_t out[32])
{
	static const uint8_t none[32];
	uint8_t extracted[32];
	char block[64];
	size_t info_n = strlen(info);

	hmac(salt_n > 0 ? salt : none, salt_n > 0 ? salt_n : sizeof none, secret, n, extracted);
	memcpy(block, info, info_n);
	block[info_n] = 1;
	hmac(extracted, sizeof extracted, block, info_n + 1, out);
	sodium_memzero(extracted, sizeof extracted);
}

/* ---- keys: Bech32 (BIP 173), without its limit of 90 characters ---- */

static uint32_t
checksum(uint32_t c, unsigned five)
{
	static const uint32_t generator[5] = { 0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3 };
	uint32_t top = c >> 25;

	c = (c & 0x1ffffff) << 5 ^ five;
	for (int i = 0; i < 5; i++)
		c ^= (top >> i & 1) != 0 ? generator[i] : 0;
	return c;
}

/* A key of 32 bytes behind this word and a "1"; all small letters, or all capitals. */
static bool
bech32(const char *s, size_t n, const char *word, bool capitals, uint8_t key[AGE_KEY])
{
	static const char letters[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l", large[] = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L";
	size_t w = strlen(word), out = 0;
	uint32_t c = 1, bits = 0, have = 0;

	if (n != w + 1 + 52 + 6 || s[w] != '1')
		return false;
	for (size_t i = 0; i < w; i++) {
		char small = word[i], is = capitals && small >= 'a' && small <= 'z' ? (char)(small - 32) : small;

		if (s[i] != is)
			return false;
		c = checksum(c, (unsigned char)small >> 5);
	}
	c = checksum(c, 0);
	for (size_t i = 0; i < w; i++)
		c = checksum(c, (unsigned char)word[i] & 31);
	for (size_t i = w + 1; i < n; i++) {
		const char *set = capitals ? large : letters, *at = s[i] != '\0' ? strchr(set, s[i]) : NULL;

		if (at == NULL)
			return false;
		c = checksum(c, (unsigned)(at - set));
		if (i >= n - 6)
			continue;
		bits = bits << 5 | (uint32_t)(at - set);
		have += 5;
		if (have >= 8) {
			have -= 8;
			key[out++] = (uint8_t)(bits >> have);
			bits &= (1u << have) - 1;
		}
	}
	return c == 1 && bits == 0 && out == AGE_KEY;
}

static int
keys_of(struct age_keys *out, const char *text, const char *word, bool capitals, const char *like, struct err *e)
{
	static const char between[] = " \t\r\n,";

	out->n = 0;
	for (const char *p = text + strspn(text, between); *p != '\0'; p += strspn(p, between)) {
		size_t n = strcspn(p, between);

		if (*p == '#') {
			p += strcspn(p, "\n");
			continue;
		}
		if (out->n == AGE_KEYS_MAX)
			return err_set(e, ERR_INPUT, "more than %d keys", AGE_KEYS_MAX);
		/* No word of what stands there: it may be somebody's secret. */
		if (!bech32(p, n, word, capitals, out->key[out->n]))
			return err_set(e, ERR_INPUT, "expected keys of age (X25519), %s..., and number %zu is none, or has a slip of the pen in it",
			    like, out->n + 1);
		out->n++;
		p += n;
	}
	return out->n > 0 ? 0 : err_set(e, ERR_INPUT, "there is no key of age in it (%s...)", like);
}

int
age_recipients(struct age_keys *out, const char *text, struct err *e)
{
	return keys_of(out, text, "age", false, "age1", e);
}

int
age_identities(struct age_keys *out, const char *text, struct err *e)
{
	return keys_of(out, text, "age-secret-key-", true, "AGE-SECRET-KEY-1", e);
}

/* ---- the head ---- */

static int
wrapping_key(const uint8_t secret[AGE_KEY], const uint8_t theirs[AGE_KEY], const uint8_t share[AGE_KEY], const uint8_t to[AGE_KEY],
    uint8_t key[32])
{
	uint8_t shared[32], salt[2 * AGE_KEY];
	int rc = crypto_scalarmult_curve25519(shared, secret, theirs); /* -1: all zero */

	memcpy(salt, share, AGE_KEY);
	memcpy(salt + AGE_KEY, to, AGE_KEY);
	hkdf(shared, sizeof shared, salt, sizeof salt, "age-encryption.org/v1/X25519", key);
	sodium_memzero(shared, sizeof shared);
	return rc;
}

static const uint8_t zero[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

static int
add_recipient(const uint8_t to[AGE_KEY], const uint8_t file_key[AGE_FILE_KEY], struct buf *out, struct err *e)
{
	uint8_t secret[AGE_KEY], share[AGE_KEY], key[32], sealed[SEALED];
	int rc;

	randombytes_buf(secret, sizeof secret);
	crypto_scalarmult_curve25519_base(share, secret);
	rc = wrapping_key(secret, to, share, to, key);
	crypto_aead_chacha20poly1305_ietf_encrypt(sealed, NULL, file_key, AGE_FILE_KEY, NULL, 0, NULL, zero, key);
	sodium_memzero(secret, sizeof secret);
	sodium_memzero(key, sizeof key);
	if (rc != 0)
		return err_set(e, ERR_INPUT, "a recipient is no point of the curve that anything could be sealed for");
	buf_str(out, "-> X25519 ");
	base64_print(share, sizeof share, out);
	buf_char(out, '\n');
	base64_print(sealed, sizeof sealed, out); /* 43 letters: a line that is short enough to be the last */
	buf_char(out, '\n');
	return 0;
}

static void
mac_of(const uint8_t file_key[AGE_FILE_KEY], const char *head, size_t n, uint8_t mac[32])
{
	uint8_t key[32];

	hkdf(file_key, AGE_FILE_KEY, NULL, 0, "header", key);
	hmac(key, sizeof key, head, n, mac);
	sodium_memzero(key, sizeof key);
}

int
age_head_make(const struct age_keys *to, uint8_t file_key[AGE_FILE_KEY], struct buf *out, struct err *e)
{
	size_t began = out->len;
	uint8_t mac[32];

	if (sodium_init() < 0)
		abort();
	randombytes_buf(file_key, AGE_FILE_KEY);
	buf_str(out, AGE_MAGIC);
	for (size_t i = 0; i < to->n; i++)
		if (add_recipient(to->key[i], file_key, out, e) != 0)
			return -1;
	buf_str(out, "---");
	mac_of(file_key, out->data + began, out->len - began, mac);
	buf_char(out, ' ');
	base64_print(mac, sizeof mac, out);
	buf_char(out, '\n');
	return 0;
}

/* Exactly `room` bytes in n letters, without padding. */
static bool
letters(const char *s, size_t n, uint8_t *out, size_t room)
{
	struct buf b = BUF_INIT;
	bool good = memchr(s, '=', n) == NULL && base64_parse(s, n, &b) == 0 && b.len == room;

	if (good)
		memcpy(out, b.data, room);
	buf_clear(&b);
	return good;
}

/* The line that begins at *p, without its end; false: there is none. */
static bool
next_line(const char **p, const char *end, const char **line, size_t *n)
{
	const char *stop = memchr(*p, '\n', (size_t)(end - *p));

	if (stop == NULL)
		return false;
	*line = *p;
	*n = (size_t)(stop - *p);
	*p = stop + 1;
	return true;
}

/* 1: opened, 0: for somebody else, -1: no stanza of X25519. */
static int
try_open(const char *arg, size_t arg_n, const char *body, size_t body_n, const struct age_keys *ids, uint8_t file_key[AGE_FILE_KEY])
{
	uint8_t share[AGE_KEY], sealed[SEALED], own[AGE_KEY], key[32];
	int rc = 0;

	if (!letters(arg, arg_n, share, sizeof share) || !letters(body, body_n, sealed, sizeof sealed))
		return -1;
	for (size_t i = 0; i < ids->n && rc == 0; i++) {
		crypto_scalarmult_curve25519_base(own, ids->key[i]);
		if (wrapping_key(ids->key[i], share, share, own, key) != 0)
			rc = -1;
		else if (crypto_aead_chacha20poly1305_ietf_decrypt(file_key, NULL, NULL, sealed, sizeof sealed, NULL, 0, zero, key) == 0)
			rc = 1;
	}
	sodium_memzero(key, sizeof key);
	return rc;
}

static int
no_head(struct err *e)
{
	return err_set(e, ERR_INPUT, "the head of the age file is damaged");
}

int
age_head_open(const char *head, size_t n, const struct age_keys *ids, uint8_t file_key[AGE_FILE_KEY], struct err *e)
{
	static const char kind[] = "-> X25519 ";
	const char *p = head, *end = head + n, *line, *body;
	uint8_t mac[32], wanted[32];
	size_t len, body_n;
	bool open = false;

	if (sodium_init() < 0)
		abort();
	if (n < AGE_MAGIC_N || memcmp(head, AGE_MAGIC, AGE_MAGIC_N) != 0)
		return no_head(e);
	p += AGE_MAGIC_N;
	while (next_line(&p, end, &line, &len)) {
		int got = 0;

		if (len >= 4 && memcmp(line, "--- ", 4) == 0) {
			if (p != end || !letters(line + 4, len - 4, mac, sizeof mac))
				return no_head(e);
			if (!open)
				return err_named(e, ERR_DENIED, "WrongIdentity", "the backup is sealed for other recipients than this identity");
			mac_of(file_key, head, (size_t)(line + 3 - head), wanted);
			return sodium_memcmp(mac, wanted, sizeof mac) == 0 ? 0 : no_head(e);
		}
		if (len < 4 || memcmp(line, "-> ", 3) != 0 || !next_line(&p, end, &body, &body_n))
			return no_head(e);
		if (!open && len > sizeof kind - 1 && memcmp(line, kind, sizeof kind - 1) == 0)
			got = try_open(line + sizeof kind - 1, len - (sizeof kind - 1), body, body_n, ids, file_key);
		if (got < 0)
			return no_head(e);
		open |= got > 0;
		while (body_n == COLUMNS)
			if (!next_line(&p, end, &body, &body_n))
				return no_head(e);
		if (body_n > COLUMNS)
			return no_head(e);
	}
	return no_head(e);
}

void
age_stream_key(const uint8_t file_key[AGE_FILE_KEY], const uint8_t nonce[AGE_NONCE], uint8_t key[AGE_KEY])
{
	hkdf(file_key, AGE_FILE_KEY, nonce, AGE_NONCE, "payload", key);
}
