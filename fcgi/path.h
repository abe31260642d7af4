/*
 * REQUEST_URI, taken apart once and strictly.  No web server normalises it, but each matches its own rules on a cleaned
 * copy (facts 3.1): whatever a cleaning could change (dot segments, empty segments, %2F, %00) is refused, never resolved.
 */
#ifndef FCGI_PATH_H
#define FCGI_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/buf.h"

struct conf;
struct err;

#define PATH_SEGMENTS 5

struct path {
	char *text;                     /* decoded, each of the first segments NUL-terminated */
	const char *seg[PATH_SEGMENTS]; /* "bundle", author, name, version, endpoint; NULL beyond n */
	size_t n;                       /* of seg; what follows the fifth segment is rest */
	char *rest;                     /* "" or "/more/path", decoded */
	const char *query;              /* raw, borrowed from the uri, "" when none */
};
#define PATH_INIT { NULL, { NULL, NULL, NULL, NULL, NULL }, 0, NULL, NULL }

/* The segments before rest begins: /bundle/{author}/{name}/{version}/{endpoint}. */
#define PATH_FIXED 5

/* Where a did:web says its document is, whatever base path its runner has. */
#define PATH_DID "/.well-known/did.json"

/* base: "" or "/run", cut off first, but for PATH_DID.  max: limits.url. */
int path_parse(const char *uri, const char *base, size_t max, struct path *p, struct err *e);
void path_clear(struct path *p);

/* A rest that was given decoded ("" or "/a/b"): the same refusals. */
int path_check_rest(const char *rest, struct err *e);

/*
 * One parameter of a raw query, form-decoded into out; false when absent.  The first one counts.
 */
bool path_param(const char *query, const char *name, struct buf *out);
/* Copies query without the parameters named (list ends with NULL), as raw as it came. */
void path_query_without(const char *query, const char *const *names, struct buf *out);

/* What is called: checked by lib/syntax.h.  All strings are owned. */
struct target {
	char *author, *bundle, *version, *endpoint, *rest, *query;
};
/* Takes NULL or "" for a missing part.  dev: 'local' and did:web:localhost are authors too. */
int target_check(const struct target *t, bool dev, struct err *e);
void target_clear(struct target *t);

#endif
