/*
 * GET from strangers (DESIGN 14): https, no proxy, no cookies, every address checked at connect time, every byte and
 * millisecond counted.  A struct http belongs to one thread and keeps its connections open between calls.
 */
#ifndef LIB_HTTP_H
#define LIB_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"

struct err;
struct http;

struct http_policy {
	bool dev;          /* loopback and plain http are allowed, on any port */
	const int *ports;  /* further than 443 */
	size_t n_ports;
};

struct http_limits {
	int64_t bytes;         /* of the body, counted as they come */
	const char *bytes_key; /* config key that sets it, for messages */
	int64_t connect_ms, first_byte_ms, total_ms;
	const char *connect_key, *first_byte_key, *total_key;
	int redirects;         /* 0: a redirect is an error; else followed by hand and re-checked */
};

struct http_reply {
	int status;
	char type[128];    /* content type as sent, cut */
	int64_t bytes;     /* of the body that went to the sink */
	struct buf refusal; /* start of the body when status is not 2xx */
};
#define HTTP_REPLY_INIT { 0, "", 0, BUF_INIT }

/* Takes bytes of a 2xx body; not 0 (with e set) ends the transfer. */
typedef int http_sink(void *arg, const char *p, size_t n, struct err *e);

struct http *http_new(void);
void http_free(struct http *h);
/* Once a process, before threads. */
void http_setup(void);

/*
 * 0 when a whole answer came, whatever its status; the body of a 2xx went to sink.  ERR_DENIED: the policy forbids this
 * URL or address; ERR_TIMEOUT, ERR_REMOTE: with the host, the limit, its value and its key; ERR_INPUT: no such URL.
 */
int http_get(struct http *h, const struct http_policy *policy, const char *url, const char *accept,
    const struct http_limits *limits, http_sink *sink, void *arg, struct http_reply *reply, struct err *e);
/* The same into a buffer. */
int http_get_buf(struct http *h, const struct http_policy *policy, const char *url, const char *accept,
    const struct http_limits *limits, struct buf *body, struct http_reply *reply, struct err *e);

/* POSTs JSON to a server of ours, as whoever the bearer token is of (NULL: nobody).  Nothing is redirected. */
int http_post_json(struct http *h, const struct http_policy *policy, const char *url, const char *bearer, const char *json,
    const struct http_limits *limits, struct buf *body, struct http_reply *reply, struct err *e);

/*
 * POSTs JSON to whoever it is for, with further headers ("Name: value", up to NULL), and hears no more of the answer than it
 * must: 0 when there was one, with its status (also a redirect's, which is not followed) and the seconds of Retry-After, 0:
 * none.  Of the body limits->bytes are read at most; more, or one that does not end in time, is no failure.
 */
int http_tell(struct http *h, const struct http_policy *policy, const char *url, const char *const *headers, const char *json,
    const struct http_limits *limits, int *status, int64_t *retry_after_s, struct err *e);

/* Would http_get try this URL at all (scheme, port, no user, no bare address)?  The host comes back in host[256]. */
int http_url_check(const struct http_policy *policy, const char *url, char host[256], struct err *e);
/* Appends s percent-encoded for a query or a path segment. */
void http_escape(struct buf *out, const char *s);

#endif
