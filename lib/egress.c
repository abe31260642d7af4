#include "lib/egress.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/err.h"

/* --- hosts --- */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* What inet_aton and browsers read as a number: all digits, or 0x and hexadecimal digits or nothing. */
static bool
is_number(const char *s, size_t n)
{
	size_t i = n >= 2 && s[0] == '0' && s[1] == 'x' ? 2 : 0;
	bool hex = i == 2;

	for (; i < n; i++)
		if (!is_digit(s[i]) && !(hex && s[i] >= 'a' && s[i] <= 'f'))
			return false;
	return n > 0;
}

static bool
label_ok(const char *s, size_t n)
{
	size_t i;

	if (n < 1 || n > 63 || s[0] == '-' || s[n - 1] == '-')
		return false;
	for (i = 0; i < n; i++)
		if (!is_digit(s[i]) && s[i] != '-' && (s[i] < 'a' || s[i] > 'z'))
			return false;
	return true;
}

static int
parse_name(struct egress_host *h, struct err *e)
{
	const char *p = h->text, *dot;

	for (;;) {
		dot = strchr(p, '.');
		if (!label_ok(p, dot != NULL ? (size_t)(dot - p) : strlen(p)))
			return err_set(e, ERR_INPUT, "'%.100s' is no host name", h->text);
		if (dot == NULL)
			break;
		p = dot + 1;
	}
	if (is_number(p, strlen(p)))
		return err_set(e, ERR_INPUT, "'%.100s' is a number and no host name", h->text);
	return 0;
}

static bool
is_four_in_six(const struct in6_addr *a)
{
	return IN6_IS_ADDR_V4MAPPED(a) || IN6_IS_ADDR_V4COMPAT(a);
}

/* 1: a literal, 0: none, -1: one that is refused. */
static int
parse_literal(struct egress_host *h, bool brackets, struct err *e)
{
	uint8_t bytes[16];

	if (!brackets && inet_pton(AF_INET, h->text, bytes) == 1) {
		h->family = AF_INET;
		return 1;
	}
	if (strchr(h->text, ':') == NULL)
		return brackets ? err_set(e, ERR_INPUT, "'[%.100s]' is no IPv6 address", h->text) : 0;
	if (inet_pton(AF_INET6, h->text, bytes) != 1)
		return err_set(e, ERR_INPUT, "'%.100s' is no IPv6 address", h->text);
	if (is_four_in_six((const struct in6_addr *)(const void *)bytes))
		return err_set(e, ERR_INPUT, "'%.100s' hides an IPv4 address", h->text);
	h->family = AF_INET6;
	inet_ntop(AF_INET6, bytes, h->text, sizeof h->text);
	return 1;
}

int
egress_host_parse(const char *s, size_t n, struct egress_host *out, struct err *e)
{
	bool brackets = n >= 2 && s[0] == '[' && s[n - 1] == ']', dot = !brackets && n > 1 && s[n - 1] == '.';
	size_t i;
	int literal;

	memset(out, 0, sizeof *out);
	if (brackets) {
		s++;
		n -= 2;
	} else if (dot) {
		n--;
	}
	if (n < 1 || n > EGRESS_HOST_MAX)
		return err_set(e, ERR_INPUT, "a host name has 1 to %d characters", EGRESS_HOST_MAX);
	for (i = 0; i < n; i++) {
		out->text[i] = lower(s[i]);
		if ((unsigned char)s[i] <= ' ' || (unsigned char)s[i] >= 0x7f) {
			out->text[i] = '\0';
			return err_set(e, ERR_INPUT, "a host name has no such byte as 0x%02x: '%.100s...'", (unsigned char)s[i],
			    out->text);
		}
	}
	literal = parse_literal(out, brackets, e);
	if (literal > 0 && dot)
		return err_set(e, ERR_INPUT, "an address has no dot at its end: '%.100s.'", out->text);
	return literal == 0 ? parse_name(out, e) : literal > 0 ? 0 : -1;
}

/* --- rules --- */

static int
parse_port(const char *s, size_t n)
{
	int port = 0;
	size_t i;

	if (n < 1 || n > 5 || s[0] == '0')
		return -1;
	for (i = 0; i < n; i++) {
		if (!is_digit(s[i]))
			return -1;
		port = port * 10 + (s[i] - '0');
	}
	return port <= 65535 ? port : -1;
}

/* Length of the host in "host:port"; a bare IPv6 literal has colons and no port. */
static size_t
host_length(const char *s, size_t n)
{
	const char *colon = memrchr(s, ':', n), *bracket = memrchr(s, ']', n);

	if (colon == NULL || (bracket != NULL && bracket > colon))
		return n;
	if (bracket == NULL && memchr(s, ':', (size_t)(colon - s)) != NULL)
		return n;
	return (size_t)(colon - s);
}

int
egress_rule_parse(const char *s, size_t n, int default_port, struct egress_rule *out, struct err *e)
{
	size_t host_n = host_length(s, n);

	memset(out, 0, sizeof *out);
	out->port = default_port;
	if (host_n < n && (out->port = parse_port(s + host_n + 1, n - host_n - 1)) < 1)
		return err_set(e, ERR_INPUT, "the port of '%.*s' is none from 1 to 65535", (int)(n < 100 ? n : 100), s);
	if (host_n == 1 && s[0] == '*') {
		out->all = true;
		return 0;
	}
	if (host_n > 2 && s[0] == '*' && s[1] == '.') {
		out->under = true;
		s += 2;
		host_n -= 2;
	}
	if (egress_host_parse(s, host_n, &out->host, e) != 0)
		return -1;
	if (out->under && out->host.family != 0)
		return err_set(e, ERR_INPUT, "'*.' stands before a name, not before an address");
	return 0;
}

bool
egress_rule_names(const struct egress_rule *r, const struct egress_host *h)
{
	size_t n = strlen(h->text), m = strlen(r->host.text);

	if (r->all)
		return h->family == 0;
	if (r->host.family != h->family)
		return false;
	if (!r->under)
		return strcmp(h->text, r->host.text) == 0;
	return n > m + 1 && h->text[n - m - 1] == '.' && strcmp(h->text + n - m, r->host.text) == 0;
}

bool
egress_rule_allows(const struct egress_rule *r, const struct egress_host *h, int port)
{
	return (r->port == 0 || r->port == port) && egress_rule_names(r, h);
}

/* --- networks --- */

int
egress_net_parse(const char *s, struct egress_net *out, struct err *e)
{
	const char *slash = strchr(s, '/');
	size_t n = slash != NULL ? (size_t)(slash - s) : strlen(s);
	char text[64];
	int most;

	memset(out, 0, sizeof *out);
	if (n >= sizeof text)
		return err_set(e, ERR_INPUT, "'%.80s' is no network", s);
	memcpy(text, s, n);
	text[n] = '\0';
	out->family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
	most = out->family == AF_INET6 ? 128 : 32;
	if (inet_pton(out->family, text, out->bytes) != 1)
		return err_set(e, ERR_INPUT, "'%.80s' is no network such as 10.0.0.0/8", s);
	out->bits = most;
	if (slash != NULL && strcmp(slash, "/0") == 0)
		out->bits = 0;
	else if (slash != NULL)
		out->bits = parse_port(slash + 1, strlen(slash + 1));
	if (out->bits < 0 || out->bits > most)
		return err_set(e, ERR_INPUT, "'%.80s' has no prefix length from 0 to %d", s, most);
	return 0;
}

bool
egress_net_holds(const struct egress_net *n, const struct sockaddr *a)
{
	const uint8_t *bytes;
	int whole = n->bits / 8, rest = n->bits % 8;

	if (a->sa_family != n->family)
		return false;
	bytes = a->sa_family == AF_INET ? (const uint8_t *)&((const struct sockaddr_in *)(const void *)a)->sin_addr :
	    ((const struct sockaddr_in6 *)(const void *)a)->sin6_addr.s6_addr;
	if (memcmp(bytes, n->bytes, (size_t)whole) != 0)
		return false;
	return rest == 0 || ((bytes[whole] ^ n->bytes[whole]) >> (8 - rest)) == 0;
}

/* --- the head --- */

size_t
egress_head_put(char kind, const char *host, int port, uint8_t out[EGRESS_HEAD_MAX])
{
	size_t n = host != NULL ? strlen(host) : 0;

	n = n < 255 ? n : 255;
	out[0] = (uint8_t)kind;
	out[1] = EGRESS_VERSION;
	out[2] = (uint8_t)(port >> 8);
	out[3] = (uint8_t)port;
	out[4] = (uint8_t)n;
	if (n > 0)
		memcpy(out + EGRESS_HEAD, host, n);
	return EGRESS_HEAD + n;
}

long
egress_head_get(const uint8_t *p, size_t n, struct egress_head *out)
{
	if ((n > 0 && p[0] != 'C' && p[0] != 'P') || (n > 1 && p[1] != EGRESS_VERSION))
		return -1;
	if (n < EGRESS_HEAD)
		return 0;
	out->kind = (char)p[0];
	out->port = p[2] << 8 | p[3];
	out->host_n = p[4];
	if (out->kind == 'P' ? out->port != 0 || out->host_n != 0 : out->host_n == 0)
		return -1;
	if (n < EGRESS_HEAD + out->host_n)
		return 0;
	memcpy(out->host, p + EGRESS_HEAD, out->host_n);
	out->host[out->host_n] = '\0';
	return (long)(EGRESS_HEAD + out->host_n);
}

const char *
egress_verdict_word(enum egress_verdict v)
{
	static const char *const words[] = {
		[EGRESS_OPEN] = "open",
		[EGRESS_MALFORMED] = "malformed",
		[EGRESS_NOT_LISTED] = "not-listed",
		[EGRESS_OPERATOR] = "operator",
		[EGRESS_UNRESOLVED] = "unresolved",
		[EGRESS_PRIVATE] = "private",
		[EGRESS_UNREACHABLE] = "unreachable",
		[EGRESS_BUSY] = "busy",
		[EGRESS_SPENT] = "spent",
	};

	return (unsigned)v < EGRESS_VERDICT_COUNT ? words[v] : "unknown";
}
