#include "lib/news.h"

#include <string.h>

#include "lib/buf.h"

struct head {
	uint32_t magic, bytes; /* bytes: of all of it, this head too */
	uint32_t kind, status, start, cid_bytes, headers_bytes, body_bytes; /* strings with their NUL */
	int64_t row, created_at, admitted_at, started_at, done_at;
	char nonce[JOB_NONCE_LEN];
};

bool
news_print(struct buf *out, const struct news *n)
{
	const char *cid = n->cid != NULL ? n->cid : "", *headers = n->headers_json != NULL ? n->headers_json : "";
	size_t cid_bytes = strlen(cid) + 1, headers_bytes = strlen(headers) + 1, room = NEWS_MAX - out->len, bytes;
	struct head h = { 0 };

	if (cid_bytes > NEWS_MAX || headers_bytes > NEWS_MAX || n->body_bytes > NEWS_MAX)
		return false;
	bytes = sizeof h + cid_bytes + headers_bytes + n->body_bytes;
	if (bytes > room)
		return false;
	h.magic = NEWS_MAGIC;
	h.bytes = (uint32_t)bytes;
	h.kind = (uint32_t)n->kind;
	h.status = (uint32_t)n->status;
	h.start = (uint32_t)n->start;
	h.cid_bytes = (uint32_t)cid_bytes;
	h.headers_bytes = (uint32_t)headers_bytes;
	h.body_bytes = (uint32_t)n->body_bytes;
	h.row = n->id.row;
	h.created_at = n->created_at;
	h.admitted_at = n->admitted_at;
	h.started_at = n->started_at;
	h.done_at = n->done_at;
	memcpy(h.nonce, n->id.nonce, JOB_NONCE_LEN);
	buf_add(out, &h, sizeof h);
	buf_add(out, cid, cid_bytes);
	buf_add(out, headers, headers_bytes);
	buf_add(out, n->body, n->body_bytes);
	return true;
}

bool
news_next(const char **at, size_t *left, struct news *out)
{
	const char *p = *at;
	size_t n = *left;
	struct head h;

	if (n < sizeof h || n > NEWS_MAX)
		return false;
	memcpy(&h, p, sizeof h);
	if (h.magic != NEWS_MAGIC || h.kind >= NEWS_KIND_COUNT || h.start >= START_COUNT || h.bytes < sizeof h || h.bytes > n)
		return false;
	n = h.bytes - sizeof h;
	p += sizeof h;
	if (h.cid_bytes == 0 || h.headers_bytes == 0 || h.cid_bytes > n || h.headers_bytes > n - h.cid_bytes ||
	    h.body_bytes != n - h.cid_bytes - h.headers_bytes || p[h.cid_bytes - 1] != '\0' ||
	    p[h.cid_bytes + h.headers_bytes - 1] != '\0')
		return false;
	memset(out, 0, sizeof *out);
	out->kind = (enum news_kind)h.kind;
	out->id.row = h.row;
	memcpy(out->id.nonce, h.nonce, JOB_NONCE_LEN);
	out->start = (enum job_start)h.start;
	out->status = (int)h.status;
	out->created_at = h.created_at;
	out->admitted_at = h.admitted_at;
	out->started_at = h.started_at;
	out->done_at = h.done_at;
	out->cid = p;
	out->headers_json = p + h.cid_bytes;
	out->body = p + h.cid_bytes + h.headers_bytes;
	out->body_bytes = h.body_bytes;
	*at += h.bytes;
	*left -= h.bytes;
	return true;
}
