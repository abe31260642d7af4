/*
 * Who people are: what the fetcher said of a DID or a handle, kept for a while.  Callers need it for the key that signs their
 * tokens, authors that are called by handle for their DID.
 */
#ifndef SCHEDULER_PEOPLE_H
#define SCHEDULER_PEOPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/key.h"

struct conf;
struct fetch;
struct people;

struct person {
	char *name; /* DID or handle, as asked for */
	char *did;  /* NULL: the last answer was a failure */
	bool has_key;
	struct key key;
	struct err failure; /* why there is no did, or no key */
	int64_t asked_ms;   /* monotonic: when the answer came */
	int64_t fresh_until_ms, used_ms;
	struct person *next;
};

/* told: an answer about a name came; ask again. */
struct people *people_new(const struct conf *c, struct fetch *f, void (*told)(const char *name));
void people_free(struct people *p);

/*
 * Borrowed until the next turn; NULL: it is asked for, and told will be called.  What is stale still serves while it is asked
 * for again.  A failure is told for a few seconds without asking again.
 */
const struct person *people_who(struct people *p, const char *name);
/* Has the answer that was good until now to be asked for anew?  true: it is, and told will be called; false: it is too new. */
bool people_renew(struct people *p, const char *name);

#endif
