/*
 * A notice: what a callback says (At-Run-Callback), and the runner's signature for it.
 *
 * The body is JSON, in the words of dev.at-run.getJob, and the same at each attempt.  The signature comes in the header
 * At-Run-Signature, a JSON Web Signature in its compact form (RFC 7515, Ed25519: RFC 8037):
 *
 *     base64url({"alg":"EdDSA","typ":"at-rund-callback","kid":"z6Mk…"}) . base64url(claims) . base64url(signature)
 *
 * with the runner's key for receipts (in its DID document, its card and its record); the typ tells it from a receipt, which it
 * can never be taken for.  The claims are in a fixed order: whose word it is, for which job, for which URL and no other, the
 * hash of the body (a CID: v1, raw, sha2-256), which attempt, and when it was signed.
 */
#ifndef LIB_NOTICE_H
#define LIB_NOTICE_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct work_callback;

#define NOTICE_TYPE "at-rund-callback"
#define NOTICE_MAX  8192 /* characters of a signature */

struct notice { /* strings are owned */
	char *runner;   /* DID; NULL: a runner of --dev that has none */
	char *job;      /* its number: the public id without its secret half */
	char *url;
	char *body;     /* CID */
	int64_t attempt, signed_at; /* 1, 2, ...; wall, unix ms */
};
void notice_clear(struct notice *n);

/* Appends the claims; notice_claims reads them back.  ERR_INPUT: a part is missing or none. */
void notice_json(const struct notice *n, struct buf *out);
int notice_claims(struct notice *n, const char *json, size_t len, struct err *e);
/* Appends what is signed, for the key kid; then receipt_add_signature makes it whole. */
void notice_signed_part(const struct notice *n, const char *kid, struct buf *out);

/* Appends the body: what became of the job.  runner: DID or NULL; base: "https://host/base" that job URLs begin with. */
void notice_body(const struct work_callback *c, const char *runner, const char *base, struct buf *out);

#endif
