/*
 * Which code a name means at the moment, in memory; behind it stand the tables bundle, version and author.
 *
 * A struct code is what runs: one bundle record, fixed by its CID.  Names (author as the URL said it, bundle, version)
 * point at codes and grow stale; codes never change.
 */
#ifndef SCHEDULER_CATALOG_H
#define SCHEDULER_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/job.h"

struct backend;
struct bundle;
struct conf;
struct fetcher_answer;
struct runtime;
struct runtimes;
struct store;
struct turn;
struct waiting;

struct code {
	int refs;
	char *cid, *did, *name;
	char *dir;                     /* absolute */
	char *entry;                   /* relative to dir */
	struct bundle *bundle;
	const struct runtime *runtime; /* NULL: not offered here */
	const struct backend *wall;    /* around it; NULL: none stands, no_wall says why */
	struct err no_wall;
	char *key;                     /* wall and what of it must be known at the start: which blanks may take it */
	bool local;                    /* of [dev] bundles: dir is a copy that goes with it */
	char *sealed_cid, *sealed;     /* record of the author's secrets for this runner; NULL: none is known */
	bool sealed_bad;               /* the keeper could not use it: worth asking for another soon */
	struct code *next;             /* in its hash chain */

	/* what place.c and events.c know of it */
	struct waiting *waiting;       /* its admitted jobs, NULL: none */
	int64_t run_us;                /* what a call took lately */
	int failures;                  /* starts that failed in a row before user code ran */
	int64_t retry_at_ms;           /* monotonic; no start before */
	bool no_room;                  /* the last start failed because the disk is full, which is no fault of the code */
	int64_t broken_until_ms;       /* the bundle does not load: broken says why */
	enum job_outcome broken_outcome; /* of the jobs that wait: its own fault, or refused before it ran */
	struct err broken;
};

void code_unref(struct code *c); /* NULL is fine */
struct code *code_ref(struct code *c);
const char *code_runtime_name(const struct code *c);
const char *code_wall_name(const struct code *c); /* NULL: none */

enum catalog_found { CATALOG_MISSING, CATALOG_FRESH, CATALOG_STALE };

struct catalog;
struct catalog *catalog_new(const struct conf *c, const struct runtimes *rs, struct store *s);
void catalog_free(struct catalog *c);

/* FRESH: use it.  STALE: use it and ask again in the background (once: a second call says FRESH until the answer came
 * or some seconds passed).  MISSING: ask, and wait.  *out is borrowed until the next turn: code_ref what is kept. */
enum catalog_found catalog_find(struct catalog *c, const char *author, const char *name, const char *version,
    struct code **out);
/* The CID a name had when it was last seen, for "knownCid"; NULL when none. */
const char *catalog_known_cid(struct catalog *c, const char *author, const char *name, const char *version);
/* Is that revision of the author's repository no older than the newest that was ever proven here?  ERR_REMOTE "RevWentBack". */
int catalog_rev(struct catalog *c, const char *did, const char *rev, struct err *e);
/* Takes an answer of the fetcher in and writes it down with the turn.  *unsealed: the author's secrets are others now.  NULL and e when it cannot be used here. */
struct code *catalog_take(struct catalog *c, const char *author, const char *name, const char *version,
    struct fetcher_answer *a, struct turn *t, bool *unsealed, struct err *e);
/* Does it name secrets that its author must have sealed? */
bool code_wants_secrets(const struct code *c);
/* The background question failed: the old answer stays good while it may; NOTFOUND ends it. */
void catalog_failed(struct catalog *c, const char *author, const char *name, const char *version,
    const struct err *why);
/* Drops what is known of names of this author (NULL: all) and bundle (NULL: all).  Returns how many. */
int catalog_forget(struct catalog *c, const char *author, const char *name);
/* The code of a CID, from memory or the ledger, for a job that was admitted by an earlier run.  NULL and e. */
struct code *catalog_by_cid(struct catalog *c, const char *cid, struct err *e);
/* Puts a code that came from elsewhere (dev.c) among the codes; the catalog keeps one reference. */
void catalog_adopt(struct catalog *c, struct code *code);
/* The code of that CID when it is in memory. */
struct code *catalog_peek(struct catalog *c, const char *cid);
/* Finds the entry file, the runtime and the wall's key; ERR_INPUT "InvalidBundle" when there is no entry. */
int catalog_settle(struct catalog *c, struct code *code, struct err *e);
void catalog_set_key(struct catalog *c, void (*key)(struct code *code)); /* fills wall and key */
/* Lets codes go that nobody uses; call now and then. */
void catalog_tidy(struct catalog *c);

#endif
