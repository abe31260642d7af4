#include "scheduler/exits.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
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
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/egress.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "scheduler/egress.h"
#include "scheduler/loop.h"
#include "scheduler/site.h"
#include "scheduler/spawn.h"

#define BACKLOG   512
#define RETRY_MS  500   /* after a death in the first seconds of its life */
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
	const struct conf *conf;
	const char *program;
	struct exits_events events;
	void *arg;
	struct spawned process;
	int fd;
	bool writes, stopping;
	struct exit_of *open;
	struct message *first, **last; /* what the socket had no room for */
	int64_t started_ms;
	struct loop_timer restart;
};

struct exits *
exits_new(const struct conf *c, const char *program, const struct exits_events *events, void *arg)
{
	struct exits *x = mem_alloc(sizeof *x);

	x->conf = c;
	x->program = program;
	x->events = *events;
	x->arg = arg;
	x->fd = -1;
	x->last = &x->first;
	return x;
}

static struct exit_of *
find(const struct exits *x, int64_t instance)
{
	struct exit_of *o = x->open;

	while (o != NULL && o->instance != instance)
		o = o->next;
	return o;
}

/* --- to the process --- */

static void on_socket(void *arg, uint32_t events);

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
	bool waits;

	while (x->fd >= 0 && x->first != NULL) {
		if (send_one(x->fd, x->first->json, x->first->fd) < 0) {
			if (errno == EINTR)
				continue;
			break; /* full, or gone: then the socket ends and all is told anew */
		}
		drop_first(x);
	}
	waits = x->first != NULL;
	if (x->fd >= 0 && x->writes != waits) {
		x->writes = waits;
		loop_watch(x->fd, EPOLLIN | (waits ? EPOLLOUT : 0), on_socket, x);
	}
}

/* Takes json over. */
static void
say(struct exits *x, char *json, int fd)
{
	struct message *m;

	if (x->fd < 0) {
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
hang_up(struct exits *x, const char *why)
{
	if (x->fd < 0)
		return;
	if (!x->stopping)
		log_warn("egress ends", "why=%s", log_q(why));
	loop_forget(x->fd);
	close(x->fd);
	x->fd = -1;
	x->writes = false;
	while (x->first != NULL)
		drop_first(x);
	spawn_kill(&x->process, SIGKILL);
}

static void
on_socket(void *arg, uint32_t events)
{
	struct exits *x = arg;
	char text[EVENT_MAX];
	int i;

	if (events & EPOLLOUT)
		flush(x);
	for (i = 0; x->fd >= 0 && i < EVENTS; i++) {
		ssize_t n = recv(x->fd, text, sizeof text, MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0)
			hang_up(x, "it closed its socket");
		else if (n > (ssize_t)sizeof text || !take_event(x, text, (size_t)n))
			hang_up(x, "its message is none");
	}
}

/* --- the process --- */

static void
list_add(struct conf_list *l, const char *s)
{
	l->item = mem_grow(l->item, (l->n + 1) * sizeof *l->item);
	l->item[l->n++] = mem_str(s);
}

/* It reads what name look-ups need and its config; it writes nothing, and does not see the home. */
static void
close_files(const struct exits *x, struct plan *p)
{
	static const char *const paths[] = { "/usr", "/lib", "/lib64", "/run/systemd/resolve", "/run/NetworkManager",
		"/run/resolvconf", "/dev/urandom", "/dev/null", "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf",
		"/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services", "/etc/ld.so.cache", "/etc/localtime" };
	size_t i;

	p->landlock = true;
	for (i = 0; i < sizeof paths / sizeof paths[0]; i++)
		list_add(&p->read_only, paths[i]);
	/* resolv.conf is replaced, not rewritten, when the network changes: only its directory keeps it in reach. */
	if (strncmp(x->conf->home, "/etc/", 5) != 0)
		list_add(&p->read_only, "/etc");
	list_add(&p->read_only, x->program);
	if (x->conf->file != NULL)
		list_add(&p->read_only, x->conf->file);
}

static void
make_plan(const struct exits *x, struct plan *p)
{
	struct rlimit files = { FILES, FILES };

	memset(p, 0, sizeof *p);
	list_add(&p->argv, x->program);
	list_add(&p->argv, "--role");
	list_add(&p->argv, "egress");
	list_add(&p->argv, "--home");
	list_add(&p->argv, x->conf->home);
	if (x->conf->file != NULL) {
		list_add(&p->argv, "--config");
		list_add(&p->argv, x->conf->file);
	}
	if (x->conf->dev)
		list_add(&p->argv, "--dev");
	list_add(&p->env, "PATH=/usr/local/bin:/usr/bin:/bin");
	list_add(&p->env, "LANG=C.UTF-8");
	p->cwd = mem_str("/");
	getrlimit(RLIMIT_NOFILE, &files);
	p->limit[p->limits++] = (struct plan_limit){ RLIMIT_CORE, 0 };
	p->limit[p->limits++] = (struct plan_limit){ RLIMIT_FSIZE, 0 };
	p->limit[p->limits++] = (struct plan_limit){ RLIMIT_NOFILE, files.rlim_max < FILES ? files.rlim_max : FILES };
#ifndef __SANITIZE_ADDRESS__
	p->limit[p->limits++] = (struct plan_limit){ RLIMIT_AS, (uint64_t)512 * 1024 * 1024 };
#endif
	close_files(x, p);
}

static void
on_restart(void *arg)
{
	struct exits *x = arg;
	struct err e = ERR_INIT;

	if (!x->stopping && x->process.pid == 0 && exits_start(x, &e) != 0) {
		log_error("egress does not start", "why=%s", log_q(e.text));
		loop_after(&x->restart, RETRY_MS, on_restart, x);
	}
}

static void
on_end(void *arg, int status)
{
	struct exits *x = arg;
	char how[80];

	x->process.pid = 0;
	if (x->stopping)
		return;
	log_warn("egress ended", "how=%s", log_q(spawn_status(status, how, sizeof how)));
	hang_up(x, "its process ended");
	if (clock_mono_ms() - x->started_ms > 5000)
		on_restart(x);
	else
		loop_after(&x->restart, RETRY_MS, on_restart, x);
}

int
exits_start(struct exits *x, struct err *e)
{
	const struct exit_of *o;
	struct plan plan;
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return err_errno(e, "socketpair");
	make_plan(x, &plan);
	rc = spawn_start(&plan, pair[1], false, on_end, x, &x->process, e);
	plan_clear(&plan);
	close(pair[1]);
	if (rc != 0) {
		close(pair[0]);
		return -1;
	}
	x->fd = pair[0];
	x->started_ms = clock_mono_ms();
	loop_watch(x->fd, EPOLLIN, on_socket, x);
	log_info("egress started", "pid=%d", (int)x->process.pid);
	for (o = x->open; o != NULL; o = o->next)
		say_all(x, o);
	return 0;
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
	x->stopping = true;
	loop_stop(&x->restart);
	hang_up(x, "the end");
}

bool
exits_gone(const struct exits *x)
{
	return x->process.pid == 0;
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
