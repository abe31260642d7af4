/*
 * A question is held until its issuer's key is known, for some seconds at most.  The answer and the fact that the token is used
 * are committed together, and only then the door's bell rings: an answer that nobody knows of has used nothing.
 */
#include "scheduler/proofs.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/bell.h"
#include "lib/clock.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/store.h"
#include "lib/store_token.h"
#include "scheduler/callers.h"
#include "scheduler/shop.h"

#define MOST       64    /* looked at together */
#define PATIENCE_MS 8000 /* the door has some more */

struct proof {
	int64_t id, since_ms;
	char *token, *caller, *bell;
	bool renewed, done;
	bool due;       /* something is known since it was looked at last */
	struct err why; /* ERR_NONE: it is the caller's */
	struct proof *next;
};

static struct {
	struct proof *first;
	size_t n;
	bool look;
} proofs;

static void
proof_free(struct proof *p)
{
	free(p->token);
	free(p->caller);
	free(p->bell);
	free(p);
}

void
proofs_look(void)
{
	proofs.look = true;
}

static void
on_proof(void *arg, int64_t id, const char *token, const char *caller, const char *bell)
{
	struct proof *p;

	(void)arg;
	for (p = proofs.first; p != NULL; p = p->next)
		if (p->id == id && strcmp(p->token, token) == 0)
			return;
	if (proofs.n >= 2 * (size_t)MOST)
		return;
	p = mem_alloc(sizeof *p);
	*p = (struct proof){ .id = id, .since_ms = loop_now_ms(), .token = mem_str(token), .caller = mem_str(caller),
		.bell = mem_str(bell), .due = true, .next = proofs.first };
	proofs.first = p;
	proofs.n++;
}

static bool
judge(struct proof *p)
{
	struct claim c = { p->token, p->caller, 0, p->renewed };
	struct err e = ERR_INIT;
	enum callers_said said;

	if (p->due) {
		p->due = false;
		said = callers_claim(&c, &e);
		p->renewed = c.renewed;
		p->done = said != CALLERS_WAIT;
		if (said == CALLERS_REFUSED)
			p->why = e;
	}
	if (!p->done && loop_now_ms() - p->since_ms >= PATIENCE_MS) {
		err_named(&p->why, ERR_TIMEOUT, "UpstreamTimeout", "nobody has told in time who the issuer of the token is");
		p->done = true;
	}
	return p->done;
}

static int
write_done(struct store *s, struct err *e)
{
	const struct proof *p;

	for (p = proofs.first; p != NULL; p = p->next)
		if (p->done && work_proof_done(s, p->id, p->token, p->why.kind != ERR_NONE ? &p->why : NULL, clock_wall_ms(), e) != 0)
			return -1;
	return callers_write(s, e);
}

static bool
commit_done(void)
{
	struct store *s = shop.s.store;
	struct err e = ERR_INIT;

	if (store_begin(s, false, &e) == 0) {
		if (write_done(s, &e) == 0 && store_commit(s, &e) == 0) {
			callers_kept();
			return true;
		}
		store_rollback(s);
	}
	log_warn("proofs", "why=%s", log_q(e.text));
	return false;
}

/* Names come from rows: nothing but a plain name may become a path. */
static bool
bell_name_ok(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n < 64 && s[0] != '.' && strchr(s, '/') == NULL;
}

static void
tell_done(void)
{
	struct proof **at = &proofs.first, *p;

	while ((p = *at) != NULL) {
		if (!p->done) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		proofs.n--;
		if (bell_name_ok(p->bell))
			bell_ring(shop.ringer, shop.conf->run_dir, p->bell);
		log_debug("proof", "caller=%s said=%s", log_q(p->caller), p->why.kind == ERR_NONE ? "yes" : err_name(&p->why));
		proof_free(p);
	}
}

void
proofs_turn(void)
{
	struct err e = ERR_INIT;
	struct proof *p;
	bool any = false;

	if (proofs.look && work_proofs(shop.s.store, MOST, on_proof, NULL, &e) != 0)
		log_warn("proofs", "why=%s", log_q(e.text));
	proofs.look = false;
	for (p = proofs.first; p != NULL; p = p->next)
		any = judge(p) || any;
	if (any && commit_done())
		tell_done();
}

void
proofs_person(const char *name)
{
	struct proof *p;

	for (p = proofs.first; p != NULL; p = p->next)
		if (strcmp(p->caller, name) == 0)
			p->due = true;
}

void
proofs_close(void)
{
	struct proof *p;

	while ((p = proofs.first) != NULL) {
		proofs.first = p->next;
		proof_free(p);
	}
	memset(&proofs, 0, sizeof proofs);
}
