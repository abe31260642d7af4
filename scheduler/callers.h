/*
 * Who calls: the token that came with a job is its issuer's, and is used once.
 */
#ifndef SCHEDULER_CALLERS_H
#define SCHEDULER_CALLERS_H

struct err;
struct job;

enum callers_said {
	CALLERS_PROVEN,
	CALLERS_WAIT,   /* for what is known of job.w.caller: hold it, and ask again */
	CALLERS_REFUSED /* ERR_DENIED with a name of jwt_names, or the network failed */
};

/* Reads the tokens in use from the ledger. */
int callers_open(struct err *e);
/* For a job whose w.caller is not NULL. */
enum callers_said callers_prove(struct job *j, struct err *e);

#endif
