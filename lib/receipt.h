/*
 * A receipt: the runner's signed word that it ran these very bytes for this request, and answered with these.
 *
 * It is a JSON Web Signature in its compact form (RFC 7515, Ed25519: RFC 8037), so that any JOSE library reads it:
 *
 *     base64url({"alg":"EdDSA","typ":"at-rund-receipt","kid":"z6Mk…"}) . base64url(claims) . base64url(signature)
 *
 * The claims are in a fixed order; hashes are CIDs (v1, raw, sha2-256) of the bodies' bytes, as the AT Protocol writes those
 * of blobs.  target is path and query as the runner was asked, without scheme and host, which proxies change.
 */
#ifndef LIB_RECEIPT_H
#define LIB_RECEIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

#define RECEIPT_TYPE "at-rund-receipt"
#define RECEIPT_MAX  24576 /* characters; a target may have limits.url bytes */

struct receipt { /* strings are owned */
	char *runner;            /* DID */
	char *job;               /* public id without its secret half */
	char *bundle;            /* at://author/collection/name */
	char *cid;               /* of the bundle record that ran */
	char *caller;            /* DID proven by a token; NULL: anonymous */
	char *method, *target;
	char *request, *response; /* CIDs of the bodies */
	int64_t status;
	bool streamed;
	int64_t created_at, started_at, done_at; /* wall, unix ms */
};
void receipt_clear(struct receipt *r);

/* Appends the claims; receipt_claims reads them back.  ERR_INPUT "ReceiptMalformed": a part is missing or none. */
void receipt_json(const struct receipt *r, struct buf *out);
int receipt_claims(struct receipt *r, const char *json, size_t n, struct err *e);

/* Appends what is signed, for the key kid; then receipt_add_signature makes it whole. */
void receipt_signed_part(const struct receipt *r, const char *kid, struct buf *out);
/* The same for claims of another type (static): what each type is for stands in its head. */
void receipt_part(const char *typ, const char *kid, const char *claims, size_t n, struct buf *out);
void receipt_add_signature(struct buf *out, const uint8_t *sig, size_t n);

/* Reads a receipt; nothing is verified.  kid is owned by the caller.  ERR_INPUT "ReceiptMalformed". */
int receipt_parse(const char *s, size_t n, struct receipt *r, char **kid, struct err *e);
/* Was it signed with this key (a Multikey)?  ERR_DENIED "ReceiptForged". */
int receipt_verify(const char *s, size_t n, const char *key, struct err *e);

#endif
