/*
 * What the front door may do with the ledger: enqueue, look, ask to cancel.
 */
#ifndef LIB_STORE_FRONT_H
#define LIB_STORE_FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/job.h"

struct buf;
struct err;
struct store;

enum front_met {
	MET_NOBODY, /* the rows are inserted */
	MET_TWIN,   /* the same request came before under this key: nothing is inserted */
	MET_OTHER,  /* another request came before under this key: nothing is inserted */
	MET_UNPROVEN /* the same request came with another token: nobody knows yet whether it was the same caller */
};

/* A call that passed the door's checks.  All strings are borrowed for the time of the call. */
struct front_job {
	enum job_mode mode;
	const char *author, *bundle, *version, *endpoint; /* checked syntax */
	const char *method, *url, *path, *query, *headers_json;
	const void *body;
	size_t body_bytes;
	bool upload_holds;    /* no answer reaches the caller before the body's end */
	bool upload;          /* the body comes later (store_upload.h), as many bytes of it; -1: nobody knows */
	int64_t upload_bytes;
	const char *caller; /* DID of the token, to be proven; NULL: anonymous */
	const char *token; /* the whole of it; NULL: none was sent */
	const char *callback; /* URL that its end is told to, checked; NULL: none */
	const char *client;
	const char *bell; /* whom the scheduler rings, NULL: nobody waits */
	int64_t timeout_ms;
	int64_t created_at;   /* wall, unix ms */
	int64_t created_mono; /* the same moment, monotonic ms */
	const char *trace;    /* trace_row (lib/trace.h); NULL: no trace */
	struct job_id id;     /* nonce filled by the caller (job_nonce), row by front_enqueue */
	/* Idempotency-Key (store_key.h); NULL: none was sent */
	const char *key;
	int64_t keys_after;    /* older keys mean nothing */
	enum front_met met;    /* set by front_enqueue */
	struct job_id twin;    /* MET_TWIN: the job that the key means */
};

/* Inserts the rows of one job; call between store_begin and store_commit. */
int front_enqueue(struct store *s, struct front_job *j, struct err *e);

/* How full the queue is: jobs not done, in total and of one author and one (author, bundle).
 * For refusing before anything is stored (429, 503); counts stop at cap.  While all together are fewer than few, which is
 * nobody's limit, they are counted once and the parts are said to be as many. */
struct front_load {
	int64_t total, author, bundle;
};
int front_load(struct store *s, const char *author, const char *bundle, int64_t cap, int64_t few, struct front_load *out,
    struct err *e);

/*
 * After how many milliseconds a place is free among the open jobs of an author (NULL: of all) and a bundle (NULL: all of the
 * author): the earliest end of those that run, when they take as long as such calls took lately, and at the latest the earliest
 * deadline.  0: nothing is known.
 */
int64_t front_place_in(struct store *s, const char *author, const char *bundle);

/* A job as the door sees it.  Pointers are owned by the struct; front_view_clear frees. */
struct front_view {
	struct job_id id;
	enum job_mode mode;
	enum job_state state;
	enum job_outcome outcome;
	enum job_start start;
	char *author, *bundle, *version, *endpoint, *did, *cid, *runtime, *wall, *caller;
	int64_t created_at, admitted_at, started_at, done_at; /* 0: not yet */
	int64_t timeout_ms, lease_until;                      /* monotonic ms, 0: none */
	char *error_kind, *error_name, *error;
	bool cancel;
	bool task;  /* an endpoint that is told 202 */
	int64_t retry_at; /* wall ms, of a call that came too early; 0: nothing is said */
	bool told;  /* by the scheduler's news, not by a look: what was promised is durable */
	int starts; /* not with a light look */
	/* The answer, when the handler has begun one (has_result). */
	bool has_result, streamed;
	int64_t taken; /* chunks of a stream before this one are gone */
	int status;
	char *headers_json;
	void *body; /* of a result that is not streamed */
	size_t body_bytes;
};

/* 0 and the view, or ERR_NOTFOUND "JobNotFound" when no job has this row and nonce.
 * light: only state, outcome, error and times; no body. */
int front_look(struct store *s, const struct job_id *id, bool light, struct front_view *v, struct err *e);
void front_view_clear(struct front_view *v);

/* Starts of a job that was started more than once, those that are over, oldest first.  Strings are borrowed for the call. */
struct front_attempt {
	int n;
	const char *outcome, *error_name, *error; /* NULL: none */
	int64_t started_at, ended_at, again_at;   /* again_at 0: it was the last */
};
int front_attempts(struct store *s, int64_t row, void (*fn)(void *arg, const struct front_attempt *a), void *arg, struct err *e);

/* Chunks of a stream from seq on, appended to out, at most max_bytes (but at least one chunk when there is one).
 * *next is the seq to ask for next. */
int front_chunks(struct store *s, int64_t row, int64_t seq, size_t max_bytes, struct buf *out, int64_t *next,
    struct err *e);

/* The caller for whom the job runs has read its stream up to this chunk: there is room for more, and what was read goes. */
int front_taken(struct store *s, int64_t row, int64_t seq, struct err *e);

/* Asks for the end of a job: sets job.cancel and leaves an order.  Not an error when it is done already.
 * Own transaction unless inside one. */
int front_cancel(struct store *s, const struct job_id *id, struct err *e);

/* A job whose lease has passed although nobody wrote its result (the scheduler is gone or paused): done, lost.
 * True when this call settled it; a late result is refused from then on. */
bool front_lapse(struct store *s, const struct job_id *id, int64_t mono_now_ms, const char *boot, struct err *e);

/* Is a scheduler alive: the newest run's heartbeat. */
struct front_pulse {
	bool any, draining, ended;
	int64_t seen_at; /* wall ms, for people */
	int64_t seen_mono;
	bool this_boot; /* seen_mono is of our clock */
	int64_t queued, running, instances; /* front_counts */
};
int front_pulse(struct store *s, struct front_pulse *p, struct err *e);
/* Of a long queue this is a long walk: for those who want to see it. */
int front_counts(struct store *s, struct front_pulse *p, struct err *e);

/* Appends what the scheduler counted, as lines of Prometheus' text format; nothing before its first heartbeat. */
int front_tally(struct store *s, struct buf *out, struct err *e);

/* The runtimes of the card, in a JSON array text: [{"name","mimeTypes","version","wall","available"}]. */
int front_runtimes(struct store *s, struct buf *json, struct err *e);
/* The DID of whose call it is, owned by the caller; NULL: anonymous.  ERR_NOTFOUND. */
int front_job_caller(struct store *s, const struct job_id *id, char **caller, struct err *e);

#endif
