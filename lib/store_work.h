/*
 * What the workshop may do with the ledger.  One transaction a turn of the loop: store_begin, any of the
 * changes below, store_commit; only then frames go out and bells ring.  Every change of a job's state is one
 * UPDATE that names the state (and lease) it leaves and says whether a row was changed.
 */
#ifndef LIB_STORE_WORK_H
#define LIB_STORE_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/job.h"

struct err;
struct store;

/* A job as it is taken from the ledger.  Owned by the callee until work_job_clear. */
struct work_job {
	struct job_id id;
	enum job_mode mode;
	enum job_state state;
	char *author, *bundle, *version, *endpoint, *method, *caller, *client, *bell;
	char *did, *cid; /* NULL before admission */
	int64_t timeout_ms, created_at, created_mono;
	char *trace; /* trace_row (lib/trace.h); NULL: no trace */
	int attempt;
	int64_t lease;
	bool idempotent, cancel;
	bool upload_holds;    /* no answer reaches the caller before the body's end */
	bool upload;          /* the body comes later (store_upload.h), as many bytes of it: -1: nobody knows */
	int64_t upload_bytes;
	/* request */
	char *url, *path, *query, *headers_json;
	char *callback; /* URL that its end is told to, NULL: none */
	char *token; /* that came with it; NULL: none */
	void *body;
	size_t body_bytes;
};
void work_job_clear(struct work_job *j);

/* --- runs --- */
int work_run_start(struct store *s, int64_t *run, struct err *e);       /* also ends older runs in the ledger */
int work_run_beat(struct store *s, int64_t run, bool draining, struct err *e);
/* What /metrics shows of this run. */
int work_tally(struct store *s, const char *text, struct err *e);
/* How often acceptances of this run have waited for the disk. */
int work_syncs(struct store *s, int64_t n, struct err *e);
int work_run_end(struct store *s, int64_t run, struct err *e);

/* The row from which on monotonic times are of this boot of the machine. */
int work_boot_job(struct store *s, int64_t *row, struct err *e);

/* --- jobs --- */
/* Calls fn for up to max queued jobs with row > after, oldest first, requests included: a walk over all rows after it.
 * fn takes the job over (moves the struct out).  Returns how many, -1 on failure. */
int work_queued(struct store *s, int64_t after, int max, void (*fn)(void *arg, struct work_job *j), void *arg,
    struct err *e);
/* The row before the oldest job that is not done: where a new scheduler begins its walk. */
int work_before_open(struct store *s, int64_t *row, struct err *e);
/* The newest row; 0: none. */
int work_last(struct store *s, int64_t *row, struct err *e);
/* One job by row in whatever state; ERR_NOTFOUND. */
int work_job_load(struct store *s, int64_t row, struct work_job *out, struct err *e);
/* The first admitted job of the endpoint that follows in byte order after this one (NULL: from the first).  ERR_NOTFOUND when
 * there is none. */
int work_next_lane(struct store *s, const char *did, const char *bundle, const char *endpoint, struct work_job *out,
    struct err *e);
/* The oldest admitted job of exactly this endpoint after a row. */
int work_next_admitted_of(struct store *s, const char *did, const char *bundle, const char *endpoint, int64_t after_row,
    struct work_job *out, struct err *e);

struct work_admission {
	const char *did, *cid, *runtime, *wall;
	int64_t timeout_ms; /* the budget after caps */
	bool idempotent;
	bool by_handle; /* the row's author is a handle: it becomes the DID */
	bool task;      /* its caller is told 202 */
	const char *trace; /* of a job that came without one; NULL: it goes without */
};
/* queued → admitted.  1 changed, 0 somebody was first (cancelled), -1 failure. */
int work_admit(struct store *s, int64_t row, const struct work_admission *a, int64_t now, struct err *e);
/* The same for all rows from first to last, neither by_handle nor a task, without a trace.  How many changed, -1 failure. */
int work_admit_many(struct store *s, int64_t first, int64_t last, const struct work_admission *a, int64_t now, struct err *e);
/* 1 when it is, 0, -1. */
int work_is_admitted(struct store *s, int64_t row, struct err *e);
/* admitted → running.  *lease: the number the job had when it was read; the new one comes back. */
int work_start(struct store *s, int64_t row, int64_t run, int64_t instance, enum job_start start, int64_t lease_until,
    int64_t now, int64_t *lease, struct err *e);
/* running → admitted: only before user code was started (load failed for the runner's own reason, instance died
 * before CALL went out), or idempotent. */
int work_again(struct store *s, int64_t row, int64_t lease, struct err *e);

struct work_end {
	enum job_outcome outcome;
	const char *error_kind, *error_name, *error; /* NULL when ok */
	int64_t retry_at; /* wall ms, of what is dropped because it came too early; 0: nothing is said */
};
/* running → done by the holder of the lease. */
int work_done(struct store *s, int64_t row, int64_t lease, const struct work_end *end, int64_t now, struct err *e);
/* queued → done in one step, for a call that somebody waits for: its admission and its start were not written
 * (scheduler/dispatch.c says why that is safe). */
struct work_whole {
	const char *did, *cid, *runtime, *wall;
	int64_t timeout_ms, run, instance, started_at;
	enum job_start start;
};
int work_whole(struct store *s, int64_t row, const struct work_whole *w, const struct work_end *end, int64_t now,
    struct err *e);
/* queued or admitted → done (refused, expired, cancelled). */
int work_drop(struct store *s, int64_t row, const struct work_end *end, int64_t now, struct err *e);

int work_result(struct store *s, int64_t row, int status, const char *headers_json, bool streamed, const void *body,
    size_t n, struct err *e);
/* Bytes of its stream that nobody has read yet. */
int work_unread(struct store *s, int64_t row, int64_t *bytes, struct err *e);
int work_chunk(struct store *s, int64_t row, int64_t seq, const void *p, size_t n, struct err *e);
int work_log(struct store *s, int64_t row /* 0: none */, int64_t instance, int64_t at, const char *level,
    const char *source, const char *text, size_t n, struct err *e);

/* After a crash: every running job of a run other than this one becomes done/lost, or admitted again when it is
 * idempotent; every admitted job stays.  When that run was killed, queued jobs that somebody waits for become done/lost too:
 * they may have been started.  settled and again count them. */
int work_recover(struct store *s, int64_t run, int64_t now, int64_t *settled, int64_t *again, struct err *e);
/* Jobs not done, by author, for quotas and for the drain. */
int work_counts(struct store *s, int64_t *queued, int64_t *admitted, int64_t *running, struct err *e);

/* --- instances and runtimes --- */
int work_instance_new(struct store *s, int64_t run, const char *runtime, const char *wall, int64_t pid,
    int64_t pid_start, int64_t now, int64_t *id, struct err *e);
int work_instance_set(struct store *s, int64_t id, const char *state, const char *cid, int64_t calls, int64_t now,
    struct err *e);
int work_instance_pid(struct store *s, int64_t id, int64_t pid, int64_t pid_start, struct err *e);
int work_instance_end(struct store *s, int64_t id, const char *why, int64_t now, struct err *e);
/* Instances that some earlier run left open: fn is told of each. */
int work_instance_leftovers(struct store *s, int64_t run,
    void (*fn)(void *arg, int64_t id, const char *wall, int64_t pid, int64_t pid_start), void *arg, struct err *e);
int work_runtimes_clear(struct store *s, struct err *e);
int work_runtime_put(struct store *s, const char *name, const char *mime_json, const char *version, const char *wall,
    const char *missing, int concurrency, struct err *e);

/* --- orders --- */
int work_orders(struct store *s, void (*fn)(void *arg, int64_t id, const char *verb, const char *args_json), void *arg,
    struct err *e);
int work_order_done(struct store *s, int64_t id, const char *note, int64_t now, struct err *e);

/* --- housekeeping --- */
/* Drops a bounded number of old rows: bodies of finished sync jobs older than sync_before, jobs older than
 * job_before with all that hangs on them, instances and runs long ended.  While more than size_max bytes are in use, jobs of
 * any age count as old enough.  Returns rows dropped (0: nothing left to do). */
int work_prune(struct store *s, int64_t sync_before, int64_t job_before, int64_t size_max, int max, struct err *e);
/* Whether the log has grown by pages frames since the last checkpoint, and the safety rule of DESIGN 9 allows one (this
 * connection has committed since the last complete one). */
bool work_checkpoint_due(const struct store *s, int pages);
/* Moves the log into the database on a helper's connection: PASSIVE, beside everybody, or with the write lock, after which
 * the log begins anew.  in_log, moved: frames, equal when it was complete, -1: nothing done.
 * Only when it is due, one at a time; afterwards the asking connection is told with work_checkpoint_took(). */
int work_checkpoint_passive(struct store *helper, int *in_log, int *moved, struct err *e);
int work_checkpoint_restart(struct store *helper, int *in_log, int *moved, struct err *e);
void work_checkpoint_took(struct store *s, int in_log, int moved);
/* The same on the workshop's own connection, when no helper is at work.  force: by TRUNCATE, at the end. */
int work_checkpoint(struct store *s, int pages, bool force, struct err *e);

#endif
