/*
 * After the commit.
 */
#ifndef SCHEDULER_SETTLE_H
#define SCHEDULER_SETTLE_H

struct job;

/* Before the commit: calls that leave no trace in the ledger yet go out, so that instances work while it is written. */
void settle_light(void);
/* First: admits may share jobs with drops and voided starts, which settle_commit frees. */
void settle_admits(void);
/* Frames leave, bells ring, ended jobs go. */
void settle_commit(void);
/* Tells those whose acceptance has become durable. */
void settle_durable(void);
/* Its door is to look. */
void settle_tell(const struct job *j);
/* Tells the doors what has gathered for them. */
void settle_bells(void);

#endif
