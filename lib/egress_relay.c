#include "lib/egress_relay.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIPE_BYTES (512 * 1024)
#define ROUNDS     8 /* a step moves at most this many pipes full */
#define SPARE_MAX  8

/* Empty pipes at rest.  Most connections move what comes at once, so that few pipes serve many. */
static int spare[SPARE_MAX][2];
static int spares;

static bool
pipe_take(struct relay_way *w)
{
	if (w->pipe[0] >= 0)
		return true;
	if (spares > 0) {
		memcpy(w->pipe, spare[--spares], sizeof w->pipe);
		return true;
	}
	if (pipe2(w->pipe, O_CLOEXEC | O_NONBLOCK) != 0) {
		w->pipe[0] = w->pipe[1] = -1;
		return false;
	}
	/* A user has only so much room in pipes; without it the pipe stays small and works. */
	(void)fcntl(w->pipe[1], F_SETPIPE_SZ, PIPE_BYTES);
	return true;
}

static void
pipe_drop(struct relay_way *w)
{
	if (w->pipe[0] < 0)
		return;
	if (w->inside == 0 && spares < SPARE_MAX) {
		memcpy(spare[spares++], w->pipe, sizeof w->pipe);
	} else {
		close(w->pipe[0]);
		close(w->pipe[1]);
	}
	w->pipe[0] = w->pipe[1] = -1;
	w->inside = 0;
}

void
relay_init(struct relay *r, int a, int b, int64_t *left_ab, int64_t *left_ba)
{
	memset(r, 0, sizeof *r);
	r->way[0] = (struct relay_way){ .from = a, .to = b, .pipe = { -1, -1 }, .left = left_ab };
	r->way[1] = (struct relay_way){ .from = b, .to = a, .pipe = { -1, -1 }, .left = left_ba };
}

void
relay_clear(struct relay *r)
{
	pipe_drop(&r->way[0]);
	pipe_drop(&r->way[1]);
}

void
relay_reset(int fd)
{
	struct linger hard = { 1, 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

/* This way is over: its reader shall send no more, its writer learns of the end. */
static void
way_end(struct relay_way *w)
{
	w->ended = w->told = true;
	pipe_drop(w);
	shutdown(w->to, SHUT_WR);
}

static size_t
room(const struct relay_way *w)
{
	/* One byte more than is left: only a byte that comes shows that it was too much. */
	return w->left != NULL && *w->left < PIPE_BYTES ? (size_t)*w->left + 1 : PIPE_BYTES;
}

/* Socket to pipe.  true: go on writing. */
static bool
fill(struct relay *r, struct relay_way *w, enum relay_state *state)
{
	ssize_t n;

	if (w->left != NULL && *w->left < 0) {
		*state = RELAY_OVER;
		return false;
	}
	if (!pipe_take(w)) {
		*state = RELAY_STUCK;
		return false;
	}
	do
		n = splice(w->from, NULL, w->pipe[1], NULL, room(w), SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		w->inside = n;
		w->moved += n;
		if (w->left == NULL || (*w->left -= n) >= 0)
			return true;
		*state = RELAY_OVER;
		return false;
	}
	if (n < 0 && errno == EAGAIN)
		return false;
	r->broken |= n < 0;
	way_end(w);
	return false;
}

/* Pipe to socket.  true: it is empty. */
static bool
drain(struct relay *r, struct relay_way *w)
{
	while (w->inside > 0) {
		ssize_t n = splice(w->pipe[0], NULL, w->to, NULL, (size_t)w->inside, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);

		if (n > 0) {
			w->inside -= n;
		} else if (n < 0 && errno == EAGAIN) {
			return false;
		} else if (n == 0 || errno != EINTR) {
			r->broken = true;
			shutdown(w->from, SHUT_RD);
			way_end(w);
			return false;
		}
	}
	return true;
}

static enum relay_state
step(struct relay *r, struct relay_way *w)
{
	enum relay_state state = RELAY_WAITING;
	int rounds;

	for (rounds = 0; rounds < ROUNDS; rounds++) {
		if (w->told || !drain(r, w))
			return state;
		if (!fill(r, w, &state)) {
			if (w->inside == 0)
				pipe_drop(w);
			return state;
		}
	}
	return RELAY_MORE;
}

enum relay_state
relay_step(struct relay *r)
{
	enum relay_state a = step(r, &r->way[0]), b = step(r, &r->way[1]);

	if (a == RELAY_OVER || b == RELAY_OVER)
		return RELAY_OVER;
	if (a == RELAY_STUCK || b == RELAY_STUCK)
		return RELAY_STUCK;
	if (r->way[0].told && r->way[1].told)
		return r->broken ? RELAY_BROKEN : RELAY_DONE;
	return a == RELAY_MORE || b == RELAY_MORE ? RELAY_MORE : RELAY_WAITING;
}
