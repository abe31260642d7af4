/*
 * Each instance has a listening socket, handed over by the scheduler: identity is the socket one came in by.  A connection:
 *
 *     head -read-> waiting -a place is free-> resolving -every address judged-> connecting -getpeername checked-> open -> over
 *       refused at any arrow but the last: the gate is told why, and it is over
 *
 * Each that is over is one line to the scheduler.
 *
 * With the head comes the socket that the gate has accepted inside, so that bytes go from there to the far side without being
 * handed on once more.  That is taken from the gate alone, the process that connected first: whoever else keeps a copy of such a
 * socket could make it block, and us with it.  A head without a socket means that the bytes follow on the same connection.
 *
 * One thread and the loop; names are looked up by threads of lookup.c.  Everything a gate sends is hostile: it is one head of at
 * most EGRESS_HEAD_MAX bytes, and then bytes that nobody looks at.
 */
#include "scheduler/egress.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/egress_relay.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/netaddr.h"
#include "scheduler/egress_conf.h"
#include "scheduler/handed.h"
#include "scheduler/lookup.h"
#include "scheduler/loop.h"

#define HEAD_MS     5000 /* a gate says at once what it wants */
#define TICK_MS     100
#define BURST       400  /* connections of an instance at once, and then so many */
#define PER_TICK    20   /* in each tick: what an instance can make us do and log is bounded */
#define WAITING_MAX 256  /* connections of an instance beyond those that its limit allows */
#define FOLLOW_MAX  4    /* who wants to know an instance's rules: its gate */
#define FDS_KEPT    64
#define FDS_EACH    7    /* three sockets, two pipes */
#define SEND_SECONDS 10  /* a scheduler that hears nothing for so long is gone */
#define EDGES       ((uint32_t)EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

enum state { HEAD, WAITING, RESOLVING, CONNECTING, OPEN, FOLLOWING };

struct instance {
	int64_t number;
	int fd;                     /* listening */
	char *bundle, *job;
	struct egress_rule *rules;
	size_t rule_count;
	struct buf rules_text;      /* as the gate reads them, with its length in front */
	int64_t bytes;              /* the limit each way */
	int64_t sent_left, received_left;
	bool over_told;
	pid_t gate;                 /* who came first, before anything of the bundle runs; 0: nobody yet */
	int64_t connections, active, followers; /* active: resolving and further */
	int tokens;                 /* connections that may come before the next tick; none: nobody listens */
	struct instance *next;
};

struct connection {
	struct instance *of;
	enum state state;
	int gate;                   /* where the verdict goes; -1: it went */
	int near, far;              /* near: what the gate accepted; -1: its bytes come over gate itself.  far: -1 until connecting */
	uint8_t head[EGRESS_HEAD_MAX];
	size_t head_n;
	struct egress_host host;
	char asked[100];            /* what the gate called it, when it is no host */
	int port;
	char address[64];
	struct lookup *lookup;      /* waiting for it, or its addresses are being tried */
	bool looking;               /* a thread has it */
	int tried;
	struct relay relay;
	int64_t moved;              /* when last something moved: sum of both ways then */
	bool more;
	int64_t began_ms, active_ms;
	struct err last;            /* why the last address did not answer */
	struct connection *prev, *next;
};

static const struct egress_conf *conf;
static int control = -1;
static struct instance *instances;
static struct connection *connections, *oldest;
static int64_t connection_count, connection_most;
static struct loop_timer tick;

/* --- lines to the scheduler --- */

static void
tell(const struct buf *json)
{
	/* With a time limit: a line is a promise, and a scheduler that does not read is none. */
	if (send(control, json->data, json->len, MSG_NOSIGNAL) < 0) {
		log_error("the scheduler is gone", "why=%s", log_q(strerror(errno)));
		_exit(1);
	}
}

static void
tell_connection(const struct connection *c, enum egress_verdict v, const char *why, const char *end)
{
	struct buf b = BUF_INIT;

	buf_fmt(&b, "{\"event\":\"connection\",\"instance\":%lld,\"bundle\":", (long long)c->of->number);
	buf_json_str(&b, c->of->bundle);
	buf_str(&b, ",\"job\":");
	buf_json_str(&b, c->of->job);
	buf_str(&b, ",\"host\":");
	buf_json_str(&b, c->host.text[0] != '\0' ? c->host.text : c->asked);
	buf_fmt(&b, ",\"port\":%d,\"address\":", c->port);
	buf_json_str(&b, c->address);
	buf_fmt(&b, ",\"verdict\":\"%s\",\"why\":", egress_verdict_word(v));
	buf_json_str(&b, why);
	buf_fmt(&b, ",\"end\":\"%s\",\"sent\":%lld,\"received\":%lld,\"ms\":%lld}", end, (long long)c->relay.way[0].moved,
	    (long long)c->relay.way[1].moved, (long long)(clock_mono_ms() - c->began_ms));
	tell(&b);
	buf_clear(&b);
}

static void
tell_over(struct instance *i)
{
	struct buf b = BUF_INIT;

	if (i->over_told)
		return;
	i->over_told = true;
	buf_fmt(&b, "{\"event\":\"over\",\"instance\":%lld,\"job\":", (long long)i->number);
	buf_json_str(&b, i->job);
	buf_fmt(&b, ",\"key\":\"limits.egress\",\"value\":%lld}", (long long)i->bytes);
	tell(&b);
	buf_clear(&b);
}

static void
tell_ready(const struct instance *i)
{
	struct buf b = BUF_INIT;

	buf_fmt(&b, "{\"event\":\"ready\",\"instance\":%lld}", (long long)i->number);
	tell(&b);
	buf_clear(&b);
}

/* --- the end of a connection --- */

static void
shut(int *fd)
{
	if (*fd < 0)
		return;
	loop_forget(*fd);
	close(*fd);
	*fd = -1;
}

static void
connection_free(struct connection *c)
{
	if (c->state == OPEN)
		relay_clear(&c->relay);
	shut(&c->gate);
	shut(&c->near);
	shut(&c->far);
	if (c->looking)
		c->lookup->who = NULL; /* it comes back and is freed then */
	else
		free(c->lookup);
	if (c->state == FOLLOWING)
		c->of->followers--;
	else
		c->of->connections--;
	if (c->state >= RESOLVING && c->state <= OPEN)
		c->of->active--;
	connection_count--;
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		connections = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	else
		oldest = c->prev;
	free(c);
}

static void
refuse(struct connection *c, enum egress_verdict v, const struct err *why)
{
	size_t n = strlen(why->text);
	uint8_t reply[2 + 255];

	n = n < 255 ? n : 255;
	reply[0] = (uint8_t)v;
	reply[1] = (uint8_t)n;
	memcpy(reply + 2, why->text, n);
	/* Two hundred bytes fit into a fresh socket; a gate that closed it does not want them. */
	(void)!send(c->gate, reply, n + 2, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (c->near >= 0)
		relay_reset(c->near);
	tell_connection(c, v, why->text, "refused");
	connection_free(c);
}

static void
finish(struct connection *c, const char *end, bool reset)
{
	if (reset && c->far >= 0)
		relay_reset(c->far);
	if (reset && c->near >= 0)
		relay_reset(c->near);
	tell_connection(c, EGRESS_OPEN, "", end);
	connection_free(c);
}

/* --- open --- */

static void
move(struct connection *c)
{
	enum relay_state s = relay_step(&c->relay);
	int64_t moved = c->relay.way[0].moved + c->relay.way[1].moved;

	if (moved != c->moved || s == RELAY_MORE)
		c->active_ms = loop_now_ms();
	c->moved = moved;
	c->more = s == RELAY_MORE;
	if (s == RELAY_OVER) {
		tell_over(c->of);
		finish(c, "limits.egress", true);
	} else if (s == RELAY_STUCK) {
		finish(c, "descriptors", true);
	} else if (s == RELAY_DONE || s == RELAY_BROKEN) {
		finish(c, s == RELAY_DONE ? "closed" : "broken", s == RELAY_BROKEN);
	}
}

static void
on_open(void *arg, uint32_t events)
{
	(void)events;
	move(arg);
}

/* --- connecting --- */

static void try_next(struct connection *c);

/* The address that answers is the one that was judged: nothing may have come in between. */
static bool
peer_is_judged(const struct connection *c)
{
	const struct sockaddr *judged = (const struct sockaddr *)&c->lookup->address[c->tried - 1];
	struct sockaddr_storage peer = { 0 };
	socklen_t n = sizeof peer;
	char a[64], b[64];

	if (getpeername(c->far, (struct sockaddr *)&peer, &n) != 0 || peer.ss_family != judged->sa_family)
		return false;
	netaddr_print((struct sockaddr *)&peer, a);
	netaddr_print(judged, b);
	return strcmp(a, b) == 0;
}

/* The gate has given its socket away and wants nothing more; without one, it is the bytes' own way. */
static bool
tell_open(struct connection *c)
{
	static const uint8_t open[2] = { EGRESS_OPEN, 0 };
	int room = 1 << 20;
	bool told = send(c->gate, open, sizeof open, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof open;

	if (c->near >= 0) {
		/* It leads over nothing but a loopback: pacing, as bbr does it, and windows that learn only cost time there. */
		setsockopt(c->near, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
		shut(&c->gate);
		return true;
	}
	c->near = c->gate;
	c->gate = -1;
	setsockopt(c->near, SOL_SOCKET, SO_SNDBUF, &room, sizeof room); /* fewer turns; the kernel gives what it may */
	return told;
}

static void
connected(struct connection *c)
{
	int yes = 1;

	setsockopt(c->far, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
	free(c->lookup);
	c->lookup = NULL;
	c->state = OPEN;
	c->active_ms = loop_now_ms();
	if (!tell_open(c)) {
		relay_init(&c->relay, c->near, c->far, NULL, NULL);
		finish(c, "gone", true);
		return;
	}
	relay_init(&c->relay, c->near, c->far, &c->of->sent_left, &c->of->received_left);
	loop_watch(c->near, EDGES, on_open, c);
	loop_watch(c->far, EDGES, on_open, c);
	move(c);
}

static void
on_connect(void *arg, uint32_t events)
{
	struct connection *c = arg;
	int error = 0;
	socklen_t n = sizeof error;

	(void)events;
	if (getsockopt(c->far, SOL_SOCKET, SO_ERROR, &error, &n) != 0 || error != 0) {
		errno = error;
		err_errno(&c->last, "%s at %s", c->host.text, c->address);
	} else if (!peer_is_judged(c)) {
		err_set(&c->last, ERR_DENIED, "%s: somebody else than %s answered", c->host.text, c->address);
	} else {
		connected(c);
		return;
	}
	shut(&c->far);
	try_next(c);
}

/* The next address that was judged; there is no second look-up. */
static void
try_next(struct connection *c)
{
	while (c->tried < c->lookup->addresses) {
		const struct sockaddr_storage *a = &c->lookup->address[c->tried++];
		socklen_t n = a->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);

		netaddr_print((const struct sockaddr *)a, c->address);
		c->far = socket(a->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (c->far < 0 || (connect(c->far, (const struct sockaddr *)a, n) != 0 && errno != EINPROGRESS)) {
			err_errno(&c->last, "%s at %s", c->host.text, c->address);
			if (c->far >= 0)
				close(c->far);
			c->far = -1;
			continue;
		}
		c->state = CONNECTING;
		loop_watch(c->far, EPOLLOUT, on_connect, c);
		return;
	}
	refuse(c, EGRESS_UNREACHABLE, &c->last);
}

static void
on_lookup(struct lookup *l)
{
	struct connection *c = l->who;

	if (c == NULL) {
		free(l);
		return;
	}
	c->looking = false;
	if (l->verdict != EGRESS_OPEN) {
		struct err why = l->why;
		enum egress_verdict v = l->verdict;

		if (l->addresses > 0)
			netaddr_print((struct sockaddr *)&l->address[0], c->address);
		refuse(c, v, &why);
		return;
	}
	try_next(c);
}

/* --- the head --- */

static void
follow(struct connection *c)
{
	struct instance *i = c->of;

	i->connections--;
	i->followers++;
	c->state = FOLLOWING;
	if (i->followers > FOLLOW_MAX ||
	    send(c->gate, i->rules_text.data, i->rules_text.len, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)i->rules_text.len)
		connection_free(c);
}

static enum egress_verdict
judge(struct connection *c, const struct egress_head *h, struct err *e)
{
	if (egress_host_parse(h->host, h->host_n, &c->host, e) != 0) {
		c->host.text[0] = '\0';
		snprintf(c->asked, sizeof c->asked, "%.99s", h->host);
		return EGRESS_MALFORMED;
	}
	if (h->port == 0) {
		err_set(e, ERR_INPUT, "port 0 is none");
		return EGRESS_MALFORMED;
	}
	if (egress_conf_permits(conf, &c->host, c->port, e) != 0)
		return EGRESS_OPERATOR;
	if (!egress_conf_any(c->of->rules, c->of->rule_count, &c->host, c->port)) {
		err_set(e, ERR_DENIED, "%s:%d is not in the bundle's permissions.net", c->host.text, c->port);
		return EGRESS_NOT_LISTED;
	}
	if (c->of->sent_left < 0 || c->of->received_left < 0) {
		err_set(e, ERR_BUSY, "the job has used up its %lld bytes (limits.egress)", (long long)c->of->bytes);
		return EGRESS_SPENT;
	}
	return EGRESS_OPEN;
}

static void
look_up(struct connection *c)
{
	c->state = RESOLVING;
	c->of->active++;
	c->lookup = mem_alloc(sizeof *c->lookup);
	c->lookup->who = c;
	c->lookup->host = c->host;
	c->lookup->port = c->port;
	c->lookup->group = c->of->number;
	c->looking = true;
	lookup_ask(c->lookup);
}

static void
take_head(struct connection *c, const struct egress_head *h)
{
	struct err e = ERR_INIT;
	enum egress_verdict v;

	c->port = h->port;
	if (h->kind == 'P') {
		follow(c);
		return;
	}
	v = judge(c, h, &e);
	if (v != EGRESS_OPEN) {
		refuse(c, v, &e);
		return;
	}
	c->state = WAITING;
	if (c->of->active < conf->connections)
		look_up(c);
}

/* Exactly the head is read: what follows it stays in the socket until there is somewhere to put it. */
static void
read_head(struct connection *c)
{
	struct egress_head h;
	struct err e = ERR_INIT;
	bool fine;

	for (;;) {
		size_t want = c->head_n < EGRESS_HEAD ? EGRESS_HEAD : (size_t)EGRESS_HEAD + c->head[4];
		ssize_t n = handed_receive(c->gate, c->of->gate, c->head + c->head_n, want - c->head_n, &c->near, &fine);
		long whole;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			connection_free(c);
			return;
		}
		c->head_n += (size_t)n;
		whole = fine ? egress_head_get(c->head, c->head_n, &h) : -1;
		if (whole > 0) {
			take_head(c, &h);
			return;
		}
		if (whole < 0) {
			err_set(&e, ERR_INPUT, "that is no head of a gate");
			refuse(c, EGRESS_MALFORMED, &e);
			return;
		}
	}
}

static void
on_gate(void *arg, uint32_t events)
{
	struct connection *c = arg;

	if (c->state == HEAD)
		read_head(c);
	else if ((events & (EPOLLHUP | EPOLLERR)) || (c->state == FOLLOWING && (events & (EPOLLIN | EPOLLRDHUP))))
		connection_free(c); /* whoever asked has gone, or a follower speaks, which it has no reason to */
}

/* The gate comes before it starts anything.  When it ends, so does all that it started: another may come then. */
static void
know_gate(struct instance *i, int fd)
{
	struct ucred who = { 0, 0, 0 };
	socklen_t n = sizeof who;
	struct buf b = BUF_INIT;

	if (i->gate != 0 && (kill(i->gate, 0) == 0 || errno != ESRCH))
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) != 0 || who.pid <= 0)
		return;
	i->gate = who.pid;
	buf_fmt(&b, "{\"event\":\"gate\",\"instance\":%lld,\"pid\":%d}", (long long)i->number, (int)i->gate);
	tell(&b);
	buf_clear(&b);
}

static void
on_listening(void *arg, uint32_t events)
{
	struct instance *i = arg;
	struct connection *c;
	int fd;

	(void)events;
	/* One a turn and instance: a storm of one leaves the others their turn. */
	fd = accept4(i->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	if (--i->tokens == 0)
		loop_forget(i->fd);
	if (connection_count >= connection_most || i->connections >= conf->connections + WAITING_MAX) {
		static const uint8_t busy[2] = { EGRESS_BUSY, 0 };

		(void)!send(fd, busy, sizeof busy, MSG_DONTWAIT | MSG_NOSIGNAL);
		close(fd);
		return;
	}
	c = mem_alloc(sizeof *c);
	c->of = i;
	c->gate = fd;
	c->near = c->far = -1;
	know_gate(i, fd);
	c->began_ms = clock_mono_ms();
	c->next = connections;
	if (connections != NULL)
		connections->prev = c;
	else
		oldest = c;
	connections = c;
	connection_count++;
	i->connections++;
	loop_watch(fd, EDGES, on_gate, c);
	read_head(c);
}

/* --- time --- */

static void
check_time(struct connection *c, int64_t now)
{
	int64_t age = now - c->began_ms;
	struct err e = ERR_INIT;

	if (c->state == HEAD && age > HEAD_MS) {
		connection_free(c);
	} else if ((c->state == RESOLVING || c->state == CONNECTING) && age > conf->connect_ms) {
		err_set(&e, ERR_TIMEOUT, "%s:%d did not answer within %lld ms (egress.connect_timeout)", c->host.text, c->port,
		    (long long)conf->connect_ms);
		refuse(c, c->state == RESOLVING ? EGRESS_UNRESOLVED : EGRESS_UNREACHABLE, &e);
	} else if (c->state == WAITING && age > conf->connect_ms) {
		err_set(&e, ERR_BUSY, "more than %lld connections at once for %lld ms (egress.connections)",
		    (long long)conf->connections, (long long)conf->connect_ms);
		refuse(c, EGRESS_BUSY, &e);
	} else if (c->state == OPEN && now - c->active_ms > conf->idle_ms) {
		finish(c, "egress.idle", true);
	} else if (c->state == OPEN && age > conf->total_ms) {
		finish(c, "egress.total", true);
	}
}

static void
refill(struct instance *i)
{
	if (i->tokens == 0)
		loop_watch(i->fd, EPOLLIN, on_listening, i);
	i->tokens = i->tokens + PER_TICK < BURST ? i->tokens + PER_TICK : BURST;
}

static void
on_tick(void *arg)
{
	struct connection *c, *next;
	struct instance *i;
	int64_t now = clock_mono_ms();

	(void)arg;
	for (c = connections; c != NULL; c = next) {
		next = c->next;
		check_time(c, now);
	}
	for (i = instances; i != NULL; i = i->next)
		refill(i);
	loop_after(&tick, TICK_MS, on_tick, NULL);
}

/* --- what the scheduler says --- */

static struct instance *
instance_find(int64_t number)
{
	struct instance *i = instances;

	while (i != NULL && i->number != number)
		i = i->next;
	return i;
}

static void
instance_end(struct instance *gone)
{
	struct connection *c, *next;
	struct instance **p = &instances;

	for (c = connections; c != NULL; c = next) {
		next = c->next;
		if (c->of != gone)
			continue;
		if (c->state == OPEN)
			finish(c, "instance ended", true);
		else
			connection_free(c);
	}
	while (*p != gone)
		p = &(*p)->next;
	*p = gone->next;
	shut(&gone->fd);
	free(gone->bundle);
	free(gone->job);
	free(gone->rules);
	buf_clear(&gone->rules_text);
	free(gone);
}

static void
instance_add(int64_t number, int fd, int64_t gate)
{
	struct instance *i = instance_find(number);

	if (i != NULL)
		instance_end(i);
	i = mem_alloc(sizeof *i);
	i->number = number;
	i->fd = fd;
	i->tokens = BURST;
	i->gate = (pid_t)gate;
	buf_add(&i->rules_text, "\0\0\0\0", 4);
	i->next = instances;
	instances = i;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	loop_watch(fd, EPOLLIN, on_listening, i);
}

/* Rules that are none were refused at admission; here they allow nothing. */
static void
instance_rules(struct instance *i, const cJSON *net)
{
	const cJSON *item;
	size_t n = net != NULL ? (size_t)cJSON_GetArraySize(net) : 0, body;

	free(i->rules);
	i->rules = mem_array(n + 1, sizeof *i->rules);
	i->rule_count = 0;
	buf_reset(&i->rules_text);
	buf_add(&i->rules_text, "\0\0\0\0", 4);
	cJSON_ArrayForEach(item, net) {
		struct err e = ERR_INIT;

		if (!cJSON_IsString(item) || egress_rule_parse(item->valuestring, strlen(item->valuestring), EGRESS_PORT,
		    &i->rules[i->rule_count], &e) != 0 || i->rule_count == EGRESS_RULES_MAX) {
			log_warn("rule is none", "instance=%lld why=%s", (long long)i->number, log_q(e.text));
			continue;
		}
		i->rule_count++;
		buf_fmt(&i->rules_text, "%s\n", item->valuestring);
	}
	body = i->rules_text.len - 4;
	assert(body <= EGRESS_RULES_TEXT_MAX);
	for (n = 0; n < 4; n++)
		i->rules_text.data[n] = (char)(body >> (24 - 8 * n));
}

static void
budget(struct instance *i)
{
	i->sent_left = i->received_left = i->bytes;
	i->over_told = false;
}

static void
instance_allow(struct instance *i, const cJSON *m)
{
	struct connection *c, *next;

	free(i->bundle);
	i->bundle = mem_str(json_string(m, "bundle"));
	json_int(m, "bytes", 0, INT64_MAX / 2, &i->bytes, NULL);
	instance_rules(i, json_array(m, "net"));
	budget(i);
	for (c = connections; c != NULL; c = next) {
		next = c->next;
		if (c->of == i && c->state == FOLLOWING && send(c->gate, i->rules_text.data, i->rules_text.len,
		    MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)i->rules_text.len)
			connection_free(c); /* it comes back and is told anew */
	}
	tell_ready(i);
}

/* false: that was no message of ours. */
static bool
take_message(const char *json, size_t n, int *fd)
{
	cJSON *m = json_parse(json, n, JSON_DEPTH, NULL);
	const char *op = m != NULL ? json_string(m, "op") : NULL;
	struct instance *i;
	int64_t number = -1, gate = 0;
	bool fine = op != NULL && json_int(m, "instance", 0, INT64_C(9007199254740991), &number, NULL) == 0 && number >= 0;

	i = fine ? instance_find(number) : NULL;
	if (fine && strcmp(op, "add") == 0 && *fd >= 0) {
		json_int(m, "gate", 0, INT32_MAX, &gate, NULL);
		instance_add(number, *fd, gate);
		*fd = -1;
	} else if (i != NULL && strcmp(op, "allow") == 0) {
		instance_allow(i, m);
	} else if (i != NULL && strcmp(op, "job") == 0) {
		free(i->job);
		i->job = mem_str(json_string(m, "job"));
		if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(m, "fresh")))
			budget(i);
	} else if (i != NULL && strcmp(op, "drop") == 0) {
		instance_end(i);
	}
	cJSON_Delete(m);
	return fine;
}

static void
on_control(void *arg, uint32_t events)
{
	static char text[EGRESS_MESSAGE_MAX];
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} extra;
	struct iovec io = { text, sizeof text };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &extra, .msg_controllen = sizeof extra };
	const struct cmsghdr *h;
	int fd = -1;
	ssize_t n;

	(void)arg;
	(void)events;
	n = recvmsg(control, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		loop_end();
		return;
	}
	h = CMSG_FIRSTHDR(&m);
	if (h != NULL && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(h), sizeof fd);
	if ((m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || !take_message(text, (size_t)n, &fd))
		log_warn("the scheduler's message is none", "bytes=%zd", n);
	if (fd >= 0)
		close(fd);
}

/* --- the process --- */

static bool
turn(void *arg)
{
	struct connection *c, *next;
	bool again = false;

	(void)arg;
	for (c = connections; c != NULL; c = next) {
		next = c->next;
		if (c->more)
			move(c);
	}
	/* Who waits the longest comes first. */
	for (c = oldest; c != NULL; c = c->prev)
		if (c->state == WAITING && c->of->active < conf->connections)
			look_up(c);
	for (c = connections; c != NULL && !again; c = c->next)
		again = c->more;
	return again;
}

/* Files were closed by Landlock before the program began (exits.c): it reads what name look-ups need, and writes nothing. */
static void
drop_rights(void)
{
	struct rlimit files = { 256, 256 };
	struct timeval patience = { SEND_SECONDS, 0 };

	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGXFSZ, SIG_IGN); /* of a line of the log, when standard error is a file */
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0);
	/* No search list: "intranet" shall not become "intranet.example.com". */
	setenv("LOCALDOMAIN", ".", 1);
	setenv("RES_OPTIONS", "timeout:2 attempts:2", 1);
	setsockopt(control, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	getrlimit(RLIMIT_NOFILE, &files);
	connection_most = ((int64_t)files.rlim_cur - FDS_KEPT) / FDS_EACH;
	if (connection_most < 1)
		connection_most = 1;
}

int
egress_main(int fd, const struct egress_conf *c)
{
	struct err e = ERR_INIT;
	int rc;

	mallopt(M_ARENA_MAX, 2);
	conf = c;
	control = fd;
	drop_rights();
	if (loop_open(&e) != 0 || lookup_open(c, on_lookup, &e) != 0) {
		log_error("cannot run", "why=%s", log_q(e.text));
		return 1;
	}
	loop_watch(control, EPOLLIN, on_control, NULL);
	loop_after(&tick, TICK_MS, on_tick, NULL);
	rc = loop_run(turn, NULL, &e) == 0 ? 0 : 1;
	/* Threads may be in the middle of a look-up. */
	_exit(rc);
}
