/*
 * Who calls, who wrote it, may they: the one place that says no.  Pure: no ledger, no network, no clock.
 */
#ifndef SCHEDULER_ADMIT_H
#define SCHEDULER_ADMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/access.h"

struct bundle;
struct code;
struct conf;
struct egress_conf;
struct err;
struct runtime;
struct runtimes;

struct admit_rules {
	const struct conf *conf;
	const struct runtimes *runtimes;
};

/* What an admitted job may spend. */
struct admission {
	int64_t timeout_ms;
	const char *limit_key; /* static: whose limit that is, "limits.timeout", "limits.timeoutMs" of the bundle, ... */
	bool idempotent, task;
	int attempts;
	int priority;
	int64_t most, bundle_most; /* side by side, of the endpoint and of the bundle; 0: any number */
};

/* Is the author hosted here?  did: proven, or as the URL says it.  Unless it is ACCESS_YES, e says why: ERR_DENIED
 * "AuthorNotAllowed". */
enum access_said admit_author(const struct conf *c, const struct access_facts *f, const char *did, struct err *e);
/* May this caller call (NULL: anonymous)?  ERR_DENIED "CallerNotAllowed", "AuthMissing". */
enum access_said admit_caller(const struct conf *c, const struct access_facts *f, const char *caller, struct err *e);
/*
 * Runtime, endpoint, permissions, limits, in this order.  job_timeout_ms is what the door wrote into the row.
 * ERR_INPUT "RuntimeNotOffered", ERR_NOTFOUND "EndpointNotFound", ERR_DENIED "PermissionNotGranted".
 */
int admit_code(const struct admit_rules *r, const struct code *code, const char *endpoint, int64_t job_timeout_ms,
    struct admission *out, struct err *e);

/*
 * May the end of a call be told at this URL?  Its host stands in the bundle's callbacks or permissions.net (a bare "*" there
 * names nobody), in the operator's callbacks.allow, or is the caller's own (did:web), and the operator's [egress] permits it;
 * with --dev loopback is fine.  ERR_INPUT "CallbackInvalid", ERR_DENIED "CallbackNotAllowed", "CallbackNotOffered".
 */
int admit_callback(const struct conf *c, const struct egress_conf *operator, const struct bundle *b, const char *caller,
    const char *url, struct err *e);

#endif
