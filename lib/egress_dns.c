#include "lib/egress_dns.h"

#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "lib/err.h"

enum { HEADER = 12, DNS_CNAME = 5, DNS_OPT = 41, TTL_SECONDS = 5, JUMPS_MAX = 32, RECORDS_MAX = 256 };

static int
get16(const uint8_t *p)
{
	return p[0] << 8 | p[1];
}

static void
put16(uint8_t *p, int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static char
lower(uint8_t c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static int
label_plain(const uint8_t *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (p[i] <= ' ' || p[i] >= 0x7f || p[i] == '.')
			return 0;
	return 1;
}

/*
 * A name at *at, with pointers followed when jumps is given.  text gets it in lower case; "" when some label holds a byte
 * that no host name has.  0, or -1 when it is malformed.
 */
static int
get_name(const uint8_t *p, size_t n, size_t *at, int jumps, char text[254])
{
	size_t i = *at, used = 0, room;
	int plain = 1, jumped = 0;

	for (;;) {
		if (i >= n)
			return -1;
		if (p[i] >= 0xc0) {
			if (jumps-- <= 0 || i + 1 >= n)
				return -1;
			if (!jumped)
				*at = i + 2;
			jumped = 1;
			i = (size_t)(get16(p + i) & 0x3fff);
			continue;
		}
		room = p[i++];
		if (room > 63 || room > n - i)
			return -1;
		if (room == 0)
			break;
		if (used + room + 1 > 254)
			return -1;
		plain &= label_plain(p + i, room);
		for (; room > 0; room--)
			text[used++] = lower(p[i++]);
		text[used++] = '.';
	}
	if (!jumped)
		*at = i;
	text[plain && used > 0 ? used - 1 : 0] = '\0';
	return 0;
}

/* Behind the question nothing may stand but one OPT record, whole and last. */
static int
tail_ok(const uint8_t *p, size_t n, size_t at, int additional)
{
	if (additional == 0)
		return at == n;
	return additional == 1 && n - at >= 11 && p[at] == 0 && get16(p + at + 1) == DNS_OPT &&
	    n - at - 11 == (size_t)get16(p + at + 9);
}

int
dns_question_get(const uint8_t *p, size_t n, struct dns_question *q)
{
	size_t at = HEADER;

	memset(q, 0, sizeof *q);
	q->end = HEADER;
	if (n < HEADER || (p[2] & 0x80) != 0)
		return -1;
	q->rcode = DNS_FORMERR;
	if ((p[2] & 0x78) != 0) {
		q->rcode = DNS_NOTIMP;
		return 0;
	}
	if (get16(p + 4) != 1 || get16(p + 6) != 0 || get16(p + 8) != 0)
		return 0;
	if (get_name(p, n, &at, 0, q->name) != 0 || n - at < 4 || !tail_ok(p, n, at + 4, get16(p + 10))) {
		q->name[0] = '\0';
		return 0;
	}
	q->type = get16(p + at);
	q->class = get16(p + at + 2);
	q->end = at + 4;
	q->rcode = DNS_NOERROR;
	return 0;
}

size_t
dns_reply_put(const uint8_t *query, const struct dns_question *q, int rcode, uint32_t address, uint8_t out[DNS_PACKET_MAX])
{
	size_t at = q->end;

	memcpy(out, query, at);
	out[2] = (uint8_t)(0x84 | (query[2] & 0x79)); /* an answer, authoritative, the question's kind and wish */
	out[3] = (uint8_t)(0x80 | rcode);
	memset(out + 4, 0, 8);
	out[5] = at > HEADER;
	if (address == 0)
		return at;
	out[7] = 1;
	put16(out + at, 0xc000 | HEADER);
	put16(out + at + 2, DNS_A);
	put16(out + at + 4, DNS_IN);
	put16(out + at + 6, 0);
	put16(out + at + 8, TTL_SECONDS);
	put16(out + at + 10, 4);
	put16(out + at + 12, (int)(address >> 16));
	put16(out + at + 14, (int)(address & 0xffff));
	return at + 16;
}

size_t
dns_ask_put(uint16_t id, const char *name, int type, uint8_t out[DNS_PACKET_MAX])
{
	static const uint8_t opt[] = { 0, 0, DNS_OPT, DNS_PACKET_MAX >> 8, DNS_PACKET_MAX & 0xff, 0, 0, 0, 0, 0, 0 };
	size_t at = HEADER, n;

	memset(out, 0, HEADER);
	put16(out, id);
	out[2] = 1; /* recursion desired */
	out[5] = out[11] = 1;
	for (; *name != '\0'; name += name[n] == '.' ? n + 1 : n) {
		n = strcspn(name, ".");
		if (n == 0 || n > 63 || at + n > HEADER + 254)
			break;
		out[at++] = (uint8_t)n;
		memcpy(out + at, name, n);
		at += n;
	}
	out[at++] = 0;
	put16(out + at, type);
	put16(out + at + 2, DNS_IN);
	memcpy(out + at + 4, opt, sizeof opt);
	return at + 4 + sizeof opt;
}

static void
keep(struct sockaddr_storage *to, int type, const uint8_t *data)
{
	struct sockaddr_in *four = (struct sockaddr_in *)(void *)to;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)(void *)to;

	memset(to, 0, sizeof *to);
	if (type == DNS_A) {
		four->sin_family = AF_INET;
		memcpy(&four->sin_addr, data, 4);
	} else {
		six->sin6_family = AF_INET6;
		memcpy(&six->sin6_addr, data, 16);
	}
}

/* The records of the answer in their order: an alias leads on, as resolvers write them.  -1: malformed, or too many. */
static int
get_records(const uint8_t *p, size_t n, size_t at, int records, const char *name, int type, struct sockaddr_storage *out, int max)
{
	char wanted[254], owner[254], target[254];
	int found = 0, i;

	memcpy(wanted, name, strlen(name) + 1);
	if (records > RECORDS_MAX)
		return -1;
	for (i = 0; i < records; i++) {
		size_t size, data, follow;
		int kind;

		if (get_name(p, n, &at, JUMPS_MAX, owner) != 0 || n - at < 10)
			return -1;
		kind = get16(p + at);
		size = (size_t)get16(p + at + 8);
		data = follow = at + 10;
		if (get16(p + at + 2) != DNS_IN || size > n - data)
			return -1;
		at = data + size;
		if (strcmp(owner, wanted) != 0)
			continue;
		if (kind == DNS_CNAME) {
			if (get_name(p, at, &follow, JUMPS_MAX, target) != 0)
				return -1;
			memcpy(wanted, target, sizeof wanted);
		} else if (kind == type) {
			if (size != (type == DNS_A ? 4u : 16u) || found >= max)
				return -1;
			keep(&out[found++], type, p + data);
		}
	}
	return found;
}

int
dns_answer_get(const uint8_t *p, size_t n, uint16_t id, const char *name, int type, struct sockaddr_storage *out, int max,
    struct err *e)
{
	char asked[254] = "";
	size_t at = HEADER;
	int rcode, found;

	if (strlen(name) > 253 || n < HEADER || get16(p) != id || (p[2] & 0xf8) != 0x80 || get16(p + 4) != 1 ||
	    get_name(p, n, &at, 0, asked) != 0 || strcasecmp(asked, name) != 0 || n - at < 4 || get16(p + at) != type ||
	    get16(p + at + 2) != DNS_IN) {
		err_set(e, ERR_REMOTE, "the resolver's packet answers no question of ours");
		return -1;
	}
	rcode = p[3] & 0x0f;
	if (rcode == DNS_NXDOMAIN) {
		err_set(e, ERR_NOTFOUND, "there is no such name");
		return -3;
	}
	if (rcode != DNS_NOERROR || (p[2] & 0x02) != 0) {
		err_set(e, ERR_REMOTE, rcode != DNS_NOERROR ? "the resolver answers with error %d" :
		    "the resolver's answer is cut off (%d)", rcode);
		return -2;
	}
	found = get_records(p, n, at + 4, get16(p + 6), asked, type, out, max);
	if (found >= 0)
		return found;
	err_set(e, ERR_REMOTE, "the resolver's answer is malformed");
	return -2;
}
