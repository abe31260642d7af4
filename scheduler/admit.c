#include "scheduler/admit.h"

#include <string.h>

#include "backends/backend.h"
#include "backends/runtime.h"
#include "lib/access.h"
#include "lib/buf.h"
#include "lib/bundle.h"
#include "lib/callback.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "scheduler/catalog.h"
#include "scheduler/egress_conf.h"

#define ATTEMPTS_DEFAULT 3

static enum access_said
decide(const struct access *a, const char *did, const struct access_facts *f, const char *name, struct err *e)
{
	enum access_said said = access_says(a, did, f, NULL);
	char why[ACCESS_WHY];

	if (said == ACCESS_YES)
		return said; /* most calls: without words */
	said = access_says(a, did, f, why);
	if (said == ACCESS_NO)
		err_named(e, ERR_DENIED, name, "%s", why);
	else if (said == ACCESS_ANONYMOUS)
		err_named(e, ERR_DENIED, "AuthMissing", "%s", why);
	else if (said == ACCESS_NOT_KNOWN)
		err_named(e, ERR_BUSY, "GraphNotRead", "%s", why);
	return said;
}

enum access_said
admit_author(const struct conf *c, const struct access_facts *f, const char *did, struct err *e)
{
	struct access a = access_authors(c);

	if (strcmp(did, "local") != 0)
		return decide(&a, did, f, "AuthorNotAllowed", e);
	if (c->dev && c->dev_conf.bundles != NULL)
		return ACCESS_YES;
	err_named(e, ERR_NOTFOUND, "BundleNotFound", "the author 'local' exists with --dev and dev.bundles only");
	return ACCESS_NO;
}

enum access_said
admit_caller(const struct conf *c, const struct access_facts *f, const char *caller, struct err *e)
{
	struct access a = access_callers(c);

	return decide(&a, caller, f, "CallerNotAllowed", e);
}

static int
runtime_refused(const struct admit_rules *r, const struct bundle *b, struct err *e)
{
	struct buf offered = BUF_INIT;
	size_t i, k;

	for (i = 0; i < r->runtimes->n; i++) {
		const struct runtime *x = &r->runtimes->item[i];

		for (k = 0; k < x->mime.n && x->missing == NULL; k++)
			buf_fmt(&offered, "%s%s", offered.len > 0 ? ", " : "", x->mime.item[k]);
	}
	err_named(e, ERR_INPUT, "RuntimeNotOffered", "this runner does not offer %.100s; it offers %.300s",
	    b->runtime != NULL ? b->runtime : "a bundle without runtime", offered.len > 0 ? offered.data : "nothing");
	buf_clear(&offered);
	return -1;
}

/* The smallest of three budgets, and whose it is. */
static void
fill_timeout(const struct conf *c, const struct bundle *b, const struct bundle_endpoint *ep, int64_t job_ms,
    struct admission *out)
{
	int64_t own = ep != NULL && ep->timeout_ms > 0 ? ep->timeout_ms : b->limits.timeout_ms;

	out->timeout_ms = c->limits.timeout;
	out->limit_key = "limits.timeout";
	if (own > 0 && own < out->timeout_ms) {
		out->timeout_ms = own;
		out->limit_key = "the bundle's limits.timeoutMs";
	}
	if (job_ms > 0 && job_ms < out->timeout_ms) {
		out->timeout_ms = job_ms;
		out->limit_key = "the caller's wait";
	}
}

static int64_t
least(int64_t a, int64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

/* An author may put its own work last, and itself before others as far as the operator allows. */
static void
fill_turn(const struct conf *c, const struct bundle *b, const struct bundle_endpoint *ep, struct admission *out)
{
	int64_t asked = ep != NULL ? ep->priority : 0;

	out->priority = (int)(asked < c->limits.priority ? asked : c->limits.priority);
	out->most = ep != NULL ? ep->concurrency : 0;
	out->bundle_most = least(c->limits.bundle_running, b->limits.concurrency);
}

int
admit_code(const struct admit_rules *r, const struct code *code, const char *endpoint, int64_t job_timeout_ms,
    struct admission *out, struct err *e)
{
	const struct bundle *b = code->bundle;
	const struct task wanted = { .runtime = code->runtime, .bundle = b, .author = code->did, .name = code->name };
	const struct bundle_endpoint *ep;

	if (code->runtime == NULL || code->runtime->missing != NULL)
		return runtime_refused(r, b, e);
	ep = bundle_endpoint(b, endpoint);
	if (ep == NULL && !b->any_endpoint)
		return err_named(e, ERR_NOTFOUND, "EndpointNotFound", "the bundle %s has no endpoint '%s'", code->name,
		    endpoint);
	if (code->wall == NULL)
		return err_named(e, ERR_INTERNAL, "NoWall", "the wall that the operator wants around it does not stand here: %.300s",
		    code->no_wall.text);
	if (backend_permit(code->wall, r->conf, &wanted, e) != 0)
		return -1;
	fill_timeout(r->conf, b, ep, job_timeout_ms, out);
	fill_turn(r->conf, b, ep, out);
	out->idempotent = ep != NULL && ep->idempotent;
	out->task = ep != NULL && ep->task;
	out->attempts = 1;
	if (out->idempotent)
		out->attempts = (int)least(r->conf->jobs.attempts, ep->attempts > 0 ? ep->attempts : ATTEMPTS_DEFAULT);
	return 0;
}

int
admit_callback(const struct conf *c, const struct egress_conf *operator, const struct bundle *b, const char *caller,
    const char *url, struct err *e)
{
	struct err why = ERR_INIT;
	struct callback_url u;

	if (callback_url_parse(url, c->dev, &u, e) != 0)
		return -1;
	if (c->did == NULL && !c->dev)
		return err_named(e, ERR_DENIED, "CallbackNotOffered",
		    "this runner has no DID that a callback could be signed for (did in its config)");
	if (u.local)
		return 0; /* of --dev */
	if (!callback_listed(&b->callbacks, &u, true) && !callback_listed(&b->permissions.net, &u, false) &&
	    !callback_listed(&c->callbacks.allow, &u, true) && !callback_own(caller, &u))
		return err_named(e, ERR_DENIED, "CallbackNotAllowed",
		    "%s:%d is not called back: it stands neither in the bundle's callbacks or permissions.net nor in the operator's "
		    "callbacks.allow, and is not the caller's own", u.host.text, u.port);
	if (egress_conf_permits(operator, &u.host, u.port, &why) != 0)
		return err_named(e, ERR_DENIED, "CallbackNotAllowed", "%s", why.text);
	return 0;
}
