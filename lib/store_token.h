/*
 * Service tokens in the ledger.  The door writes each into the request of its job; the workshop writes down which were used
 * (the table spent), some at a time, so that each is used once whatever dies in between: up to a job all are written down,
 * and of those after it the requests are read.
 */
#ifndef LIB_STORE_TOKEN_H
#define LIB_STORE_TOKEN_H

#include <stdint.h>

struct err;
struct store;

/* How long a token is remembered that expires at a time: a job may wait so long before it is looked at, and clocks differ. */
#define STORE_TOKEN_LEEWAY_MS 30000
int64_t store_token_until(int64_t expires_at, int64_t timeout_ms);

/* 1: the job of that row came with this very token; 0: with another, or none. */
int front_token_same(struct store *s, int64_t row, const char *token, struct err *e);

/* It was not the issuer's: the job has no caller. */
int work_token_nobody(struct store *s, int64_t row, struct err *e);

/* All that were written down and may be used still: fn is told of each. */
int work_spent(struct store *s, int64_t now, void (*fn)(void *arg, int64_t row, const char *issuer, const char *nonce,
    int64_t until_at), void *arg, struct err *e);
/* The job up to which they are.  0: none. */
int work_spent_to(struct store *s, int64_t *row, struct err *e);
/* The tokens of jobs after it that were taken. */
int work_spent_after(struct store *s, int64_t row, void (*fn)(void *arg, int64_t row, const char *token), void *arg,
    struct err *e);
/* Inside of a transaction: some more, then how far. */
int work_spent_put(struct store *s, int64_t row, const char *issuer, const char *nonce, int64_t until_at, struct err *e);
int work_spent_mark(struct store *s, int64_t row, struct err *e);
/* Drops what can be used no more, of the next max; how many, or -1. */
int work_spent_prune(struct store *s, int64_t now, int max, struct err *e);

/* --- whose is a token? (the table proof) --- */

/* Asks; *id is the question.  Own transaction.  ERR_BUSY "NotEnoughResources" when `most` are open. */
int front_proof_ask(struct store *s, const char *token, const char *caller, const char *bell, int64_t now, int most, int64_t *id,
    struct err *e);
/* 1: it is the caller's; 0: no answer yet; -1: it is not, or nobody knows; the question is gone then, or goes. */
int front_proof_look(struct store *s, int64_t id, const char *token, struct err *e);
int front_proof_drop(struct store *s, int64_t id, const char *token, struct err *e);

/* Open questions, at most max. */
int work_proofs(struct store *s, int max, void (*fn)(void *arg, int64_t id, const char *token, const char *caller,
    const char *bell), void *arg, struct err *e);
/* why NULL: it is the caller's. */
int work_proof_done(struct store *s, int64_t id, const char *token, const struct err *why, int64_t now, struct err *e);
/* Drops what nobody took away. */
int work_proof_prune(struct store *s, int64_t now, struct err *e);

#endif
