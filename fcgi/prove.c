#include "fcgi/prove.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/gauge.h"
#include "fcgi/request.h"
#include "fcgi/route.h"
#include "fcgi/token.h"
#include "fcgi/waiter.h"
#include "fcgi/writer.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/store_front.h"
#include "lib/store_token.h"

#define OPEN_MAX_ALL 64    /* questions, of all processes together */
#define PATIENCE_MS  10000 /* the scheduler answers in less, if only that it does not know */
#define LOOK_MS      250

/* Strangers name servers that are slow to say who they are: the other half of the threads stays for others. */
static atomic_int waiting;

static int
wait_for(struct call *c, struct store *s, int64_t id, const char *token, struct err *e)
{
	int64_t deadline = clock_mono_ms() + PATIENCE_MS;
	int said;

	while ((said = front_proof_look(s, id, token, e)) == 0) {
		if (clock_mono_ms() >= deadline)
			return err_named(e, ERR_TIMEOUT, "UpstreamTimeout", "the token was not checked in time");
		if (!waiter_sleep(c->waiter, c->request, LOOK_MS))
			return err_named(e, ERR_INPUT, "RequestTimeout", "the caller has gone");
	}
	return said > 0 ? 0 : -1;
}

static int
ask(struct call *c, const struct token *t, struct err *e)
{
	struct store *s = waiter_store(c->waiter, e);
	const char *bell = waiter_bell(c->waiter, e);
	struct err ignored = ERR_INIT;
	int64_t id;
	int rc;

	if (s == NULL || bell == NULL || gauge_alive(c->door->gauge, s, e) != 0 ||
	    front_proof_ask(s, t->text, t->jwt.issuer, bell, clock_wall_ms(), OPEN_MAX_ALL, &id, e) != 0)
		return -1;
	writer_question(c->door->writer);
	rc = wait_for(c, s, id, t->text, e);
	front_proof_drop(s, id, t->text, &ignored);
	return rc;
}

int
prove_asker(struct call *c, const char *method, struct token *t, struct err *e)
{
	int most = (int)(c->door->conf->web.threads + 1) / 2, rc;

	if (token_read(t, c->request, c->door->conf, method, e) != 0)
		return -1;
	if (!t->any)
		return 0;
	if (atomic_fetch_add(&waiting, 1) < most)
		rc = ask(c, t, e);
	else
		rc = err_named(e, ERR_BUSY, "NotEnoughResources", "%d tokens are being checked already; ask again a little later", most);
	atomic_fetch_sub(&waiting, 1);
	return rc;
}

int
prove_job(struct call *c, const struct job_id *id, const char *method, struct err *e)
{
	struct store *s = waiter_store(c->waiter, e);
	struct token t = TOKEN_INIT;
	char *caller = NULL;
	int rc;

	if (s == NULL || front_job_caller(s, id, &caller, e) != 0)
		return -1;
	rc = caller != NULL ? prove_asker(c, method, &t, e) : 0;
	if (rc == 0 && caller != NULL && !t.any)
		rc = err_named(e, ERR_DENIED, "AuthMissing",
		    "the job is of a call with a token: ask with a token of the same account for %s", method);
	else if (rc == 0 && caller != NULL && strcmp(t.jwt.issuer, caller) != 0)
		rc = err_named(e, ERR_DENIED, "JobOfAnother", "the job is of a call by another account");
	token_clear(&t);
	free(caller);
	return rc;
}
