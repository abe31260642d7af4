/* DNS for the inside: names that are allowed have one address each, all others do not exist. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backends/gate/gate.h"
#include "lib/egress_dns.h"

#define BATCH     32 /* questions answered before others have their turn */
#define CALLS_MAX 16
#define QUERY_MAX DNS_PACKET_MAX

struct call { /* somebody who asks over TCP */
	struct watch watch;
	uint8_t bytes[2 + QUERY_MAX];
	size_t n;
	struct call *next;
};

static struct watch udp = { -1, NULL }, tcp = { -1, NULL };
static struct call *calls; /* the oldest last */
static int call_count;

/* The answer to a query, 0: none. */
static size_t
answer(const uint8_t *query, size_t n, uint8_t out[DNS_PACKET_MAX])
{
	struct dns_question q;
	uint32_t address;

	if (dns_question_get(query, n, &q) != 0)
		return 0;
	if (q.rcode != DNS_NOERROR)
		return dns_reply_put(query, &q, q.rcode, 0, out);
	address = q.class == DNS_IN ? names_address(q.name) : 0;
	if (address == 0) {
		/* getaddrinfo asks for both kinds: one line is enough. */
		if (q.type == DNS_A)
			gate_say("no such name here: %.253s is not in permissions.net", q.name);
		return dns_reply_put(query, &q, DNS_NXDOMAIN, 0, out);
	}
	return dns_reply_put(query, &q, DNS_NOERROR, q.type == DNS_A ? address : 0, out);
}

static void
on_udp(struct watch *w, uint32_t events)
{
	uint8_t query[QUERY_MAX], reply[DNS_PACKET_MAX];
	struct sockaddr_in from;
	int i;

	(void)events;
	for (i = 0; i < BATCH; i++) {
		socklen_t from_n = sizeof from;
		ssize_t n = recvfrom(w->fd, query, sizeof query, MSG_TRUNC, (struct sockaddr *)&from, &from_n);
		size_t out;

		if (n < 0)
			return;
		if (n > (ssize_t)sizeof query || (out = answer(query, (size_t)n, reply)) == 0)
			continue;
		(void)sendto(w->fd, reply, out, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&from, from_n);
	}
}

static void
call_end(struct call *c)
{
	struct call **p = &calls;

	while (*p != NULL && *p != c)
		p = &(*p)->next;
	if (*p == NULL)
		return;
	*p = c->next;
	call_count--;
	close(c->watch.fd);
	c->watch.fd = -1;
	gate_free_later(c);
}

/* false: it is to end. */
static bool
call_answer(struct call *c)
{
	uint8_t reply[2 + DNS_PACKET_MAX];
	size_t want = c->n < 2 ? 2 : 2 + ((size_t)c->bytes[0] << 8 | c->bytes[1]), out;

	if (want > sizeof c->bytes)
		return false;
	if (c->n < 2 || c->n < want)
		return true;
	c->n = 0;
	out = answer(c->bytes + 2, want - 2, reply + 2);
	reply[0] = (uint8_t)(out >> 8);
	reply[1] = (uint8_t)out;
	return out > 0 && send(c->watch.fd, reply, out + 2, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)out + 2;
}

static void
on_call(struct watch *w, uint32_t events)
{
	struct call *c = (struct call *)(void *)w;
	size_t want = c->n < 2 ? 2 : 2 + ((size_t)c->bytes[0] << 8 | c->bytes[1]);
	ssize_t n;

	(void)events;
	if (w->fd < 0)
		return;
	n = recv(w->fd, c->bytes + c->n, want - c->n, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		c->n += (size_t)n;
	if (n <= 0 || !call_answer(c))
		call_end(c);
}

static void
on_tcp(struct watch *w, uint32_t events)
{
	struct call *c, *oldest;
	int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	if (call_count == CALLS_MAX) {
		for (oldest = calls; oldest->next != NULL; oldest = oldest->next)
			;
		call_end(oldest);
	}
	c = calloc(1, sizeof *c);
	if (c == NULL)
		abort();
	c->watch = (struct watch){ fd, on_call };
	c->next = calls;
	calls = c;
	call_count++;
	if (!gate_watch(&c->watch, EPOLLIN | EPOLLRDHUP))
		call_end(c);
}

static bool
listen_on(struct watch *w, int type, void (*fn)(struct watch *, uint32_t))
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int yes = 1;

	w->fn = fn;
	w->fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (w->fd < 0)
		return false;
	setsockopt(w->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	return bind(w->fd, (struct sockaddr *)&a, sizeof a) == 0 && (type == SOCK_DGRAM || listen(w->fd, CALLS_MAX) == 0) &&
	    gate_watch(w, EPOLLIN);
}

bool
ask_open(void)
{
	return listen_on(&udp, SOCK_DGRAM, on_udp) && listen_on(&tcp, SOCK_STREAM, on_tcp);
}
