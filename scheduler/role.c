#include "scheduler/role.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backends/backend.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/mem.h"

#define READ_ROOM 65536
#define RETRY_MS  500  /* after a death in the first seconds of its life */
#define YOUNG_MS  5000

extern char **environ;

void
role_init(struct role *r, const struct role_kind *kind, const struct conf *c, const char *program, void *arg)
{
	*r = (struct role){ .kind = kind, .conf = c, .program = program, .arg = arg, .fd = -1 };
}

void
role_list_add(struct conf_list *l, const char *s)
{
	l->item = mem_grow(l->item, (l->n + 1) * sizeof *l->item);
	l->item[l->n++] = mem_str(s);
}

void
role_close_files(const struct role *r, struct plan *p)
{
	static const char *const paths[] = { "/usr", "/lib", "/lib64", "/run/systemd/resolve", "/run/NetworkManager",
		"/run/resolvconf", "/dev/urandom", "/dev/null", "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf",
		"/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services", "/etc/ld.so.cache", "/etc/localtime" };
	size_t i;

	p->landlock = true;
	for (i = 0; i < sizeof paths / sizeof paths[0]; i++)
		role_list_add(&p->read_only, paths[i]);
	/* resolv.conf is replaced, not rewritten, when the network changes: only its directory keeps it in reach. */
	if (strncmp(r->conf->home, "/etc/", 5) != 0)
		role_list_add(&p->read_only, "/etc");
	role_list_add(&p->read_only, r->program);
	if (r->conf->file != NULL)
		role_list_add(&p->read_only, r->conf->file);
}

/* --- the socket --- */

static void on_socket(void *arg, uint32_t events);

void
role_waits(struct role *r, bool waits)
{
	if (r->fd < 0 || r->writes == waits)
		return;
	r->writes = waits;
	loop_watch(r->fd, EPOLLIN | (waits ? EPOLLOUT : 0), on_socket, r);
}

void
role_flush(struct role *r)
{
	while (r->fd >= 0 && r->out.len > 0) {
		ssize_t n = send(r->fd, r->out.data, r->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		buf_drop(&r->out, (size_t)n);
	}
	role_waits(r, r->out.len > 0);
}

void
role_hang_up(struct role *r, const char *why)
{
	if (r->fd < 0)
		return;
	if (why != NULL && !r->stopping)
		log_warn("part ends", "role=%s why=%s", r->kind->name, log_q(why));
	if (r->kind->leaves != NULL)
		r->kind->leaves(r->arg);
	loop_forget(r->fd);
	close(r->fd);
	r->fd = -1;
	r->writes = false;
	buf_clear(&r->in);
	buf_clear(&r->out);
	spawn_kill(&r->process, SIGKILL);
}

static void
take_bytes(struct role *r)
{
	struct err e = ERR_INIT;
	ssize_t n = read(r->fd, buf_room(&r->in, READ_ROOM), READ_ROOM);

	if (n > 0) {
		r->in.len += (size_t)n;
		if (r->kind->heard(r->arg, &e) != 0)
			role_hang_up(r, e.text);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		role_hang_up(r, "it closed its socket");
	}
}

static void
on_socket(void *arg, uint32_t events)
{
	struct role *r = arg;

	if (r->kind->packets) {
		r->kind->ready(r->arg, events);
		return;
	}
	if (events & EPOLLOUT)
		role_flush(r);
	if (r->fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		take_bytes(r);
}

/* --- the process --- */

static bool
is_named(const char *entry, const char *name)
{
	size_t n = strlen(name);

	if (n > 0 && name[n - 1] == '*')
		return strncmp(entry, name, n - 1) == 0;
	return strncmp(entry, name, n) == 0 && entry[n] == '=';
}

/* The config is read by each process anew, so what goes over the file must reach all of them. */
static void
add_environment(const struct role *r, struct plan *p)
{
	static const char *const none[] = { NULL };
	const char *const *names = r->kind->env != NULL ? r->kind->env : none;

	role_list_add(&p->env, "PATH=/usr/local/bin:/usr/bin:/bin");
	role_list_add(&p->env, "LANG=C.UTF-8");
	for (char **at = environ; *at != NULL; at++) {
		bool wanted = is_named(*at, "AT_RUND_*");

		for (size_t i = 0; names[i] != NULL && !wanted; i++)
			wanted = is_named(*at, names[i]);
		if (wanted)
			role_list_add(&p->env, *at);
	}
}

static void
make_plan(const struct role *r, struct plan *p)
{
	memset(p, 0, sizeof *p);
	role_list_add(&p->argv, r->program);
	role_list_add(&p->argv, "--role");
	role_list_add(&p->argv, r->kind->name);
	role_list_add(&p->argv, "--home");
	role_list_add(&p->argv, r->conf->home);
	if (r->conf->file != NULL) {
		role_list_add(&p->argv, "--config");
		role_list_add(&p->argv, r->conf->file);
	}
	if (r->conf->dev)
		role_list_add(&p->argv, "--dev");
	add_environment(r, p);
	p->cwd = mem_str("/");
	p->limit[p->limits++] = (struct plan_limit){ RLIMIT_CORE, 0 };
	if (r->kind->plan != NULL)
		r->kind->plan(r, p);
}

static void
on_restart(void *arg)
{
	struct role *r = arg;
	struct err e = ERR_INIT;

	if (!r->stopping && r->process.pid == 0 && role_start(r, &e) != 0) {
		log_error("part does not start", "role=%s why=%s", r->kind->name, log_q(e.text));
		loop_after(&r->restart, RETRY_MS, on_restart, r);
	}
}

static void
on_end(void *arg, int status)
{
	struct role *r = arg;
	char how[80];

	r->process.pid = 0;
	if (!r->stopping && r->kind->stays)
		log_warn("part ended", "role=%s how=%s", r->kind->name, log_q(spawn_status(status, how, sizeof how)));
	role_hang_up(r, NULL);
	if (r->stopping)
		return;
	if (r->kind->ended != NULL)
		r->kind->ended(r->arg, status);
	if (r->kind->stays && clock_mono_ms() - r->started_ms > YOUNG_MS)
		on_restart(r);
	else if (r->kind->stays)
		loop_after(&r->restart, RETRY_MS, on_restart, r);
}

int
role_start(struct role *r, struct err *e)
{
	int type = r->kind->packets ? SOCK_SEQPACKET : SOCK_STREAM, pair[2], rc;
	struct plan plan;

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) != 0) /* the role's end blocks: it may poll as it likes */
		return err_errno(e, "socketpair");
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	make_plan(r, &plan);
	rc = spawn_start(&plan, pair[1], false, on_end, r, &r->process, e);
	plan_clear(&plan);
	close(pair[1]);
	if (rc != 0) {
		close(pair[0]);
		return -1;
	}
	r->fd = pair[0];
	r->started_ms = clock_mono_ms();
	loop_watch(r->fd, EPOLLIN, on_socket, r);
	log_at(r->kind->stays ? LOG_INFO : LOG_DEBUG, "part started", "role=%s pid=%d", r->kind->name, (int)r->process.pid);
	if (r->kind->began != NULL)
		r->kind->began(r->arg);
	return 0;
}

void
role_farewell(struct role *r)
{
	r->stopping = true;
	loop_stop(&r->restart);
	if (r->fd < 0)
		return;
	role_flush(r);
	shutdown(r->fd, SHUT_WR);
	buf_reset(&r->out);
	role_waits(r, false);
}

void
role_stop(struct role *r)
{
	r->stopping = true;
	loop_stop(&r->restart);
	role_hang_up(r, NULL);
}

bool
role_gone(const struct role *r)
{
	return r->process.pid == 0;
}
