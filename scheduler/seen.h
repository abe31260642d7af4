/*
 * Tokens that were used, so that each is used once.  In memory while they may be used; the ledger's table token has them
 * too, for the next scheduler.
 */
#ifndef SCHEDULER_SEEN_H
#define SCHEDULER_SEEN_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct seen;

struct seen *seen_new(void);
void seen_free(struct seen *s);
/* Was it used by another job than this? */
bool seen_before(const struct seen *s, const char *issuer, const char *nonce, int64_t row);
/* now: what could be used until then makes room.  ERR_BUSY when too many are in use. */
int seen_add(struct seen *s, const char *issuer, const char *nonce, int64_t row, int64_t until_at, int64_t now,
    struct err *e);

#endif
