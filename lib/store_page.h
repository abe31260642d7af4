/*
 * Who may see the operator's page, in the ledger (tables page_token, page_session, page_wrong).  Secrets come here as hashes
 * (lib/pass.h).
 */
#ifndef LIB_STORE_PAGE_H
#define LIB_STORE_PAGE_H

#include <stdint.h>

#include "lib/pass.h"

struct err;
struct store;

/* --- the command line --- */

/* until 0: until it is revoked. */
int page_token_put(struct store *s, const char *name, const char *hash, int64_t now, int64_t until, int64_t *id, struct err *e);
/* Revokes one, or all (0); its browsers are out at once.  *n: how many were good. */
int page_token_revoke(struct store *s, int64_t id, int64_t now, int *n, struct err *e);

/* --- the door --- */

/* 1 and the hash of a token that is good now, 0, or -1. */
int page_token_hash(struct store *s, int64_t id, int64_t now, char hash[PASS_HASH + 1], struct err *e);
/* A browser is signed in with it; those whose time is over go. */
int page_session_put(struct store *s, int64_t token, const char *hash, int64_t now, int64_t until, int64_t *id, struct err *e);
int page_session_hash(struct store *s, int64_t id, int64_t now, char hash[PASS_HASH + 1], struct err *e);
int page_session_end(struct store *s, int64_t id, int64_t now, struct err *e);

/* Wrong tokens of an address since `after`, and since when; 0 and 0 for none. */
int page_wrong(struct store *s, const char *client, int64_t after, int64_t *tries, int64_t *since, struct err *e);
/* One more; older ones go. */
int page_wrong_add(struct store *s, const char *client, int64_t after, int64_t now, struct err *e);

#endif
