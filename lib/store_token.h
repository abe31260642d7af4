/*
 * Service tokens in the ledger (the table token): the door writes each with its job, the workshop proves it, and it stays
 * until it could be used no more, so that it is used once.
 */
#ifndef LIB_STORE_TOKEN_H
#define LIB_STORE_TOKEN_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct front_job;
struct store;

/* How long a token is kept that expires at a time: a job may wait so long before it is looked at, and clocks differ. */
#define STORE_TOKEN_LEEWAY_MS 30000
int64_t store_token_until(int64_t expires_at, int64_t timeout_ms);

/* As the door has read it.  Strings are borrowed. */
struct front_token {
	const char *nonce, *alg;
	const char *text;    /* the whole token */
	const char *signed_; /* what of it the signature is over */
	size_t signed_bytes;
	const uint8_t *signature;
	size_t signature_bytes;
	int64_t until_at;
};

/* The token of the job that was just inserted; its issuer is job.caller. */
int front_token_put(struct store *s, const struct front_job *j, struct err *e);
/* 1: the job of that row came with this very token; 0: with another, or none. */
int front_token_same(struct store *s, int64_t row, const struct front_job *j, struct err *e);

/* As the workshop takes it. */
struct work_token {
	char *issuer, *nonce, *alg, *signed_;
	size_t signed_bytes;
	uint8_t signature[64];
	int64_t until_at;
};
/* ERR_NOTFOUND when the job came without one. */
int work_token_load(struct store *s, int64_t row, struct work_token *out, struct err *e);
void work_token_clear(struct work_token *t);
/* It was not the issuer's: the token goes, and the job's caller with it. */
int work_token_drop(struct store *s, int64_t row, struct err *e);
/* All that may be used still: fn is told of each. */
int work_tokens(struct store *s, int64_t now, void (*fn)(void *arg, int64_t row, const char *issuer, const char *nonce,
    int64_t until_at), void *arg, struct err *e);
/* Drops what can be used no more, at most max; how many, or -1. */
int work_token_prune(struct store *s, int64_t now, int max, struct err *e);

#endif
