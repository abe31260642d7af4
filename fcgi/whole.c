#include "fcgi/whole.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/mem.h"

/* FastCGI 1.0: version, type, id (2 bytes), length (2), padding, reserved; then the content, then the padding. */
#define HEAD_BYTES  8
#define PIECE_BYTES 65528 /* of an answer in one record: a multiple of eight, as libfcgi has it */

#define RESPONDER 1
#define KEEP_CONN 1

enum { BEGIN_REQUEST = 1, END_REQUEST = 3, PARAMS = 4, STDIN = 5, STDOUT = 6 };

struct record {
	unsigned type, id;
	const unsigned char *p;
	size_t n;
};

/* Takes the next record off; false when it is not all there. */
static bool
next_record(const unsigned char **at, size_t *left, struct record *r)
{
	const unsigned char *p = *at;
	size_t bytes;

	if (*left < HEAD_BYTES || p[0] != 1)
		return false;
	r->type = p[1];
	r->id = (unsigned)p[2] << 8 | p[3];
	r->n = (size_t)p[4] << 8 | p[5];
	r->p = p + HEAD_BYTES;
	bytes = HEAD_BYTES + r->n + p[6];
	if (bytes > *left)
		return false;
	*at += bytes;
	*left -= bytes;
	return true;
}

/* One length of a name or a value: a byte, or four with the highest bit set. */
static bool
next_length(const unsigned char **at, const unsigned char *end, size_t *n)
{
	const unsigned char *p = *at;

	if (p == end)
		return false;
	if (p[0] < 0x80) {
		*n = p[0];
		*at += 1;
		return true;
	}
	if (end - p < 4)
		return false;
	*n = (size_t)(p[0] & 0x7f) << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
	*at += 4;
	return true;
}

struct pair {
	const unsigned char *p; /* the name; the value follows it */
	size_t name, value;
};

/* A byte 0 in either would end the text for us, and perhaps not for the web server. */
static bool
next_pair(const unsigned char **at, const unsigned char *end, struct pair *out)
{
	if (!next_length(at, end, &out->name) || !next_length(at, end, &out->value))
		return false;
	out->p = *at;
	if (out->name > (size_t)(end - *at) || out->value > (size_t)(end - *at) - out->name)
		return false;
	*at += out->name + out->value;
	return memchr(out->p, '\0', out->name + out->value) == NULL;
}

static bool
count_pairs(const struct record *params, size_t *n)
{
	const unsigned char *p = params->p, *end = p + params->n;
	struct pair pair;

	for (*n = 0; p < end; ++*n)
		if (!next_pair(&p, end, &pair))
			return false;
	return true;
}

static char *
print_pairs(char **env, char *to, const struct record *params)
{
	const unsigned char *p = params->p, *end = p + params->n;
	struct pair pair;

	while (p < end && next_pair(&p, end, &pair)) {
		*env++ = to;
		memcpy(to, pair.p, pair.name);
		to += pair.name;
		*to++ = '=';
		memcpy(to, pair.p + pair.name, pair.value);
		to += pair.value;
		*to++ = '\0';
	}
	*env = NULL;
	return to;
}

static bool
is(const struct record *r, unsigned type, unsigned id)
{
	return r->type == type && r->id == id;
}

bool
whole_parse(struct whole *w, const void *bytes, size_t n)
{
	const unsigned char *p = bytes, *rest;
	struct record begin, params, empty, in;
	size_t pairs, left = n, left_body;
	char *to;

	if (!next_record(&p, &left, &begin) || begin.type != BEGIN_REQUEST || begin.id == 0 || begin.n != 8 ||
	    begin.p[0] != 0 || begin.p[1] != RESPONDER)
		return false;
	if (!next_record(&p, &left, &params) || !is(&params, PARAMS, begin.id) || params.n == 0 ||
	    !next_record(&p, &left, &empty) || !is(&empty, PARAMS, begin.id) || empty.n != 0 || !count_pairs(&params, &pairs))
		return false;
	rest = p;
	left_body = left;
	do {
		if (!next_record(&p, &left, &in) || !is(&in, STDIN, begin.id))
			return false;
	} while (in.n > 0);
	if (left > 0)
		return false;
	/* A pair's lengths have room for its '=' and its end. */
	*w = (struct whole){ .id = begin.id, .keep = (begin.p[2] & KEEP_CONN) != 0 };
	w->env = mem_grow(NULL, (pairs + 1) * sizeof *w->env + params.n + left_body + 1);
	to = print_pairs(w->env, (char *)(w->env + pairs + 1), &params);
	w->body = to;
	while (next_record(&rest, &left_body, &in)) {
		memcpy(to, in.p, in.n);
		to += in.n;
	}
	*to = '\0';
	w->body_bytes = (size_t)(to - w->body);
	return true;
}

void
whole_clear(struct whole *w)
{
	free(w->env);
	*w = (struct whole){ 0 };
}

static void
head(const struct whole *w, struct buf *out, unsigned char type, size_t n)
{
	unsigned char h[HEAD_BYTES] = { 1, type, (unsigned char)(w->id >> 8), (unsigned char)w->id, (unsigned char)(n >> 8),
		(unsigned char)n, 0, 0 };

	buf_add(out, h, sizeof h);
}

void
whole_put(const struct whole *w, struct buf *out, const void *p, size_t n)
{
	const char *from = p;

	while (n > 0) {
		size_t piece = n < PIECE_BYTES ? n : PIECE_BYTES;

		head(w, out, STDOUT, piece);
		buf_add(out, from, piece);
		from += piece;
		n -= piece;
	}
}

void
whole_end(const struct whole *w, struct buf *out)
{
	static const char complete[8]; /* status 0, and all of it was served */

	head(w, out, STDOUT, 0);
	head(w, out, END_REQUEST, sizeof complete);
	buf_add(out, complete, sizeof complete);
}
