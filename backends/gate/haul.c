/*
 * Bytes both ways between two sockets, by hand, where the accepted one could not be given to the egress process.  Both are watched
 * edge-triggered, so each step goes on until nothing moves; who moves much waits for the others after some rounds.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backends/gate/gate.h"

#define BYTES  (64 * 1024)
#define ROUNDS 16
#define EDGES  ((uint32_t)EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

struct way {
	size_t at, n; /* what was read and not yet written */
	bool ended, told; /* nothing more will be read; and the far side knows */
	uint8_t bytes[BYTES];
};

struct haul {
	struct watch near, far;
	struct way out, in;
	bool broken, more;
	struct haul *next;
};

static struct haul *all;

/* true: it could have gone on. */
static bool
way_step(struct haul *h, struct way *w, int from, int to)
{
	int rounds;

	for (rounds = 0; rounds < ROUNDS && !w->told; rounds++) {
		ssize_t n;

		if (w->at < w->n) {
			n = send(to, w->bytes + w->at, w->n - w->at, MSG_DONTWAIT | MSG_NOSIGNAL);
			if (n > 0)
				w->at += (size_t)n;
			else if (n < 0 && errno == EAGAIN)
				return false;
			else if (n < 0 && errno != EINTR)
				w->ended = w->told = h->broken = true;
			continue;
		}
		if (w->ended) {
			shutdown(to, SHUT_WR);
			w->told = true;
			continue;
		}
		n = recv(from, w->bytes, sizeof w->bytes, MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return false;
		if (n < 0 && errno == EINTR)
			continue;
		h->broken |= n < 0;
		w->ended = n <= 0;
		w->at = 0;
		w->n = n > 0 ? (size_t)n : 0;
	}
	return !w->told;
}

static void
haul_end(struct haul *h)
{
	struct linger hard = { 1, 0 };
	struct haul **p = &all;

	while (*p != h)
		p = &(*p)->next;
	*p = h->next;
	if (h->broken)
		setsockopt(h->near.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(h->near.fd);
	close(h->far.fd);
	h->near.fd = h->far.fd = -1;
	carry_ended();
	gate_free_later(h);
}

static void
haul_step(struct haul *h)
{
	bool out = way_step(h, &h->out, h->near.fd, h->far.fd), in = way_step(h, &h->in, h->far.fd, h->near.fd);

	h->more = out || in;
	if (h->broken || (h->out.told && h->in.told))
		haul_end(h);
}

static void
on_near(struct watch *w, uint32_t events)
{
	(void)events;
	if (w->fd >= 0)
		haul_step((struct haul *)(void *)w);
}

static void
on_far(struct watch *w, uint32_t events)
{
	(void)events;
	if (w->fd >= 0)
		haul_step((struct haul *)(void *)((char *)w - offsetof(struct haul, far)));
}

bool
haul_begin(int near, int far)
{
	struct haul *h = calloc(1, sizeof *h);

	if (h == NULL)
		abort();
	h->near = (struct watch){ near, on_near };
	h->far = (struct watch){ far, on_far };
	if (!gate_watch(&h->near, EDGES) || !gate_rewatch(&h->far, EDGES)) {
		free(h);
		return false;
	}
	h->next = all;
	all = h;
	h->more = true; /* what came before it was watched */
	return true;
}

bool
haul_turn(void)
{
	struct haul *h, *next;
	bool more = false;

	for (h = all; h != NULL; h = next) {
		next = h->next;
		if (h->more)
			haul_step(h);
	}
	for (h = all; h != NULL && !more; h = h->next)
		more = h->more;
	return more;
}
