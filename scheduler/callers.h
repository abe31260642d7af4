/*
 * Who calls: the token that came with a job is its issuer's, and is used once.
 */
#ifndef SCHEDULER_CALLERS_H
#define SCHEDULER_CALLERS_H

#include <stddef.h>

#include <stdbool.h>
#include <stdint.h>

struct err;
struct job;
struct store;

enum callers_said {
	CALLERS_PROVEN,
	CALLERS_WAIT,   /* for what is known of job.w.caller: hold it, and ask again */
	CALLERS_REFUSED /* ERR_DENIED with a name of jwt_names, or the network failed */
};

/* Reads the tokens in use from the ledger. */
int callers_open(struct err *e);
void callers_close(void);
/* A token whose job comes next, most likely: as soon as its issuer's key is at hand it is verified. */
void callers_ahead(const char *text, size_t n);
/* Writes down what was used: after each turn when it is much, and before anything is pruned. */
void callers_turn(void);
void callers_keep(void);
/* The same inside of a transaction, which has to be committed before callers_kept. */
int callers_write(struct store *s, struct err *e);
void callers_kept(void);
/* Somebody has deleted rows, and jobs have lower numbers from now on. */
void callers_renumbered(void);
/* A token and whose it is said to be. */
struct claim {
	const char *token, *caller;
	int64_t row;  /* of the job that it came with, 0: with none; a job may be looked at again */
	bool renewed; /* the issuer's key was read anew for it */
};
/* Once proven it is used. */
enum callers_said callers_claim(struct claim *c, struct err *e);
/* For a job whose w.caller is not NULL. */
enum callers_said callers_prove(struct job *j, struct err *e);

#endif
