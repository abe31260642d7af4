/*
 * Which handler answers: one table of method, path and who.  A handler parses, checks, stores, and fills the reply, or
 * returns -1 and the error that makes one.
 */
#ifndef FCGI_ROUTE_H
#define FCGI_ROUTE_H

#include "fcgi/path.h"
#include "fcgi/reply.h"
#include "lib/job.h"
#include "lib/trace.h"

struct conf;
struct gauge;
struct invocation;
struct request;
struct telemetry;
struct waiter;
struct writer;

/* What all threads share. */
struct door {
	const struct conf *conf;
	struct writer *writer;
	struct gauge *gauge;
	const struct telemetry *telemetry; /* NULL: no traces */
};

/* One call on its way through the house. */
struct call {
	const struct door *door;
	struct waiter *waiter;
	struct request *request;
	struct path path;
	struct reply reply;
	char job[JOB_ID_LEN + 1]; /* for the access line, "" when there is none */
	const struct route *route; /* NULL: none was found */
	int64_t start_us;
	bool traced;
	struct trace trace; /* when traced */
	char traceparent[TRACE_HEADER_TEXT + 1]; /* that of our span, for the answer; "": we have none */
	bool may_park;
	bool owner; /* the job runs for this caller alone: it ends when the caller leaves, and what was read of its stream goes */
	struct invocation *invocation; /* invoke.c's own */
};

/*
 * Fills the reply, or sends it; -1: the error makes one.  A handler of a route that parks may, when c->may_park, return
 * CALL_PARKED instead of waiting: fcgi/invoke.h says how the call goes on.
 */
#define CALL_PARKED 1
typedef int handler_fn(struct call *c, struct err *e);

/* invoke.c */
handler_fn invoke_bundle, invoke_xrpc;
/* job.c */
handler_fn job_get, job_cancel, job_page, job_result;
/* list.c */
handler_fn list_jobs, list_logs;
/* card.c */
handler_fn card_describe, card_did, card_health, card_ready;
/* drip.c */
handler_fn drip_show;
/* page_*.c */
handler_fn page_home, page_sign_in, page_sign_out, page_jobs, page_job, page_job_press, page_authors, page_pool, page_drain;
/* metrics.c */
handler_fn metrics_show;

struct route {
	const char *name;    /* in the access line */
	const char *pattern; /* segments; "*" is any one; the last may be "..." */
	const char *methods; /* "GET HEAD", or "" for any */
	bool parks;          /* reads what has come, looks briefly into the ledger, and never waits when it may park */
	handler_fn *run;
};

/*
 * The route of a parsed path, or ERR_NOTFOUND; MethodNotImplemented for an unknown method name below /xrpc.
 * A wrong HTTP method is InvalidRequest below /xrpc (as a PDS says it) and MethodNotAllowed elsewhere, with *allow set.
 */
const struct route *route_find(const struct path *p, const char *method, const char **allow, struct err *e);

/* The first half: checks the request and finds c->route.  -1: the error is the answer. */
int route_begin(struct call *c, const struct door *d, struct waiter *w, struct request *r, struct err *e);
/* The last: sends what was not sent, writes the access line, empties c.  rc: what the handler said. */
void route_end(struct call *c, int rc, struct err *e);

/* Serves one request from the first byte to the access line. */
void route_serve(const struct door *d, struct waiter *w, struct request *r);

#endif
