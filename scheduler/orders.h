/* What people and programs want of the scheduler, left as rows (schema: orders). */
#ifndef SCHEDULER_ORDERS_H
#define SCHEDULER_ORDERS_H

#include <stdbool.h>

struct err;
struct store;

/* Carries out every open order; the notes are written with the turn.  *more: one of them goes on in the next. */
int orders_take(struct store *s, bool *more, struct err *e);

#endif
