/*
 * A part of the scheduler that runs as a process of its own (fetcher, keeper, egress, telemetry): our own program started
 * anew with `--role NAME`, a socket to it as its descriptor 3, and a clean environment: PATH, LANG, what the operator set
 * over the config (AT_RUND_*), and what the kind names.  All is called from the loop.
 */
#ifndef SCHEDULER_ROLE_H
#define SCHEDULER_ROLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "scheduler/loop.h"
#include "scheduler/spawn.h"

struct conf;
struct conf_list;
struct err;
struct plan;
struct role;

/* Static; those that are not said to be may be NULL. */
struct role_kind {
	const char *name;
	bool stays;              /* started again when it ends; else somebody asks for it when it is wanted */
	bool packets;            /* a SOCK_SEQPACKET socket, which `ready` reads and writes; else a stream, with in and out */
	const char *const *env;  /* names of variables that it is given too; "OTEL_*" is a beginning; ends with NULL */
	/* What else its plan is to say. */
	void (*plan)(const struct role *r, struct plan *p);
	/* A process is there, and nothing was said to it. */
	void (*began)(void *arg);
	/* Of packets: something may be read, or written. */
	void (*ready)(void *arg, uint32_t events);
	/* Of a stream: the bytes in r->in have become more; whole messages are taken off.  -1: they are none, and it is ended. */
	int (*heard)(void *arg, struct err *e);
	/* The socket is about to be closed, and what lies in in and out is lost. */
	void (*leaves)(void *arg);
	/* The process has ended, and not because of role_stop. */
	void (*ended)(void *arg, int status);
};

struct role {
	const struct role_kind *kind;
	const struct conf *conf;
	const char *program;
	void *arg;
	struct spawned process;
	int fd;                 /* -1: nobody is there who listens */
	bool writes, stopping;
	struct buf in, out;
	int64_t started_ms;
	struct loop_timer restart;
};

/* program: our own executable, absolute.  All is borrowed. */
void role_init(struct role *r, const struct role_kind *kind, const struct conf *c, const char *program, void *arg);
/* Only while there is no process. */
int role_start(struct role *r, struct err *e);
/* Of a stream: r->out has become longer; what the socket does not take now goes later. */
void role_flush(struct role *r);
/* Packets wait, or wait no more: `ready` is to hear when there is room. */
void role_waits(struct role *r, bool waits);
/* Closes the socket and kills the process; nothing when that is done already.  why: for the log, NULL: nothing is said. */
void role_hang_up(struct role *r, const char *why);
/* Of a stream: what is in `out` goes if it can, and then it reads an end.  It is not started again. */
void role_farewell(struct role *r);
/* For good: it is not started again, and nobody is told. */
void role_stop(struct role *r);
/* There is no process. */
bool role_gone(const struct role *r);

/* Appends a copy of s. */
void role_list_add(struct conf_list *l, const char *s);
/* Landlock: it may read what name look-ups and TLS need, and its config; it writes nothing, and does not see the home. */
void role_close_files(const struct role *r, struct plan *p);

#endif
