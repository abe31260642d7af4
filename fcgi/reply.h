/*
 * An answer before it is sent, and the one table that makes errors and outcomes HTTP statuses.
 */
#ifndef FCGI_REPLY_H
#define FCGI_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/job.h"

struct reply {
	int status;
	struct buf head;      /* "name: value\r\n" lines */
	struct buf body;      /* what we wrote ourselves ... */
	const void *borrowed; /* ... or bytes of somebody else (not NULL: these count) */
	size_t borrowed_bytes;
	bool has_length; /* a Content-Length stands in head already (HEAD) */
	bool stream;     /* no Content-Length; the sender goes on with request_write */
	bool sent;       /* a handler has sent it already */
	int64_t retry_s; /* what Retry-After says of an error; 0: what is usual */
};

#define REPLY_INIT { 200, BUF_INIT, BUF_INIT, NULL, 0, false, false, false, 0 }
void reply_clear(struct reply *r);

/* Appends a header; a value with a byte that may not stand in a header is left out, as is a bad name. */
void reply_header(struct reply *r, const char *name, const char *value);
/* Says what body is: Content-Type and, since all our own answers are about this moment, no-store. */
void reply_type(struct reply *r, const char *content_type);

/* The HTTP status of an error: by its name when the table has it, else by its kind. */
int reply_status(enum err_kind kind, const char *name);
/* "Not Found"; never NULL, because nginx sends a bare number and Caddy leaks the header when the text is missing. */
const char *reply_reason(int status);

/* Turns the reply into {"error","message"} with status and Retry-After; what was in it is dropped
 * but for headers that handlers added before. */
void reply_error(struct reply *r, const struct err *e);

/*
 * Why a job that is done has no answer of its own, as an error: outcome and the row's error columns (may be NULL).
 * Three things never share a name: HandlerFailed (the bundle), JobTimeout, MemoryLimitExceeded,
 * OutputLimitExceeded, LimitExceeded (a limit), RunnerFailed (we).
 */
void reply_outcome(enum job_outcome outcome, const char *kind, const char *name, const char *text, struct err *e);

/* "Status: 200 OK\r\n" ... "\r\n"; bodiless statuses and lengths are settled here.  head_only: a HEAD request.
 * Returns how many bytes of body follow. */
size_t reply_print(const struct reply *r, bool head_only, struct buf *out);

#endif
