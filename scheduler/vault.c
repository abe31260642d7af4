/*
 * The way of a secret: the fetcher brings the author's sealed record along with the bundle's, the ledger keeps it sealed, the
 * keeper opens it when an instance is bound to the bundle, and it goes into that instance in one frame.  It is held here
 * only as long as that instance lives, to cut its values out of the log.  A bundle that names no secrets takes no part in this,
 * and a warm call never does.
 */
#include "scheduler/vault.h"

#include <stdlib.h>
#include <string.h>

#include "lib/bundle.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/secret.h"
#include "lib/store_secret.h"
#include "scheduler/callbacks.h"
#include "scheduler/catalog.h"
#include "scheduler/events.h"
#include "scheduler/instance.h"
#include "scheduler/keep.h"
#include "scheduler/keeper.h"
#include "scheduler/place.h"
#include "scheduler/receipts.h"
#include "scheduler/shop.h"

#define REFUSED_MS 3000 /* a box that cannot be used is not tried again so soon */

static struct keeper_key *known; /* what the ledger holds */
static size_t known_n;

static struct pool_entry *
find(int64_t number)
{
	size_t i;

	for (i = 0; i < shop.pool.n; i++)
		if (instance_number(shop.pool.item[i].instance) == number)
			return &shop.pool.item[i];
	return NULL;
}

/* The author's to mend, or the operator's; either way no user code has run. */
static void
refuse(struct pool_entry *x, const struct err *why)
{
	struct instance *i = x->instance;
	struct code *code = code_ref(x->code);

	log_info("secrets refused", "author=%s bundle=%s name=%s why=%s", log_q(code->did), log_q(code->name), why->name,
	    log_q(why->text));
	code->broken = *why;
	code->broken_outcome = OUTCOME_REFUSED;
	code->broken_until_ms = loop_now_ms() + REFUSED_MS;
	code->sealed_bad = why->kind == ERR_DENIED;
	instance_stop(i, why->text);
	place_fail(code, OUTCOME_REFUSED, &code->broken);
	code_unref(code);
}

/* --- before it is bound --- */

int
vault_admit(const struct code *code, struct err *e)
{
	if (!code_wants_secrets(code) || code->sealed != NULL)
		return 0;
	if (shop.conf->did == NULL)
		return err_named(e, ERR_DENIED, "SecretsMissing",
		    "the bundle needs secrets, and this runner has no DID that they could be sealed for (did in its config)");
	return err_named(e, ERR_DENIED, "SecretsMissing",
	    "the bundle needs secrets (%s%s), and its author has sealed none for %.200s: at-rund secret seal makes the record %s",
	    code->bundle->secrets.item[0], code->bundle->secrets.n > 1 ? ", ..." : "", shop.conf->did,
	    shop.conf->atproto.secret_collection);
}

void
vault_bind(struct instance *i, struct code *code)
{
	struct pool_entry *x = pool_of(&shop.pool, i);
	struct secret_record r;
	struct secret_context c;
	struct err e = ERR_INIT;

	if (vault_admit(code, &e) != 0) {
		refuse(x, &e);
		return;
	}
	if (secret_record_parse(code->sealed, strlen(code->sealed), &r, &e) != 0) {
		e.kind = ERR_DENIED;
		refuse(x, &e);
	} else {
		c = (struct secret_context){ code->did, code->name, shop.conf->did, r.key, 0 };
		keep_open(shop.keep, instance_number(i), &c, r.box->data, r.box->len);
	}
	secret_record_clear(&r);
}

/* --- the keeper's answers --- */

static int
check_names(const struct code *code, const struct secret_env *env, struct err *e)
{
	const struct conf_list *want = &code->bundle->secrets;
	size_t i;

	for (i = 0; i < want->n; i++)
		if (!secret_env_has(env, want->item[i]))
			return err_named(e, ERR_DENIED, "SecretsMissing", "the bundle needs the secret %s, which its author did not seal",
			    want->item[i]);
	return 0;
}

static void
on_opened(void *arg, int64_t who, struct secret_env *env, const struct err *why)
{
	struct pool_entry *x = find(who);
	struct err e = ERR_INIT;

	(void)arg;
	if (x == NULL || instance_state(x->instance) != INSTANCE_BLANK || x->code == NULL)
		return; /* it died meanwhile */
	if (why != NULL) {
		refuse(x, why);
	} else if (check_names(x->code, env, &e) != 0) {
		refuse(x, &e);
	} else {
		instance_give(x->instance, env, x->code->sealed_cid, &x->code->bundle->secrets);
		events_blank(x->instance);
	}
}

static bool
same_keys(const struct keeper_key *keys, size_t n)
{
	size_t i;

	for (i = 0; i < n && i < known_n; i++)
		if (strcmp(keys[i].key, known[i].key) != 0)
			return false;
	return n == known_n;
}

static void
on_keys(void *arg, const struct keeper_key *keys, size_t n)
{
	struct store_key *rows;
	struct err e = ERR_INIT;
	size_t i;

	(void)arg;
	if (same_keys(keys, n))
		return;
	rows = mem_array(n, sizeof *rows);
	for (i = 0; i < n; i++)
		rows[i] = (struct store_key){ keys[i].key, secret_use_name(keys[i].use), keys[i].number, keys[i].made_at, false };
	if (work_keys_put(shop.s.store, rows, n, clock_wall_ms(), &e) != 0) {
		log_error("write the public keys", "why=%s", log_q(e.text));
	} else {
		free(known);
		known = mem_dup(keys, n * sizeof *keys);
		known_n = n;
		log_info("keys", "n=%zu newest=%s", n, keys[0].key);
	}
	free(rows);
}

static const struct keep_events keep_says = { .keys = on_keys, .opened = on_opened, .signed_ = receipts_signed,
	.notice = callbacks_signed };

/* --- secrets that are no more --- */

static void
retire_if(bool (*old)(const struct instance *i, const void *arg), const void *arg)
{
	size_t k;

	for (k = 0; k < shop.pool.n; k++)
		if (instance_secrets(shop.pool.item[k].instance) != NULL && old(shop.pool.item[k].instance, arg))
			shop.pool.item[k].retiring = true;
}

static bool
has_others(const struct instance *i, const void *arg)
{
	const struct code *code = arg, *its = instance_code(i);
	const char *cid = instance_sealed_cid(i);

	return its != NULL && strcmp(its->did, code->did) == 0 && strcmp(its->name, code->name) == 0 &&
	    (code->sealed_cid == NULL || strcmp(cid, code->sealed_cid) != 0);
}

void
vault_renew(const struct code *code)
{
	retire_if(has_others, code);
}

static bool
has_expired(const struct instance *i, const void *arg)
{
	const int64_t *now = arg;

	return instance_secrets(i)->expires_at <= *now;
}

void
vault_tick(void)
{
	int64_t now = clock_wall_ms();

	retire_if(has_expired, &now);
}

static bool
any(const struct instance *i, const void *arg)
{
	(void)i;
	(void)arg;
	return true;
}

const char *
vault_reload(const char *revoked)
{
	struct err e = ERR_INIT;

	known_n = 0;
	keep_forget(shop.keep);
	if (revoked == NULL)
		return "the keeper reads the keys again";
	if (work_key_drop(shop.s.store, revoked, &e) != 0)
		log_error("forget a key", "why=%s", log_q(e.text));
	/* What was opened with it is no business of this runner any more. */
	retire_if(any, NULL);
	return "the key is forgotten; instances with secrets end after their calls";
}

/* --- beginning and end --- */

void
vault_open(void)
{
	shop.keep = keep_new(shop.conf, shop.s.program, &keep_says, NULL);
	keep_look(shop.keep);
}

void
vault_stop(void)
{
	if (shop.keep != NULL)
		keep_stop(shop.keep);
}

bool
vault_gone(void)
{
	return shop.keep == NULL || keep_gone(shop.keep);
}

void
vault_close(void)
{
	keep_free(shop.keep);
	shop.keep = NULL;
	free(known);
	known = NULL;
	known_n = 0;
}
