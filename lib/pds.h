/* Records and blobs of a personal data server, as a stranger hands them out (facts B.6). */
#ifndef LIB_PDS_H
#define LIB_PDS_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct http;
struct http_limits;
struct http_policy;
struct cid;

struct pds_record {
	char *uri, *cid, *value; /* value: JSON text of the record */
};
#define PDS_RECORD_INIT { NULL, NULL, NULL }
void pds_record_clear(struct pds_record *r);

struct pds_conf {
	const struct http_policy *policy;
	const struct http_limits *record, *blob;
};

/* The record did/collection/rkey, at cid when not NULL.  ERR_NOTFOUND "RecordNotFound"; ERR_REMOTE when the answer is
 * not what was asked for. */
int pds_record_get(struct http *h, const struct pds_conf *c, const char *pds, const char *did, const char *collection,
    const char *rkey, const char *cid, struct pds_record *out, struct err *e);

/* Writes the blob to fd.  0 only when exactly `size` bytes came (any number when size < 0) and they hash to cid. */
int pds_blob_get(struct http *h, const struct pds_conf *c, const char *pds, const char *did, const struct cid *cid,
    int64_t size, int fd, int64_t *bytes, struct err *e);

#endif
