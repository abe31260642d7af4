/*
 * Names get addresses in the order in which they are asked for, and keep them: 127.64.0.1, 127.64.0.2, ...  The rules are
 * fixed (--allow), or told by the egress process, which is how a blank learns what the bundle it is bound to may reach.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "backends/gate/gate.h"
#include "lib/egress.h"
#include "lib/err.h"

#define FIRST      0x7f400001u /* 127.64.0.1 */
#define NAMES_MAX  4096
#define RETRY_MS   200
#define FIRST_MS   2000 /* how long the first question waits for the first rules */

static struct egress_rule *rules;
static size_t rule_count;
static char **names;
static size_t name_count;

static const char *follow_path;
static struct watch follow = { -1, NULL };
static int64_t retry_at;
static bool fixed;            /* the rules are ours to keep */
static bool told;             /* rules came at least once */
static char *message;         /* what came of the next message */
static size_t message_n;

static void
take_rule(const char *s, size_t n)
{
	struct err e = ERR_INIT;
	struct egress_rule r;

	if (n == 0)
		return;
	if (egress_rule_parse(s, n, EGRESS_PORT, &r, &e) != 0) {
		gate_say("permissions.net: %s", e.text);
		return;
	}
	if (rule_count == EGRESS_RULES_MAX) {
		gate_say("permissions.net: more than %d entries", EGRESS_RULES_MAX);
		return;
	}
	rules[rule_count++] = r;
	carry_listen(r.port, r.host.family == AF_INET6);
	/* A wrong port that people try is refused with a reason, not only by the kernel. */
	carry_listen(80, r.host.family == AF_INET6);
	carry_listen(443, r.host.family == AF_INET6);
	if (r.host.family != 0)
		carry_own(&r.host);
}

void
names_set(const char *text, size_t n)
{
	size_t line;

	if (rules == NULL && (rules = calloc(EGRESS_RULES_MAX, sizeof *rules)) == NULL)
		abort();
	told = true;
	rule_count = 0;
	for (; n > 0; text += line, n -= line) {
		const char *end = memchr(text, '\n', n);

		line = end != NULL ? (size_t)(end - text) + 1 : n;
		take_rule(text, end != NULL ? line - 1 : line);
	}
}

/* --- following --- */

static void
follow_lost(void)
{
	if (follow.fd >= 0)
		close(follow.fd);
	follow.fd = -1;
	message_n = 0;
	retry_at = gate_now_ms() + RETRY_MS;
}

/* Reads what is there. */
static void
follow_read(void)
{
	for (;;) {
		size_t want = 4, body = 0;
		ssize_t n;

		if (message_n >= 4) {
			const uint8_t *p = (const uint8_t *)message;

			body = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
			if (body > EGRESS_RULES_TEXT_MAX) {
				follow_lost();
				return;
			}
			want += body;
		}
		if (message_n >= 4 && message_n == want) {
			message_n = 0;
			if (!fixed)
				names_set(message + 4, body);
			continue;
		}
		n = read(follow.fd, message + message_n, want - message_n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			follow_lost();
			return;
		}
		message_n += (size_t)n;
	}
}

static void
on_rules(struct watch *w, uint32_t events)
{
	(void)events;
	if (w->fd >= 0)
		follow_read();
}

static void
follow_connect(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	uint8_t head[EGRESS_HEAD_MAX];
	size_t n = egress_head_put('P', NULL, 0, head);

	memcpy(a.sun_path, follow_path, strlen(follow_path) + 1);
	follow.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	follow.fn = on_rules;
	if (follow.fd < 0 || connect(follow.fd, (struct sockaddr *)&a, sizeof a) != 0 ||
	    send(follow.fd, head, n, MSG_NOSIGNAL) != (ssize_t)n || !gate_watch(&follow, EPOLLIN | EPOLLRDHUP))
		follow_lost();
}

void
names_follow(const char *socket_path)
{
	follow_path = socket_path;
	fixed = told;
	message = malloc(EGRESS_RULES_TEXT_MAX + 4);
	if (message == NULL)
		abort();
	follow_connect();
}

int
names_turn(void)
{
	int64_t left;

	if (follow_path == NULL || follow.fd >= 0)
		return -1;
	left = retry_at - gate_now_ms();
	if (left > 0)
		return (int)left;
	follow_connect();
	return follow.fd >= 0 ? -1 : RETRY_MS;
}

/* What the egress process has said already counts, also before the loop came to it. */
static void
refresh(void)
{
	struct pollfd p = { follow.fd, POLLIN, 0 };

	if (follow.fd < 0)
		return;
	if (!told)
		(void)poll(&p, 1, FIRST_MS);
	follow_read();
}

/* --- addresses --- */

static bool
allowed(const char *name)
{
	struct egress_host h;
	size_t i;

	if (egress_host_parse(name, strlen(name), &h, NULL) != 0 || h.family != 0)
		return false;
	for (i = 0; i < rule_count; i++)
		if (egress_rule_names(&rules[i], &h))
			return true;
	return false;
}

static uint32_t
address_of(const char *name)
{
	char **grown;
	size_t i;

	for (i = 0; i < name_count; i++)
		if (strcmp(names[i], name) == 0)
			return FIRST + (uint32_t)i;
	if (name_count == NAMES_MAX) {
		gate_say("%s: more than %d names", name, NAMES_MAX);
		return 0;
	}
	grown = realloc(names, (name_count + 1) * sizeof *names);
	if (grown == NULL)
		return 0;
	names = grown;
	names[name_count] = strdup(name);
	return names[name_count] != NULL ? FIRST + (uint32_t)name_count++ : 0;
}

uint32_t
names_address(const char *name)
{
	if (name[0] == '\0')
		return 0;
	if (!allowed(name)) {
		refresh();
		if (!allowed(name))
			return 0;
	}
	return address_of(name);
}

const char *
names_of(uint32_t address)
{
	return address >= FIRST && address - FIRST < name_count ? names[address - FIRST] : NULL;
}
