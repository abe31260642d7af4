/*
 * "Authorization: Bearer": the token of a caller, read and judged as far as that needs no network.  Whether it bears its
 * issuer's signature is found out by the scheduler, before the call is admitted.
 */
#ifndef FCGI_TOKEN_H
#define FCGI_TOKEN_H

#include <stdbool.h>

#include "lib/jwt.h"

struct conf;
struct err;
struct front_job;
struct request;

#define TOKEN_METHOD   "dev.at-run.invoke"
#define TOKEN_FRAGMENT "#at_run" /* of the runner's service in its DID document */

struct token {
	bool any;
	struct jwt jwt;
	const char *text; /* the request's */
};
#define TOKEN_INIT { .any = false }
void token_clear(struct token *t);

/* 0 also when none was sent.  A token that is none, or not for us, this method and now: ERR_DENIED with a name of jwt_names. */
int token_read(struct token *t, const struct request *r, const struct conf *c, const char *method, struct err *e);
/* Puts it into the job, which borrows it. */
void token_fill(struct token *t, struct front_job *j);
/* A header's value that is ours and reaches no handler. */
bool token_is_ours(const char *authorization);

#endif
