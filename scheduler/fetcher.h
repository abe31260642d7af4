/*
 * The fetcher: a process of its own that talks to strangers' servers and chews their bytes.  It has neither keys nor
 * the database; what it says is checked again by the scheduler (fetcher_answer_parse).
 *
 * Over one unix stream socket go messages: 4 bytes big-endian length, then a JSON object.
 *
 *     → {"id":7,"op":"bundle","author":"did:plc:… | handle","name":"hello","version":"latest | 1.2.0 | bafy…",
 *        "knownCid":"bafy…","lastRev":"3l…","deadlineMs":9000}
 *     ← {"id":7,"op":"bundle","ok":true,"did":…,"handle":… | null,"pds":…,"uri":…,"cid":record CID,"unchanged":false,
 *        "record":{…},"sealed":{"cid":…,"record":{…}},"code":CID of the blob,"dir":"bundles/…","bytes":n,
 *        "proven":true,"rev":…,"commit":CID of the commit,"proof":"the chain in words, a line each",
 *        "timings":{"identity":ms,"record":ms,"blob":ms}}
 *
 * Only a record that is proven to stand in the author's repository is told (lib/proof); a broken link is an error whose name
 * says which.  lastRev: the newest revision the scheduler knows of this author; an older one is refused.  knownCid: when the
 * record is still this one and its directory is there, the answer has "unchanged":true, and all else is still told.
 *
 * sealed: only when the bundle names secrets and its author has sealed some for this runner.
 *
 *     → {"id":8,"op":"identity","author":…,"renew":true,"deadlineMs":…}      who is it, and which key signs for them
 *     ← {"id":8,"op":"identity","ok":true,"did":…,"handle":…,"pds":…,"key":publicKeyMultibase | null,"keyType":… | null}
 *
 * renew: the document is read again unless that was just done.
 *
 *     → {"id":9,"op":"records","author":…,"collection":NSID,"cursor":…,
 *        "member":"list","value":"at://…","only":"subject","deadlineMs":…}   a page of a collection, newest first
 *     ← {"id":9,"op":"records","ok":true,"did":…,"handle":…,"pds":…,"seen":100,
 *        "records":[{"uri":…,"cid":…,"value":{…}},…],"cursor":… | null}
 *
 * Records of a page are the word of the server and not proven.  member and value: only those whose member is this text;
 * only: of each value this member alone (a text).  seen counts the page before that.  cursor null: it was the last.
 *
 *     → {"id":10,"op":"post","url":"https://…","name":ID of the job,"body":"JSON","signature":"eyJ…",
 *        "deadlineMs":…}                                                     a callback
 *     ← {"id":10,"op":"post","ok":true,"status":204,"retryAfter":seconds}    whatever the receiver said of it
 *
 *     ← {"id":7,"ok":false,"kind":"remote","name":"UpstreamFailure","message":"…","did":…,"rev":…}
 *
 * did and rev: when the author's repository was proven to be at that revision (and perhaps not to hold the record).
 * Answers come in any order.
 */
#ifndef SCHEDULER_FETCHER_H
#define SCHEDULER_FETCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

struct buf;
struct bundle;
struct conf;

/* Longest message either way: a record of the largest kind and its envelope. */
#define FETCHER_MESSAGE_MAX (4u * 1024u * 1024u)
#define FETCHER_PORTS_MAX   16
/* The error of a callback whose host is not on the public internet: no use to try it again. */
#define FETCHER_POST_DENIED "CallbackDenied"
#define FETCHER_PAGE_MAX    100 /* records */

struct fetcher_conf { /* strings are borrowed from struct conf */
	const char *plc_url, *handle_resolver, *collection;
	const char *runner, *secret_collection; /* whom boxes are sealed for, NULL: nobody; where they stand */
	const char *bundles_dir; /* absolute; must exist */
	bool dev;
	int ports[FETCHER_PORTS_MAX];
	size_t n_ports;
	int64_t blob_bytes, record_bytes, did_bytes, unpacked_bytes, entries;
	int64_t connect_ms, first_byte_ms, total_ms;
	int64_t identity_fresh_ms;
	int workers;
};
/* From the config; ERR_INPUT when a port is none. */
int fetcher_conf_fill(struct fetcher_conf *f, const struct conf *c, struct err *e);

/*
 * The whole process: drops what it can, serves fd until the other side closes it, returns the exit status.
 * The caller has re-executed itself, so that nothing but fd and standard error is open.
 */
int fetcher_main(int fd, const struct fetcher_conf *c);

/* --- the scheduler's side --- */

enum fetcher_op { FETCHER_BUNDLE, FETCHER_IDENTITY, FETCHER_RECORDS, FETCHER_POST, FETCHER_OP_COUNT };

struct fetcher_request { /* NULL: not said */
	uint64_t id;
	enum fetcher_op op;
	const char *author;
	const char *name, *version, *known_cid, *last_rev;          /* of a bundle */
	bool renew;                                                 /* of an identity */
	const char *url, *body, *signature;                         /* of a callback; name is its job's id */
	const char *collection, *cursor, *member, *value, *only;    /* of records */
	int64_t deadline_ms;                                        /* milliseconds left */
};
void fetcher_request_add(struct buf *out, const struct fetcher_request *r);

/* Bytes of the first message in [p, p + n) with its prefix, 0 when it is not all there, -1 when it never can be
 * (ERR_REMOTE).  json is borrowed. */
long fetcher_message_next(const char *p, size_t n, const char **json, size_t *json_n, struct err *e);

struct fetcher_record {
	char *uri, *cid, *value_json;
};
struct fetcher_answer {
	uint64_t id;
	enum fetcher_op op;
	bool ok;
	/* ok */
	char *did, *handle /* or NULL */, *pds;
	/* of a bundle */
	bool unchanged;
	char *uri, *cid, *record_json, *code;
	char *dir;             /* below the home: "bundles/NAME" */
	char *commit, *proof;  /* what proves it; the chain in words */
	char *sealed_cid, *sealed_json; /* NULL: no sealed secrets */
	int64_t bytes;         /* of the blob */
	struct bundle *bundle; /* record_json, parsed */
	int64_t identity_ms, record_ms, blob_ms;
	/* of an identity; NULL: it has no key */
	char *key, *key_type;
	/* of records */
	struct fetcher_record *records;
	size_t n_records;
	int64_t seen;
	char *cursor; /* NULL: no more */
	/* of a callback */
	int64_t status, retry_after_s;
	/* of a bundle, and with did also when not ok: the revision that was proven, NULL: none */
	char *rev;
	/* not ok */
	struct err error;
};
/* Checks everything: the answer comes from a process that chewed hostile bytes. */
int fetcher_answer_parse(const char *json, size_t n, struct fetcher_answer *out, struct err *e);
void fetcher_answer_clear(struct fetcher_answer *a);

#endif
