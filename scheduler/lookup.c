#include "scheduler/lookup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/egress_dns.h"
#include "lib/mem.h"
#include "lib/netaddr.h"
#include "scheduler/egress_conf.h"
#include "scheduler/loop.h"

#define THREADS 12
#define SHARE   4 /* of them at work for one instance: a resolver that never answers stops only its own */
#define TRIES   3
#define TRY_MS  1500

static const struct egress_conf *conf;
static lookup_fn *answered;
static int bell = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the two lists */
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static struct lookup *asked, *done;
static const struct lookup *at_work[THREADS];

/* --- the judgement --- */

static bool
same_address(const struct sockaddr *a, const struct sockaddr *b)
{
	if (a->sa_family != b->sa_family)
		return false;
	if (a->sa_family == AF_INET)
		return ((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr ==
		    ((const struct sockaddr_in *)(const void *)b)->sin_addr.s_addr;
	return a->sa_family == AF_INET6 && memcmp(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr,
	    &((const struct sockaddr_in6 *)(const void *)b)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

/* Services that a firewall hides from the world may be open to this machine itself. */
static bool
is_own(const struct ifaddrs *own, const struct sockaddr *a)
{
	for (; own != NULL; own = own->ifa_next)
		if (own->ifa_addr != NULL && same_address(own->ifa_addr, a))
			return true;
	return false;
}

static bool
is_opened(const struct egress_conf *c, const struct sockaddr *a)
{
	size_t i;

	for (i = 0; i < c->net_count; i++)
		if (egress_net_holds(&c->nets[i], a))
			return true;
	return false;
}

void
lookup_judge(const struct egress_conf *c, struct lookup *l)
{
	struct ifaddrs *own = NULL;
	char text[64];
	int i;

	l->verdict = EGRESS_OPEN;
	if (l->addresses == 0) {
		l->verdict = EGRESS_UNRESOLVED;
		err_set(&l->why, ERR_NOTFOUND, "%s has no address", l->host.text);
		return;
	}
	if (getifaddrs(&own) != 0)
		own = NULL;
	for (i = 0; i < l->addresses && l->verdict == EGRESS_OPEN; i++) {
		const struct sockaddr *a = (const struct sockaddr *)&l->address[i];
		bool mine;

		if (is_opened(c, a))
			continue;
		mine = is_own(own, a);
		if (!mine && netaddr_is_public(a))
			continue;
		netaddr_print(a, text);
		l->verdict = EGRESS_PRIVATE;
		err_set(&l->why, ERR_DENIED, "%s has the address %s, which is %s", l->host.text, text,
		    mine ? "the runner's own" : "private or special");
	}
	if (own != NULL)
		freeifaddrs(own);
}

/* --- asking --- */

static void
set_port(struct lookup *l)
{
	int i;

	for (i = 0; i < l->addresses; i++) {
		if (l->address[i].ss_family == AF_INET)
			((struct sockaddr_in *)(void *)&l->address[i])->sin_port = htons((uint16_t)l->port);
		else
			((struct sockaddr_in6 *)(void *)&l->address[i])->sin6_port = htons((uint16_t)l->port);
	}
}

static void
take_literal(struct lookup *l)
{
	struct sockaddr_in *four = (struct sockaddr_in *)(void *)&l->address[0];
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)(void *)&l->address[0];

	l->address[0].ss_family = (sa_family_t)l->host.family;
	inet_pton(l->host.family, l->host.text,
	    l->host.family == AF_INET ? (void *)&four->sin_addr : (void *)&six->sin6_addr);
	l->addresses = 1;
}

/* The way this machine resolves names. */
static void
ask_host(struct lookup *l)
{
	struct addrinfo want = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *list = NULL, *a;
	int rc = getaddrinfo(l->host.text, NULL, &want, &list);

	if (rc != 0) {
		l->verdict = EGRESS_UNRESOLVED;
		err_set(&l->why, rc == EAI_NONAME ? ERR_NOTFOUND : ERR_REMOTE, "%s: %s", l->host.text,
		    rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
		return;
	}
	for (a = list; a != NULL; a = a->ai_next) {
		if ((a->ai_family != AF_INET && a->ai_family != AF_INET6) || a->ai_addrlen > sizeof l->address[0])
			continue;
		if (l->addresses == LOOKUP_MAX) {
			/* What is not judged must not be there. */
			l->verdict = EGRESS_UNRESOLVED;
			err_set(&l->why, ERR_REMOTE, "%s has more than %d addresses", l->host.text, LOOKUP_MAX);
			break;
		}
		memcpy(&l->address[l->addresses++], a->ai_addr, a->ai_addrlen);
	}
	freeaddrinfo(list);
}

/* Waits for the answer to this one packet.  As dns_answer_get; -4: none came. */
static int
await(int fd, uint16_t id, struct lookup *l, int type)
{
	int64_t end = clock_mono_ms() + TRY_MS, left;
	uint8_t packet[4096];

	while ((left = end - clock_mono_ms()) > 0) {
		struct pollfd p = { fd, POLLIN, 0 };
		ssize_t n;
		int found;

		if (poll(&p, 1, (int)left) <= 0)
			continue;
		n = recv(fd, packet, sizeof packet, 0);
		if (n < 0)
			return -4; /* nobody there: the next try may find somebody */
		found = dns_answer_get(packet, (size_t)n, id, l->host.text, type, &l->address[l->addresses],
		    LOOKUP_MAX - l->addresses, &l->why);
		if (found != -1)
			return found;
	}
	err_set(&l->why, ERR_TIMEOUT, "the resolver %s does not answer", conf->resolver.text);
	return -4;
}

/* One kind of address, over a fresh port with a fresh number each time. */
static int
ask_for(struct lookup *l, int type)
{
	struct lookup to = { .host = conf->resolver, .port = conf->resolver_port };
	int i, found = -4;

	take_literal(&to);
	set_port(&to);
	for (i = 0; i < TRIES && found == -4; i++) {
		socklen_t size = to.host.family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
		int fd = socket(to.host.family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		uint8_t packet[DNS_PACKET_MAX];
		uint16_t id;

		if (fd < 0 || getrandom(&id, sizeof id, 0) != sizeof id ||
		    connect(fd, (struct sockaddr *)&to.address[0], size) != 0 ||
		    send(fd, packet, dns_ask_put(id, l->host.text, type, packet), MSG_NOSIGNAL) < 0) {
			err_errno(&l->why, "ask the resolver %s", conf->resolver.text);
			if (fd >= 0)
				close(fd);
			continue;
		}
		found = await(fd, id, l, type);
		close(fd);
	}
	return found;
}

static void
ask_resolver(struct lookup *l)
{
	int four = ask_for(l, DNS_A), six = -3;

	if (four > 0)
		l->addresses += four;
	if (four >= 0)
		six = ask_for(l, DNS_AAAA);
	if (six > 0)
		l->addresses += six;
	/* A kind of address that could not be asked for is one that could not be judged. */
	if (four >= 0 && six >= 0)
		return;
	l->verdict = EGRESS_UNRESOLVED;
	err_wrap(&l->why, "%s", l->host.text);
}

static void
resolve(struct lookup *l)
{
	l->verdict = EGRESS_OPEN;
	if (l->host.family != 0)
		take_literal(l);
	else if (conf->resolver.text[0] != '\0')
		ask_resolver(l);
	else
		ask_host(l);
	if (l->verdict != EGRESS_OPEN)
		return;
	set_port(l);
	lookup_judge(conf, l);
}

/* --- the threads --- */

static int
busy_for(int64_t group)
{
	int i, n = 0;

	for (i = 0; i < THREADS; i++)
		n += at_work[i] != NULL && at_work[i]->group == group;
	return n;
}

/* The oldest question of a group that has not its share of threads; NULL: none.  Under the lock. */
static struct lookup *
take(void)
{
	struct lookup **p = &asked, *l;

	while (*p != NULL && busy_for((*p)->group) >= SHARE)
		p = &(*p)->next;
	l = *p;
	if (l != NULL)
		*p = l->next;
	return l;
}

static void *
worker(void *arg)
{
	const struct lookup **mine = arg;
	const uint64_t one = 1;

	pthread_mutex_lock(&lock);
	for (;;) {
		struct lookup *l;

		while ((l = take()) == NULL)
			pthread_cond_wait(&more, &lock);
		*mine = l;
		pthread_mutex_unlock(&lock);
		resolve(l);
		pthread_mutex_lock(&lock);
		*mine = NULL;
		l->next = done;
		done = l;
		pthread_cond_broadcast(&more);
		if (write(bell, &one, sizeof one) < 0)
			abort();
	}
	return NULL;
}

static void
on_bell(void *arg, uint32_t events)
{
	struct lookup *l, *next;
	uint64_t n;

	(void)arg;
	(void)events;
	if (read(bell, &n, sizeof n) < 0)
		return;
	pthread_mutex_lock(&lock);
	l = done;
	done = NULL;
	pthread_mutex_unlock(&lock);
	for (; l != NULL; l = next) {
		next = l->next;
		answered(l);
	}
}

int
lookup_open(const struct egress_conf *c, lookup_fn *fn, struct err *e)
{
	pthread_attr_t small;
	int i;

	conf = c;
	answered = fn;
	bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (bell < 0)
		return err_errno(e, "eventfd");
	loop_watch(bell, EPOLLIN, on_bell, NULL);
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 512 * 1024);
	for (i = 0; i < THREADS; i++) {
		pthread_t t;

		if (pthread_create(&t, &small, worker, &at_work[i]) != 0)
			break;
		pthread_detach(t);
	}
	pthread_attr_destroy(&small);
	return i > 0 ? 0 : err_set(e, ERR_INTERNAL, "no thread can be started");
}

void
lookup_ask(struct lookup *l)
{
	struct lookup **p = &asked;

	l->next = NULL;
	pthread_mutex_lock(&lock);
	while (*p != NULL)
		p = &(*p)->next;
	*p = l;
	pthread_cond_signal(&more);
	pthread_mutex_unlock(&lock);
}
