#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/egress.h"
#include "lib/egress_dns.h"
#include "lib/egress_relay.h"
#include "lib/err.h"
#include "scheduler/egress_conf.h"
#include "scheduler/lookup.h"
#include "tests/t.h"

/* --- hosts --- */

TEST(egress_hosts_have_one_spelling)
{
	static const struct {
		const char *in, *out;
		int family;
	} table[] = { { "api.example.com", "api.example.com", 0 }, { "API.Example.COM", "api.example.com", 0 },
		{ "api.example.com.", "api.example.com", 0 }, { "localhost", "localhost", 0 },
		{ "xn--bcher-kva.example", "xn--bcher-kva.example", 0 }, { "1.example", "1.example", 0 },
		{ "0x7f.example", "0x7f.example", 0 }, { "a-1.b--c.d", "a-1.b--c.d", 0 }, { "11.22.33.44", "11.22.33.44", AF_INET },
		{ "2606:4700:0:0::1", "2606:4700::1", AF_INET6 }, { "[2606:4700::1]", "2606:4700::1", AF_INET6 },
		{ "FE80::1", "fe80::1", AF_INET6 }, { "::1", "::1", AF_INET6 } }, *row;
	struct egress_host h;

	for (T_EACH(row, table)) {
		CHECK_INT(egress_host_parse(row->in, strlen(row->in), &h, NULL), 0);
		CHECK_STR(h.text, row->out);
		CHECK_INT(h.family, row->family);
	}
}

TEST(egress_hosts_in_disguise_are_none)
{
	static const char *const table[] = { "", ".", "..", "a..b", ".a", "a.b..", "2130706433", "0x7f000001", "0x7f.1", "127.1", "127.0.1",
		"0177.0.0.1", "127.0.0.01", "127.0.0.1.", "1.2.3.4.5", "256.1.1.1", "a.1", "a.0x1", "a.0x", "::ffff:127.0.0.1",
		"::ffff:7f00:1", "[::ffff:10.0.0.1]", "::10.0.0.1", "fe80::1%eth0", "[fe80::1%25eth0]", "[127.0.0.1]", "[]", "[a.b]", "[::1",
		"user@host.example", "host.example:80", "host.example/", "host example", " a", "a ", "a\tb", "a\nb", "a_b.example",
		"-a.example", "a-.example", "b\xc3\xbc" "cher.example", "*.example", "a%2eb", "a\\b", "a?b", "a#b", "1:2" }, *const *row;
	char label[80], name[300];
	struct egress_host h;
	size_t i;

	for (T_EACH(row, table)) {
		struct err e = ERR_INIT;

		if (egress_host_parse(*row, strlen(*row), &h, &e) == 0)
			t_check(false, *row, __FILE__, __LINE__);
		CHECK(e.text[0] != '\0');
	}
	CHECK(egress_host_parse("a\0b.example", 11, &h, NULL) != 0);
	memset(label, 'a', sizeof label);
	CHECK(egress_host_parse(label, 63, &h, NULL) == 0);
	CHECK(egress_host_parse(label, 64, &h, NULL) != 0);
	for (i = 0; i < sizeof name; i++)
		name[i] = i % 2 == 0 ? 'a' : '.';
	CHECK(egress_host_parse(name, 253, &h, NULL) == 0);
	CHECK(egress_host_parse(name, 255, &h, NULL) != 0);
}

/* --- rules --- */

static bool
allows(const char *rule, const char *host, int port)
{
	struct egress_rule r;
	struct egress_host h;

	CHECK_INT(egress_rule_parse(rule, strlen(rule), EGRESS_PORT, &r, NULL), 0);
	CHECK_INT(egress_host_parse(host, strlen(host), &h, NULL), 0);
	return egress_rule_allows(&r, &h, port);
}

TEST(egress_rules_mean_what_they_say)
{
	static const struct {
		const char *rule, *host;
		int port;
		bool yes;
	} table[] = { { "a.example", "a.example", 443, true }, { "a.example", "a.example", 80, false },
		{ "a.example:80", "a.example", 80, true }, { "a.example:80", "a.example", 443, false }, { "A.Example.:80", "a.EXAMPLE", 80, true },
		{ "a.example", "b.a.example", 443, false }, { "*.a.example", "b.a.example", 443, true }, { "*.a.example", "c.b.a.example", 443, true },
		{ "*.a.example", "a.example", 443, false }, { "*.a.example", "ba.example", 443, false }, { "*.a.example:8443", "b.a.example", 8443, true },
		{ "*", "any.example", 443, true }, { "*", "any.example", 80, false }, { "*:80", "any.example", 80, true }, { "*", "11.22.33.44", 443, false },
		{ "11.22.33.44:80", "11.22.33.44", 80, true }, { "[2606:4700::1]:80", "2606:4700:0::1", 80, true }, { "2606:4700::1", "2606:4700::1", 443, true },
		{ "[2606:4700::1]", "2606:4700::1", 443, true } }, *row;

	for (T_EACH(row, table))
		if (allows(row->rule, row->host, row->port) != row->yes)
			t_check(false, row->rule, __FILE__, __LINE__);
}

TEST(egress_rules_that_are_none)
{
	static const char *const table[] = { "", "*.", "**.a", "a.*.b", "a.example:", "a.example:0", "a.example:65536", "a.example:080", "a.example:-1", "a.example:8x",
		"*.11.22.33.44", "https://a.example", "a.example/x", "a.example:80:81", "[::1", "a.example a.example", "a\nb" }, *const *row;
	struct egress_rule r;

	for (T_EACH(row, table))
		if (egress_rule_parse(*row, strlen(*row), EGRESS_PORT, &r, NULL) == 0)
			t_check(false, *row, __FILE__, __LINE__);
}

TEST(egress_networks)
{
	static const struct {
		const char *net, *address;
		bool in;
	} table[] = { { "10.0.0.0/8", "10.255.0.1", true }, { "10.0.0.0/8", "11.0.0.1", false }, { "10.1.2.3", "10.1.2.3", true }, { "10.1.2.3", "10.1.2.4", false },
		{ "0.0.0.0/0", "1.2.3.4", true }, { "192.168.64.0/18", "192.168.127.1", true }, { "192.168.64.0/18", "192.168.128.1", false },
		{ "fd00::/8", "fdff::1", true }, { "fd00::/8", "fe00::1", false }, { "10.0.0.0/8", "::ffff:10.0.0.1", false } }, *row;
	static const char *const bad[] = { "", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/", "10.0.0.0/x", "fd00::/129", "host/8", "10.0.0.0/-1" }, *const *b;
	struct egress_net n;

	for (T_EACH(row, table)) {
		struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
		struct sockaddr_in four = { .sin_family = AF_INET };
		bool is_six = inet_pton(AF_INET6, row->address, &six.sin6_addr) == 1;

		inet_pton(AF_INET, row->address, &four.sin_addr);
		CHECK_INT(egress_net_parse(row->net, &n, NULL), 0);
		if (egress_net_holds(&n, is_six ? (struct sockaddr *)&six : (struct sockaddr *)&four) != row->in)
			t_check(false, row->net, __FILE__, __LINE__);
	}
	for (T_EACH(b, bad))
		if (egress_net_parse(*b, &n, NULL) == 0)
			t_check(false, *b, __FILE__, __LINE__);
}

TEST(egress_heads_come_whole_or_not_at_all)
{
	uint8_t head[EGRESS_HEAD_MAX];
	struct egress_head h;
	size_t n = egress_head_put('C', "api.example.com", 8443, head), i;

	for (i = 0; i < n; i++)
		CHECK_INT(egress_head_get(head, i, &h), 0);
	CHECK_INT(egress_head_get(head, n, &h), n);
	CHECK_STR(h.host, "api.example.com");
	CHECK_INT(h.port, 8443);
	head[1] = 2;
	CHECK_INT(egress_head_get(head, n, &h), -1);
	CHECK_INT(egress_head_get((const uint8_t *)"GET / HTTP", 10, &h), -1);
	n = egress_head_put('C', "", 80, head);
	CHECK_INT(egress_head_get(head, n, &h), -1);
	n = egress_head_put('P', NULL, 0, head);
	CHECK_INT(egress_head_get(head, n, &h), n);
	CHECK_STR(egress_verdict_word(EGRESS_PRIVATE), "private");
}

/* --- DNS --- */

TEST(egress_dns_question_and_answer_fit)
{
	uint8_t ask[DNS_PACKET_MAX], reply[DNS_PACKET_MAX];
	struct sockaddr_storage found[4];
	struct dns_question q;
	struct err e = ERR_INIT;
	size_t n = dns_ask_put(4711, "api.example.com", DNS_A, ask), m;

	CHECK_INT(dns_question_get(ask, n, &q), 0);
	CHECK_INT(q.rcode, DNS_NOERROR);
	CHECK_STR(q.name, "api.example.com");
	CHECK_INT(q.type, DNS_A);
	m = dns_reply_put(ask, &q, DNS_NOERROR, 0x7f400001, reply);
	CHECK_INT(dns_answer_get(reply, m, 4711, "api.example.com", DNS_A, found, 4, &e), 1);
	CHECK_INT(ntohl(((struct sockaddr_in *)(void *)&found[0])->sin_addr.s_addr), 0x7f400001);
	CHECK_INT(dns_answer_get(reply, m, 4712, "api.example.com", DNS_A, found, 4, &e), -1);
	CHECK_INT(dns_answer_get(reply, m, 4711, "other.example.com", DNS_A, found, 4, &e), -1);
	CHECK_INT(dns_answer_get(reply, m, 4711, "api.example.com", DNS_AAAA, found, 4, &e), -1);
	CHECK_INT(dns_answer_get(reply, m, 4711, "api.example.com", DNS_A, found, 0, &e), -2);
	CHECK_INT(dns_answer_get(reply, m - 1, 4711, "api.example.com", DNS_A, found, 4, &e), -2);
	m = dns_reply_put(ask, &q, DNS_NXDOMAIN, 0, reply);
	CHECK_INT(dns_answer_get(reply, m, 4711, "api.example.com", DNS_A, found, 4, &e), -3);
	CHECK_INT(e.kind, ERR_NOTFOUND);
	CHECK_INT(dns_answer_get(ask, n, 4711, "api.example.com", DNS_A, found, 4, &e), -1);
	CHECK_INT(dns_question_get(reply, m, &q), -1);
}

TEST(egress_dns_packets_are_read_strictly)
{
	uint8_t ask[DNS_PACKET_MAX], copy[DNS_PACKET_MAX + 1];
	struct dns_question q;
	size_t n = dns_ask_put(1, "a.example", DNS_A, ask), i;

	/* Cut anywhere it is none; only shorter than its header it is not answered. */
	for (i = 0; i < n; i++) {
		int rc = dns_question_get(ask, i, &q);

		CHECK_INT(rc, i < 12 ? -1 : 0);
		CHECK(rc != 0 || q.rcode == DNS_FORMERR);
	}
	memcpy(copy, ask, n);
	copy[n] = 0;
	CHECK(dns_question_get(copy, n + 1, &q) == 0 && q.rcode == DNS_FORMERR);
	copy[5] = 2; /* two questions */
	CHECK(dns_question_get(copy, n, &q) == 0 && q.rcode == DNS_FORMERR);
	memcpy(copy, ask, n);
	copy[12] = 0xc0; /* a pointer, to itself */
	copy[13] = 12;
	CHECK(dns_question_get(copy, n, &q) == 0 && q.rcode == DNS_FORMERR);
	memcpy(copy, ask, n);
	copy[13] = '.'; /* a dot inside a label is no host name, and no part of one either */
	CHECK(dns_question_get(copy, n, &q) == 0 && q.rcode == DNS_NOERROR && q.name[0] == '\0');
	memcpy(copy, ask, n);
	copy[2] |= 0x10;
	CHECK(dns_question_get(copy, n, &q) == 0 && q.rcode == DNS_NOTIMP);
}

/* --- the relay --- */

struct pairs {
	int left[2], right[2]; /* [0]: the test's end, [1]: the relay's */
	struct relay relay;
};

static void
pairs_open(struct pairs *p, int64_t *ab, int64_t *ba)
{
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p->left) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p->right) == 0);
	relay_init(&p->relay, p->left[1], p->right[1], ab, ba);
}

static void
pairs_close(struct pairs *p)
{
	relay_clear(&p->relay);
	close(p->left[0]);
	close(p->left[1]);
	close(p->right[0]);
	close(p->right[1]);
}

TEST(egress_relay_carries_both_ways_and_halves)
{
	struct pairs p;
	char got[16];

	pairs_open(&p, NULL, NULL);
	CHECK_INT(send(p.left[0], "there", 5, MSG_NOSIGNAL), 5);
	CHECK_INT(send(p.right[0], "back", 4, MSG_NOSIGNAL), 4);
	CHECK_INT(relay_step(&p.relay), RELAY_WAITING);
	CHECK_INT(read(p.right[0], got, sizeof got), 5);
	CHECK_INT(read(p.left[0], got, sizeof got), 4);
	shutdown(p.left[0], SHUT_WR);
	CHECK_INT(relay_step(&p.relay), RELAY_WAITING);
	CHECK_INT(read(p.right[0], got, sizeof got), 0);
	CHECK_INT(send(p.right[0], "late", 4, MSG_NOSIGNAL), 4);
	shutdown(p.right[0], SHUT_WR);
	CHECK_INT(relay_step(&p.relay), RELAY_DONE);
	CHECK_INT(read(p.left[0], got, sizeof got), 4);
	CHECK_INT(p.relay.way[0].moved, 5);
	CHECK_INT(p.relay.way[1].moved, 8);
	pairs_close(&p);
}

TEST(egress_relay_stops_at_its_limit)
{
	int64_t left = 5, other = 100;
	struct pairs p;
	char got[16];

	pairs_open(&p, &left, &other);
	CHECK_INT(send(p.left[0], "12345", 5, MSG_NOSIGNAL), 5);
	CHECK_INT(relay_step(&p.relay), RELAY_WAITING);
	CHECK_INT(left, 0);
	CHECK_INT(send(p.left[0], "678", 3, MSG_NOSIGNAL), 3);
	CHECK_INT(relay_step(&p.relay), RELAY_OVER);
	CHECK_INT(read(p.right[0], got, sizeof got), 5);
	CHECK_INT(read(p.right[0], got, sizeof got), -1);
	pairs_close(&p);
}

TEST(egress_relay_reads_no_more_than_it_can_write)
{
	static char block[65536];
	struct pairs p;
	ssize_t n, in = 0, out = 0;
	int i;

	pairs_open(&p, NULL, NULL);
	for (i = 0; i < 1000; i++) {
		while ((n = send(p.left[0], block, sizeof block, MSG_NOSIGNAL)) > 0)
			in += n;
		relay_step(&p.relay);
	}
	CHECK(in < 4 << 20);
	shutdown(p.left[0], SHUT_WR);
	while (out < in) {
		while ((n = read(p.right[0], block, sizeof block)) > 0)
			out += n;
		relay_step(&p.relay);
	}
	CHECK_INT(out, in);
	pairs_close(&p);
}

/* --- the operator's word --- */

TEST(egress_config_is_read_and_obeyed)
{
	static const char text[] = "[egress]\nallow = [\"*.example\", \"11.22.33.44:80\"]\ndeny = [\"bad.example\", \"*.evil.example:80\"]\n"
	    "ports = [80, 443]\nresolver = \"[2001:db8::53]:5353\"\nallow_private = 10.1.0.0/16\n";
	static const struct {
		const char *host;
		int port;
		bool yes;
	} table[] = { { "a.example", 443, true }, { "a.example", 8443, false }, { "bad.example", 80, false }, { "x.evil.example", 80, false },
		{ "x.evil.example", 443, true }, { "a.test", 443, false }, { "11.22.33.44", 80, true }, { "11.22.33.44", 443, false } }, *row;
	struct err e = ERR_INIT;
	struct buf problems = BUF_INIT;
	struct conf *c = conf_parse("t", text, sizeof text - 1, "/h", &problems, &e);
	struct egress_conf x;
	struct egress_host h;

	if (c == NULL)
		t_check(false, e.text, __FILE__, __LINE__);
	CHECK_INT(egress_conf_fill(&x, c, &e), 0);
	CHECK_STR(x.resolver.text, "2001:db8::53");
	CHECK_INT(x.resolver_port, 5353);
	for (T_EACH(row, table)) {
		CHECK_INT(egress_host_parse(row->host, strlen(row->host), &h, NULL), 0);
		if ((egress_conf_permits(&x, &h, row->port, &e) == 0) != row->yes)
			t_check(false, row->host, __FILE__, __LINE__);
	}
	egress_conf_clear(&x);
	conf_free(c);
	buf_clear(&problems);
	static const char *const bad[] = { "[egress]\nallow = https://a\n", "[egress]\nallow_private = 10.0.0.0/99\n", "[egress]\nresolver = dns.example\n",
		"[egress]\nports = 0\n" }, *const *b;
	for (T_EACH(b, bad))
		CHECK(conf_parse("t", *b, strlen(*b), "/h", NULL, NULL) == NULL);
}

TEST(egress_judges_every_address)
{
	static const struct {
		const char *address[3];
		enum egress_verdict verdict;
	} table[] = { { { "11.22.33.44" }, EGRESS_OPEN }, { { "11.22.33.44", "2606:4700::1" }, EGRESS_OPEN }, { { "11.22.33.44", "10.0.0.1" }, EGRESS_PRIVATE },
		{ { "::ffff:11.22.33.44" }, EGRESS_PRIVATE }, { { "127.0.0.1" }, EGRESS_PRIVATE }, { { "10.1.2.3" }, EGRESS_OPEN },
		{ { "10.1.2.3", "10.2.0.1" }, EGRESS_PRIVATE }, { { "169.254.169.254" }, EGRESS_PRIVATE }, { { "::1" }, EGRESS_PRIVATE },
		{ { NULL }, EGRESS_UNRESOLVED } }, *row;
	struct egress_net net;
	struct egress_conf c = { .nets = &net, .net_count = 1 };

	CHECK_INT(egress_net_parse("10.1.0.0/16", &net, NULL), 0);
	for (T_EACH(row, table)) {
		struct lookup l = { .host.text = "name.example" };

		for (; l.addresses < 3 && row->address[l.addresses] != NULL; l.addresses++) {
			struct sockaddr_storage *a = &l.address[l.addresses];
			const char *text = row->address[l.addresses];

			a->ss_family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
			inet_pton(a->ss_family, text, a->ss_family == AF_INET ? (void *)&((struct sockaddr_in *)(void *)a)->sin_addr :
			    (void *)&((struct sockaddr_in6 *)(void *)a)->sin6_addr);
		}
		lookup_judge(&c, &l);
		if (l.verdict != row->verdict)
			t_check(false, row->address[0] != NULL ? row->address[0] : "nothing", __FILE__, __LINE__);
	}
}
