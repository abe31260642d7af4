#include "lib/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/clock.h"

/* --- numbers --- */

static uint64_t
mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* xoshiro256++ (Blackman, Vigna), of each thread its own; a system call for each id would cost more than the rest. */
static uint64_t
next(void)
{
	static _Thread_local uint64_t s[4];
	static _Thread_local bool seeded;
	uint64_t x, t;

	if (!seeded) {
		if (getrandom(s, sizeof s, 0) != sizeof s)
			for (int i = 0; i < 4; i++)
				s[i] = mix((uint64_t)clock_mono_us() + (uint64_t)(uintptr_t)s + (uint64_t)i);
		seeded = true;
	}
	x = s[0] + s[3];
	x = (x << 23 | x >> 41) + s[0];
	t = s[1] << 17;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = s[3] << 45 | s[3] >> 19;
	return x;
}

bool
trace_none(const uint8_t *id, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (id[i] != 0)
			return false;
	return true;
}

void
trace_random(uint8_t *out, size_t n)
{
	do {
		for (size_t i = 0; i < n; i += 8) {
			uint64_t x = next();

			memcpy(out + i, &x, n - i < 8 ? n - i : 8);
		}
	} while (trace_none(out, n));
}

void
trace_child(const uint8_t span[TRACE_SPAN_BYTES], unsigned n, uint8_t out[TRACE_SPAN_BYTES])
{
	uint64_t x;

	memcpy(&x, span, sizeof x);
	x = mix(x + UINT64_C(0x9e3779b97f4a7c15) * (n + 1));
	x = x != 0 ? x : 1;
	memcpy(out, &x, sizeof x);
}

/* --- texts --- */

void
trace_hex(const uint8_t *p, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (; n > 0; n--, p++) {
		*out++ = digits[*p >> 4];
		*out++ = digits[*p & 15];
	}
	*out = '\0';
}

/* Only lower case: the recommendation allows no other, and what is forwarded must not change. */
static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
take_bytes(const char **at, uint8_t *out, size_t n)
{
	const char *p = *at;

	for (; n > 0; n--, p += 2) {
		int high = digit(p[0]), low = high >= 0 ? digit(p[1]) : -1;

		if (low < 0)
			return false;
		*out++ = (uint8_t)(high << 4 | low);
	}
	*at = p;
	return true;
}

/* Takes n bytes in hex and, after them, the byte `end`. */
static bool
take_hex(const char **at, uint8_t *out, size_t n, char end)
{
	return take_bytes(at, out, n) && *(*at)++ == end;
}

/* A version of the future may say more after a dash; 255 is none. */
bool
trace_parse(const char *header, struct trace *t)
{
	struct trace got = { .start_us = 0 };
	const char *p = header;
	uint8_t version;

	if (strnlen(header, 1024) < TRACE_HEADER_TEXT || !take_hex(&p, &version, 1, '-') || version == 0xff ||
	    !take_hex(&p, got.id, sizeof got.id, '-') || !take_hex(&p, got.parent, sizeof got.parent, '-'))
		return false;
	if (!take_hex(&p, &got.flags, 1, '\0') && (version == 0 || header[TRACE_HEADER_TEXT] != '-' || digit(header[53]) < 0 ||
	    digit(header[54]) < 0))
		return false;
	if (trace_none(got.id, sizeof got.id) || trace_none(got.parent, sizeof got.parent))
		return false;
	*t = got;
	return true;
}

void
trace_begin(struct trace *t, const struct trace *parent, uint8_t flags, int64_t start_us)
{
	struct trace made = { .flags = flags, .start_us = start_us };

	if (parent != NULL) {
		memcpy(made.id, parent->id, sizeof made.id);
		memcpy(made.parent, parent->parent, sizeof made.parent);
	} else {
		trace_random(made.id, sizeof made.id);
	}
	trace_random(made.span, sizeof made.span);
	*t = made;
}

void
trace_header(const struct trace *t, const uint8_t span[TRACE_SPAN_BYTES], char out[TRACE_HEADER_TEXT + 1])
{
	memcpy(out, "00-", 3);
	trace_hex(t->id, sizeof t->id, out + 3);
	out[35] = '-';
	trace_hex(span, TRACE_SPAN_BYTES, out + 36);
	out[52] = '-';
	trace_hex(&t->flags, 1, out + 53);
}

void
trace_row(const struct trace *t, int64_t by_us, char out[TRACE_ROW_TEXT])
{
	int64_t n = by_us - t->start_us;
	char digits[20];
	size_t at = sizeof digits;

	trace_hex(t->id, sizeof t->id, out);
	out[32] = '-';
	trace_hex(t->span, sizeof t->span, out + 33);
	out[49] = '-';
	trace_hex(&t->flags, 1, out + 50);
	out += 52;
	if (!trace_none(t->parent, sizeof t->parent)) {
		*out++ = '-';
		trace_hex(t->parent, sizeof t->parent, out);
		out += 16;
	}
	if (t->start_us != 0 && n >= 0) {
		do {
			digits[--at] = (char)('0' + n % 10);
			n /= 10;
		} while (n > 0);
		*out++ = '+';
		memcpy(out, digits + at, sizeof digits - at);
		out += sizeof digits - at;
	}
	*out = '\0';
}

bool
trace_row_parse(const char *row, int64_t by_us, struct trace *t)
{
	struct trace got = { .start_us = 0 };
	const char *p = row;
	char *end;

	if (!take_hex(&p, got.id, sizeof got.id, '-') || !take_hex(&p, got.span, sizeof got.span, '-') ||
	    !take_bytes(&p, &got.flags, 1))
		return false;
	if (*p == '-' && (p++, !take_bytes(&p, got.parent, sizeof got.parent)))
		return false;
	if (*p == '+' && digit(p[1]) >= 0 && digit(p[1]) <= 9) {
		got.start_us = by_us - strtoll(p + 1, &end, 10);
		p = end;
	}
	if (*p != '\0' || trace_none(got.id, sizeof got.id) || trace_none(got.span, sizeof got.span))
		return false;
	*t = got;
	return true;
}
