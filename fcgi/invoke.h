/*
 * How a call of a bundle goes on after it was parked: its handler has checked and filled everything and left the waiting to
 * somebody else (desk.c).  The ticket is submitted; then comes news, or a look into the ledger finds some; what is more than
 * a whole answer or an acceptance is left to a thread that may wait.
 */
#ifndef FCGI_INVOKE_H
#define FCGI_INVOKE_H

#include <stdbool.h>
#include <stdint.h>

struct call;
struct err;
struct news;
struct ticket;

/* To be submitted (writer.h) by whoever has parked the call. */
struct ticket *invoke_ticket(struct call *c);
/* It was. */
void invoke_stored(const struct call *c);
/* Somebody has to wait for it, from the start: desk.c cannot hear what it waits for. */
bool invoke_needs_thread(const struct call *c);
/* The moment (clock_mono_ms) from which waiting is of no use. */
int64_t invoke_deadline(const struct call *c);
/* Answers with news of its job when they are enough for that, *rc as a handler's; false: invoke_wait has to go on. */
bool invoke_hear(struct call *c, const struct news *n, int *rc, struct err *e);
/* Its answer has begun, and so has what is sent of it: invoke_wait has to go on. */
bool invoke_begin(struct call *c, const struct news *n);
/* Looks into the ledger: has its time come?  Then invoke_wait goes on.  True too when looking fails. */
bool invoke_due(struct call *c);
/* Waits and answers, in a thread of its own and with that thread's c->waiter. */
int invoke_wait(struct call *c, struct err *e);
/* Waits for the end of a body that comes meanwhile, where the web server would not take both at a time.  False: the caller has
 * gone. */
bool invoke_hold(struct call *c, int64_t deadline);
/* The body that came meanwhile was not one: *e says why, and the job ends. */
bool invoke_faulted(const struct call *c, struct err *e);
/* Frees what the handler has left in c->invocation. */
void invoke_forget(struct call *c);

#endif
