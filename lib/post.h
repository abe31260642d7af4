/*
 * POSTs to a server that the operator named (an OpenTelemetry collector): HTTP, or gRPC over HTTP/2.  Transfers run side by
 * side in one thread, one on each lane, and nothing waits for them; connections are kept.  No proxy, no redirect, no cookie;
 * an answer is read up to a limit.
 */
#ifndef LIB_POST_H
#define LIB_POST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/telemetry.h"

struct post;
struct post_lane;

enum post_verdict {
	POST_TAKEN,
	POST_AGAIN,   /* unreachable, busy, too slow: the same may be sent later */
	POST_REFUSED  /* it would not be taken later either */
};

struct post_answer {
	enum post_verdict verdict;
	int status;        /* of HTTP, 0: none came */
	int grpc;          /* grpc-status, -1: none came */
	int64_t after_ms;  /* not earlier than this (Retry-After); 0: nothing is said */
	char why[200];     /* of what was not taken */
	const struct buf *body;
};

struct post *post_new(void);
void post_free(struct post *p); /* after its lanes */
/* to is borrowed. */
struct post_lane *post_lane_new(struct post *p, const struct telemetry_target *to);
void post_lane_free(struct post_lane *l);

/* Sends body, which must stay as it is until the answer.  The lane is free. */
void post_start(struct post_lane *l, const struct buf *body);
/* Works on all transfers until one has ended, fd can be read (-1: none), or ms have passed.  True: fd can be read. */
bool post_wait(struct post *p, int fd, int64_t ms);
/* Has the lane's transfer ended?  Told once; what answer points to is good until the next post_start. */
bool post_ended(struct post_lane *l, struct post_answer *answer);

#endif
