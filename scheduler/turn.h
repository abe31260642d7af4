/*
 * One transaction a turn.  What the events of a turn change is gathered here and written in one go; only after the
 * commit may frames go out and bells ring.  A failed commit is tried again as a whole.
 */
#ifndef SCHEDULER_TURN_H
#define SCHEDULER_TURN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/job.h"
#include "lib/store_bundle.h"
#include "lib/store_work.h"
#include "scheduler/loop.h"

struct code;
struct instance;
struct receipt_draft;
struct spans;
struct store;
struct turn;
struct wait_lane;
struct work_after;
struct work_tried;

/* A job in the workshop's memory, from the queue to its end. */
struct job {
	struct work_job w;
	struct code *code;     /* what runs; a reference */
	struct job *next;      /* in the list it waits in */
	int64_t timeout_ms;    /* the budget after caps */
	int64_t deadline_ms;   /* monotonic */
	const char *limit_key; /* static: whose limit the deadline is */
	bool idempotent, task;
	int attempts;          /* starts of user code in all when idempotent */
	int priority;
	int64_t most, bundle_most; /* of its endpoint and of its bundle side by side; 0: any number */

	/* held until the fetcher has answered */
	enum job_wants { WANTS_CODE, WANTS_PERSON, WANTS_GRAPH, WANTS_BODY } wants;
	const char *wants_of;  /* of a person: the name, borrowed from w */
	bool unproven;         /* w.caller is what a token says, and no more */
	bool renewed;          /* its issuer's key was read anew for it */
	bool counted, ran;     /* by quota.c, as open and as running */
	int64_t retry_at;      /* wall: it came too early; 0: it did not */
	int64_t held_us;       /* since when it is held */
	struct spans *spans;   /* NULL: nobody is told of its way */

	/* waiting for an instance */
	int64_t waits_since_us;
	struct wait_lane *lane; /* where it is counted while it runs; NULL: it is not */

	/* running */
	struct instance *instance;
	int64_t instance_id; /* of the ledger, once the job has let go of it */
	uint32_t call;
	int64_t lease;
	enum job_start start;
	int64_t started_us;
	struct loop_timer timer;
	bool started;  /* CALL has left, or leaves after this commit */
	bool has_head; /* the answer has begun */
	bool streamed; /* its result row stands in the ledger */
	int status;
	char *headers_json;
	struct buf body;     /* came in this turn */
	int64_t seq, received, logged;
	int64_t allowed; /* bytes of the answer that the executor may send in all */
	bool thirsty;    /* it waits for its reader */
	/* the request's body, when it comes meanwhile (inflow.c) */
	int64_t up_seq, up_taken;
	bool up_told, up_ended; /* that it may come; that it has */
	bool log_cut;
	struct receipt_draft *receipt; /* NULL: nobody asked for one */

	/* the end */
	enum job_outcome outcome; /* OUTCOME_NONE: not yet */
	struct err *err;

	/* attempts (retry.c) */
	int kills;              /* of its instances so far */
	enum job_outcome tried; /* again: what became of this attempt; err says why */
	int64_t again_at;       /* wall */

	/* this turn */
	bool admits, drops, starts, touched, again;
	bool void_; /* the ledger says somebody was first */
	bool left;  /* admitted, but it waits in the ledger alone */
	bool light; /* its row still says queued, whatever has happened since */
};

/* A new job that owns what w owned. */
struct job *turn_job_new(struct work_job *w);
void turn_job_free(struct job *j);
/* " trace=..." for a line about it, "" when it is in none; good until the next call. */
const char *turn_job_trace(const struct job *j);
/* Sets the end once; later ends of the same job are ignored.  Text may be NULL for ok. */
void turn_job_end(struct job *j, enum job_outcome outcome, const struct err *why);

struct turn_log {
	int64_t row, instance, at;
	const char *level, *source; /* static */
	char *text;
	size_t n;
};

/* Rarer changes. */
enum turn_kind { TURN_INSTANCE_SET, TURN_INSTANCE_PID, TURN_INSTANCE_END, TURN_BUNDLE, TURN_AUTHOR, TURN_REV, TURN_SEALED,
	TURN_ORDER, TURN_CALLBACK, TURN_AFTER };
struct turn_change {
	enum turn_kind kind;
	int64_t id, n, m, k;
	enum job_outcome outcome;
	char *a, *b, *c, *d; /* owned */
	struct work_bundle bundle;
};

struct turn_list {
	struct job **item;
	size_t n, room;
};

struct turn {
	struct turn_list admits, drops, starts, touched;
	struct turn_log *logs;
	size_t log_count, log_room;
	struct turn_change *changes;
	size_t change_count, change_room;
	bool beat, draining;
	bool calls_back; /* a job ended in it whose end is to be told */
	bool told;       /* an attempt to tell one ended, and the ledger does not know yet */
	int64_t syncs; /* told with the beat */
	int64_t run;
	int64_t (*lease_until)(const struct job *j);
};

/* What happens to a job in this turn; each may be said twice. */
void turn_admit(struct turn *t, struct job *j);
void turn_drop(struct turn *t, struct job *j);  /* queued or admitted → its end */
void turn_start(struct turn *t, struct job *j); /* admitted → running */
void turn_touch(struct turn *t, struct job *j); /* a running job has new bytes or its end, or goes back (again) */
/* Not in this turn after all: nobody is to see what was said of it. */
void turn_untouch(struct turn *t, struct job *j);

void turn_log(struct turn *t, int64_t row, int64_t instance, const char *level, const char *source, const char *text,
    size_t n);
void turn_instance_set(struct turn *t, int64_t id, const char *state, const char *cid, int64_t calls);
/* Another process stands for it from now on (plan.holder). */
void turn_instance_pid(struct turn *t, int64_t id, int64_t pid, int64_t pid_start);
void turn_instance_end(struct turn *t, int64_t id, const char *why);
void turn_bundle(struct turn *t, struct work_bundle *b /* moved */, const char *version);
void turn_rev(struct turn *t, const char *did, const char *rev);
void turn_author(struct turn *t, const char *handle, const char *did, const char *pds);
/* json NULL: there are none any more. */
void turn_sealed(struct turn *t, const char *did, const char *bundle, const char *cid, const char *json);
/* Work after a job's answer has ended. */
void turn_after(struct turn *t, int64_t row, const struct work_after *a);
void turn_order(struct turn *t, int64_t id, const char *note);
void turn_callback(struct turn *t, int64_t row, const struct work_tried *tried);

bool turn_empty(const struct turn *t);
/* How far what the turn writes must be from a power cut: not at all (a call whose connection it takes anyway), before anybody
 * is told (what was accepted), or before anything else happens (user code that starts at most once). */
enum turn_lasts { TURN_PASSES, TURN_LASTS_SOON, TURN_LASTS };
enum turn_lasts turn_lasts(const struct turn *t);
/* Writes everything, durably or not; nothing is written when it fails, and it may be called again. */
int turn_write(struct turn *t, struct store *s, bool durable, struct err *e);
/* Empties the lists after the caller has looked at them; jobs are not freed. */
void turn_reset(struct turn *t);
void turn_clear(struct turn *t);

#endif
