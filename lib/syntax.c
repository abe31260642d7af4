#include "lib/syntax.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Not <ctype.h>: its answers hang on the locale. */
static bool
lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool
letter(char c)
{
	return lower(c) || (c >= 'A' && c <= 'Z');
}

static bool
digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
alnum(char c)
{
	return letter(c) || digit(c);
}

static char
low(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool
same_nocase(const char *s, size_t n, const char *word)
{
	size_t i;

	if (strlen(word) != n)
		return false;
	for (i = 0; i < n; i++)
		if (low(s[i]) != low(word[i]))
			return false;
	return true;
}

static bool
starts(const char *s, size_t n, const char *prefix)
{
	size_t len = strlen(prefix);

	return n >= len && memcmp(s, prefix, len) == 0;
}

/* Length of the part of s before c, or n. */
static size_t
until(const char *s, size_t n, char c)
{
	const char *p = n > 0 ? memchr(s, c, n) : NULL;

	return p != NULL ? (size_t)(p - s) : n;
}

bool
syntax_did(const char *s, size_t n)
{
	size_t i = 4;

	if (n > SYNTAX_DID_MAX || !starts(s, n, "did:"))
		return false;
	while (i < n && lower(s[i]))
		i++;
	if (i == 4 || i + 1 >= n || s[i] != ':')
		return false;
	for (i++; i < n; i++)
		if (!alnum(s[i]) && (s[i] == '\0' || strchr("._:%-", s[i]) == NULL))
			return false;
	return s[n - 1] != ':' && s[n - 1] != '%';
}

/* One label of a domain name: letters, digits and inner hyphens. */
static bool
label(const char *s, size_t n)
{
	size_t i;

	if (n == 0 || n > 63 || s[0] == '-' || s[n - 1] == '-')
		return false;
	for (i = 0; i < n; i++)
		if (!alnum(s[i]) && s[i] != '-')
			return false;
	return true;
}

bool
syntax_handle(const char *s, size_t n)
{
	size_t at = 0, labels = 0, len;

	if (n == 0 || n > SYNTAX_HANDLE_MAX)
		return false;
	for (;;) {
		len = until(s + at, n - at, '.');
		if (!label(s + at, len))
			return false;
		labels++;
		if (at + len == n)
			break;
		at += len + 1;
	}
	return labels >= 2 && letter(s[at]);
}

bool
syntax_handle_public(const char *s, size_t n, bool dev)
{
	static const char *const never[] = { "alt", "arpa", "example", "internal", "invalid", "local", "localhost",
		"onion" };
	size_t i, at = n;

	if (!syntax_handle(s, n))
		return false;
	while (s[at - 1] != '.')
		at--;
	for (i = 0; i < sizeof never / sizeof never[0]; i++)
		if (same_nocase(s + at, n - at, never[i]))
			return false;
	return dev || !same_nocase(s + at, n - at, "test");
}

bool
syntax_nsid(const char *s, size_t n)
{
	size_t at = 0, segments = 0, len, i;

	if (n == 0 || n > SYNTAX_NSID_MAX || !letter(s[0]))
		return false;
	for (;;) {
		len = until(s + at, n - at, '.');
		if (!label(s + at, len))
			return false;
		segments++;
		if (at + len == n)
			break;
		at += len + 1;
	}
	if (segments < 3 || digit(s[at]))
		return false;
	for (i = at; i < n; i++)
		if (!alnum(s[i]))
			return false;
	return true;
}

static bool
key_chars(const char *s, size_t n, size_t max, const char *more)
{
	size_t i;

	if (n == 0 || n > max || (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
		return false;
	for (i = 0; i < n; i++)
		if (!alnum(s[i]) && (s[i] == '\0' || strchr(more, s[i]) == NULL))
			return false;
	return true;
}

bool
syntax_rkey(const char *s, size_t n)
{
	return key_chars(s, n, SYNTAX_RKEY_MAX, "._:~-");
}

bool
syntax_tid(const char *s, size_t n)
{
	size_t i;

	if (n != 13)
		return false;
	for (i = 0; i < n; i++)
		if (!lower(s[i]) && !(s[i] >= '2' && s[i] <= '7'))
			return false;
	return s[0] <= 'j'; /* the top bit is zero */
}

bool
syntax_at_identifier(const char *s, size_t n)
{
	return starts(s, n, "did:") ? syntax_did(s, n) : syntax_handle(s, n);
}

bool
syntax_aturi(const char *s, size_t n)
{
	size_t len;

	if (n > SYNTAX_URI_MAX || !starts(s, n, "at://"))
		return false;
	s += 5;
	n -= 5;
	len = until(s, n, '/');
	if (!syntax_at_identifier(s, len))
		return false;
	if (len == n)
		return true;
	s += len + 1;
	n -= len + 1;
	len = until(s, n, '/');
	if (!syntax_nsid(s, len))
		return false;
	return len == n || syntax_rkey(s + len + 1, n - len - 1);
}

/* Two digits at s, or -1. */
static int
two(const char *s)
{
	return digit(s[0]) && digit(s[1]) ? (s[0] - '0') * 10 + (s[1] - '0') : -1;
}

/* "Z" or "+hh:mm": minutes east of UTC in *minutes. */
static bool
zone(const char *s, size_t n, int *minutes)
{
	int h, m;

	*minutes = 0;
	if (n == 1 && s[0] == 'Z')
		return true;
	if (n != 6 || (s[0] != '+' && s[0] != '-') || s[3] != ':')
		return false;
	h = two(s + 1);
	m = two(s + 4);
	if (h < 0 || h > 23 || m < 0 || m > 59 || (s[0] == '-' && h == 0 && m == 0))
		return false;
	*minutes = (h * 60 + m) * (s[0] == '-' ? -1 : 1);
	return true;
}

bool
syntax_env_name(const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') || s[i] == '_' || (i > 0 && digit(s[i]))))
			return false;
	return n > 0 && n <= SYNTAX_ENV_MAX;
}

static int
days_of(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

bool
syntax_datetime(const char *s, size_t n)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd";
	int year, month, day, hour, minute, second, east;
	size_t i;

	if (n < 20 || n > 64)
		return false;
	for (i = 0; i < sizeof form - 1; i++)
		if (form[i] == 'd' ? !digit(s[i]) : s[i] != form[i])
			return false;
	year = two(s) * 100 + two(s + 2);
	month = two(s + 5);
	day = two(s + 8);
	hour = two(s + 11);
	minute = two(s + 14);
	second = two(s + 17);
	if (month < 1 || month > 12 || day < 1 || day > days_of(year, month) || hour > 23 || minute > 59 ||
	    second > 59)
		return false;
	if (s[i] == '.') {
		size_t from = ++i;
		while (i < n && digit(s[i]))
			i++;
		if (i == from)
			return false;
	}
	if (!zone(s + i, n - i, &east))
		return false;
	/* Must not fall before the year 0 once it is UTC. */
	return year > 0 || month > 1 || day > 1 || hour * 60 + minute >= east;
}

static bool
subtag(const char *s, size_t n, size_t min, size_t max, bool (*of)(char))
{
	size_t i;

	if (n < min || n > max)
		return false;
	for (i = 0; i < n; i++)
		if (!of(s[i]))
			return false;
	return true;
}

struct tags {
	const char *s;
	size_t n;     /* of the subtag at s, 0: none left */
	size_t left;  /* bytes from s on */
};

static void
next_tag(struct tags *t)
{
	size_t skip = t->n < t->left ? t->n + 1 : t->n;

	t->s += skip;
	t->left -= skip;
	t->n = until(t->s, t->left, '-');
}

/* "-x" and what follows: up to the end, one to eight letters or digits each. */
static bool
private_tags(struct tags *t)
{
	next_tag(t);
	if (t->n == 0)
		return false;
	for (; t->n > 0; next_tag(t))
		if (!subtag(t->s, t->n, 1, 8, alnum))
			return false;
	return t->left == 0;
}

static bool
variants(struct tags *t)
{
	struct tags seen[16];
	size_t count = 0, i;

	while (subtag(t->s, t->n, 5, 8, alnum) || (t->n == 4 && digit(t->s[0]) && subtag(t->s, t->n, 4, 4, alnum))) {
		for (i = 0; i < count; i++) {
			size_t k = 0;
			while (seen[i].n == t->n && k < t->n && low(seen[i].s[k]) == low(t->s[k]))
				k++;
			if (k == t->n)
				return false;
		}
		if (count == sizeof seen / sizeof seen[0])
			return false;
		seen[count++] = *t;
		next_tag(t);
	}
	return true;
}

static bool
extensions(struct tags *t)
{
	uint64_t seen = 0;

	while (t->n == 1 && alnum(t->s[0]) && low(t->s[0]) != 'x') {
		char c = low(t->s[0]);
		uint64_t bit = (uint64_t)1 << (digit(c) ? c - '0' : c - 'a' + 10);

		if ((seen & bit) != 0)
			return false;
		seen |= bit;
		next_tag(t);
		if (!subtag(t->s, t->n, 2, 8, alnum))
			return false;
		while (subtag(t->s, t->n, 2, 8, alnum))
			next_tag(t);
	}
	return true;
}

/* Tags of RFC 3066 times that RFC 5646 keeps although they do not fit its grammar. */
static bool
grandfathered(const char *s, size_t n)
{
	static const char *const words[] = { "en-GB-oed", "i-ami", "i-bnn", "i-default", "i-enochian", "i-hak",
		"i-klingon", "i-lux", "i-mingo", "i-navajo", "i-pwn", "i-tao", "i-tay", "i-tsu", "sgn-BE-FR",
		"sgn-BE-NL", "sgn-CH-DE", "art-lojban", "cel-gaulish", "no-bok", "no-nyn", "zh-guoyu", "zh-hakka",
		"zh-min", "zh-min-nan", "zh-xiang" };
	size_t i;

	for (i = 0; i < sizeof words / sizeof words[0]; i++)
		if (same_nocase(s, n, words[i]))
			return true;
	return false;
}

bool
syntax_language(const char *s, size_t n)
{
	struct tags t = { s, until(s, n, '-'), n };
	int i;

	if (n == 0 || n > 128 || s[n - 1] == '-')
		return false;
	if (grandfathered(s, n))
		return true;
	if (t.n == 1 && low(s[0]) == 'x')
		return private_tags(&t);
	if (!subtag(t.s, t.n, 2, 3, lower))
		return false;
	next_tag(&t);
	for (i = 0; i < 3 && subtag(t.s, t.n, 3, 3, letter); i++)
		next_tag(&t);
	if (subtag(t.s, t.n, 4, 4, letter))
		next_tag(&t);
	if (subtag(t.s, t.n, 2, 2, letter) || subtag(t.s, t.n, 3, 3, digit))
		next_tag(&t);
	if (!variants(&t) || !extensions(&t))
		return false;
	if (t.n == 1 && low(t.s[0]) == 'x')
		return private_tags(&t);
	return t.left == 0;
}

bool
syntax_cid(const char *s, size_t n)
{
	size_t i;

	if (n < 8 || n > SYNTAX_CID_MAX || starts(s, n, "Qmb"))
		return false;
	for (i = 0; i < n; i++)
		if (!alnum(s[i]) && s[i] != '+' && s[i] != '=')
			return false;
	return true;
}

bool
syntax_uri(const char *s, size_t n)
{
	size_t colon = until(s, n, ':'), i;

	if (n > SYNTAX_URI_MAX || colon == 0 || colon > 80 || colon + 1 >= n || !lower(s[0]))
		return false;
	for (i = 0; i < colon; i++)
		if (!lower(s[i]) && s[i] != '.' && s[i] != '-')
			return false;
	for (i = colon + 1; i < n; i++)
		if (s[i] <= ' ' || s[i] > '~')
			return false;
	return true;
}

static bool
plc(const char *s, size_t n)
{
	size_t i;

	if (n != 24)
		return false;
	for (i = 0; i < n; i++)
		if (!lower(s[i]) && !(s[i] >= '2' && s[i] <= '7'))
			return false;
	return true;
}

/* "%3A" and a port, to the end. */
static bool
port_suffix(const char *s, size_t n)
{
	size_t i;

	if (n < 4 || n > 8 || s[0] != '%' || s[1] != '3' || (s[2] != 'A' && s[2] != 'a') || s[3] == '0')
		return false;
	for (i = 3; i < n; i++)
		if (!digit(s[i]))
			return false;
	return true;
}

bool
syntax_did_known(const char *s, size_t n, bool dev)
{
	size_t host;

	if (!syntax_did(s, n))
		return false;
	if (starts(s, n, "did:plc:"))
		return plc(s + 8, n - 8);
	if (!starts(s, n, "did:web:"))
		return false;
	s += 8;
	n -= 8;
	host = until(s, n, '%');
	if (host < n && !(dev && port_suffix(s + host, n - host)))
		return false;
	if (dev && same_nocase(s, host, "localhost"))
		return true;
	return syntax_handle_public(s, host, dev);
}

bool
syntax_bundle_name(const char *s, size_t n)
{
	return key_chars(s, n, SYNTAX_BUNDLE_MAX, "._~-");
}

bool
syntax_version(const char *s, size_t n)
{
	return key_chars(s, n, SYNTAX_VERSION_MAX, "._~-");
}

bool
syntax_endpoint(const char *s, size_t n)
{
	size_t i;

	if (n == 0 || n > SYNTAX_ENDPOINT_MAX || digit(s[0]) || s[0] == '-')
		return false;
	for (i = 0; i < n; i++)
		if (!alnum(s[i]) && s[i] != '_' && s[i] != '-' && s[i] != '$')
			return false;
	return true;
}

void
syntax_handle_lower(char *s)
{
	for (; *s != '\0'; s++)
		*s = low(*s);
}

int64_t
syntax_datetime_ms(const char *s)
{
	struct tm tm = { 0 };
	int64_t offset = 0;
	const char *rest;

	if (!syntax_datetime(s, strlen(s)) || (rest = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm)) == NULL)
		return -1;
	if (*rest == '.')
		rest += 1 + strspn(rest + 1, "0123456789");
	if (*rest == '+' || *rest == '-')
		offset = (strtol(rest + 1, NULL, 10) * 60 + strtol(rest + 4, NULL, 10)) * (*rest == '-' ? -60 : 60);
	return ((int64_t)timegm(&tm) - offset) * 1000;
}
