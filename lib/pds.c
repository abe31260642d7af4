#include "lib/pds.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/cid.h"
#include "lib/err.h"
#include "lib/http.h"
#include "lib/json.h"
#include "lib/mem.h"

struct refusal {
	const char *error; /* what the PDS calls it */
	const char *start; /* how its message begins, NULL: any (older servers say InvalidRequest to everything) */
	const char *name;  /* what we call it */
};

static const struct refusal refusals[] = {
	{ "RecordNotFound", NULL, "RecordNotFound" },
	{ "InvalidRequest", "Could not locate record", "RecordNotFound" },
	{ "InvalidRequest", "Could not find repo", "RepoNotFound" },
	{ "InvalidRequest", "Blob not found", "BlobNotFound" },
	{ "BlobNotFound", NULL, "BlobNotFound" },
	{ "RepoNotFound", NULL, "RepoNotFound" },
	{ "RepoTakendown", NULL, "RepoTakendown" },
	{ "RepoSuspended", NULL, "RepoSuspended" },
	{ "RepoDeactivated", NULL, "RepoDeactivated" },
	{ "AccountTakedown", NULL, "RepoTakendown" },
};

/* An answer that is not 2xx becomes an error: not found where the PDS says so in XRPC's way, else its fault. */
static int
refused(const char *pds, const struct http_reply *reply, struct err *e)
{
	cJSON *tree = json_parse(reply->refusal.data != NULL ? reply->refusal.data : "", reply->refusal.len, JSON_DEPTH, NULL);
	const char *error = json_string(tree, "error"), *message = json_string(tree, "message");
	size_t i, n = sizeof refusals / sizeof refusals[0];

	for (i = 0; error != NULL && i < n; i++) {
		const char *start = refusals[i].start;

		if (strcmp(error, refusals[i].error) != 0)
			continue;
		if (start == NULL || (message != NULL && strncmp(message, start, strlen(start)) == 0))
			break;
	}
	if (error != NULL && i < n)
		err_named(e, ERR_NOTFOUND, refusals[i].name, "%.100s says %.60s: %.200s", pds, error,
		    message != NULL ? message : "");
	else if (error != NULL)
		err_set(e, ERR_REMOTE, "%.100s answers %d %.60s: %.200s", pds, reply->status, error,
		    message != NULL ? message : "");
	else
		err_set(e, ERR_REMOTE, "%.100s answers %d with %.60s instead of an XRPC error", pds, reply->status,
		    reply->type[0] != '\0' ? reply->type : "nothing");
	cJSON_Delete(tree);
	return -1;
}

/* A whole body, or what the server says instead.  Takes the URL. */
static int
get(struct http *h, const struct pds_conf *c, const char *pds, struct buf *url, const char *accept, struct buf *body,
    struct err *e)
{
	struct http_reply reply = HTTP_REPLY_INIT;
	int rc = http_get_buf(h, c->policy, url->data, accept, c->proof, body, &reply, e);

	if (rc == 0 && (reply.status < 200 || reply.status > 299))
		rc = refused(pds, &reply, e);
	buf_clear(&reply.refusal);
	buf_clear(url);
	return rc;
}

int
pds_proof_get(struct http *h, const struct pds_conf *c, const char *pds, const char *did, const char *collection,
    const char *rkey, struct buf *car, struct err *e)
{
	struct buf url = BUF_INIT;

	buf_fmt(&url, "%s/xrpc/com.atproto.sync.getRecord?did=", pds);
	http_escape(&url, did);
	buf_str(&url, "&collection=");
	http_escape(&url, collection);
	buf_str(&url, "&rkey=");
	http_escape(&url, rkey);
	return get(h, c, pds, &url, "application/vnd.ipld.car", car, e);
}

int
pds_records_get(struct http *h, const struct pds_conf *c, const char *pds, const char *did, const char *collection,
    const char *cursor, int limit, struct buf *json, struct err *e)
{
	struct buf url = BUF_INIT;

	buf_fmt(&url, "%s/xrpc/com.atproto.repo.listRecords?repo=", pds);
	http_escape(&url, did);
	buf_str(&url, "&collection=");
	http_escape(&url, collection);
	buf_fmt(&url, "&limit=%d", limit);
	if (cursor != NULL) {
		buf_str(&url, "&cursor=");
		http_escape(&url, cursor);
	}
	return get(h, c, pds, &url, "application/json", json, e);
}

struct download {
	int fd;
	int64_t size, got;
	struct cid_hash hash;
};

static int
take_blob(void *arg, const char *p, size_t n, struct err *e)
{
	struct download *d = arg;

	/* No need to wait for the end of a lie. */
	if (d->size >= 0 && (int64_t)n > d->size - d->got)
		return err_set(e, ERR_REMOTE, "the blob is larger than the %lld bytes its record states",
		    (long long)d->size);
	d->got += (int64_t)n;
	cid_hash_update(&d->hash, p, n);
	while (n > 0) {
		ssize_t done = write(d->fd, p, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return err_errno(e, "write the blob");
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

static int
check_blob(struct download *d, const struct cid *cid, const char *pds, struct err *e)
{
	struct cid got;
	char want_text[CID_TEXT + 1], got_text[CID_TEXT + 1];

	if (d->size >= 0 && d->got != d->size)
		return err_set(e, ERR_REMOTE, "%.100s sends %lld bytes of a blob of %lld", pds, (long long)d->got,
		    (long long)d->size);
	cid_hash_final(&d->hash, cid->codec, &got);
	if (cid_equal(&got, cid))
		return 0;
	cid_print(cid, want_text);
	cid_print(&got, got_text);
	return err_set(e, ERR_REMOTE, "%.100s sends other bytes than the blob %s: they hash to %s", pds, want_text,
	    got_text);
}

int
pds_blob_get(struct http *h, const struct pds_conf *c, const char *pds, const char *did, const struct cid *cid,
    int64_t size, int fd, int64_t *bytes, struct err *e)
{
	struct http_reply reply = HTTP_REPLY_INIT;
	struct download d = { .fd = fd, .size = size };
	struct buf url = BUF_INIT;
	char text[CID_TEXT + 1];
	int rc = -1;

	cid_hash_init(&d.hash);
	cid_print(cid, text);
	buf_fmt(&url, "%s/xrpc/com.atproto.sync.getBlob?did=", pds);
	http_escape(&url, did);
	buf_fmt(&url, "&cid=%s", text);
	if (http_get(h, c->policy, url.data, "*/*", c->blob, take_blob, &d, &reply, e) != 0)
		err_wrap(e, "blob %s", text);
	else if (reply.status < 200 || reply.status > 299)
		refused(pds, &reply, e);
	else
		rc = check_blob(&d, cid, pds, e);
	*bytes = d.got;
	buf_clear(&url);
	buf_clear(&reply.refusal);
	return rc;
}
