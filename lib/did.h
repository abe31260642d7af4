/*
 * Who somebody is: handle → DID → document → where their data lies and which key signs it (facts B.2, B.3).
 * did_parse is pure; the rest asks strangers' servers through lib/http.
 */
#ifndef LIB_DID_H
#define LIB_DID_H

#include <stdbool.h>
#include <stddef.h>

struct err;
struct http;
struct http_limits;
struct http_policy;

struct did_doc {
	char *did;
	char *handle;   /* as the document claims, lower case; NULL: none.  Not proven by did_resolve alone */
	char *pds;      /* scheme://host[:port], no slash at the end */
	char *key;      /* publicKeyMultibase; NULL when the document has no #atproto key */
	char *key_type; /* Multikey, or a legacy type */
};
#define DID_DOC_INIT { NULL, NULL, NULL, NULL, NULL }
void did_doc_clear(struct did_doc *d);
void did_doc_copy(struct did_doc *to, const struct did_doc *from);

/* Reads a document that must be about `did`.  ERR_REMOTE with the reason.  dev: an http PDS is fine. */
int did_parse(const char *p, size_t n, const char *did, bool dev, struct did_doc *out, struct err *e);

struct did_conf {
	const struct http_policy *policy;
	const struct http_limits *limits;
	const char *plc_url;         /* https://plc.directory */
	const char *handle_resolver; /* XRPC base URL, or NULL: DNS and well-known */
};

/* ERR_INPUT: no such method; ERR_NOTFOUND "DidNotFound": not registered or tombstoned; ERR_REMOTE, ERR_TIMEOUT. */
int did_resolve(struct http *h, const struct did_conf *c, const char *did, struct did_doc *out, struct err *e);
/* The DID a handle claims, allocated, not yet confirmed by the document.  ERR_NOTFOUND "HandleNotFound". */
int did_of_handle(struct http *h, const struct did_conf *c, const char *handle, char **did, struct err *e);
/* Does the document name the handle, so that the claim holds in both directions? */
bool did_doc_names(const struct did_doc *d, const char *handle);

/* The DID of a DNS answer's TXT records: exactly one "did=..." among them.  Pure: answer is the wire format. */
int did_of_txt(const unsigned char *answer, int n, char **did, struct err *e);

#endif
