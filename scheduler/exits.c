#include "scheduler/exits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "backends/backend.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/egress.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "scheduler/egress.h"
#include "scheduler/role.h"
#include "scheduler/site.h"

#define BACKLOG   512
#define FILES     8192  /* descriptors of the process, where the host grants so many */
#define EVENT_MAX 8192
#define EVENTS    64    /* read in one turn */

struct exit_of { /* an instance's way out */
	int64_t instance;
	int fd;
	char *path;
	int64_t gate; /* pid of the gate, 0: not known yet */
	char *allow;  /* the message, NULL: not bound yet */
	const char *key; /* whose limit its bytes are */
	char *job;
	struct exit_of *next;
};

struct message {
	char *json;
	int fd; /* borrowed, -1: none */
	struct message *next;
};

struct exits {
	struct role role;
	struct exits_events events;
	void *arg;
	struct exit_of *open;
	struct message *first, **last; /* what the socket had no room for */
};

static struct exit_of *
find(const struct exits *x, int64_t instance)
{
	struct exit_of *o = x->open;

	while (o != NULL && o->instance != instance)
		o = o->next;
	return o;
}

/* --- to the process --- */

static ssize_t
send_one(int fd, const char *json, int passed)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} extra;
	struct iovec io = { (void *)(uintptr_t)json, strlen(json) };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1 };
	struct cmsghdr *h;

	if (passed >= 0) {
		memset(&extra, 0, sizeof extra);
		m.msg_control = &extra;
		m.msg_controllen = sizeof extra.room;
		h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof passed);
		memcpy(CMSG_DATA(h), &passed, sizeof passed);
	}
	return sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
drop_first(struct exits *x)
{
	struct message *m = x->first;

	x->first = m->next;
	if (x->first == NULL)
		x->last = &x->first;
	free(m->json);
	free(m);
}

static void
flush(struct exits *x)
{
	while (x->role.fd >= 0 && x->first != NULL) {
		if (send_one(x->role.fd, x->first->json, x->first->fd) < 0) {
			if (errno == EINTR)
				continue;
			break; /* full, or gone: then the socket ends and all is told anew */
		}
		drop_first(x);
	}
	role_waits(&x->role, x->first != NULL);
}

/* Takes json over. */
static void
say(struct exits *x, char *json, int fd)
{
	struct message *m;

	if (x->role.fd < 0) {
		free(json); /* the next process is told everything anyway */
		return;
	}
	m = mem_alloc(sizeof *m);
	m->json = json;
	m->fd = fd;
	*x->last = m;
	x->last = &m->next;
	flush(x);
}

static void
say_job(struct exits *x, const struct exit_of *o, bool fresh)
{
	struct buf b = BUF_INIT;

	buf_fmt(&b, "{\"op\":\"job\",\"instance\":%lld,\"job\":", (long long)o->instance);
	buf_json_str(&b, o->job);
	buf_fmt(&b, ",\"fresh\":%s}", fresh ? "true" : "false");
	say(x, buf_take(&b), -1);
}

static void
say_all(struct exits *x, const struct exit_of *o)
{
	say(x, mem_fmt("{\"op\":\"add\",\"instance\":%lld,\"gate\":%lld}", (long long)o->instance, (long long)o->gate), o->fd);
	if (o->allow != NULL)
		say(x, mem_str(o->allow), -1);
	if (o->job != NULL)
		say_job(x, o, true);
}

/* --- from the process: it speaks with strangers, so it is not believed more than it must be --- */

static bool
take_line(struct exits *x, const cJSON *m, int64_t instance)
{
	struct exits_line l = { .instance = instance };
	int64_t port = 0;

	if (json_text(m, "bundle", 2048, &l.bundle, NULL) != 0 || json_text(m, "job", 128, &l.job, NULL) != 0 ||
	    json_text(m, "host", 512, &l.host, NULL) != 0 || json_text(m, "address", 64, &l.address, NULL) != 0 ||
	    json_text(m, "verdict", 32, &l.verdict, NULL) != 0 || json_text(m, "why", 512, &l.why, NULL) != 0 ||
	    json_text(m, "end", 32, &l.end, NULL) != 0 || json_int(m, "port", 0, 65535, &port, NULL) != 0 ||
	    json_int(m, "sent", 0, INT64_MAX / 2, &l.sent, NULL) != 0 ||
	    json_int(m, "received", 0, INT64_MAX / 2, &l.received, NULL) != 0 ||
	    json_int(m, "ms", 0, INT64_MAX / 2, &l.ms, NULL) != 0 || l.verdict == NULL || l.end == NULL || l.host == NULL)
		return false;
	l.port = (int)port;
	if (x->events.connection != NULL)
		x->events.connection(x->arg, &l);
	return true;
}

static bool
take_over(struct exits *x, const cJSON *m, const struct exit_of *o)
{
	struct err why = ERR_INIT;
	const char *job = NULL;
	int64_t value = 0;
	char size[32];

	if (json_text(m, "job", 128, &job, NULL) != 0 || json_int(m, "value", 0, INT64_MAX / 2, &value, NULL) != 0)
		return false;
	conf_size_print(value, size);
	err_named(&why, ERR_BUSY, "EgressLimit", "the job sent or received more than %s = %s over the network", o->key != NULL ? o->key :
	    "limits.egress", size);
	if (x->events.over != NULL)
		x->events.over(x->arg, o->instance, job, &why);
	return true;
}

/* What the gate of one instance has to say. */
static bool
take_of(struct exits *x, const cJSON *m, const char *event, struct exit_of *of)
{
	if (strcmp(event, "over") == 0)
		return take_over(x, m, of);
	if (strcmp(event, "gate") == 0)
		return json_int(m, "pid", 1, INT32_MAX, &of->gate, NULL) == 0;
	if (strcmp(event, "ready") != 0)
		return false;
	if (x->events.ready != NULL)
		x->events.ready(x->arg, of->instance);
	return true;
}

static bool
take_event(struct exits *x, const char *json, size_t n)
{
	cJSON *m = json_parse(json, n, 4, NULL);
	const char *event = m != NULL ? json_string(m, "event") : NULL;
	int64_t instance = -1;
	bool fine = event != NULL && json_int(m, "instance", 0, INT64_C(9007199254740991), &instance, NULL) == 0;

	if (fine && strcmp(event, "connection") == 0)
		fine = take_line(x, m, instance);
	else if (fine && find(x, instance) != NULL) /* else it went meanwhile */
		fine = take_of(x, m, event, find(x, instance));
	cJSON_Delete(m);
	return fine;
}

static void
on_leaves(void *arg)
{
	struct exits *x = arg;

	while (x->first != NULL)
		drop_first(x);
}

static void
on_ready(void *arg, uint32_t events)
{
	struct exits *x = arg;
	char text[EVENT_MAX];
	int i;

	if (events & EPOLLOUT)
		flush(x);
	for (i = 0; x->role.fd >= 0 && i < EVENTS; i++) {
		ssize_t n = recv(x->role.fd, text, sizeof text, MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0)
			role_hang_up(&x->role, "it closed its socket");
		else if (n > (ssize_t)sizeof text || !take_event(x, text, (size_t)n))
			role_hang_up(&x->role, "its message is none");
	}
}

/* --- the process --- */

static void
add_limits(const struct role *r, struct plan *p)
{
	struct rlimit files = { FILES, FILES };

	getrlimit(RLIMIT_NOFILE, &files);
	p->limit[p->limits++] = (struct plan_limit){ RLIMIT_FSIZE, 0 };
	p->limit[p->limits++] = (struct plan_limit){ RLIMIT_NOFILE, files.rlim_max < FILES ? files.rlim_max : FILES };
#ifndef __SANITIZE_ADDRESS__
	p->limit[p->limits++] = (struct plan_limit){ RLIMIT_AS, (uint64_t)512 * 1024 * 1024 };
#endif
	role_close_files(r, p);
}

static void
on_began(void *arg)
{
	struct exits *x = arg;
	const struct exit_of *o;

	for (o = x->open; o != NULL; o = o->next)
		say_all(x, o);
}

struct exits *
exits_new(const struct conf *c, const char *program, const struct exits_events *events, void *arg)
{
	static const struct role_kind kind = { .name = "egress", .stays = true, .packets = true, .plan = add_limits,
		.began = on_began, .ready = on_ready, .leaves = on_leaves };
	struct exits *x = mem_alloc(sizeof *x);

	role_init(&x->role, &kind, c, program, x);
	x->events = *events;
	x->arg = arg;
	x->last = &x->first;
	return x;
}

int
exits_start(struct exits *x, struct err *e)
{
	return role_start(&x->role, e);
}

/* --- instances --- */

int
exits_add(struct exits *x, int64_t instance, const char *dir, struct err *e)
{
	struct exit_of *o;
	int fd;

	exits_drop(x, instance);
	fd = site_listen(dir, "out", BACKLOG, e);
	if (fd < 0)
		return -1;
	o = mem_alloc(sizeof *o);
	o->instance = instance;
	o->fd = fd;
	o->path = mem_fmt("%s/out", dir);
	o->next = x->open;
	x->open = o;
	say_all(x, o);
	return 0;
}

int
exits_allow(struct exits *x, int64_t instance, const char *bundle, const struct conf_list *net, int64_t bytes,
    const char *key, struct err *e)
{
	struct exit_of *o = find(x, instance);
	struct egress_rule rule;
	struct buf b = BUF_INIT;
	size_t i;

	if (o == NULL)
		return err_set(e, ERR_INTERNAL, "instance %lld has no way out", (long long)instance);
	buf_fmt(&b, "{\"op\":\"allow\",\"instance\":%lld,\"bytes\":%lld,\"bundle\":", (long long)instance, (long long)bytes);
	buf_json_str(&b, bundle);
	buf_str(&b, ",\"net\":[");
	for (i = 0; net != NULL && i < net->n; i++) {
		if (egress_rule_parse(net->item[i], strlen(net->item[i]), EGRESS_PORT, &rule, e) != 0) {
			buf_clear(&b);
			return err_wrap(e, "permissions.net");
		}
		buf_str(&b, i > 0 ? "," : "");
		buf_json_str(&b, net->item[i]);
	}
	buf_str(&b, "]}");
	if (i > EGRESS_LIST_MAX || b.len > EGRESS_MESSAGE_MAX) {
		buf_clear(&b);
		return err_set(e, ERR_INPUT, "permissions.net has more than %d entries or %u bytes", EGRESS_LIST_MAX, EGRESS_MESSAGE_MAX);
	}
	o->key = key;
	free(o->allow);
	o->allow = buf_take(&b);
	say(x, mem_str(o->allow), -1);
	return 0;
}

void
exits_job(struct exits *x, int64_t instance, const char *job, bool fresh)
{
	struct exit_of *o = find(x, instance);

	if (o == NULL)
		return;
	free(o->job);
	o->job = mem_str(job);
	say_job(x, o, fresh);
}

void
exits_drop(struct exits *x, int64_t instance)
{
	struct exit_of **p = &x->open, *o;

	while (*p != NULL && (*p)->instance != instance)
		p = &(*p)->next;
	o = *p;
	if (o == NULL)
		return;
	*p = o->next;
	/* Its descriptor must not be closed while a message that carries it waits. */
	for (struct message *m = x->first; m != NULL; m = m->next)
		if (m->fd == o->fd)
			m->fd = -1;
	say(x, mem_fmt("{\"op\":\"drop\",\"instance\":%lld}", (long long)instance), -1);
	unlink(o->path);
	close(o->fd);
	free(o->path);
	free(o->allow);
	free(o->job);
	free(o);
}

void
exits_stop(struct exits *x)
{
	role_stop(&x->role);
}

bool
exits_gone(const struct exits *x)
{
	return role_gone(&x->role);
}

void
exits_free(struct exits *x)
{
	if (x == NULL)
		return;
	exits_stop(x);
	while (x->open != NULL)
		exits_drop(x, x->open->instance);
	free(x);
}
