/*
 * After the commit.
 */
#ifndef SCHEDULER_SETTLE_H
#define SCHEDULER_SETTLE_H

/* First: admits may share jobs with drops and voided starts, which settle_commit frees. */
void settle_admits(void);
/* Frames leave, bells ring, ended jobs go. */
void settle_commit(void);

#endif
