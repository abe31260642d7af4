#include "lib/pass.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>


static const char digits[] = "0123456789abcdef";

static void
hex(const unsigned char *p, size_t n, char *out)
{
	size_t i;

	for (i = 0; i < n; i++) {
		*out++ = digits[p[i] >> 4];
		*out++ = digits[p[i] & 15];
	}
	*out = '\0';
}

void
pass_new(char secret[PASS_SECRET + 1])
{
	unsigned char raw[PASS_SECRET / 2];

	/* So few come whole, once the kernel's generator is seeded. */
	while (getrandom(raw, sizeof raw, 0) != (ssize_t)sizeof raw)
		;
	hex(raw, sizeof raw, secret);
	sodium_memzero(raw, sizeof raw);
}

void
pass_hash(const char *what, const char *secret, char hash[PASS_HASH + 1])
{
	unsigned char raw[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state s;

	crypto_hash_sha256_init(&s);
	crypto_hash_sha256_update(&s, (const unsigned char *)what, strlen(what));
	crypto_hash_sha256_update(&s, (const unsigned char *)":", 1);
	crypto_hash_sha256_update(&s, (const unsigned char *)secret, strlen(secret));
	crypto_hash_sha256_final(&s, raw);
	hex(raw, sizeof raw, hash);
}

bool
pass_same(const char *a, const char *b, size_t n)
{
	return sodium_memcmp(a, b, n) == 0;
}

bool
pass_parse(const char *text, const char *prefix, int64_t *id, char secret[PASS_SECRET + 1])
{
	size_t n = strlen(prefix);
	char *end;

	if (strncmp(text, prefix, n) != 0 || text[n] != '_')
		return false;
	text += n + 1;
	n = strspn(text, "0123456789");
	if (n == 0 || n > 18 || text[0] == '0' || text[n] != '_')
		return false;
	*id = strtoll(text, &end, 10);
	text = end + 1;
	if (strlen(text) != PASS_SECRET || strspn(text, digits) != PASS_SECRET)
		return false;
	memcpy(secret, text, PASS_SECRET + 1);
	return true;
}
