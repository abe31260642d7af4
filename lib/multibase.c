#include "lib/multibase.h"

#include <string.h>

#include "lib/buf.h"

static const char base58[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int
digit_of(const char *letters, char c)
{
	const char *at = c == '\0' ? NULL : strchr(letters, c);

	return at == NULL ? -1 : (int)(at - letters);
}

long
base58_parse(const char *s, size_t n, uint8_t *out, size_t room)
{
	uint8_t big[BASE58_BYTES_MAX + 4]; /* big-endian, filled from its end */
	size_t used = 0, zeros = 0, i, j;

	if (n > BASE58_TEXT_MAX)
		return -1;
	while (zeros < n && s[zeros] == base58[0])
		zeros++;
	for (i = zeros; i < n; i++) {
		int carry = digit_of(base58, s[i]);

		if (carry < 0)
			return -1;
		for (j = 0; j < used || carry > 0; j++) {
			if (j == used) {
				if (used == sizeof big)
					return -1;
				big[sizeof big - 1 - used++] = 0;
			}
			carry += 58 * big[sizeof big - 1 - j];
			big[sizeof big - 1 - j] = (uint8_t)carry;
			carry >>= 8;
		}
	}
	if (zeros + used > room || zeros + used > BASE58_BYTES_MAX)
		return -1;
	memset(out, 0, zeros);
	memcpy(out + zeros, big + sizeof big - used, used);
	return (long)(zeros + used);
}

long
base58_print(const uint8_t *p, size_t n, char *out, size_t room)
{
	uint8_t big[BASE58_TEXT_MAX]; /* digits, filled from the end */
	size_t used = 0, zeros = 0, i, j;

	if (n > BASE58_BYTES_MAX)
		return -1;
	while (zeros < n && p[zeros] == 0)
		zeros++;
	for (i = zeros; i < n; i++) {
		unsigned carry = p[i];

		for (j = 0; j < used || carry > 0; j++) {
			if (j == used)
				big[sizeof big - 1 - used++] = 0;
			carry += 256u * big[sizeof big - 1 - j];
			big[sizeof big - 1 - j] = (uint8_t)(carry % 58);
			carry /= 58;
		}
	}
	if (zeros + used + 1 > room)
		return -1;
	memset(out, base58[0], zeros);
	for (i = 0; i < used; i++)
		out[zeros + i] = base58[big[sizeof big - used + i]];
	out[zeros + used] = '\0';
	return (long)(zeros + used);
}

/* By arithmetic: tokens stand on the way of a warm call.  last: the letters for 62 and 63. */
static int
digit64(const char last[2], char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == last[0] ? 62 : c == last[1] ? 63 : -1;
}

static int
parse64(const char last[2], const char *s, size_t n, struct buf *out)
{
	size_t before = out->len, i;
	uint32_t bits = 0;
	int held = 0;
	char *to;

	if (n % 4 == 1)
		return -1;
	to = buf_room(out, n / 4 * 3 + 2);
	for (i = 0; i < n; i++) {
		int d = digit64(last, s[i]);

		if (d < 0)
			goto bad;
		bits = bits << 6 | (uint32_t)d;
		held += 6;
		if (held >= 8) {
			held -= 8;
			*to++ = (char)(bits >> held & 0xff);
		}
	}
	if ((bits & ((1u << held) - 1)) != 0)
		goto bad;
	*to = '\0';
	out->len = (size_t)(to - out->data);
	return 0;
bad:
	out->data[before] = '\0';
	return -1;
}

int
base64_parse(const char *s, size_t n, struct buf *out)
{
	if (n % 4 == 0 && n > 0 && s[n - 1] == '=')
		n -= s[n - 2] == '=' ? 2 : 1;
	return parse64("+/", s, n, out);
}

int
base64url_parse(const char *s, size_t n, struct buf *out)
{
	return parse64("-_", s, n, out);
}

void
base64_print(const uint8_t *p, size_t n, struct buf *out)
{
	uint32_t bits = 0;
	int held = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		bits = bits << 8 | p[i];
		held += 8;
		while (held >= 6) {
			held -= 6;
			buf_char(out, base64[bits >> held & 63]);
		}
	}
	if (held > 0)
		buf_char(out, base64[bits << (6 - held) & 63]);
}
