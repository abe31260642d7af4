/*
 * The runner's public keys, authors' sealed boxes and receipts in the ledger (the tables runner_key, sealed, receipt).  Nothing
 * secret: what opens a box lies in keys/, which only the keeper reads.
 */
#ifndef LIB_STORE_SECRET_H
#define LIB_STORE_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct store;

struct store_key {
	const char *key, *use; /* borrowed for the call */
	int number;
	int64_t made_at;
	bool gone;
};

/* --- the scheduler --- */

/* These are the keys that are there; all others are gone.  A transaction of its own. */
int work_keys_put(struct store *s, const struct store_key *keys, size_t n, int64_t now, struct err *e);
/* Forgets a key altogether: it was revoked. */
int work_key_drop(struct store *s, const char *key, struct err *e);
/* record_json NULL: the author has none (any more). */
int work_sealed_put(struct store *s, const char *did, const char *bundle, const char *cid, const char *record_json,
    int64_t now, struct err *e);
/* Both allocated; ERR_NOTFOUND. */
int work_sealed_get(struct store *s, const char *did, const char *bundle, char **cid, char **record_json, struct err *e);

/* The receipt of a job that ends with this transaction. */
int work_receipt_put(struct store *s, int64_t row, const char *text, struct err *e);

/* --- the door --- */

/* Allocated; NULL when there is none. */
char *front_receipt(struct store *s, int64_t row, struct err *e);
/* The newest first, those for secrets before those for receipts. */
int front_keys(struct store *s, void (*fn)(void *arg, const struct store_key *k), void *arg, struct err *e);

#endif
