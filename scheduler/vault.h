/*
 * What the workshop has to do with secrets: the keeper's public keys go into the ledger, sealed boxes to the keeper, what was
 * in them to the instance that is bound to their bundle.
 */
#ifndef SCHEDULER_VAULT_H
#define SCHEDULER_VAULT_H

#include <stdbool.h>
#include <stddef.h>

struct code;
struct err;
struct instance;
struct job;

void vault_open(void);
/* The process is told to go; vault_gone() says when it has. */
void vault_stop(void);
bool vault_gone(void);
void vault_close(void);

/* Does the code have the secrets it names, as far as is known without opening a box?  ERR_DENIED "SecretsMissing". */
int vault_admit(const struct code *code, struct err *e);
/* A blank instance is to be bound to code that names secrets: events_blank() follows once it has them. */
void vault_bind(struct instance *i, struct code *code);
/* The author's secrets are others now: instances that hold the old ones end after their calls. */
void vault_renew(const struct code *code);
/* Now and then: instances whose secrets have expired end after their calls. */
void vault_tick(void);
/* keys/ has changed.  revoked: a key that counts for nothing any more, NULL: none.  What came of it, static. */
const char *vault_reload(const char *revoked);

#endif
