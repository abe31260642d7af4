/*
 * Callbacks in the ledger (the table callback): the door writes each with its job, whoever ends the job makes it due in the
 * same transaction, the workshop tells it and writes how that went.
 */
#ifndef LIB_STORE_CALLBACK_H
#define LIB_STORE_CALLBACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/job.h"

struct buf;
struct err;
struct front_job;
struct store;

/* The callback of the job that was just inserted. */
int front_callback_put(struct store *s, const struct front_job *j, struct err *e);
/* Appends its state as a JSON object; nothing when the job has none. */
int front_callback(struct store *s, int64_t row, struct buf *json, struct err *e);

/* The job of that row is done, inside the transaction that says so: its callback, if it has one, is due.  Not an error when
 * it is not done, or was settled before. */
int callback_settle(struct store *s, int64_t row, struct err *e);

/* --- the workshop --- */

/* What is to be told.  Strings are owned; NULL: not known, or there is none. */
struct work_callback {
	struct job_id id;
	char *url, *host;
	int attempts; /* so far */
	char *outcome, *author, *bundle, *version, *endpoint, *did, *cid, *caller, *runtime;
	int64_t created_at, admitted_at, started_at, done_at; /* wall ms, 0: never */
	int starts;
	char *error_name, *error;
	char *request_url; /* of the call, as its caller wrote it */
	int status;        /* of the handler's answer, 0: there is none, or it is no longer kept */
	char *headers_json;
	bool streamed;
	size_t body_bytes;
	char *body;  /* NULL: longer than was asked for */
	char *of;    /* id of the job that this one is a rerun of */
};
void work_callback_clear(struct work_callback *c);

/* Of all jobs: those that are done and whose callback still waits for that. */
int work_callback_sweep(struct store *s, struct err *e);
/* The row of the oldest that is due by now; 0: none.  jobs_json, hosts_json: arrays of what is to be passed over. */
int work_callback_next(struct store *s, int64_t now, const char *jobs_json, const char *hosts_json, int64_t *row, struct err *e);
/* ERR_NOTFOUND: it is gone, or due no more. */
int work_callback_load(struct store *s, int64_t row, int64_t body_max, struct work_callback *out, struct err *e);

/* How an attempt ended. */
struct work_tried {
	const char *state;  /* delivered, failed, due */
	int64_t next_at;    /* of due */
	int status;         /* that came, 0: none */
	const char *error;  /* NULL when delivered */
};
int work_callback_tried(struct store *s, int64_t row, const struct work_tried *t, int64_t now, struct err *e);
/* Due once more.  1; 0: it is not its time, *state (static) says where it stands, NULL: there is none. */
int work_callback_again(struct store *s, int64_t row, int64_t now, const char **state, struct err *e);

#endif
