/*
 * What the scheduler's bell may carry: copies of rows that the door has committed a moment ago, so that the scheduler need
 * not read them.  Like news (lib/news.h) they are copies and no more.  Rows get their numbers in the order of their commits,
 * so whoever reads slips knows by the number whether one is missing, and then reads the ledger instead.
 */
#ifndef LIB_SLIP_H
#define LIB_SLIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct front_job;
struct work_job;

#define SLIP_MAGIC 0x33504c53u
#define AHEAD_MAGIC 0x31444841u
/* Of one datagram.  Longer rows are read from the ledger. */
#define SLIP_MAX (32u * 1024u)

/* Appends to a datagram the job as front_enqueue has inserted it; false, and nothing added, when it does not fit. */
bool slip_print(struct buf *out, const struct front_job *j);
/* A word ahead: the token of a call whose row is about to be committed, so that it is verified meanwhile.  A datagram of its
 * own; soon: it says what SLIP_SOON says, too. */
void slip_ahead_print(struct buf *out, const char *token, bool soon);
/* The token of such a datagram and its length; NULL when it is none. */
const char *slip_ahead(const char *p, size_t n, size_t *token_n, bool *soon);
/* A datagram of its own that says: there is a question in the table proof. */
#define SLIP_QUESTION "?"
bool slip_question(const char *p, size_t n);
/* A datagram of its own that says: the only call here is about to be committed, its slip follows at once. */
#define SLIP_SOON "~"
bool slip_soon(const char *p, size_t n);
/* The row of the next slip of a datagram; 0 when these bytes are none. */
int64_t slip_row(const char *p, size_t n);
/* Takes the next slip off a datagram: the job as work_queued would have read it, to be cleared with work_job_clear; false
 * when these bytes are none. */
bool slip_next(const char **p, size_t *n, struct work_job *out);

#endif
