/*
 * The fetcher: a process of its own that talks to strangers' servers and chews their bytes.  It has neither keys nor
 * the database; what it says is checked again by the scheduler (fetcher_answer_parse).
 *
 * Over one unix stream socket go messages: 4 bytes big-endian length, then a JSON object.
 *
 *     → {"id":7,"op":"bundle","author":"did:plc:… | handle","name":"hello","version":"latest | 1.2.0 | bafy…",
 *        "knownCid":"bafy…","lastRev":"3l…","deadlineMs":9000}
 *     ← {"id":7,"ok":true,"did":…,"handle":… | null,"pds":…,"uri":…,"cid":record CID,"unchanged":false,
 *        "record":{…},"code":CID of the blob,"dir":"bundles/…","bytes":n,
 *        "proven":true,"rev":…,"commit":CID of the commit,"proof":"the chain in words, a line each",
 *        "timings":{"identity":ms,"record":ms,"blob":ms}}
 *     ← {"id":7,"ok":false,"kind":"remote","name":"UpstreamFailure","message":"…"}
 *
 * Only a record that is proven to stand in the author's repository is told (lib/proof); a broken link is an error whose name
 * says which.  lastRev: the newest revision the scheduler knows of this author; an older one is refused.
 *
 * knownCid: when the record is still this one and its directory is there, the answer has "unchanged":true, and the
 * record and code are still told.  Answers come in any order.
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

struct fetcher_conf { /* strings are borrowed from struct conf */
	const char *plc_url, *handle_resolver, *collection;
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

struct fetcher_request {
	uint64_t id;
	const char *author, *name, *version;
	const char *known_cid; /* NULL: none */
	const char *last_rev;  /* NULL: none */
	int64_t deadline_ms;   /* milliseconds left */
};
void fetcher_request_add(struct buf *out, const struct fetcher_request *r);

/* Bytes of the first message in [p, p + n) with its prefix, 0 when it is not all there, -1 when it never can be
 * (ERR_REMOTE).  json is borrowed. */
long fetcher_message_next(const char *p, size_t n, const char **json, size_t *json_n, struct err *e);

struct fetcher_answer {
	uint64_t id;
	bool ok;
	/* ok */
	bool unchanged;
	char *did, *handle /* or NULL */, *pds, *uri, *cid, *record_json, *code;
	char *dir;             /* below the home: "bundles/NAME" */
	char *rev, *commit;    /* what proves it: keep the newest rev of each author */
	char *proof;           /* the chain in words */
	int64_t bytes;         /* of the blob */
	struct bundle *bundle; /* record_json, parsed */
	int64_t identity_ms, record_ms, blob_ms;
	/* not ok */
	struct err error;
};
/* Checks everything: the answer comes from a process that chewed hostile bytes. */
int fetcher_answer_parse(const char *json, size_t n, struct fetcher_answer *out, struct err *e);
void fetcher_answer_clear(struct fetcher_answer *a);

#endif
