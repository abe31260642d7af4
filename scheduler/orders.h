/* What people and programs want of the scheduler, left as rows (schema: orders). */
#ifndef SCHEDULER_ORDERS_H
#define SCHEDULER_ORDERS_H

struct err;
struct store;

/* Carries out every open order; the notes are written with the turn. */
int orders_take(struct store *s, struct err *e);

#endif
