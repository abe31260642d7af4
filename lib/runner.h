/*
 * Who a runner is, as it says so itself: the DID document of a did:web runner, and the record dev.at-run.runner in its
 * operator's repository.  Pure; what is read comes from strangers.
 */
#ifndef LIB_RUNNER_H
#define LIB_RUNNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/conf.h" /* struct conf_list */

struct buf;
struct err;

#define RUNNER_SERVICE      "at_run" /* fragment of the service: did#at_run */
#define RUNNER_SERVICE_TYPE "AtRunRunner"

/* One public key, as its document names it: "#secrets-2", "#receipts-1". */
struct runner_key {
	const char *key; /* Multikey */
	int number;
	bool secrets;    /* X25519, for boxes; else Ed25519, for receipts */
};

/* "did:web:host" → "host", "did:web:localhost%3A3000" → "localhost:3000": allocated; NULL for any other DID. */
char *runner_web_host(const char *did);
/* Where a did:web runner answers: https://host, http://localhost:3000.  NULL for any other DID. */
char *runner_web_url(const char *did);

/* Appends the document: keys in the order given, the newest of each use first. */
void runner_did_json(const char *did, const char *url, const struct runner_key *keys, size_t n, struct buf *out);

struct runner_doc {
	char *service;                   /* serviceEndpoint of #at_run; NULL: the document has none */
	struct conf_list secrets, receipts; /* Multikeys; the newest first */
};
void runner_doc_clear(struct runner_doc *d);
/* ERR_REMOTE: no document, or about another DID. */
int runner_did_parse(const char *json, size_t n, const char *did, struct runner_doc *out, struct err *e);

/* The card (dev.at-run.describeRunner) or the record, as far as they say who the runner is. */
struct runner_claim {
	char *did, *operator, *url;      /* NULL: not said */
	struct conf_list secrets, receipts;
};
void runner_claim_clear(struct runner_claim *c);
int runner_card_parse(const char *json, size_t n, struct runner_claim *out, struct err *e);
/* Of the record's value. */
int runner_record_parse(const char *json, size_t n, struct runner_claim *out, struct err *e);

/* Its record key: the runner's DID, with ~ for what a record key may not hold. */
char *runner_rkey(const char *did);

#endif
