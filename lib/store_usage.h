/* What was used by the day, in the ledger (table usage): for the workshop's quotas. */
#ifndef LIB_STORE_USAGE_H
#define LIB_STORE_USAGE_H

#include <stdint.h>

struct err;
struct store;

/* day: since 1970, UTC.  The whole of it so far. */
int work_usage_put(struct store *s, int64_t day, const char *kind, const char *name, int64_t cpu_ms, int64_t egress_bytes,
    struct err *e);
int work_usage_read(struct store *s, int64_t day, void (*fn)(void *arg, const char *kind, const char *name, int64_t cpu_ms,
    int64_t egress_bytes), void *arg, struct err *e);
/* Who called what is admitted and not done.  caller may be NULL. */
int work_open_callers(struct store *s, void (*fn)(void *arg, const char *caller, const char *client), void *arg, struct err *e);
/* Drops days before this one. */
int work_usage_prune(struct store *s, int64_t day, struct err *e);

#endif
