/*
 * Attempts of jobs, and jobs made again from old ones: more of what the workshop may do with the ledger (store_work.h).
 */
#ifndef LIB_STORE_RETRY_H
#define LIB_STORE_RETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/job.h"

struct err;
struct store;

/* An attempt that is over.  again_at: when the next is due, 0: it was the last. */
struct work_attempt {
	int n; /* 1, 2, ... */
	int64_t run, instance, started_at, ended_at, again_at;
	enum job_outcome outcome;
	const char *error_name, *error; /* NULL when ok */
};
int work_attempt_put(struct store *s, int64_t row, const struct work_attempt *a, struct err *e);
/* How work after an answer ended: ok, error (some of it threw), timeout or killed; works 0: nobody said how many. */
struct work_after {
	int64_t works, failed, ms;
	enum job_outcome outcome;
};
int work_after_put(struct store *s, int64_t row, const struct work_after *a, struct err *e);
/* How many attempts ended their instance, and when the next is due (0: at once). */
int work_attempts(struct store *s, int64_t row, int *kills, int64_t *again_at, struct err *e);

/* A fresh job with the request of one that is done.  Own transaction, durable.  ERR_INPUT when that one is not done or its
 * request is no longer kept. */
int work_rerun(struct store *s, int64_t row, int64_t timeout_ms, int64_t now, struct job_id *made, struct err *e);

/* Was this job made so? */
bool work_is_rerun(struct store *s, int64_t row);

/* Which of the jobs that are done an order speaks of; NULL and 0: any. */
struct work_failed {
	const char *author, *bundle, *outcome;
	int64_t since, before; /* created_at */
	bool poisoned;         /* also those set aside */
};
/* One stretch of rows after `after`: starts again what failed and was not started again yet.  *after moves on; 0: there are
 * no more.  How many, or -1. */
int work_redrive(struct store *s, const struct work_failed *f, int64_t *after, int64_t timeout_ms, int64_t now, struct err *e);
/* The same for dropping what failed, with all that hangs on it. */
int work_purge(struct store *s, const struct work_failed *f, int64_t *after, struct err *e);

/* All there is of a job that is done. */
int work_forget(struct store *s, int64_t row, struct err *e);

#endif
