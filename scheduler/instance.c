#include "scheduler/instance.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/backend.h"
#include "backends/runtime.h"
#include "lib/buf.h"
#include "lib/bundle.h"
#include "lib/cgroup.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/frame.h"
#include "lib/mem.h"
#include "lib/secret.h"
#include "scheduler/account.h"
#include "scheduler/catalog.h"
#include "scheduler/collect.h"
#include "scheduler/exits.h"
#include "scheduler/loop.h"
#include "scheduler/say.h"
#include "scheduler/site.h"
#include "scheduler/spawn.h"
#include "scheduler/turn.h"
#include "scheduler/voice.h"

#define START_MS      10000 /* from exec to HELLO */
#define LOAD_MS       10000 /* from LOAD to READY: the bundle's top level runs */
#define EXIT_MS       200   /* from the end of its socket to its exit */
#define READ_ROOM     65536
#define READ_A_TURN   (1u << 20)
#define PLACES_MAX    64
#define REST_GRACE_MS 1000 /* from the deadline of work after an answer to the kill of its process */

struct call {
	struct instance *instance;
	struct job *job;  /* NULL: abandoned, or its answer is whole and work after it goes on */
	uint32_t number;  /* 0: the place is free */
	bool head, rests, late;
	int64_t received, allowed; /* bytes of the answer */
	int64_t room;     /* for bytes of the request's body */
	struct instance_rest rest;
	char why[160];    /* of the kill when the grace has passed */
	struct loop_timer grace;
};

struct instance {
	int64_t n, id;
	enum instance_state state;
	const struct backend *wall;
	const struct runtime *runtime;
	struct code *code, *placed; /* placed: whose files lie in it already */
	char *dir, *key, *version;
	char *inside; /* dir as the process sees it */
	struct spawned process;
	int listen_fd, fd;
	bool writes; /* EPOLLOUT is wanted */
	struct voice out_voice, err_voice;
	struct buf in, out;
	size_t out_at;
	struct call *call;
	int places, busy;
	uint32_t last_number;
	int64_t calls, used_ms, bound_ms;
	bool was_blank, out_of_memory;
	bool haunted;             /* a cancelled handler goes on in it */
	bool contained;           /* its processes can be counted */
	bool gate;                /* it has a way out */
	bool told;                /* and the egress process knows where it may lead: LOAD may go */
	bool foreign;             /* its user id is another than ours */
	bool abroad;              /* its processes are not children of ours */
	bool sealed;              /* they are none of this kernel's: its control group is counted */
	struct secret_env *secrets; /* given to it; held to cut them out of its log */
	char *sealed_cid;
	bool wipes;                 /* they are in out */
	struct cgroup *group;     /* NULL: there are none here */
	struct account *account;
	enum job_outcome over;    /* NONE: no limit was hit */
	struct err over_why;
	char why[256];
	struct loop_timer timer;
};

static const struct conf *conf;
static struct exits *exits;
static const struct instance_events *on;

void
instance_setup(const struct conf *c, struct exits *x, const struct instance_events *events)
{
	conf = c;
	exits = x;
	on = events;
}

/* --- calls --- */

static struct call *
call_find(struct instance *i, uint32_t number)
{
	int k;

	for (k = 0; k < i->places; k++)
		if (i->call[k].number == number && number != 0)
			return &i->call[k];
	return NULL;
}

static void
call_free(struct call *c)
{
	loop_stop(&c->grace);
	c->number = 0;
	c->rests = false;
	c->job = NULL;
	c->instance->busy--;
	c->instance->used_ms = loop_now_ms();
	if (c->instance->busy == 0)
		account_busy(c->instance->account, false);
}

static void on_rest_late(void *arg);

/* The answer is whole.  Work after it has the time that the job had. */
static void
call_end(struct call *c, const struct frame *f)
{
	const struct job *j = c->job;
	char limit[96];

	if (!f->stays) {
		call_free(c);
		return;
	}
	c->rests = true;
	c->job = NULL;
	if (j == NULL)
		return; /* its grace runs already */
	c->rest = (struct instance_rest){ .row = j->w.id.row, .logged = j->logged, .since_ms = loop_now_ms(), .cut = j->log_cut };
	collect_limit_ms(j->limit_key, j->timeout_ms, limit, sizeof limit);
	snprintf(c->why, sizeof c->why, "work after the answer went on longer than %.96s", limit);
	loop_after(&c->grace, j->deadline_ms - clock_mono_ms(), on_rest_late, c);
}

/* --- the end --- */

static void
close_socket(struct instance *i)
{
	if (i->listen_fd >= 0) {
		loop_forget(i->listen_fd);
		close(i->listen_fd);
	}
	if (i->fd >= 0) {
		loop_forget(i->fd);
		close(i->fd);
	}
	i->listen_fd = i->fd = -1;
}

static void
on_grace(void *arg)
{
	struct instance *i = arg;

	spawn_kill(&i->process, SIGKILL);
}

void
instance_stop(struct instance *i, const char *why)
{
	if (i->state != INSTANCE_ENDING)
		snprintf(i->why, sizeof i->why, "%s", why);
	i->state = INSTANCE_ENDING;
	close_socket(i);
	loop_stop(&i->timer);
	spawn_kill(&i->process, SIGKILL);
}

/* The executor closed its end: most likely it is exiting, and how says more than that it did. */
static void
socket_ended(struct instance *i)
{
	close_socket(i);
	if (i->state != INSTANCE_ENDING)
		account_look(i->account);
	if (i->state == INSTANCE_ENDING)
		return;
	i->state = INSTANCE_ENDING;
	loop_after(&i->timer, EXIT_MS, on_grace, i);
}

static void
protocol_error(struct instance *i, const char *what)
{
	char why[200];

	snprintf(why, sizeof why, "protocol error: %.180s", what);
	instance_stop(i, why);
}

/* What is told of the calls that were under way. */
static enum job_outcome
death(const struct instance *i, int status, struct err *why)
{
	char how[80];

	*why = i->over_why;
	return i->over != OUTCOME_NONE ? i->over : collect_death(i->out_of_memory ? conf->limits.memory : 0, i->why,
	    spawn_status(status, how, sizeof how), why);
}

static void
on_over(void *arg, enum job_outcome outcome, const struct err *why)
{
	struct instance *i = arg;

	i->over = outcome;
	i->over_why = *why;
	instance_stop(i, why->text);
}

static void drain(struct instance *i);

/* outcome: unless its time was over. */
static void
rested(struct call *c, enum job_outcome outcome, const char *why)
{
	c->rest.outcome = c->late ? OUTCOME_TIMEOUT : outcome;
	on->rested(c->instance, &c->rest, why);
}

static void
on_exit_of(void *arg, int status)
{
	struct instance *i = arg;
	struct err why = ERR_INIT;
	enum job_outcome outcome;
	char how[80];
	int k;

	drain(i); /* what it said before it went */
	i->state = INSTANCE_ENDING;
	close_socket(i);
	voice_close(&i->out_voice);
	voice_close(&i->err_voice);
	loop_stop(&i->timer);
	if (i->over == OUTCOME_NONE && account_starved(i->account, &i->over_why))
		i->over = OUTCOME_MEMORY;
	account_free(i->account);
	i->account = NULL;
	outcome = death(i, status, &why);
	for (k = 0; k < i->places; k++) {
		struct call *c = &i->call[k];
		struct job *j = c->job;

		if (c->number == 0)
			continue;
		if (c->rests && c->rest.row != 0)
			rested(c, OUTCOME_KILLED, c->late ? c->why : why.text);
		call_free(c);
		if (j != NULL)
			on->lost(i, j, outcome, &why);
	}
	if (i->why[0] == '\0')
		snprintf(i->why, sizeof i->why, "ended with %s", spawn_status(status, how, sizeof how));
	i->process.pid = 0;
	on->gone(i, i->why);
}

/* --- frames of the far end --- */

static pid_t
peer_of(const struct instance *i)
{
	struct ucred peer = { .pid = 0 };
	socklen_t n = sizeof peer;

	return getsockopt(i->fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 && peer.pid > 1 ? peer.pid : 0;
}

/* Through the process above the first one inside: ours, or an engine's daemon's, found from the executor, who has just spoken. */
static struct account *
open_account(struct instance *i, struct err *e)
{
	pid_t peer = i->abroad || i->sealed ? peer_of(i) : 0;

	if (i->sealed)
		return account_new_sealed(conf, peer, on_over, i, e);
	return account_new(conf, i->abroad ? spawn_parent(spawn_parent(peer)) : i->process.pid, i->group, on_over, i, e);
}

static void
got_hello(struct instance *i, const struct frame *f)
{
	struct err e = ERR_INIT;

	if (i->state != INSTANCE_STARTING || f->call != 0) {
		protocol_error(i, "HELLO out of turn");
		return;
	}
	if (collect_hello(f->data, f->length, &i->version, &e) != 0) {
		protocol_error(i, e.text);
		return;
	}
	loop_stop(&i->timer);
	if (!spawn_hand_over(&i->process)) {
		instance_stop(i, "the process that holds it cannot be found");
		return;
	}
	if (i->contained && (i->account = open_account(i, &e)) == NULL) {
		instance_stop(i, e.text); /* unseen, nothing of a bundle may run there */
		return;
	}
	i->state = INSTANCE_BLANK;
	i->used_ms = loop_now_ms();
	on->blank(i);
}

static void
got_ready(struct instance *i, const struct frame *f)
{
	if (i->state != INSTANCE_LOADING || f->call != 0) {
		protocol_error(i, "READY out of turn");
		return;
	}
	loop_stop(&i->timer);
	i->state = INSTANCE_WARM;
	i->used_ms = loop_now_ms();
	on->warm(i);
}

static void
got_head(struct instance *i, const struct frame *f)
{
	struct call *c = call_find(i, f->call);
	struct err e = ERR_INIT;
	struct job *j;
	char *headers = NULL;
	int status = 0;

	if (c == NULL || c->head || c->rests) {
		protocol_error(i, "HEAD out of turn");
		return;
	}
	c->head = true;
	j = c->job;
	if (j != NULL && collect_head(f->data, f->length, conf->limits.header, &status, &headers, &e) != 0) {
		if (f->last)
			call_end(c, f);
		on->bad(i, j, &e);
		return;
	}
	if (f->last)
		call_end(c, f);
	if (j == NULL) {
		if (f->last)
			on->freed(i);
		return;
	}
	on->head(i, j, status, headers);
	if (f->last)
		on->finished(i, j);
}

static void
got_body(struct instance *i, const struct frame *f)
{
	struct call *c = call_find(i, f->call);
	struct job *j;

	if (c == NULL || !c->head || c->rests) {
		protocol_error(i, "BODY out of turn");
		return;
	}
	c->received += (int64_t)f->length;
	if (c->received > c->allowed) {
		protocol_error(i, "BODY beyond its credit");
		return;
	}
	j = c->job;
	if (f->last)
		call_end(c, f);
	if (j != NULL && f->length > 0)
		on->body(i, j, f->data, f->length);
	if (!f->last)
		return;
	if (j != NULL)
		on->finished(i, j);
	else
		on->freed(i);
}

/* Values of secrets are cut out of the whole, before a message is shortened to a half of one. */
static int
read_error(const struct instance *i, const struct frame *f, struct err *why, struct err *e)
{
	struct buf clean = BUF_INIT;
	int rc;

	if (i->secrets != NULL && secret_redact(i->secrets, f->data, f->length, &clean))
		rc = collect_error(clean.data, clean.len, why, e);
	else
		rc = collect_error(f->data, f->length, why, e);
	secret_wipe(clean.data, clean.len);
	buf_clear(&clean);
	return rc;
}

static void
got_error(struct instance *i, const struct frame *f)
{
	struct err e = ERR_INIT, why = ERR_INIT;
	struct call *c = call_find(i, f->call);
	struct job *j;

	if (read_error(i, f, &why, &e) != 0) {
		protocol_error(i, e.text);
	} else if (f->call == 0 && i->state == INSTANCE_LOADING) {
		instance_stop(i, "the bundle does not load");
		on->broken(i, &why);
	} else if (c == NULL || c->rests) {
		protocol_error(i, "ERROR out of turn");
	} else {
		j = c->job;
		call_end(c, f);
		if (j != NULL) {
			on->failed(i, j, &why);
		} else {
			i->haunted |= strcmp(why.name, "HandlerGoesOn") == 0;
			on->freed(i);
		}
	}
}

/* Big-endian, of four bytes. */
static int64_t
number(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (int64_t)u[0] << 24 | (int64_t)u[1] << 16 | (int64_t)u[2] << 8 | u[3];
}

static void
got_done(struct instance *i, const struct frame *f)
{
	struct call *c = call_find(i, f->call);

	if (c == NULL || !c->rests) {
		protocol_error(i, "DONE out of turn");
		return;
	}
	if (f->length == 8) {
		c->rest.works = number(f->data);
		c->rest.failed = number(f->data + 4);
	}
	if (c->rest.row != 0)
		rested(c, c->rest.failed > 0 ? OUTCOME_ERROR : OUTCOME_OK, c->late ? c->why : NULL);
	call_free(c);
	on->freed(i);
}

/* Of a call that has ended meanwhile it says nothing any more. */
static void
got_more(struct instance *i, const struct frame *f)
{
	struct call *c = call_find(i, f->call);
	int64_t n = frame_number(f);

	if (f->call == 0 || f->call > i->last_number || n < 0 || n > FRAME_WINDOW) {
		protocol_error(i, "MORE out of turn");
		return;
	}
	if (c == NULL || c->job == NULL)
		return;
	/* Whatever it says it took, more than a window is never under way. */
	c->room = c->room + n < FRAME_WINDOW ? c->room + n : FRAME_WINDOW;
	on->more(i, c->job);
}

static void
got_log(struct instance *i, const struct frame *f)
{
	struct call *c = call_find(i, f->call);
	struct err e = ERR_INIT;
	const char *level;
	char *text = NULL;

	/* A line may come after its call: what a handler leaves running still speaks. */
	if (f->call > i->last_number || i->state == INSTANCE_STARTING) {
		protocol_error(i, "LOG out of turn");
		return;
	}
	if (collect_log(f->data, f->length, &level, &text, &e) != 0) {
		protocol_error(i, e.text);
		return;
	}
	on->log(i, c != NULL ? c->job : NULL, c != NULL && c->rests ? &c->rest : NULL, level, "console", text, strlen(text));
	free(text);
}

static void
got_frame(struct instance *i, const struct frame *f)
{
	switch (f->kind) {
	case FRAME_HELLO:
		got_hello(i, f);
		return;
	case FRAME_READY:
		got_ready(i, f);
		return;
	case FRAME_HEAD:
		got_head(i, f);
		return;
	case FRAME_BODY:
		got_body(i, f);
		return;
	case FRAME_ERROR:
		got_error(i, f);
		return;
	case FRAME_LOG:
		got_log(i, f);
		return;
	case FRAME_MORE:
		got_more(i, f);
		return;
	case FRAME_DONE:
		got_done(i, f);
		return;
	default: /* frame_next lets no other kind through */
		protocol_error(i, "a frame of the host");
	}
}

/* Frames that are there in full.  In an instance that is ending nothing is heard any more. */
static void
take_frames(struct instance *i)
{
	struct err e = ERR_INIT;
	struct frame f;
	size_t at = 0;
	long n = 0;

	while (i->state != INSTANCE_ENDING && at < i->in.len &&
	    (n = frame_next(i->in.data + at, i->in.len - at, &f, &e)) > 0) {
		at += (size_t)n;
		if (f.last || f.kind == FRAME_HEAD || f.kind == FRAME_ERROR)
			account_answers(i->account);
		if (i->state != INSTANCE_ENDING)
			got_frame(i, &f);
	}
	if (n < 0)
		protocol_error(i, e.text);
	if (at == i->in.len)
		buf_reset(&i->in);
	else
		buf_drop(&i->in, at);
}

static void
read_socket(struct instance *i)
{
	size_t total = 0;

	while (i->fd >= 0 && total < READ_A_TURN) {
		char *to = buf_room(&i->in, READ_ROOM);
		ssize_t n = read(i->fd, to, READ_ROOM);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			socket_ended(i);
			return;
		}
		i->in.len += (size_t)n;
		total += (size_t)n;
		take_frames(i);
		if (n < READ_ROOM)
			return;
	}
}

static void
on_socket(void *arg, uint32_t events)
{
	struct instance *i = arg;

	if (events & EPOLLOUT)
		instance_flush(i);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		read_socket(i);
}

void
instance_flush(struct instance *i)
{
	if (i->state == INSTANCE_LOADING && !i->told)
		return;
	while (i->fd >= 0 && i->out_at < i->out.len) {
		ssize_t n = send(i->fd, i->out.data + i->out_at, i->out.len - i->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			i->writes = true;
			loop_watch(i->fd, EPOLLIN | EPOLLOUT, on_socket, i);
			return;
		}
		if (n < 0)
			return; /* its end comes as an event of its own */
		i->out_at += (size_t)n;
	}
	if (i->wipes)
		secret_wipe(i->out.data, i->out.room);
	i->wipes = false;
	if (i->out.room > (1u << 20))
		buf_clear(&i->out);
	buf_reset(&i->out);
	i->out_at = 0;
	if (i->writes && i->fd >= 0)
		loop_watch(i->fd, EPOLLIN, on_socket, i);
	i->writes = false;
}

/* The first connection is the executor; nobody else can come after it. */
static void
on_connection(void *arg, uint32_t events)
{
	struct instance *i = arg;
	char *path = mem_fmt("%s/sock", i->dir);

	(void)events;
	i->fd = accept4(i->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (i->fd >= 0) {
		loop_forget(i->listen_fd);
		close(i->listen_fd);
		i->listen_fd = -1;
		unlink(path);
		loop_watch(i->fd, EPOLLIN, on_socket, i);
	}
	free(path);
}

/* --- its standard output and error --- */

static void
on_line(void *arg, const struct voice *v, const char *text, size_t n)
{
	struct instance *i = arg;
	struct call *only = NULL;
	int k;

	for (k = 0; i->busy == 1 && k < i->places; k++)
		if (i->call[k].number != 0)
			only = &i->call[k];
	if (strstr(text, "heap out of memory") != NULL)
		i->out_of_memory = true;
	on->log(i, only != NULL ? only->job : NULL, only != NULL && only->rests ? &only->rest : NULL,
	    v == &i->err_voice ? "warn" : "info", v->source, text, n);
}

static void
drain(struct instance *i)
{
	if (i->state != INSTANCE_ENDING)
		read_socket(i);
	voice_drain(&i->out_voice);
	voice_drain(&i->err_voice);
}

/* --- the beginning --- */

static int
listen_at(struct instance *i, struct err *e)
{
	i->listen_fd = site_listen(i->dir, "sock", 1, e);
	if (i->listen_fd < 0)
		return -1;
	loop_watch(i->listen_fd, EPOLLIN, on_connection, i);
	return 0;
}

static void
on_start_late(void *arg)
{
	struct instance *i = arg;
	char why[80];

	snprintf(why, sizeof why, "no HELLO within %d s", START_MS / 1000);
	instance_stop(i, why);
}

static void
on_load_late(void *arg)
{
	struct instance *i = arg;
	struct err why = ERR_INIT;

	err_named(&why, ERR_REMOTE, "LoadTimeout", "the bundle did not finish loading within %d s", LOAD_MS / 1000);
	instance_stop(i, why.text);
	on->broken(i, &why);
}

static void
join_group(struct instance *i, struct plan *plan)
{
	int64_t bytes, tasks;

	account_bounds(conf, conf->limits.memory, conf->limits.processes, &bytes, &tasks);
	i->group = cgroup_new(i->n, bytes, tasks);
	cgroup_join(i->group, &plan->join);
	plan->cradle = cgroup_cradle(i->group) != NULL ? mem_str(cgroup_cradle(i->group)) : NULL;
}

/* Always a copy: behind some walls the bundle runs with our rights and could write through a link. */
static int
place(struct instance *i, struct code *code, struct err *e)
{
	char *to = mem_fmt("%s/bundle", i->dir);
	mode_t mask = umask(i->foreign ? 0022 : 0007);
	int rc = bundle_place(code->dir, to, true, e);

	umask(mask);
	free(to);
	if (rc == 0)
		i->placed = code_ref(code);
	return rc;
}

static int
unplace(struct instance *i, struct err *e)
{
	char *at = mem_fmt("%s/bundle", i->dir);
	int rc = i->placed != NULL ? bundle_remove(at, e) : 0;

	free(at);
	code_unref(i->placed);
	i->placed = NULL;
	return rc;
}

char *
instance_key_of(const struct backend *wall, const struct task *t)
{
	struct buf key = BUF_INIT;

	buf_fmt(&key, "%s:", wall->name);
	wall->key(conf, t, &key);
	return buf_take(&key);
}

struct instance *
instance_new(int64_t n, const struct backend *wall, const struct runtime *r, struct code *code, struct err *e)
{
	struct instance *i = mem_alloc(sizeof *i);
	struct task t = { .instance = n, .runtime = r };
	struct plan plan = { 0 };
	int k, rc = -1;

	i->n = n;
	i->wall = wall;
	i->runtime = r;
	i->listen_fd = i->fd = i->out_voice.fd = i->err_voice.fd = -1;
	i->dir = mem_fmt("%s/i/%lld", conf->run_dir, (long long)n);
	i->places = r->concurrency < 1 ? 1 : r->concurrency > PLACES_MAX ? PLACES_MAX : r->concurrency;
	i->call = mem_array((size_t)i->places, sizeof *i->call);
	for (k = 0; k < i->places; k++)
		i->call[k].instance = i;
	i->used_ms = loop_now_ms();
	t.dir = i->dir;
	if (code != NULL) {
		t.bundle = code->bundle;
		t.author = code->did;
		t.name = code->name;
	}
	i->key = instance_key_of(wall, &t);
	if (site_make(i->dir, e) != 0 || listen_at(i, e) != 0 || wall->plan(conf, &t, &plan, e) != 0 ||
	    (!plan.contained && site_furnish(i->dir, e) != 0))
		goto out;
	i->gate = plan.gate;
	if (plan.contained && plan.holder == NULL) /* engines have groups of their own */
		join_group(i, &plan);
	if (i->gate && exits_add(exits, n, i->dir, e) != 0)
		goto out;
	if (plan.foreign && site_open(i->dir, plan.gate, e) != 0)
		goto out;
	if (spawn_start(&plan, -1, true, on_exit_of, i, &i->process, e) != 0)
		goto out;
	voice_open(&i->out_voice, "stdout", i->process.out_fd, (size_t)conf->limits.log_line, on_line, i);
	voice_open(&i->err_voice, "stderr", i->process.err_fd, (size_t)conf->limits.log_line, on_line, i);
	loop_after(&i->timer, START_MS, on_start_late, i);
	rc = 0;
	i->foreign = plan.foreign;
	if (code != NULL)
		(void)place(i, code, NULL); /* while it starts; what fails now is tried and told later */
out:
	i->contained = plan.contained;
	i->foreign = plan.foreign;
	i->abroad = plan.abroad;
	i->sealed = plan.sealed;
	i->inside = mem_str(plan.dir != NULL ? plan.dir : i->dir);
	plan_clear(&plan);
	if (rc == 0)
		return i;
	instance_free(i);
	return NULL;
}

void
instance_free(struct instance *i)
{
	struct task t;

	if (i == NULL)
		return;
	t = (struct task){ .instance = i->n, .runtime = i->runtime, .dir = i->dir };
	close_socket(i);
	loop_stop(&i->timer);
	account_free(i->account);
	cgroup_free(i->group);
	if (i->gate)
		exits_drop(exits, i->n);
	i->wall->clean(conf, &t);
	code_unref(i->code);
	code_unref(i->placed);
	buf_clear(&i->in);
	if (i->wipes)
		secret_wipe(i->out.data, i->out.room);
	buf_clear(&i->out);
	secret_env_unref(i->secrets);
	free(i->sealed_cid);
	voice_close(&i->out_voice);
	voice_close(&i->err_voice);
	free(i->call);
	free(i->dir);
	free(i->inside);
	free(i->key);
	free(i->version);
	free(i);
}

/* --- what the host says --- */

/* A bundle that may reach nothing needs nobody to be told; any other is loaded once the egress process knows its hosts. */
static int
open_way(struct instance *i, const char *name, struct err *e)
{
	const struct bundle *b = i->code->bundle;
	int64_t own = b->limits.egress_bytes, most = conf->limits.egress;

	i->told = true;
	if (!i->gate || b->permissions.net.n == 0)
		return 0;
	i->told = false;
	if (own > 0 && own < most)
		return exits_allow(exits, i->n, name, &b->permissions.net, own, "the bundle's limits.egressBytes", e);
	return exits_allow(exits, i->n, name, &b->permissions.net, most, "limits.egress", e);
}

void
instance_told(struct instance *i)
{
	i->told = true;
	instance_flush(i);
}

/* In memory that does not move while it is written, so that no copies are left behind. */
void
instance_give(struct instance *i, struct secret_env *env, const char *cid, const struct conf_list *names)
{
	struct buf b = BUF_INIT;

	i->secrets = secret_env_ref(env);
	i->sealed_cid = mem_str(cid);
	buf_room(&b, 6 * env->bytes + 4096);
	secret_env_json(env, names, &b);
	buf_room(&i->out, b.len + FRAME_HEAD_BYTES + 4096);
	frame_add(&i->out, FRAME_SECRETS, true, 0, b.data, b.len);
	i->wipes = true;
	secret_wipe(b.data, b.room);
	buf_clear(&b);
}

const struct secret_env *
instance_secrets(const struct instance *i)
{
	return i->secrets;
}

const char *
instance_sealed_cid(const struct instance *i)
{
	return i->sealed_cid;
}

int
instance_load(struct instance *i, struct code *code, struct err *e)
{
	char *seen = mem_fmt("%s/bundle", i->inside), *name = mem_fmt("%s/%s", code->did, code->name);
	struct buf b = BUF_INIT;
	int rc = -1;

	assert(i->state == INSTANCE_BLANK && i->code == NULL);
	i->code = code_ref(code);
	account_bind(i->account, code->bundle);
	i->bound_ms = loop_now_ms();
	i->was_blank = i->bound_ms - i->used_ms > 0;
	if (i->placed != code && (unplace(i, e) != 0 || place(i, code, e) != 0))
		goto out;
	say_load(&b, code, seen, name);
	if (b.len > FRAME_MAX) {
		err_set(e, ERR_INPUT, "LOAD of %zu bytes", b.len);
		goto out;
	}
	frame_add(&i->out, FRAME_LOAD, false, 0, b.data, b.len);
	i->state = INSTANCE_LOADING;
	loop_after(&i->timer, LOAD_MS, on_load_late, i);
	rc = open_way(i, name, e);
out:
	buf_clear(&b);
	free(seen);
	free(name);
	return rc;
}

/* Bytes are counted for a job from here on; for calls side by side, together. */
static void
tell_job(struct instance *i, const struct job *j)
{
	char id[JOB_ID_LEN + 1];

	job_id_print(&j->w.id, id);
	exits_job(exits, i->n, id, i->busy == 1);
}

void
instance_call(struct instance *i, struct job *j)
{
	static struct buf b; /* kept from call to call */
	struct call *c = NULL;
	int k;

	for (k = 0; k < i->places && c == NULL; k++)
		if (i->call[k].number == 0)
			c = &i->call[k];
	assert(c != NULL);
	if (++i->last_number == 0)
		i->last_number = 1;
	c->number = i->last_number;
	c->job = j;
	c->head = c->rests = c->late = false;
	c->received = 0;
	c->allowed = c->room = FRAME_WINDOW;
	c->rest = (struct instance_rest){ 0 };
	if (i->busy++ == 0)
		account_busy(i->account, true);
	if (i->gate && i->code->bundle->permissions.net.n > 0)
		tell_job(i, j);
	i->calls++;
	i->used_ms = loop_now_ms();
	j->call = c->number;
	buf_reset(&b);
	say_call(&b, j);
	frame_add(&i->out, FRAME_CALL, j->w.body_bytes == 0 && !j->w.upload, c->number, b.data, b.len);
	if (j->w.body_bytes > 0)
		frame_add_body(&i->out, FRAME_DATA, c->number, j->w.body, j->w.body_bytes);
}

static struct call *
call_of(const struct instance *i, const struct job *j)
{
	int k;

	for (k = 0; k < i->places; k++)
		if (i->call[k].number != 0 && i->call[k].job == j)
			return &i->call[k];
	return NULL;
}

size_t
instance_room(const struct instance *i, const struct job *j)
{
	const struct call *c = call_of(i, j);

	return c != NULL && c->room > 0 ? (size_t)c->room : 0;
}

void
instance_data(struct instance *i, const struct job *j, const void *p, size_t n, bool last)
{
	struct call *c = call_of(i, j);
	const char *at = p;

	if (c == NULL)
		return;
	assert((int64_t)n <= c->room);
	c->room -= (int64_t)n;
	/* Its end may never be reached while there is always more. */
	if (i->out_at > i->out.len / 2) {
		buf_drop(&i->out, i->out_at);
		i->out_at = 0;
	}
	for (; n > FRAME_MAX; at += FRAME_MAX, n -= FRAME_MAX)
		frame_add(&i->out, FRAME_DATA, false, c->number, at, FRAME_MAX);
	frame_add(&i->out, FRAME_DATA, last, c->number, at, n);
}

static void
on_call_grace(void *arg)
{
	struct call *c = arg;

	instance_stop(c->instance, c->why);
}

static void
on_rest_late(void *arg)
{
	struct call *c = arg;

	c->late = true;
	frame_add(&c->instance->out, FRAME_CANCEL, true, c->number, "", 0);
	loop_after(&c->grace, REST_GRACE_MS, on_call_grace, c);
}

void
instance_allow(struct instance *i, const struct job *j, int64_t bytes)
{
	int k;

	for (k = 0; k < i->places; k++) {
		struct call *c = &i->call[k];
		int64_t more = bytes - c->allowed;

		if (c->number == 0 || c->job != j || more <= 0)
			continue;
		frame_add_credit(&i->out, c->number, (uint32_t)more);
		c->allowed = bytes;
	}
}

void
instance_abandon(struct instance *i, struct job *j, int64_t grace_ms, const char *why)
{
	int k;

	for (k = 0; k < i->places; k++) {
		struct call *c = &i->call[k];

		if (c->number == 0 || c->job != j)
			continue;
		c->job = NULL;
		snprintf(c->why, sizeof c->why, "%s", why);
		if (i->state == INSTANCE_ENDING)
			return;
		frame_add(&i->out, FRAME_CANCEL, true, c->number, "", 0);
		loop_after(&c->grace, grace_ms, on_call_grace, c);
	}
}

/* --- questions --- */

bool
instance_haunted(const struct instance *i)
{
	return i->haunted;
}

enum instance_state
instance_state(const struct instance *i)
{
	return i->state;
}

const char *
instance_word(const struct instance *i)
{
	static const char *const words[INSTANCE_STATE_COUNT] = { "starting", "blank", "loading", "warm", "ended" };

	return i->state == INSTANCE_WARM && i->busy > 0 ? "busy" : words[i->state];
}

int
instance_free_places(const struct instance *i)
{
	return i->state == INSTANCE_WARM ? i->places - i->busy : 0;
}

int
instance_busy(const struct instance *i)
{
	return i->busy;
}

int
instance_resting(const struct instance *i)
{
	int k, n = 0;

	for (k = 0; k < i->places; k++)
		n += i->call[k].number != 0 && i->call[k].rests;
	return n;
}

struct code *
instance_code(const struct instance *i)
{
	return i->code;
}

const struct runtime *
instance_runtime(const struct instance *i)
{
	return i->runtime;
}

const struct backend *
instance_wall(const struct instance *i)
{
	return i->wall;
}

const char *
instance_key(const struct instance *i)
{
	return i->key;
}

int64_t
instance_number(const struct instance *i)
{
	return i->n;
}

int64_t
instance_ledger_id(const struct instance *i)
{
	return i->id;
}

void
instance_set_ledger_id(struct instance *i, int64_t id)
{
	i->id = id;
}

int64_t
instance_calls(const struct instance *i)
{
	return i->calls;
}

int64_t
instance_used_ms(const struct instance *i)
{
	return i->used_ms;
}

int64_t
instance_bound_ms(const struct instance *i)
{
	return i->bound_ms;
}

bool
instance_was_blank(const struct instance *i)
{
	return i->was_blank;
}

int64_t
instance_cpu_ms(const struct instance *i)
{
	if (i->account != NULL)
		return account_cpu_ms(i->account);
	return i->contained ? -1 : spawn_cpu_ms(i->process.pid);
}

int
instance_pid(const struct instance *i, int64_t *start)
{
	*start = i->process.start;
	return i->process.pid;
}
