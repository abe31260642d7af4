/*
 * Schedules, whose they are, and what became of each time they came: more of what the workshop may do with the ledger
 * (store_work.h).
 */
#ifndef LIB_STORE_SCHEDULE_H
#define LIB_STORE_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/job.h"

struct err;
struct store;

/* Whose bundles' schedules are started here; bundle "": all of the author's. */
int work_enrol(struct store *s, const char *did, const char *bundle, int64_t now, struct err *e);
int work_unenrol(struct store *s, const char *did, const char *bundle, struct err *e); /* 1: it was enrolled */
int work_enrolments(struct store *s, void (*fn)(void *arg, const char *did, const char *bundle), void *arg, struct err *e);

struct work_schedule { /* borrowed by those who are told and by those who take it */
	int64_t id;
	const char *did, *bundle, *endpoint, *cron, *zone, *overlap, *missed;
	const char *error; /* why it cannot come; then next_at is 0 */
	bool paused;
	int64_t next_at, last_job;
	int queued; /* firings that wait for the job before */
};
int work_schedules(struct store *s, void (*fn)(void *arg, const struct work_schedule *w), void *arg, struct err *e);
/* A new one, or what its record says by now. */
int work_schedule_put(struct store *s, const struct work_schedule *w, int64_t now, struct err *e);
int work_schedule_drop(struct store *s, int64_t id, struct err *e);
int work_schedule_pause(struct store *s, int64_t id, bool paused, int64_t next_at, struct err *e);
/* After a firing: when it comes next, how many wait. */
int work_schedule_set(struct store *s, int64_t id, int64_t next_at, int queued, struct err *e);

/* Writes down what became of a time: "skipped", "missed", "queued".  0: this time was dealt with before. */
int work_firing(struct store *s, int64_t schedule, int64_t due_at, const char *what, int64_t now, struct err *e);
/* The oldest firing that waits; ERR_NOTFOUND. */
int work_firing_queued(struct store *s, int64_t schedule, int64_t *due_at, struct err *e);

/* A job for a time, in a transaction that survives a power cut.  what: "started" or "asked".  1 made, 0 there is one already. */
struct work_fire {
	int64_t schedule, due_at, next_at, timeout_ms;
	int queued;
	const char *what, *did, *bundle, *endpoint, *url, *headers_json;
};
int work_fire(struct store *s, const struct work_fire *f, int64_t now, struct job_id *made, struct err *e);
/* Is this job one of these? */
bool work_was_fired(struct store *s, int64_t row);
/* Is it over, or long gone? */
bool work_is_over(struct store *s, int64_t row);
/* Drops old firings, at most max; how many, or -1. */
int work_firing_prune(struct store *s, int64_t before, int max, struct err *e);

#endif
