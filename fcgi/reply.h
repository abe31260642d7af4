/*
 * An answer before it is sent.
 */
#ifndef FCGI_REPLY_H
#define FCGI_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/err.h"

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

/* "Not Found"; never NULL, because nginx sends a bare number and Caddy leaks the header when the text is missing. */
const char *reply_reason(int status);

/* Turns the reply into {"error","message"} with status and Retry-After; what was in it is dropped
 * but for headers that handlers added before. */
void reply_error(struct reply *r, const struct err *e);

/* "Status: 200 OK\r\n" ... "\r\n"; bodiless statuses and lengths are settled here.  head_only: a HEAD request.
 * Returns how many bytes of body follow. */
size_t reply_print(const struct reply *r, bool head_only, struct buf *out);

#endif
