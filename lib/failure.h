/*
 * What a failure looks like to whoever called: the one table that makes errors and outcomes HTTP statuses, and the body that the
 * answer has.  The door sends it, and the workshop signs it (receipts).
 */
#ifndef LIB_FAILURE_H
#define LIB_FAILURE_H

#include "lib/err.h"
#include "lib/job.h"

struct buf;

/* The HTTP status of an error: by its name when the table has it, else by its kind. */
int failure_status(enum err_kind kind, const char *name);

/*
 * Why a job that is done has no answer of its own, as an error: outcome and the row's error columns (may be NULL).
 * Three things never share a name: HandlerFailed (the bundle), JobTimeout, MemoryLimitExceeded,
 * OutputLimitExceeded, LimitExceeded (a limit), RunnerFailed (we).
 */
void failure_outcome(enum job_outcome outcome, const char *kind, const char *name, const char *text, struct err *e);

/* Appends {"error","message"}. */
void failure_body(const struct err *e, struct buf *out);

#endif
