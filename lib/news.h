/*
 * What a bell may carry: a copy of an answer that was committed a moment ago, so that whoever waits for it need not look
 * into the ledger.  It is a copy and no more: a bell that is lost, cut, late or of another version costs one look.
 *
 * Scheduler and front door are of one machine and one build, so the bytes are a struct; NEWS_MAGIC changes with it.
 * Whoever may write to run/ could send news, but only of a job whose nonce he knows.
 */
#ifndef LIB_NEWS_H
#define LIB_NEWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/job.h"

struct buf;

#define NEWS_MAGIC 0x31574e41u
/* Longer answers are read from the ledger: a datagram has to fit into the socket's buffer. */
#define NEWS_MAX (32u * 1024u)

/* A whole answer of a job that ended well.  Strings are borrowed; news_parse's point into the datagram. */
struct news {
	struct job_id id;
	enum job_start start;
	int status;
	int64_t created_at, admitted_at, started_at, done_at;
	const char *cid, *headers_json; /* NUL-terminated */
	const void *body;
	size_t body_bytes;
};

/* Appends the datagram; false, and nothing added, when it would be longer than NEWS_MAX. */
bool news_print(struct buf *out, const struct news *n);
/* False when these bytes are no news. */
bool news_parse(const char *p, size_t n, struct news *out);

#endif
