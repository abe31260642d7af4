/*
 * The keeper: the one process that reads keys/.  It opens sealed boxes, signs receipts and callbacks for the scheduler, has neither
 * network nor database, and after it has read the keys it can open no file and make no socket any more.
 *
 * Over one unix stream socket go messages: 4 bytes big-endian length, a JSON object, and in one kind of answer a NUL and
 * bytes behind it.
 *
 *     ← {"id":0,"ok":true,"keys":[{"use":"secrets","number":2,"key":"z6LS…","madeAt":ms},…]}    first of all, or
 *     ← {"id":0,"ok":false,"kind":"denied","name":"KeyFileOpen","message":"…"}                   and it ends
 *     → {"id":1,"op":"open","author":"did:…","bundle":"hello","runner":"did:…","key":"z6LS…","box":"base64"}
 *     ← {"id":1,"ok":true,"expiresAt":ms} NUL "API_KEY=…" NUL …                                  NAME=value, NUL behind each
 *     → {"id":2,"op":"receipt","claims":{…}}                                                    lib/receipt.h
 *     ← {"id":2,"ok":true,"receipt":"eyJ…"}
 *     → {"id":3,"op":"callback","claims":{…}}                                                  lib/notice.h
 *     ← {"id":3,"ok":true,"callback":"eyJ…"}
 *     ← {"id":2,"ok":false,"kind":…,"name":…,"message":…}
 *
 * It keeps nothing between two questions: a box is opened once for each instance that is bound to its bundle, which takes
 * less time than the instance needs to load the code, and what is not kept cannot leak or be stale.
 */
#ifndef SCHEDULER_KEEPER_H
#define SCHEDULER_KEEPER_H

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/secret.h"

struct buf;
struct keyring;
struct notice;
struct receipt;

#define KEEPER_MESSAGE_MAX (128u * 1024u)

/* The whole process.  credentials: $CREDENTIALS_DIRECTORY or NULL.  Returns the exit status when fd is closed. */
int keeper_main(int fd, const char *keys_dir, const char *credentials);

/* One question and its answer, each without the length: what keeper_main does in between (tests, fuzzing). */
void keeper_serve(const struct keyring *keys, const char *message, size_t n, int64_t now_ms, struct buf *out);
/* The first thing it says. */
void keeper_hello(const struct keyring *keys, struct buf *out);

/* --- the scheduler's side --- */

struct keeper_key {
	enum secret_use use;
	int number;
	char key[SECRET_KEY_TEXT + 1];
	int64_t made_at;
};

struct keeper_answer {
	uint64_t id;
	struct err error;         /* kind ERR_NONE: ok */
	struct keeper_key *keys;  /* id 0 */
	size_t n_keys;
	struct secret_env *env;   /* of "open" */
	char *receipt;            /* of "receipt" */
	char *callback;           /* of "callback" */
};

void keeper_ask_open(struct buf *out, uint64_t id, const struct secret_context *c, const void *box, size_t n);
void keeper_ask_receipt(struct buf *out, uint64_t id, const struct receipt *r);
void keeper_ask_callback(struct buf *out, uint64_t id, const struct notice *n);

/* Bytes of the first message in [p, p + n) with its length, 0: not all there, -1: never will be (ERR_INTERNAL). */
long keeper_message_next(const char *p, size_t n, const char **message, size_t *message_n, struct err *e);
/* ERR_INTERNAL: the keeper says what it cannot say. */
int keeper_answer_parse(const char *message, size_t n, struct keeper_answer *out, struct err *e);
void keeper_answer_clear(struct keeper_answer *a);

#endif
