/*
 * Admitted jobs that wait for an instance.  The ledger holds them all; memory holds the first of each author, so that
 * a backlog of any length costs nothing and the common case (nothing waits) costs nothing either.
 *
 * Fairness: authors take turns.  Within an author, codes take turns; within a code, the oldest job is first.
 */
#ifndef SCHEDULER_WAIT_H
#define SCHEDULER_WAIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct code;
struct job;

/* Jobs of one code. */
struct waiting {
	struct code *code;         /* a reference */
	struct wait_author *author;
	struct job *first, *last;
	size_t n;
	struct waiting *next;      /* of this author, a ring of turns */
};

struct wait_author {
	char *did;
	struct waiting *codes;     /* the next whose turn it is */
	size_t n;                  /* jobs in memory */
	int64_t last_row;          /* the highest row of it that memory has seen */
	bool more;                 /* the ledger has admitted rows above last_row */
	struct wait_author *next;  /* ring */
};

struct wait {
	struct wait_author *authors; /* the next whose turn it is */
	size_t authors_n, n;         /* jobs in memory */
	size_t bytes;                /* of their requests */
};

/* Whether one more job of this author may be held in memory; if not, wait_leave it to the ledger. */
bool wait_has_room(const struct wait *w, const char *did, int64_t row);
void wait_add(struct wait *w, struct job *j);   /* j->code is set */
/* Says that the ledger has admitted jobs of this author above what memory holds. */
void wait_leave(struct wait *w, const char *did);
/* Does anybody older wait: then a job that was just read must queue up behind. */
bool wait_any_of(const struct wait *w, const char *did);
/* Takes the first job of a code; its author's turn passes on.  NULL when none waits. */
struct job *wait_take(struct wait *w, struct code *code);
/* Takes this job out wherever it stands; false when it does not wait here. */
bool wait_remove(struct wait *w, struct job *j);
/* An author that has more in the ledger and little in memory; NULL: none.  Looks at each once a round. */
struct wait_author *wait_hungry(struct wait *w);
/* The ledger had no more rows: the author may go when nothing waits. */
void wait_sated(struct wait *w, struct wait_author *a);
/* Calls fn for each waiting code in the order of turns until it says true; that code's author then has had its turn. */
bool wait_each(struct wait *w, bool (*fn)(void *arg, struct waiting *x), void *arg);
/* Calls fn for every job in memory; fn may take the job it is told of out. */
void wait_jobs(struct wait *w, void (*fn)(void *arg, struct job *j), void *arg);
/* Frees everything, jobs too. */
void wait_clear(struct wait *w);

#endif
