/* Bundles, versions, authors and their revisions in the ledger: for the workshop. */
#ifndef LIB_STORE_BUNDLE_H
#define LIB_STORE_BUNDLE_H

#include <stdint.h>

struct err;
struct store;

struct work_bundle {
	char *cid, *did, *name, *uri, *runtime, *code, *dir, *record_json;
	char *rev, *commit, *proof; /* what proved it; written, not read back */
	int64_t bytes, fetched_at;
	int64_t checked_at; /* of the version that was asked for */
};
void work_bundle_clear(struct work_bundle *b);
/* Notes its revision, too. */
int work_bundle_put(struct store *s, const struct work_bundle *b, const char *version, int64_t now, struct err *e);
/* By (did, name, version), or by CID when version is NULL and name holds it.  ERR_NOTFOUND. */
int work_bundle_get(struct store *s, const char *did, const char *name, const char *version, struct work_bundle *out,
    struct err *e);
int work_author_put(struct store *s, const char *handle, const char *did, const char *pds, int64_t now, struct err *e);
/* *did is allocated. */
int work_author_get(struct store *s, const char *handle, char **did, int64_t *checked_at, struct err *e);

/* The newest revision of an author's repository that was ever proven here; an older one changes nothing. */
int work_rev_put(struct store *s, const char *did, const char *rev, int64_t now, struct err *e);
/* *rev is allocated; NULL: none. */
int work_rev_get(struct store *s, const char *did, char **rev, struct err *e);

#endif
