/*
 * What a bell may carry: news of jobs, each a few words or a copy of an answer that was committed a moment ago, so that
 * whoever waits for it need not look into the ledger.  It is a copy and no more: a bell that is lost, cut, late or of another
 * version costs one look.
 *
 * Scheduler and front door are of one machine and one build, so the bytes are structs; NEWS_MAGIC changes with them.
 * Whoever may write to run/ could send news, but only of a job whose nonce he knows.
 */
#ifndef LIB_NEWS_H
#define LIB_NEWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/job.h"

struct buf;

#define NEWS_MAGIC 0x33574e41u
/* Of one datagram; longer answers are read from the ledger: it has to fit into the socket's buffer. */
#define NEWS_MAX (32u * 1024u)

enum news_kind {
	NEWS_LOOK,     /* something has happened to the job */
	NEWS_ADMITTED, /* it is admitted: admitted_at; status is 202 when that is all its caller is told, asked for or not */
	NEWS_ANSWER,   /* it ended well, and this is the whole answer */
	NEWS_BEGUN,    /* its answer streams: the head, and the first chunk as body */
	NEWS_KIND_COUNT
};

/* Strings are borrowed; news_next's point into the datagram.  Of what the kind does not speak is 0 or "". */
struct news {
	enum news_kind kind;
	struct job_id id;
	enum job_start start;
	int status;
	int64_t created_at, admitted_at, started_at, done_at;
	const char *cid, *headers_json; /* NUL-terminated */
	const void *body;
	size_t body_bytes;
};

/* Appends to a datagram; false, and nothing added, when it would be longer than NEWS_MAX. */
bool news_print(struct buf *out, const struct news *n);
/* Takes the next news off a datagram; false when these bytes are none. */
bool news_next(const char **p, size_t *n, struct news *out);

#endif
