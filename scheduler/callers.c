/*
 * The door has judged a token by its text; here its signature is checked with the issuer's key.  A key may have been replaced
 * since it was read: then it is read anew, once, and not in a storm.  What was used before is refused without a look at its
 * signature.
 *
 * The door says a token ahead, before it commits the call's row: it is verified while the disk's cache is written, and the job
 * finds it done.  What was said ahead counts for that text and key alone, and spends nothing.
 *
 * For a call that is let in nothing is written: its token stands in its request.  Some at a time, and once a second, those that
 * were used are written down together, with the job up to which they all are (callers_keep); the next scheduler reads these,
 * and the requests after that job.
 */
#include "scheduler/callers.h"

#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/jwt.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/store.h"
#include "lib/store_retry.h"
#include "lib/store_token.h"
#include "scheduler/people.h"
#include "scheduler/seen.h"
#include "scheduler/shop.h"

#define AHEAD      16   /* said and not used yet; the oldest gives way */
#define KEEP_MANY  128  /* used ones are written down when there are so many */
#define KEEP_ROWS  4096 /* and how far we are, also when nobody shows any */

struct ahead {
	char *text;
	size_t n;
	struct jwt jwt;
	struct key key;
};

struct used {
	int64_t row;
	char *issuer, *nonce;
	int64_t until_at;
};

static struct {
	struct ahead ahead[AHEAD];
	unsigned next;
	struct used *used; /* and not written down */
	size_t n, room;
	int64_t kept_to, writing_to; /* the job up to which all are, or will be with the commit */
} callers;

/* --- what was used --- */

/* Issuer and nonce are taken over. */
static void
remember(int64_t row, char *issuer, char *nonce, int64_t until_at)
{
	if (callers.n == callers.room)
		callers.used = mem_grow(callers.used, (callers.room = callers.room * 2 + KEEP_MANY) * sizeof *callers.used);
	callers.used[callers.n++] = (struct used){ row, issuer, nonce, until_at };
}

static void
forget_used(void)
{
	size_t i;

	for (i = 0; i < callers.n; i++) {
		free(callers.used[i].issuer);
		free(callers.used[i].nonce);
	}
	callers.n = 0;
}

/* Of all jobs up to this one it is known whose their tokens are. */
static int64_t
proven_to(void)
{
	int64_t to = shop.last_row;
	const struct job *j;

	for (j = shop.held; j != NULL; j = j->next)
		if (j->unproven && j->w.id.row <= to)
			to = j->w.id.row - 1;
	return to;
}

int
callers_write(struct store *s, struct err *e)
{
	int64_t to = proven_to();
	const struct used *u;
	size_t i;

	if (to < callers.kept_to)
		to = callers.kept_to; /* what a scheduler before us had proven */
	for (i = 0, u = callers.used; i < callers.n; i++, u++)
		if (work_spent_put(s, u->row, u->issuer, u->nonce, u->until_at, e) != 0)
			return -1;
	callers.writing_to = to;
	return work_spent_mark(s, to, e);
}

void
callers_kept(void)
{
	callers.kept_to = callers.writing_to;
	forget_used();
}

static void
keep(void)
{
	struct store *s = shop.s.store;
	struct err e = ERR_INIT;

	if (store_begin(s, false, &e) == 0) {
		if (callers_write(s, &e) == 0 && store_commit(s, &e) == 0) {
			callers_kept();
			return;
		}
		store_rollback(s);
	}
	log_warn("used tokens", "why=%s", log_q(e.text));
}

void
callers_keep(void)
{
	if (callers.n > 0 || proven_to() - callers.kept_to >= KEEP_ROWS)
		keep();
}

void
callers_turn(void)
{
	if (callers.n >= KEEP_MANY && callers.n % KEEP_MANY == 0)
		callers_keep();
}

void
callers_renumbered(void)
{
	callers.kept_to = 0;
	keep();
}

/* That it was used for no job is known by a number that no job has. */
static int64_t
seen_row(int64_t row)
{
	return row != 0 ? row : -1;
}

static void
on_spent(void *arg, int64_t row, const char *issuer, const char *nonce, int64_t until_at)
{
	struct err e = ERR_INIT;

	(void)arg;
	seen_add(shop.seen, issuer, nonce, seen_row(row), until_at, clock_wall_ms(), &e);
}

static int64_t
until(const struct jwt *t)
{
	return store_token_until(t->until_s * 1000, shop.conf->limits.timeout);
}

static void
on_taken(void *arg, int64_t row, const char *token)
{
	struct err e = ERR_INIT;
	struct jwt t;

	(void)arg;
	if (jwt_parse(&t, token, strlen(token), &e) != 0)
		return;
	seen_add(shop.seen, t.issuer, t.nonce, row, until(&t), clock_wall_ms(), &e);
	remember(row, t.issuer, t.nonce, until(&t));
	t.issuer = t.nonce = NULL;
	jwt_clear(&t);
}

int
callers_open(struct err *e)
{
	struct store *s = shop.s.store;

	if (work_spent(s, clock_wall_ms(), on_spent, NULL, e) != 0 || work_spent_to(s, &callers.kept_to, e) != 0)
		return -1;
	return work_spent_after(s, callers.kept_to, on_taken, NULL, e);
}

/* --- what is said ahead --- */

static void
ahead_clear(struct ahead *a)
{
	free(a->text);
	jwt_clear(&a->jwt);
	memset(a, 0, sizeof *a);
}

static bool
verifies(const struct jwt *t, const char *text, const struct person *who, struct err *e)
{
	return who->has_key && who->key.curve == t->alg &&
	    key_verify(&who->key, text, t->signed_n, t->signature, sizeof t->signature, true, e) == 0;
}

void
callers_ahead(const char *text, size_t n)
{
	struct ahead *a = &callers.ahead[callers.next % AHEAD];
	const struct person *who;
	struct err e = ERR_INIT;
	struct jwt t;

	if (jwt_parse(&t, text, n, &e) != 0)
		return;
	if (!seen_before(shop.seen, t.issuer, t.nonce, 0) && (who = people_who(shop.people, t.issuer)) != NULL &&
	    verifies(&t, text, who, &e)) {
		ahead_clear(a);
		*a = (struct ahead){ mem_strn(text, n), n, t, who->key };
		callers.next++;
	} else {
		jwt_clear(&t);
	}
}

/* Was this text said, and verified with a key?  Then it is here no more. */
static bool
take_ahead(const char *text, size_t n, struct jwt *t, struct key *key)
{
	unsigned i;

	for (i = 0; i < AHEAD; i++) {
		struct ahead *a = &callers.ahead[i];

		if (a->n != n || a->text == NULL || memcmp(a->text, text, n) != 0)
			continue;
		*t = a->jwt;
		*key = a->key;
		memset(&a->jwt, 0, sizeof a->jwt);
		ahead_clear(a);
		return true;
	}
	return false;
}

void
callers_close(void)
{
	unsigned i;

	callers_keep();
	forget_used();
	free(callers.used);
	for (i = 0; i < AHEAD; i++)
		ahead_clear(&callers.ahead[i]);
	memset(&callers, 0, sizeof callers);
}

/* --- the proof --- */

/* The failure to learn who the issuer is, in words of a token. */
static enum callers_said
unknown(const struct person *who, const struct jwt *t, struct err *e)
{
	if (who->failure.kind == ERR_NOTFOUND || who->failure.kind == ERR_INPUT || who->did != NULL)
		err_named(e, ERR_DENIED, "BadJwtIss", "token: its issuer %.100s: %.300s", t->issuer, who->failure.text);
	else
		err_named(e, who->failure.kind, who->failure.name, "the issuer of the token cannot be asked for: %.400s",
		    who->failure.text);
	return CALLERS_REFUSED;
}

static int
check_signature(const struct person *who, const struct jwt *t, const char *text, struct err *e)
{
	if (who->key.curve != t->alg)
		return err_named(e, ERR_DENIED, "BadJwtAlgorithm", "token: it says %.10s, the key of %.100s is for %s",
		    key_curve_alg(t->alg), t->issuer, key_curve_alg(who->key.curve));
	if (verifies(t, text, who, e))
		return 0;
	return err_named(e, ERR_DENIED, "BadJwtSignature", "token: it is not signed by the key that the document of %.100s names",
	    t->issuer);
}

/* key: with which it was verified already, or NULL. */
static enum callers_said
prove(struct claim *c, struct jwt *t, const struct key *key, struct err *e)
{
	const struct person *who;

	if (seen_before(shop.seen, t->issuer, t->nonce, c->row)) {
		err_named(e, ERR_DENIED, "JwtReplayed", "token: it was used before; each is good for one call");
		return CALLERS_REFUSED;
	}
	if ((who = people_who(shop.people, t->issuer)) == NULL)
		return CALLERS_WAIT;
	if (!who->has_key)
		return unknown(who, t, e);
	if ((key == NULL || !key_equal(key, &who->key)) && check_signature(who, t, c->token, e) != 0) {
		bool again = !c->renewed && people_renew(shop.people, t->issuer);

		c->renewed = true;
		return again ? CALLERS_WAIT : CALLERS_REFUSED;
	}
	if (seen_add(shop.seen, t->issuer, t->nonce, seen_row(c->row), until(t), clock_wall_ms(), e) != 0)
		return CALLERS_REFUSED;
	remember(c->row, t->issuer, t->nonce, until(t));
	t->issuer = t->nonce = NULL;
	return CALLERS_PROVEN;
}

enum callers_said
callers_claim(struct claim *c, struct err *e)
{
	size_t n = strlen(c->token);
	enum callers_said said = CALLERS_REFUSED;
	struct jwt t;
	struct key key;
	bool ahead = take_ahead(c->token, n, &t, &key);

	if (!ahead && jwt_parse(&t, c->token, n, e) != 0)
		return CALLERS_REFUSED;
	if (strcmp(t.issuer, c->caller) == 0)
		said = prove(c, &t, ahead ? &key : NULL, e);
	else
		err_named(e, ERR_DENIED, "BadJwt", "token: it is another's than it was taken for");
	jwt_clear(&t);
	return said;
}

enum callers_said
callers_prove(struct job *j, struct err *e)
{
	struct claim c = { j->w.token, j->w.caller, j->w.id.row, j->renewed };
	enum callers_said said = CALLERS_REFUSED;

	if (c.token != NULL)
		said = callers_claim(&c, e);
	else if (work_is_rerun(shop.s.store, j->w.id.row))
		said = CALLERS_PROVEN; /* the caller of the job it was made from was */
	else
		err_named(e, ERR_DENIED, "BadJwt", "token: none stands beside the job");
	j->renewed = c.renewed;
	if (said == CALLERS_PROVEN)
		j->unproven = false;
	return said;
}
