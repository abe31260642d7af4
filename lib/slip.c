#include "lib/slip.h"

#include <string.h>

#include "lib/buf.h"
#include "lib/mem.h"
#include "lib/store_front.h"
#include "lib/store_work.h"

/* What travels as text, in this order; a length is that of the bytes with their NUL, 0: NULL. */
enum { AUTHOR, BUNDLE, VERSION, ENDPOINT, METHOD, CALLER, CLIENT, BELL, URL, PATH, QUERY, HEADERS, TOKEN, TRACE, CALLBACK, TEXTS };

struct head {
	uint32_t magic, bytes; /* bytes: of all of it, this head too */
	uint32_t mode, body_bytes, text[TEXTS];
	uint32_t upload; /* 0: none; 1; 2: it holds */
	int64_t row, timeout_ms, created_at, created_mono, upload_bytes;
	char nonce[JOB_NONCE_LEN];
};

/* A field more in either: does the slip carry it?  test_slip.c compares it with what the ledger says. */
_Static_assert(sizeof(struct work_job) == 264, "struct work_job has changed: so must the slip");

static void
texts_of(const struct front_job *j, const char *text[TEXTS])
{
	text[AUTHOR] = j->author;
	text[BUNDLE] = j->bundle;
	text[VERSION] = j->version;
	text[ENDPOINT] = j->endpoint;
	text[METHOD] = j->method;
	text[CALLER] = j->caller;
	text[CLIENT] = j->client;
	text[BELL] = j->bell;
	text[URL] = j->url;
	text[PATH] = j->path;
	text[QUERY] = j->query;
	text[HEADERS] = j->headers_json;
	text[TOKEN] = j->token;
	text[TRACE] = j->trace;
	text[CALLBACK] = j->callback;
}

bool
slip_print(struct buf *out, const struct front_job *j)
{
	struct head h = { .magic = SLIP_MAGIC, .mode = (uint32_t)j->mode, .row = j->id.row, .timeout_ms = j->timeout_ms,
		.created_at = j->created_at, .created_mono = j->created_mono,
		.upload = j->upload ? 1 + j->upload_holds : 0, .upload_bytes = j->upload ? j->upload_bytes : 0 };
	const char *text[TEXTS];
	size_t bytes = sizeof h, n;
	int i;

	texts_of(j, text);
	for (i = 0; i < TEXTS; i++) {
		n = text[i] != NULL ? strlen(text[i]) + 1 : 0;
		if (n > SLIP_MAX)
			return false;
		h.text[i] = (uint32_t)n;
		bytes += n;
	}
	if (j->body_bytes > SLIP_MAX || bytes + j->body_bytes > SLIP_MAX - out->len)
		return false;
	h.body_bytes = (uint32_t)j->body_bytes;
	h.bytes = (uint32_t)(bytes + j->body_bytes);
	memcpy(h.nonce, j->id.nonce, JOB_NONCE_LEN);
	buf_add(out, &h, sizeof h);
	for (i = 0; i < TEXTS; i++)
		buf_add(out, text[i], h.text[i]);
	buf_add(out, j->body, j->body_bytes);
	return true;
}

void
slip_ahead_print(struct buf *out, const char *token, bool soon)
{
	const uint32_t magic = AHEAD_MAGIC;

	buf_add(out, &magic, sizeof magic);
	buf_str(out, soon ? SLIP_SOON : "");
	buf_str(out, token);
}

const char *
slip_ahead(const char *p, size_t n, size_t *token_n, bool *soon)
{
	uint32_t magic = 0;
	size_t head = sizeof magic;

	if (n <= head)
		return NULL;
	memcpy(&magic, p, sizeof magic);
	*soon = p[head] == SLIP_SOON[0];
	head += *soon;
	*token_n = n - head;
	return magic == AHEAD_MAGIC && n > head ? p + head : NULL;
}

bool
slip_question(const char *p, size_t n)
{
	return n == 1 && p[0] == SLIP_QUESTION[0];
}

bool
slip_soon(const char *p, size_t n)
{
	return n == 1 && p[0] == SLIP_SOON[0];
}

/* The head, when it and what follows are sound. */
static bool
read_head(const char *p, size_t n, struct head *h)
{
	size_t left;
	int i;

	if (n < sizeof *h || n > SLIP_MAX)
		return false;
	memcpy(h, p, sizeof *h);
	if (h->magic != SLIP_MAGIC || h->bytes < sizeof *h || h->bytes > n || h->mode > JOB_ASYNC || h->row <= 0)
		return false;
	left = h->bytes - sizeof *h;
	p += sizeof *h;
	for (i = 0; i < TEXTS; i++) {
		if (h->text[i] > left || (h->text[i] > 0 && p[h->text[i] - 1] != '\0'))
			return false;
		if (h->text[i] == 0 && i != CALLER && i != BELL && i != TOKEN && i != TRACE && i != CALLBACK)
			return false;
		p += h->text[i];
		left -= h->text[i];
	}
	return left == h->body_bytes;
}

int64_t
slip_row(const char *p, size_t n)
{
	struct head h;

	return read_head(p, n, &h) ? h.row : 0;
}

bool
slip_next(const char **at, size_t *n, struct work_job *out)
{
	const char *p = *at;
	char *text[TEXTS];
	struct head h;
	int i;

	if (!read_head(p, *n, &h))
		return false;
	p += sizeof h;
	for (i = 0; i < TEXTS; i++) {
		text[i] = h.text[i] > 0 ? mem_strn(p, h.text[i] - 1) : NULL;
		p += h.text[i];
	}
	*out = (struct work_job){ .id.row = h.row, .mode = (enum job_mode)h.mode, .state = JOB_QUEUED,
		.author = text[AUTHOR], .bundle = text[BUNDLE], .version = text[VERSION], .endpoint = text[ENDPOINT],
		.method = text[METHOD], .caller = text[CALLER], .client = text[CLIENT], .bell = text[BELL],
		.timeout_ms = h.timeout_ms, .created_at = h.created_at, .created_mono = h.created_mono, .url = text[URL], .path = text[PATH],
		.query = text[QUERY], .headers_json = text[HEADERS], .token = text[TOKEN], .trace = text[TRACE],
		.callback = text[CALLBACK],
		.body = h.body_bytes > 0 ? mem_strn(p, h.body_bytes) : NULL, .body_bytes = h.body_bytes };
	out->upload = h.upload > 0;
	out->upload_holds = h.upload > 1;
	out->upload_bytes = h.upload_bytes;
	memcpy(out->id.nonce, h.nonce, JOB_NONCE_LEN);
	*at += h.bytes;
	*n -= h.bytes;
	return true;
}
