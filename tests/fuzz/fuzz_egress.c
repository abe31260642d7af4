/* What both ends of the way out read: hosts, rules, networks, heads, DNS questions and answers.  The first byte picks. */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/egress.h"
#include "lib/egress_dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* What is taken has one spelling, which is taken again and means the same; and nothing in it means anything elsewhere. */
static void
host(const char *s, size_t n)
{
	struct egress_host h, again;

	if (egress_host_parse(s, n, &h, NULL) != 0)
		return;
	if (egress_host_parse(h.text, strlen(h.text), &again, NULL) != 0 || strcmp(h.text, again.text) != 0 || h.family != again.family)
		abort();
	if (h.text[strcspn(h.text, " \t\n\r@/%[]*\\")] != '\0' || (h.family == 0 && strchr(h.text, ':') != NULL))
		abort();
	if (h.family == 0 && inet_addr(h.text) != INADDR_NONE)
		abort(); /* a name that old resolvers take for an address */
}

static void
rule(const char *s, size_t n)
{
	struct egress_rule r;

	if (egress_rule_parse(s, n, EGRESS_PORT, &r, NULL) != 0)
		return;
	if (r.port < 1 || r.port > 65535 || memchr(s, '\n', n) != NULL)
		abort();
	if (!r.all && egress_rule_allows(&r, &r.host, r.port) == r.under)
		abort();
}

static void
question(const uint8_t *p, size_t n)
{
	uint8_t out[DNS_PACKET_MAX];
	struct dns_question q, again;
	size_t m;

	if (n > DNS_PACKET_MAX || dns_question_get(p, n, &q) != 0)
		return;
	m = dns_reply_put(p, &q, q.rcode, q.rcode == DNS_NOERROR ? 0x7f400001 : 0, out);
	if (m > DNS_PACKET_MAX || m > q.end + 16 || q.end > n || dns_question_get(out, m, &again) == 0)
		abort();
}

static void
reply(const uint8_t *p, size_t n)
{
	struct sockaddr_storage a[8];
	int type = n > 0 && (p[n - 1] & 1) ? DNS_AAAA : DNS_A, found;

	found = dns_answer_get(p, n, n > 1 ? (uint16_t)(p[0] << 8 | p[1]) : 0, "a.example", type, a, 8, NULL);
	if (found > 8)
		abort();
	for (; found > 0; found--)
		if (a[found - 1].ss_family != (type == DNS_A ? AF_INET : AF_INET6))
			abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct egress_head h;
	struct egress_net net;
	uint8_t *s;
	long took;

	if (n < 1)
		return 0;
	n--;
	/* A copy without anything behind it, so that one byte too far is seen; a NUL for what reads strings. */
	s = malloc(n + (p[0] % 6 == 2));
	if (s == NULL)
		return 0;
	memcpy(s, p + 1, n);
	switch (p[0] % 6) {
	case 0:
		host((const char *)s, n);
		break;
	case 1:
		rule((const char *)s, n);
		break;
	case 2:
		s[n] = '\0';
		if (egress_net_parse((const char *)s, &net, NULL) == 0 && (net.bits < 0 || net.bits > (net.family == AF_INET ? 32 : 128)))
			abort();
		break;
	case 3:
		took = egress_head_get(s, n, &h);
		if (took > (long)n || (took > 0 && h.host[h.host_n] != '\0'))
			abort();
		break;
	case 4:
		question(s, n);
		break;
	default:
		reply(s, n);
	}
	free(s);
	return 0;
}
