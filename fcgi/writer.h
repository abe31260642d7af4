/*
 * One transaction for the rows of all request threads that wait at the moment.
 *
 * There is no writer thread: whoever finds the seat free sits down and commits everything that has gathered, then hands
 * the seat to one of those who came meanwhile.  A lone caller pays no change of threads, and a crowd pays one commit a
 * batch.  The others do not even wait for the commit: they go on to wait for their job, which begins with it.
 */
#ifndef FCGI_WRITER_H
#define FCGI_WRITER_H

#include <stdatomic.h>

#include "lib/err.h"
#include "lib/store_front.h"

struct conf;
struct writer;

enum ticket_state {
	TICKET_WAITING,
	TICKET_LEAD, /* the seat is yours: call writer_lead */
	TICKET_DONE, /* committed, job.id is known */
	TICKET_FAILED
};

/* One job to enqueue.  Whoever submits it keeps it in place until it is DONE or FAILED. */
struct ticket {
	struct front_job job;
	struct ticket *next;
	_Atomic enum ticket_state state;
	struct err err;
};

struct writer *writer_new(const struct conf *c);
void writer_free(struct writer *w);

/* Puts the ticket in the queue, and commits the queue when nobody else does.  May return with state WAITING: then
 * job.bell is rung when it becomes LEAD or FAILED, and by the scheduler once the job has got somewhere. */
void writer_submit(struct writer *w, struct ticket *t);
/* For the owner of a ticket that became LEAD. */
void writer_lead(struct writer *w);
/* For each submitted ticket, once its call no longer waits for the scheduler. */
void writer_leave(struct writer *w);
/* Rings the scheduler, for orders that went another way. */
void writer_ring(struct writer *w);

#endif
