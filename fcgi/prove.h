/*
 * Who asks, where no bundle is called: the scheduler is asked to prove the token (the table proof), and waited for.
 */
#ifndef FCGI_PROVE_H
#define FCGI_PROVE_H

struct call;
struct err;
struct job_id;
struct token;

/* 0: the token was sent and is its issuer's (t->any), or none was sent.  The token is good for this method, and used up.
 * ERR_DENIED with a name of jwt_names; ERR_BUSY when too many are being asked for. */
int prove_asker(struct call *c, const char *method, struct token *t, struct err *e);

/* May whoever asks see and stop this job?  Of a call with a token only its caller may; of any other whoever knows the id.
 * ERR_NOTFOUND; ERR_DENIED "AuthMissing", "JobOfAnother", or what prove_asker says. */
int prove_job(struct call *c, const struct job_id *id, const char *method, struct err *e);

#endif
