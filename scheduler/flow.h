/*
 * Back-pressure: how much of an answer may be under way.  An executor may send FRAME_WINDOW bytes, and as many more as its
 * reader has taken (front_taken), or as the ledger has taken when the answer is kept for somebody who asks later, or who is
 * still sending his request and cannot read before.  So a slow reader slows the handler, and neither we nor the ledger hold
 * more than a window of it.
 */
#ifndef SCHEDULER_FLOW_H
#define SCHEDULER_FLOW_H

struct job;

/* The chunks that came stand in the ledger. */
void flow_written(struct job *j);
/* Somebody rang: perhaps a reader took something. */
void flow_look(void);

#endif
