/*
 * One transaction for the rows of everybody who has some at the moment.
 *
 * There is no writer thread: whoever finds the seat free sits down and commits all that has gathered; the others wait for
 * the seat and then find theirs done.  After the commit the scheduler is told, with copies of the rows (lib/slip.h).
 */
#ifndef FCGI_WRITER_H
#define FCGI_WRITER_H

#include <stdbool.h>

#include "lib/err.h"
#include "lib/store_front.h"

struct conf;
struct writer;

enum ticket_state {
	TICKET_WAITING,
	TICKET_DONE, /* committed, job.id is known */
	TICKET_FAILED
};

/* One job to enqueue. */
struct ticket {
	struct front_job job;
	struct ticket *next;
	enum ticket_state state;
	struct err err;
};

struct writer *writer_new(const struct conf *c);
void writer_free(struct writer *w);

/* Commits a list of tickets, and tells the scheduler.  Each is DONE or FAILED when it returns. */
void writer_submit(struct writer *w, struct ticket *list);
/* For a moment when nobody is here: reads what the next rows' pages hold now (store_warm). */
void writer_warm(struct writer *w);
/* Says a token ahead of its call's ticket: it is verified while that is committed.  soon: as writer_soon, in the same breath. */
void writer_ahead(struct writer *w, const char *token, bool soon);
/* Says that a ticket will be submitted at once: the scheduler wakes up while it is committed. */
void writer_soon(struct writer *w);
/* There is a question in the table proof. */
void writer_question(struct writer *w);
/* Rings the scheduler, for orders that went another way. */
void writer_ring(struct writer *w);

#endif
