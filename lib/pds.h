/* Proofs, pages of records and blobs of a personal data server, as a stranger hands them out (facts B.6). */
#ifndef LIB_PDS_H
#define LIB_PDS_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct http;
struct http_limits;
struct http_policy;
struct cid;

struct pds_conf {
	const struct http_policy *policy;
	const struct http_limits *proof, *blob;
};

/* The CAR that proves did/collection/rkey to be what it is, or not to be there: bytes for proof_record, not looked at here.
 * ERR_NOTFOUND "RecordNotFound", "RepoNotFound", ... when the PDS says so instead. */
int pds_proof_get(struct http *h, const struct pds_conf *c, const char *pds, const char *did, const char *collection,
    const char *rkey, struct buf *car, struct err *e);

/* A page of com.atproto.repo.listRecords, newest first: JSON text, unproven, not looked at here.  cursor: NULL at first.
 * c->proof holds its limits. */
int pds_records_get(struct http *h, const struct pds_conf *c, const char *pds, const char *did, const char *collection,
    const char *cursor, int limit, struct buf *json, struct err *e);

/* Writes the blob to fd.  0 only when exactly `size` bytes came (any number when size < 0) and they hash to cid. */
int pds_blob_get(struct http *h, const struct pds_conf *c, const char *pds, const char *did, const struct cid *cid,
    int64_t size, int fd, int64_t *bytes, struct err *e);

#endif
