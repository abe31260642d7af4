/*
 * Bytes both ways between two stream sockets, without looking at them or copying them: socket, pipe, socket (splice).  Half
 * of a connection may end while the other goes on; what cannot be written is not read.  One thread per process.
 *
 * Both sockets are non-blocking and watched edge-triggered (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET); after every event the owner
 * calls relay_step.
 */
#ifndef LIB_EGRESS_RELAY_H
#define LIB_EGRESS_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum relay_state {
	RELAY_WAITING, /* until the next event */
	RELAY_MORE,    /* call again in a moment: others shall have their turn */
	RELAY_DONE,    /* both ways have ended; close both sockets */
	RELAY_BROKEN,  /* the same, and one of them was reset: reset the other (relay_reset) */
	RELAY_OVER,    /* a way has carried all it may */
	RELAY_STUCK    /* no pipe is to be had */
};

struct relay_way {
	int from, to;
	int pipe[2];      /* -1, -1: none now */
	int64_t inside;   /* bytes in the pipe */
	int64_t moved;    /* bytes read so far */
	int64_t *left;    /* what may still be read, shared with others; NULL: no limit */
	bool ended;       /* nothing more will be read */
	bool told;        /* and the far side knows */
};

struct relay {
	struct relay_way way[2]; /* 0: from a to b, 1: from b to a */
	bool broken;
};

/* left may be NULL, or each of its members. */
void relay_init(struct relay *r, int a, int b, int64_t *left_ab, int64_t *left_ba);
enum relay_state relay_step(struct relay *r);
/* Frees the pipes; the sockets are the owner's. */
void relay_clear(struct relay *r);
/* Makes close() of this socket a reset, so that the far side learns that something broke. */
void relay_reset(int fd);

#endif
