/*
 * A FastCGI request that has come whole, in a few kibibytes at once, as web servers send nearly all: read in one go, without
 * libfcgi's streams, whose buffers cost more than everything else that is done with a small call.  What is not of the plain
 * shape below is no whole request to us, and libfcgi reads it.
 *
 *     BEGIN (responder)  PARAMS, one record  PARAMS, empty  STDIN ...  STDIN, empty       and nothing after it
 *
 * Pure functions over bytes; tests/unit/test_whole.c.
 */
#ifndef FCGI_WHOLE_H
#define FCGI_WHOLE_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

struct whole {
	unsigned id;
	bool keep;   /* the web server wants the connection again */
	char **env;  /* "NAME=value", ends with NULL; the block that holds all of it */
	char *body;
	size_t body_bytes;
};

/* True when these n bytes are one whole request; w then owns a copy. */
bool whole_parse(struct whole *w, const void *bytes, size_t n);
void whole_clear(struct whole *w);

/* Appends a piece of the answer as records of STDOUT. */
void whole_put(const struct whole *w, struct buf *out, const void *p, size_t n);
/* Appends what ends the answer. */
void whole_end(const struct whole *w, struct buf *out);

#endif
