/*
 * A request body that comes while its handler runs: as far as the scheduler allows, it is read from the web server and put
 * into the ledger piece by piece, by the thread that waits for the answer.
 */
#ifndef FCGI_UPLOAD_H
#define FCGI_UPLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct call;
struct err;
struct job_id;
struct upload;

/* Longer bodies come in pieces; those of unknown length as soon as they do not come at once. */
#define UPLOAD_LEAST (1024u * 1024u)
#define UPLOAD_FIRST (256u * 1024u)

/* After its row is committed.  first: what was read of it, taken over. */
struct upload *upload_new(struct call *c, const struct job_id *id, struct buf *first);
/* Drops what is left of it. */
void upload_free(struct upload *u);
/* It has come to a bad end, the job with it: the error is the answer. */
bool upload_broken(const struct upload *u, struct err *e);
/* Is there more of it to come? */
bool upload_comes(const struct upload *u);
/* It was wanted whole, which takes its own time: true once, when it is. */
bool upload_was_whole(struct upload *u);

#endif
