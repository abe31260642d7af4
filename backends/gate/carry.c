/*
 * Connections: accepted on every allowed port at every address of the loopback, named by the address they came to, and
 * carried to the egress process, one unix connection each.
 *
 *     accepted ─head sent▶ asking ─verdict open▶ carrying ─▶ gone          any other verdict: reset, and a line says why
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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
#include "lib/egress_relay.h"

#define LISTENERS_MAX 128
#define BACKLOG       128
#define OWN_MAX       64
#define EDGES         (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

struct carried;

struct side {
	struct watch watch;
	struct carried *whole;
};

struct carried {
	struct side in, out; /* TCP inside, unix to the outside */
	bool open, dead, more;
	char host[EGRESS_HOST_MAX + 1];
	int port;
	uint8_t reply[2 + 255];
	size_t reply_n;
	struct relay relay;
	struct carried *prev, *next;
};

struct listener {
	struct watch watch;
	int port;
	bool six;
};

static const char *egress_path;
static int most, count;
static struct carried *all;
static struct listener listeners[LISTENERS_MAX];
static size_t listener_count;
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
carried_end(struct carried *c, bool reset)
{
	if (c->dead)
		return;
	c->dead = true;
	if (c->open)
		relay_clear(&c->relay);
	if (reset)
		relay_reset(c->in.watch.fd);
	close(c->in.watch.fd);
	if (c->out.watch.fd >= 0)
		close(c->out.watch.fd);
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		all = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	count--;
	gate_free_later(c);
}

static void
carried_step(struct carried *c)
{
	enum relay_state s = relay_step(&c->relay);

	c->more = s == RELAY_MORE;
	if (s == RELAY_STUCK)
		gate_say("%s:%d: no descriptors left", c->host, c->port);
	if (s != RELAY_WAITING && s != RELAY_MORE)
		carried_end(c, s != RELAY_DONE);
}

/* The verdict comes first, then the far side's bytes. */
static void
read_verdict(struct carried *c)
{
	size_t want = c->reply_n < 2 ? 2 : 2u + c->reply[1];
	ssize_t n;

	while (c->reply_n < want) {
		n = recv(c->out.watch.fd, c->reply + c->reply_n, want - c->reply_n, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			gate_say("%s:%d: the way out is closed", c->host, c->port);
			carried_end(c, true);
			return;
		}
		c->reply_n += (size_t)n;
		want = c->reply_n < 2 ? 2 : 2u + c->reply[1];
	}
	if (c->reply[0] != EGRESS_OPEN) {
		gate_say("%s:%d is refused: %.*s", c->host, c->port, (int)c->reply[1], (const char *)c->reply + 2);
		carried_end(c, true);
		return;
	}
	c->open = true;
	relay_init(&c->relay, c->in.watch.fd, c->out.watch.fd, NULL, NULL);
	carried_step(c);
}

static void
on_side(struct watch *w, uint32_t events)
{
	struct side *s = (struct side *)(void *)w;
	struct carried *c = s->whole;

	if (c->dead)
		return;
	if (c->open)
		carried_step(c);
	else if (s == &c->out)
		read_verdict(c);
	else if (events & (EPOLLERR | EPOLLHUP))
		carried_end(c, false); /* whoever asked has gone */
}

static bool
ask_outside(struct carried *c)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	uint8_t head[EGRESS_HEAD_MAX];
	size_t n = egress_head_put('C', c->host, c->port, head);

	memcpy(a.sun_path, egress_path, strlen(egress_path) + 1);
	c->out.watch.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return c->out.watch.fd >= 0 && connect(c->out.watch.fd, (struct sockaddr *)&a, sizeof a) == 0 &&
	    send(c->out.watch.fd, head, n, MSG_NOSIGNAL) == (ssize_t)n && gate_watch(&c->out.watch, EDGES) &&
	    gate_watch(&c->in.watch, EDGES);
}

/* Which name was meant: the address that was connected to says it. */
static bool
name_of(int fd, char host[EGRESS_HOST_MAX + 1])
{
	struct sockaddr_storage a;
	const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)&a;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)&a;
	socklen_t n = sizeof a;
	const char *name;

	if (getsockname(fd, (struct sockaddr *)&a, &n) != 0)
		return false;
	if (a.ss_family == AF_INET6)
		return !IN6_IS_ADDR_LOOPBACK(&six->sin6_addr) &&
		    inet_ntop(AF_INET6, &six->sin6_addr, host, EGRESS_HOST_MAX) != NULL;
	if (ntohl(four->sin_addr.s_addr) >> 24 != 127)
		return inet_ntop(AF_INET, &four->sin_addr, host, EGRESS_HOST_MAX) != NULL;
	name = names_of(ntohl(four->sin_addr.s_addr));
	if (name != NULL)
		snprintf(host, EGRESS_HOST_MAX + 1, "%s", name);
	return name != NULL;
}

static void
begin(int fd, int port)
{
	struct carried *c = calloc(1, sizeof *c);
	int yes = 1;

	if (c == NULL)
		abort();
	if (!name_of(fd, c->host)) {
		relay_reset(fd);
		close(fd);
		free(c);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
	c->in = (struct side){ { fd, on_side }, c };
	c->out = (struct side){ { -1, on_side }, c };
	c->port = port;
	c->next = all;
	if (all != NULL)
		all->prev = c;
	all = c;
	count++;
	if (!ask_outside(c)) {
		gate_say("%s:%d: the way out is closed: %s", c->host, c->port, strerror(errno));
		carried_end(c, true);
	}
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

bool
carry_turn(void)
{
	struct carried *c, *next;
	bool again = false;
	size_t i;

	for (c = all; c != NULL; c = next) {
		next = c->next;
		if (c->more)
			carried_step(c);
	}
	for (c = all; c != NULL && !again; c = c->next)
		again = c->more;
	if (full && count < most) {
		full = false;
		for (i = 0; i < listener_count; i++)
			on_listener(&listeners[i].watch, 0);
	}
	return again;
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
