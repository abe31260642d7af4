/*
 * Connections: accepted on every allowed port at every address of the loopback, named by the address they came to, and given to
 * the egress process, which carries their bytes: the accepted socket itself goes over to it, with the head of egress.h.  What stays
 * here until the verdict is known is only the question, so that a line can say why it was refused.
 *
 * Behind gVisor a socket of its own network cannot leave it (EINVAL): there the bytes follow the head, and haul.c carries them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "backends/gate/gate.h"
#include "lib/egress.h"

#define LISTENERS_MAX 128
#define BACKLOG       128
#define OWN_MAX       64

struct question {
	struct watch watch; /* to the egress process */
	char host[EGRESS_HOST_MAX + 1];
	int port;
	uint8_t reply[2 + 255];
	size_t reply_n;
	int near; /* what was accepted and could not be given away; -1: the egress process has it */
};

struct listener {
	struct watch watch;
	int port;
	bool six;
};

static const char *egress_path;
static int most, count; /* questions */
static struct listener listeners[LISTENERS_MAX];
static size_t listener_count;
static bool keeps;      /* sockets cannot be given away here */
static bool full;       /* connections wait to be accepted until another has ended */
static char owned[OWN_MAX][64];
static size_t owned_count;

void
carry_open(const char *socket_path, int connections)
{
	egress_path = socket_path;
	most = connections;
}

/* --- one connection --- */

static void
reset(int fd)
{
	struct linger hard = { 1, 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(fd);
}

static void
question_end(struct question *q)
{
	if (q->watch.fd >= 0)
		close(q->watch.fd);
	if (q->near >= 0)
		reset(q->near);
	q->watch.fd = q->near = -1;
	count--;
	gate_free_later(q);
}

void
carry_ended(void)
{
	count--;
}

/* The connection to the egress process is the bytes' way now. */
static void
haul(struct question *q)
{
	if (!haul_begin(q->near, q->watch.fd))
		return; /* question_end closes both */
	q->near = q->watch.fd = -1;
	count++; /* until carry_ended */
}

static void
on_verdict(struct watch *w, uint32_t events)
{
	struct question *q = (struct question *)(void *)w;
	size_t want = q->reply_n < 2 ? 2 : 2u + q->reply[1];
	ssize_t n;

	(void)events;
	while (w->fd >= 0 && q->reply_n < want) {
		n = recv(w->fd, q->reply + q->reply_n, want - q->reply_n, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			gate_say("%s:%d: the way out is closed", q->host, q->port);
			question_end(q);
			return;
		}
		q->reply_n += (size_t)n;
		want = q->reply_n < 2 ? 2 : 2u + q->reply[1];
	}
	if (w->fd < 0)
		return;
	if (q->reply[0] != EGRESS_OPEN)
		gate_say("%s:%d is refused: %.*s", q->host, q->port, (int)q->reply[1], (const char *)q->reply + 2);
	else if (q->near >= 0)
		haul(q);
	question_end(q);
}

/* The head, and with it the socket, or -1: its bytes follow. */
static bool
send_head(int to, const char *host, int port, int fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof fd)];
	} extra;
	uint8_t head[EGRESS_HEAD_MAX];
	size_t n = egress_head_put('C', host, port, head);
	struct iovec io = { head, n };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1 };
	struct cmsghdr *h;

	memset(&extra, 0, sizeof extra);
	if (fd >= 0) {
		m.msg_control = &extra;
		m.msg_controllen = sizeof extra;
		h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(h), &fd, sizeof fd);
	}
	return sendmsg(to, &m, MSG_NOSIGNAL) == (ssize_t)n;
}

/* Gives it away, or keeps it in q->near. */
static bool
give(struct question *q, int fd)
{
	if (!keeps && send_head(q->watch.fd, q->host, q->port, fd))
		return true;
	if (!keeps && errno != EINVAL && errno != EOPNOTSUPP)
		return false;
	keeps = true;
	if (!send_head(q->watch.fd, q->host, q->port, -1))
		return false;
	q->near = fd;
	return true;
}

static bool
ask_outside(struct question *q, int fd)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	memcpy(a.sun_path, egress_path, strlen(egress_path) + 1);
	q->watch = (struct watch){ socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on_verdict };
	return q->watch.fd >= 0 && connect(q->watch.fd, (struct sockaddr *)&a, sizeof a) == 0 &&
	    give(q, fd) && gate_watch(&q->watch, EPOLLIN | EPOLLRDHUP);
}

/* Which name was meant: the address that was connected to says it. */
static bool
name_of(int fd, char host[EGRESS_HOST_MAX + 1])
{
	union {
		struct sockaddr any;
		struct sockaddr_in four;
		struct sockaddr_in6 six;
	} a;
	socklen_t n = sizeof a;
	const char *name;

	memset(&a, 0, sizeof a);
	if (getsockname(fd, &a.any, &n) != 0)
		return false;
	if (a.any.sa_family == AF_INET6)
		return !IN6_IS_ADDR_LOOPBACK(&a.six.sin6_addr) && inet_ntop(AF_INET6, &a.six.sin6_addr, host, EGRESS_HOST_MAX) != NULL;
	if (ntohl(a.four.sin_addr.s_addr) >> 24 != 127)
		return inet_ntop(AF_INET, &a.four.sin_addr, host, EGRESS_HOST_MAX) != NULL;
	name = names_of(ntohl(a.four.sin_addr.s_addr));
	if (name != NULL)
		snprintf(host, EGRESS_HOST_MAX + 1, "%s", name);
	return name != NULL;
}

static void
begin(int fd, int port)
{
	struct question *q = calloc(1, sizeof *q);

	if (q == NULL)
		abort();
	if (!name_of(fd, q->host)) {
		reset(fd);
		free(q);
		return;
	}
	q->port = port;
	q->near = -1;
	count++;
	if (ask_outside(q, fd)) {
		if (q->near < 0)
			close(fd); /* the egress process has it */
		return;
	}
	gate_say("%s:%d: the way out is closed: %s", q->host, q->port, strerror(errno));
	reset(fd);
	if (q->watch.fd >= 0)
		close(q->watch.fd);
	count--;
	free(q);
}

static void
on_listener(struct watch *w, uint32_t events)
{
	const struct listener *l = (const struct listener *)(const void *)w;
	int fd;

	(void)events;
	while (count < most && (fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		begin(fd, l->port);
	full |= count >= most;
}

void
carry_turn(void)
{
	size_t i;

	if (!full || count >= most)
		return;
	full = false;
	for (i = 0; i < listener_count; i++)
		on_listener(&listeners[i].watch, 0);
}

/* --- where connections come in --- */

static bool
listen_at(struct listener *l)
{
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons((uint16_t)l->port) };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)l->port) };
	int yes = 1;

	l->watch.fn = on_listener;
	l->watch.fd = socket(l->six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->watch.fd < 0)
		return false;
	setsockopt(l->watch.fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	if (l->six)
		setsockopt(l->watch.fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
	return bind(l->watch.fd, l->six ? (struct sockaddr *)&six : (struct sockaddr *)&four, l->six ? sizeof six : sizeof four) == 0 &&
	    listen(l->watch.fd, BACKLOG) == 0 && gate_watch(&l->watch, EPOLLIN | EPOLLET);
}

void
carry_listen(int port, bool six)
{
	struct listener *l = &listeners[listener_count];
	size_t i;

	for (i = 0; i < listener_count; i++)
		if (listeners[i].port == port && listeners[i].six == six)
			return;
	if (listener_count == LISTENERS_MAX) {
		gate_say("port %d: more than %d ports", port, LISTENERS_MAX);
		return;
	}
	l->port = port;
	l->six = six;
	if (listen_at(l)) {
		listener_count++;
		return;
	}
	gate_say("port %d cannot be served here: %s", port, strerror(errno));
	if (l->watch.fd >= 0)
		close(l->watch.fd);
}

struct request6 { /* struct in6_ifreq, whose header does not go together with net/if.h */
	struct in6_addr address;
	uint32_t prefix;
	int index;
};

void
carry_own(const struct egress_host *literal)
{
	int fd = socket(literal->family, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc = -1;
	struct request6 six = { .prefix = 128, .index = (int)if_nametoindex("lo") };
	struct sockaddr_in four = { .sin_family = AF_INET };
	struct ifreq r;
	size_t i;

	for (i = 0; i < owned_count && strcmp(owned[i], literal->text) != 0; i++)
		;
	if (fd < 0 || i < owned_count || owned_count == OWN_MAX) {
		if (fd >= 0)
			close(fd);
		return;
	}
	memset(&r, 0, sizeof r);
	if (literal->family == AF_INET) {
		snprintf(r.ifr_name, sizeof r.ifr_name, "lo:%zu", owned_count);
		inet_pton(AF_INET, literal->text, &four.sin_addr);
		memcpy(&r.ifr_addr, &four, sizeof four);
		rc = ioctl(fd, SIOCSIFADDR, &r);
		four.sin_addr.s_addr = 0xffffffff;
		memcpy(&r.ifr_addr, &four, sizeof four);
		if (rc == 0)
			rc = ioctl(fd, SIOCSIFNETMASK, &r);
	} else {
		inet_pton(AF_INET6, literal->text, &six.address);
		rc = ioctl(fd, SIOCSIFADDR, &six);
	}
	if (rc == 0)
		snprintf(owned[owned_count++], sizeof owned[0], "%.63s", literal->text);
	else
		gate_say("%s cannot be reached by its address behind this wall: %s", literal->text, strerror(errno));
	close(fd);
}
