/*
 * Idempotency-Key: which job a key means (the table idempotency).  For lib/store_front.c, and for whoever sweeps.
 *
 * A key belongs to a caller and a bundle, so that strangers' keys do not meet.  The evidence of what it was given for is the
 * request of its job: a request is the same when version, endpoint, method, path, query, body and callback are.  A job that
 * was refused or given up before user code ran does not hold its key: the caller may try again.
 */
#ifndef LIB_STORE_KEY_H
#define LIB_STORE_KEY_H

#include <stdint.h>

struct err;
struct front_job;
struct store;

/* Sets j->met and j->twin.  Inside the transaction that will insert the job. */
int key_meet(struct store *s, struct front_job *j, struct err *e);
/* The key means the job that was just inserted. */
int key_bind(struct store *s, const struct front_job *j, struct err *e);
/* Drops keys given before a time, at most max; how many, or -1. */
int key_prune(struct store *s, int64_t before, int max, struct err *e);

#endif
