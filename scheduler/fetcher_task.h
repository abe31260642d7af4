/*
 * Inside the fetcher's role: one request while a thread serves it, and what the threads share.  For fetcher*.c only:
 *
 *     fetcher.c          the process, its threads, the messages
 *     fetcher_who.c      identities: DID documents and handles, kept for a while
 *     fetcher_bundle.c   a bundle's record, proven, and its code
 *     fetcher_records.c  a page of a collection, as a server tells it
 *     fetcher_post.c     a callback, brought to its receiver
 *     fetcher_words.c    what the scheduler says and hears (the only one that runs on its side)
 */
#ifndef SCHEDULER_FETCHER_TASK_H
#define SCHEDULER_FETCHER_TASK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/did.h"
#include "lib/http.h"
#include "lib/proof.h"
#include "scheduler/fetcher.h"

struct buf;
struct cJSON;
struct err;
struct identity;
struct making;
struct work;

/* The chain in words holds a DID twice, and CIDs. */
#define FETCHER_PROOF_MAX 8192
#define FETCHER_CURSOR_MAX 512

struct fetcher {
	const struct fetcher_conf *conf;
	int fd;
	struct http_policy policy;
	pthread_mutex_t lock;      /* guards all below */
	pthread_cond_t more, room; /* of the queue */
	pthread_cond_t changed;    /* an identity or a code directory is done */
	struct work *first, **last;
	size_t queued;
	struct identity *identities;
	size_t n_identities;
	struct making *making;
	pthread_mutex_t write_lock;
};

struct task {
	struct fetcher *f;
	struct http *http;
	uint64_t id;
	const char *author; /* DID or handle, borrowed from the request; NULL: of a callback */
	int64_t end;        /* monotonic ms */
	struct did_doc doc; /* once who_is has said so */
	char *handle;       /* proven, or NULL */
	int64_t identity_ms;
	char rev[PROOF_REV_TEXT + 1]; /* the author's newest revision, when one was proven */
};

int64_t task_left_ms(const struct task *t);
/* No transfer of a task outlives the task. */
int task_limits(const struct task *t, int64_t bytes, const char *key, int redirects, struct http_limits *l, struct err *e);
/* Waits for `changed` under the lock, at most until the task's end.  false: too late. */
bool task_wait(const struct task *t);

/* Fills doc and handle. */
int who_is(struct task *t, struct err *e);
/* Reads the document once more, unless that was just done.  true: the author's key or server is another now. */
bool who_renewed(struct task *t);
/* The server failed us: true when the author has another one by now. */
bool who_moved(struct task *t, const struct err *e);
/* The newest revision of the author that anybody here knows of, "" when nobody does. */
void who_rev_known(struct task *t, const char *told, char rev[PROOF_REV_TEXT + 1]);
void who_rev_note(struct task *t, const char *rev);

/* Each reads its part of the request and appends the members of its answer behind "ok":true. */
int task_bundle(struct task *t, const struct cJSON *tree, struct buf *out, struct err *e);
int task_identity(struct task *t, const struct cJSON *tree, struct buf *out, struct err *e);
int task_records(struct task *t, const struct cJSON *tree, struct buf *out, struct err *e);
int task_post(struct task *t, const struct cJSON *tree, struct buf *out, struct err *e);

/* A message with its prefix. */
void fetcher_message_add(struct buf *out, const char *p, size_t n);

#endif
