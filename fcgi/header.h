/*
 * Headers on their way in (to the handler) and out (to the caller): what passes, what does not, and why.
 * Pure functions; tests/unit/test_header.c.
 */
#ifndef FCGI_HEADER_H
#define FCGI_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct reply;

/*
 * The caller's headers as [["name","value"],...] with names in lower case.  env: "NAME=value" strings up to NULL, of
 * which HTTP_* and CONTENT_TYPE count.  body_bytes: what was really read, -1 when there is no body.
 * cookies: pass them (bundles do not share an origin).
 */
void header_request(char *const *env, int64_t body_bytes, bool cookies, struct buf *json);

/* May this header of a bundle's answer go out?  n bytes of name in any case. */
bool header_may_leave(const char *name, size_t n, int status, bool sandbox);

/*
 * Adds the headers of a result row to the reply.  Returns false when the text is not what the scheduler writes.
 * keep_length: a HEAD answer without body may keep its Content-Length.
 */
bool header_answer(const char *json, bool sandbox, bool keep_length, struct reply *r);

/* "Prefer: respond-async, wait=5" (RFC 7240); wait_s is -1 when not said. */
struct prefer {
	bool async;
	int wait_s;
};
void header_prefer(const char *value, struct prefer *p);

/* An Idempotency-Key, as it stands or as a quoted string of structured fields (RFC 8941): 1 to 255 visible characters.
 * False when it is none; out then holds nothing of use. */
#define HEADER_KEY_MAX 255
bool header_key(const char *value, char out[HEADER_KEY_MAX + 1]);

/* Is it a host name or address with an optional port, and nothing else? */
bool header_host_ok(const char *host);
/* A method is a token of at most 16 characters (RFC 9110 9.1). */
bool header_method_ok(const char *method);
/* Accept prefers HTML over JSON: browsers do, curl and fetch do not. */
bool header_wants_html(const char *accept);

#endif
