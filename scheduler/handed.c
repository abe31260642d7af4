#include "scheduler/handed.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Whoever keeps a copy of the socket could make it block, and us with it; the gate is believed not to. */
static bool
is_of_gate(int from, pid_t gate)
{
	struct ucred who = { 0, 0, 0 };
	socklen_t n = sizeof who;

	return getsockopt(from, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 && who.pid > 0 && who.pid == gate;
}

static bool
is_connected(int fd)
{
	struct sockaddr_storage peer;
	socklen_t n = sizeof(int), peer_n = sizeof peer;
	int protocol = 0;

	return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &n) == 0 && protocol == IPPROTO_TCP &&
	    getpeername(fd, (struct sockaddr *)&peer, &peer_n) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
}

/* One socket at most; all else is closed. */
static bool
take(struct msghdr *m, bool believed, int *out)
{
	bool fine = (m->msg_flags & MSG_CTRUNC) == 0;
	struct cmsghdr *h;
	int yes = 1, fd;
	size_t at;

	for (h = CMSG_FIRSTHDR(m); h != NULL; h = CMSG_NXTHDR(m, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (at = 0; at + CMSG_LEN(sizeof fd) <= h->cmsg_len; at += sizeof fd) {
			memcpy(&fd, CMSG_DATA(h) + at, sizeof fd);
			if (fine && believed && *out < 0 && is_connected(fd)) {
				*out = fd;
				setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
			} else {
				fine = false;
				close(fd);
			}
		}
	}
	return fine;
}

ssize_t
handed_receive(int from, pid_t gate, uint8_t *p, size_t n, int *fd, bool *fine)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} extra;
	struct iovec io = { p, n };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &extra, .msg_controllen = sizeof extra };
	ssize_t got = recvmsg(from, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	*fine = got <= 0 || m.msg_controllen == 0 || take(&m, is_of_gate(from, gate), fd);
	return got;
}
