/*
 * One instance: a process behind a wall and the socket to its executor.  This file knows the frames and the state
 * machine of the far end; what they mean for jobs, events.c says.
 *
 *     starting ─HELLO▶ blank ─LOAD▶ loading ─READY▶ warm ⇄ busy          any ─▶ ending ─reaped▶ gone
 *
 * Whatever does not fit the state ends the instance and nothing else.
 */
#ifndef SCHEDULER_INSTANCE_H
#define SCHEDULER_INSTANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/job.h"

struct backend;
struct code;
struct conf;
struct conf_list;
struct err;
struct exits;
struct instance;
struct job;
struct runtime;
struct task;
struct secret_env;

/* What is left of a job whose answer is whole while work after it goes on: enough to log for it. */
struct instance_rest {
	int64_t row, logged, since_ms;
	int64_t works, failed;    /* how many it was, and how many of them threw; 0: it did not come to say */
	enum job_outcome outcome; /* when it has ended: ok, error, timeout or killed */
	bool cut;
};

enum instance_state {
	INSTANCE_STARTING,
	INSTANCE_BLANK,
	INSTANCE_LOADING,
	INSTANCE_WARM, /* with calls under way: busy */
	INSTANCE_ENDING,
	INSTANCE_STATE_COUNT
};

/* What the far end did; all are called from the loop.  j: the job of the call, never NULL.  why is borrowed. */
struct instance_events {
	void (*blank)(struct instance *i);
	void (*warm)(struct instance *i);
	void (*broken)(struct instance *i, const struct err *why); /* the bundle does not load; the instance is ending */
	void (*head)(struct instance *i, struct job *j, int status, char *headers_json /* taken over */);
	void (*body)(struct instance *i, struct job *j, const char *p, size_t n);
	void (*finished)(struct instance *i, struct job *j);       /* its LAST came */
	void (*more)(struct instance *i, struct job *j);           /* there is room for more of its request */
	void (*failed)(struct instance *i, struct job *j, const struct err *why); /* it threw */
	void (*bad)(struct instance *i, struct job *j, const struct err *why);    /* an answer that is none */
	void (*freed)(struct instance *i); /* a call that nobody waited for any more has ended */
	/* Work after an answer has ended; why: not by itself. */
	void (*rested)(struct instance *i, const struct instance_rest *rest, const char *why /* or NULL */);
	void (*log)(struct instance *i, struct job *j /* or NULL */, struct instance_rest *rest /* or NULL */, const char *level,
	    const char *source, const char *text, size_t n);
	/* The process is gone and reaped; calls under way are told one by one through lost, then gone once. */
	void (*lost)(struct instance *i, struct job *j, enum job_outcome outcome, const struct err *why);
	void (*gone)(struct instance *i, const char *why);
};

/* Once, before the first instance.  exits: for walls with a gate; NULL when there is none. */
void instance_setup(const struct conf *c, struct exits *exits, const struct instance_events *events);

/* Makes the directory run/i/N and its socket and starts the process.  code: what its permissions are for, NULL: blank. */
struct instance *instance_new(int64_t n, const struct backend *wall, const struct runtime *r, struct code *code, struct err *e);
/* The key of an instance for this task: blanks with the key of a bundle may take it.  Allocated. */
char *instance_key_of(const struct backend *wall, const struct task *t);
/* After gone only. */
void instance_free(struct instance *i);

/* Queues what its bundle's author sealed (names: what the bundle asks for), before instance_load.  cid: of the record. */
void instance_give(struct instance *i, struct secret_env *env, const char *cid, const struct conf_list *names);
const struct secret_env *instance_secrets(const struct instance *i); /* NULL: none */
const char *instance_sealed_cid(const struct instance *i);
/* Binds it to the code for life: places the bundle and queues LOAD. */
int instance_load(struct instance *i, struct code *code, struct err *e);
/* The egress process knows what its bundle may reach: what was queued may go out. */
void instance_told(struct instance *i);
/* Queues CALL and the body for a free place; the job's request may be dropped afterwards.  A body that is still to come (w.upload)
 * follows by instance_data. */
void instance_call(struct instance *i, struct job *j);
/* How much of the request's body may be queued for it at the moment. */
size_t instance_room(const struct instance *i, const struct job *j);
/* Queues some of it, not more than there is room for; last: nothing follows. */
void instance_data(struct instance *i, const struct job *j, const void *p, size_t n, bool last);
/* Nobody waits for this call any more: CANCEL goes out, and an executor that has not ended it after grace_ms is killed. */
void instance_abandon(struct instance *i, struct job *j, int64_t grace_ms, const char *why);
/* The answer of this job may grow to so many bytes in all. */
void instance_allow(struct instance *i, const struct job *j, int64_t bytes);
/* Sends what was queued, as far as it goes now. */
void instance_flush(struct instance *i);
/* Kills it; why is what its row says. */
void instance_stop(struct instance *i, const char *why);

enum instance_state instance_state(const struct instance *i);
/* "starting", "blank", "loading", "warm", "busy", "ended": the ledger's words. */
const char *instance_word(const struct instance *i);
int instance_free_places(const struct instance *i); /* of a warm one */
int instance_busy(const struct instance *i);        /* calls under way, also abandoned ones */
int instance_resting(const struct instance *i);     /* of these, those with a whole answer and work after it */
struct code *instance_code(const struct instance *i); /* bound to, NULL: blank */
const struct runtime *instance_runtime(const struct instance *i);
const struct backend *instance_wall(const struct instance *i);
const char *instance_key(const struct instance *i);   /* the wall's key it was started with */
int64_t instance_number(const struct instance *i);    /* N of run/i/N */
int64_t instance_ledger_id(const struct instance *i);
void instance_set_ledger_id(struct instance *i, int64_t id);
int64_t instance_calls(const struct instance *i);
int64_t instance_used_ms(const struct instance *i);   /* monotonic: when it last began or ended something */
int64_t instance_bound_ms(const struct instance *i);  /* monotonic: when it was bound */
bool instance_was_blank(const struct instance *i);    /* it waited as a blank before it was bound */
bool instance_haunted(const struct instance *i);      /* a handler whose call is over goes on in it */
/* CPU time of all its processes since it began, milliseconds; -1: they cannot be seen. */
int64_t instance_cpu_ms(const struct instance *i);
int instance_pid(const struct instance *i, int64_t *start);

#endif
