/*
 * After the commit.
 */
#ifndef SCHEDULER_SETTLE_H
#define SCHEDULER_SETTLE_H

#include <stddef.h>

struct job;

/* Before the commit: calls that leave no trace in the ledger yet go out, so that instances work while it is written. */
size_t settle_light(void);
/* First: admits may share jobs with drops and voided starts, which settle_commit frees.  Also asks for the disk. */
void settle_admits(void);
/* Frames leave, bells ring, ended jobs go. */
void settle_commit(void);
/* Tells a door again what it had no room for (durable_fn). */
void settle_late(const char *bell, const void *news, size_t n);
/* Its door is to look. */
void settle_tell(const struct job *j);
/* Tells the doors what has gathered for them. */
void settle_bells(void);

#endif
