/*
 * Admitted jobs that wait for an instance.  The ledger holds them all; memory holds the first of each lane, so that a backlog
 * of any length costs nothing and the common case (nothing waits) costs nothing either.
 *
 * A lane is one endpoint of one bundle.  What runs side by side is counted by lanes, and a lane that may start nothing at the
 * moment holds up no other.  Who is next: the higher priority first; at the same priority authors take turns, and within an
 * author its lanes; within a lane the oldest job is first.
 */
#ifndef SCHEDULER_WAIT_H
#define SCHEDULER_WAIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct code;
struct job;

/* Jobs of one code in one lane. */
struct waiting {
	struct code *code;         /* a reference */
	struct wait_lane *lane;
	struct job *first, *last;
	size_t n;
	int priority;
	struct waiting *next;      /* of this author, a ring of turns */
	struct waiting *of_code;   /* the next of the same code */
};

struct wait_lane {
	char *name, *endpoint;
	struct wait_author *author;
	size_t n;                  /* jobs in memory */
	int64_t last_row;          /* the highest row of it that memory has seen */
	bool more;                 /* the ledger has admitted rows above last_row */
	int64_t running;           /* of jobs that count (wait_started) */
	int64_t most, bundle_most; /* side by side, of the lane and of its bundle, as the newest job says; 0: any number */
	struct wait_lane *next;
};

struct wait_author {
	char *did;
	struct waiting *codes;     /* the next whose turn it is */
	struct wait_lane *lanes;
	size_t n;                  /* jobs in memory */
	int64_t running;
	struct wait_author *next;  /* ring */
};

struct wait {
	struct wait_author *authors; /* the next whose turn it is */
	size_t authors_n, n;         /* jobs in memory */
	size_t bytes;                /* of their requests */
	int64_t author_most;         /* jobs of an author side by side; 0: any number */
};

/* Whether one more job may be held in memory; if not, wait_leave it to the ledger.  j->code is set, here and below. */
bool wait_has_room(const struct wait *w, const struct job *j);
void wait_add(struct wait *w, struct job *j);
/* Says that the ledger has admitted jobs of this lane above what memory holds. */
void wait_leave(struct wait *w, const char *did, const char *name, const char *endpoint);
/* Does anybody older wait: then a job that was just read must queue up behind. */
bool wait_any_of(const struct wait *w, const char *did);
/* Takes the first job of x; its author's turn passes on. */
struct job *wait_take(struct wait *w, struct waiting *x);
/* The first job of a code in any lane; NULL when none waits. */
struct job *wait_take_code(struct wait *w, struct code *code);
/* Takes this job out wherever it stands; false when it does not wait here. */
bool wait_remove(struct wait *w, struct job *j);
/* A lane that has more in the ledger and little in memory; NULL: none. */
struct wait_lane *wait_hungry(struct wait *w);
/* The ledger had no more rows: the lane may go when nothing waits. */
void wait_sated(struct wait *w, struct wait_lane *l);
/* Calls fn for each waiting code that may start a job, in the order above, until it says true; that code's author then has
 * had its turn. */
bool wait_each(struct wait *w, bool (*fn)(void *arg, struct waiting *x), void *arg);
/* Calls fn for every job in memory; fn may take the job it is told of out. */
void wait_jobs(struct wait *w, void (*fn)(void *arg, struct job *j), void *arg);

/* What runs side by side is limited for this job: it must be counted. */
bool wait_counts(const struct wait *w, const struct job *j);
/* May it start as far as others run? */
bool wait_may_start(const struct wait *w, const struct job *j);
/* It starts, and is counted until wait_ended.  For jobs that count only. */
void wait_started(struct wait *w, struct job *j);
/* Nothing for a job that was not counted. */
void wait_ended(struct wait *w, struct job *j);

/* Frees everything, jobs too. */
void wait_clear(struct wait *w);

#endif
