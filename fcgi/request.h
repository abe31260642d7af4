/*
 * One HTTP request as the web server hands it over, by FastCGI or by plain CGI, and the way back.
 * The only room that knows FCGX_* is request.c.
 */
#ifndef FCGI_REQUEST_H
#define FCGI_REQUEST_H

#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct conf;
struct err;
struct reply;
struct conn;
struct wire;

/* Strings are borrowed and never NULL but where said; they live as long as the request. */
struct request {
	const char *method, *uri;         /* as sent; REQUEST_URI is what we route on */
	const char *scheme, *host, *peer; /* "https"; Host header; address of the client */
	const char *type;                 /* CONTENT_TYPE, "" when none */
	const char *prefer, *accept;      /* NULL when not sent */
	const char *idempotency_key, *authorization, *traceparent, *callback; /* NULL when not sent */
	int64_t length;                   /* CONTENT_LENGTH, -1: not said; a hint only */
	bool chunked;                     /* a body of unknown length was announced */
	bool holds;                       /* this web server takes no answer before it has sent all of the body */
	char *const *env;                 /* "NAME=value", ends with NULL */
	size_t env_count, env_bytes;      /* all parameters */
	size_t header_count, header_bytes; /* those that are HTTP headers */
	const struct conf *conf;
	struct wire *wire; /* request.c's own */
};

typedef void request_fn(void *arg, struct request *r);

/* Once, before threads start. */
int request_start(struct err *e);

/* --- connections: a FastCGI connection and the one request on it --- */

/* Takes over an accepted descriptor; unix_socket: not TCP. */
struct conn *conn_new(int fd, bool unix_socket, const struct conf *conf);
void conn_free(struct conn *c); /* closes it */
int conn_fd(const struct conn *c);
/* What can be read without waiting; room is for a look at it.  CONN_PART also when it is no request, or ended.  A request that
 * is whole and plain is taken off the connection, for conn_read. */
enum conn_has { CONN_NOTHING, CONN_PART, CONN_WHOLE };
enum conn_has conn_peek(struct conn *c, void *room, size_t bytes);
/* The next request, which waits for what is not there yet; NULL when it is none.  It is good until conn_finish. */
struct request *conn_read(struct conn *c);
/* After the answer.  True when the web server keeps the connection for another. */
bool conn_finish(struct conn *c);
/* Serves all requests of a connection (kept: but first waits for another), slow ones too, and frees it.  stop: no further
 * request is taken from a kept connection once it is true. */
void conn_serve(struct conn *c, bool kept, const atomic_bool *stop, request_fn *fn, void *arg);

/* Serves the one request of a CGI process: standard input and output, environ.  The exit status. */
int request_cgi(const struct conf *conf, request_fn *fn, void *arg);

/*
 * Reads the body to its end.  *has_body: bytes came, or an empty POST, PUT or PATCH was said to be so.
 * PayloadTooLarge over cap, RequestTimeout for a slow client, InvalidRequest when it is shorter than it was said to be.
 */
int request_body(struct request *r, size_t cap, struct buf *out, bool *has_body, struct err *e);

/*
 * A body that may be taken bit by bit, while the request is answered.  request_may_stream: it can be, and is larger than bytes
 * or of unknown length; the latter is first read as long as it comes without a break, up to bytes, and then may be whole after all.
 */
bool request_may_stream(const struct request *r, size_t bytes);
/* 1: the body is whole; 0: there is more of it; -1 as request_body. */
int request_body_first(struct request *r, size_t cap, size_t bytes, struct buf *out, bool *has_body, struct err *e);
/* Is there something of it to be read without waiting, or its end? */
bool request_has_more(const struct request *r);
/* Appends what there is, max bytes of it at most.  total: of the body before these.  As request_body_first. */
int request_body_more(struct request *r, size_t cap, size_t total, size_t max, struct buf *out, struct err *e);

/*
 * Who takes the body while the request is answered.  Whenever somebody waits for this request, and between two pieces of an answer,
 * fn is called: rang says that the bell has.  hungry: it would take more of the body.  broken: the request is given up.
 */
struct feed {
	void (*fn)(struct feed *f, bool rang);
	bool hungry, broken;
};
void request_feed(struct request *r, struct feed *f);
struct feed *request_fed(const struct request *r); /* NULL: there is none */

/* Sends head and body.  -1: the caller has gone, which is nobody's fault. */
int request_send(struct request *r, const struct reply *reply);
/* For streams, after request_send: writes and flushes. */
int request_write(struct request *r, const void *p, size_t n);
/* The answer cannot be finished: closes in a way that shows the caller that it is cut. */
void request_abort(struct request *r);

/* What to poll for to learn that the caller has gone, and what its answer means. */
void request_watch(const struct request *r, struct pollfd *p);
bool request_gone(struct request *r, short revents);

#endif
