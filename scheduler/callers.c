/*
 * The door has judged a token by its text; here its signature is checked with the issuer's key.  A key may have been replaced
 * since it was read: then it is read anew, once, and not in a storm.  What was used before is refused without a look at its
 * signature.  For a call that is let in nothing is written: the door wrote the token with the job, and it stands there until
 * it could be used no more; only one that was not the issuer's is taken out again (turn.c).
 */
#include "scheduler/callers.h"

#include <string.h>

#include "lib/clock.h"
#include "lib/store_retry.h"
#include "lib/jwt.h"
#include "lib/mem.h"
#include "lib/store_token.h"
#include "scheduler/people.h"
#include "scheduler/seen.h"
#include "scheduler/shop.h"

static void
on_used(void *arg, int64_t row, const char *issuer, const char *nonce, int64_t until_at)
{
	struct err e = ERR_INIT;

	(void)arg;
	seen_add(shop.seen, issuer, nonce, row, until_at, clock_wall_ms(), &e);
}

int
callers_open(struct err *e)
{
	return work_tokens(shop.s.store, clock_wall_ms(), on_used, NULL, e);
}

/* The failure to learn who the issuer is, in words of a token. */
static enum callers_said
unknown(const struct person *who, const struct work_token *t, struct err *e)
{
	if (who->failure.kind == ERR_NOTFOUND || who->failure.kind == ERR_INPUT || who->did != NULL)
		err_named(e, ERR_DENIED, "BadJwtIss", "token: its issuer %.100s: %.300s", t->issuer, who->failure.text);
	else
		err_named(e, who->failure.kind, who->failure.name, "the issuer of the token cannot be asked for: %.400s",
		    who->failure.text);
	return CALLERS_REFUSED;
}

static int
check_signature(const struct person *who, const struct work_token *t, struct err *e)
{
	if (strcmp(key_curve_alg(who->key.curve), t->alg) != 0)
		return err_named(e, ERR_DENIED, "BadJwtAlgorithm", "token: it says %.10s, the key of %.100s is for %s", t->alg,
		    t->issuer, key_curve_alg(who->key.curve));
	if (key_verify(&who->key, t->signed_, t->signed_bytes, t->signature, sizeof t->signature, true, e) == 0)
		return 0;
	return err_named(e, ERR_DENIED, "BadJwtSignature", "token: it is not signed by the key that the document of %.100s names",
	    t->issuer);
}

static enum callers_said
prove(struct job *j, const struct work_token *t, struct err *e)
{
	const struct person *who;

	if (seen_before(shop.seen, t->issuer, t->nonce, j->w.id.row)) {
		err_named(e, ERR_DENIED, "JwtReplayed", "token: it was used before; each is good for one call");
		return CALLERS_REFUSED;
	}
	if ((who = people_who(shop.people, t->issuer)) == NULL)
		return CALLERS_WAIT;
	if (!who->has_key)
		return unknown(who, t, e);
	if (check_signature(who, t, e) != 0) {
		bool again = !j->renewed && people_renew(shop.people, t->issuer);

		j->renewed = true;
		return again ? CALLERS_WAIT : CALLERS_REFUSED;
	}
	if (seen_add(shop.seen, t->issuer, t->nonce, j->w.id.row, t->until_at, clock_wall_ms(), e) != 0)
		return CALLERS_REFUSED;
	return CALLERS_PROVEN;
}

/* What came with the bell need not be read from the ledger. */
static int
take(const struct job *j, struct work_token *t, struct err *e)
{
	struct jwt jwt;

	if (j->w.token == NULL)
		return work_token_load(shop.s.store, j->w.id.row, t, e);
	if (jwt_parse(&jwt, j->w.token, strlen(j->w.token), e) != 0)
		return -1;
	*t = (struct work_token){ .issuer = mem_str(jwt.issuer), .nonce = mem_str(jwt.nonce), .alg = mem_str(key_curve_alg(jwt.alg)),
		.signed_ = mem_strn(j->w.token, jwt.signed_n), .signed_bytes = jwt.signed_n,
		.until_at = store_token_until(jwt.until_s * 1000, shop.conf->limits.timeout) };
	memcpy(t->signature, jwt.signature, sizeof t->signature);
	jwt_clear(&jwt);
	return 0;
}

enum callers_said
callers_prove(struct job *j, struct err *e)
{
	struct work_token t = { 0 };
	enum callers_said said = CALLERS_REFUSED;

	if (take(j, &t, e) == 0 && strcmp(t.issuer, j->w.caller) == 0)
		said = prove(j, &t, e);
	else if (work_is_rerun(shop.s.store, j->w.id.row))
		said = CALLERS_PROVEN; /* the caller of the job it was made from was */
	else
		err_named(e, ERR_DENIED, "BadJwt", "token: none stands beside the job");
	work_token_clear(&t);
	if (said == CALLERS_PROVEN)
		j->unproven = false;
	return said;
}
