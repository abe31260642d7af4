#include "fcgi/route.h"

#include <string.h>

#include "fcgi/count.h"
#include "fcgi/header.h"
#include "fcgi/invoke.h"
#include "fcgi/request.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/log.h"
#include "lib/syntax.h"

/* More parameters than any web server sends with a sane request. */
#define PARAMS_MAX  512
#define HEADERS_MAX 256
/* What the web server adds by itself: paths, addresses, the URL a few times over. */
#define PARAMS_OWN_BYTES 65536

static const struct route routes[] = {
	{ "bundle", "bundle/*/*/*/*", "", true, invoke_bundle },
	{ "invoke", "xrpc/dev.at-run.invoke", "GET HEAD POST", true, invoke_xrpc },
	{ "getJob", "xrpc/dev.at-run.getJob", "GET HEAD", false, job_get },
	{ "cancelJob", "xrpc/dev.at-run.cancelJob", "POST", false, job_cancel },
	{ "listJobs", "xrpc/dev.at-run.listJobs", "GET HEAD", false, list_jobs },
	{ "getLogs", "xrpc/dev.at-run.getLogs", "GET HEAD", false, list_logs },
	{ "describeRunner", "xrpc/dev.at-run.describeRunner", "GET HEAD", false, card_describe },
	{ "job", "job/*", "GET HEAD", false, job_page },
	{ "result", "job/*/result", "GET HEAD", false, job_result },
	{ "did", ".well-known/did.json", "GET HEAD", false, card_did },
	{ "health", "health", "GET HEAD", false, card_health },
	{ "drip", "health/stream", "GET HEAD", false, drip_show },
	{ "ready", "ready", "GET HEAD", false, card_ready },
	{ "metrics", "metrics", "GET HEAD", false, metrics_show },
	{ "operator", "operator", "GET HEAD", false, page_jobs },
	{ "sign-in", "operator/sign-in", "POST", false, page_sign_in },
	{ "sign-out", "operator/sign-out", "POST", false, page_sign_out },
	{ "operator-job", "operator/job/*", "GET HEAD", false, page_job },
	{ "operator-cancel", "operator/job/*/cancel", "POST", false, page_job_press },
	{ "operator-retry", "operator/job/*/retry", "POST", false, page_job_press },
	{ "operator-callback", "operator/job/*/callback-retry", "POST", false, page_job_press },
	{ "operator-authors", "operator/authors", "GET HEAD", false, page_authors },
	{ "operator-pool", "operator/pool", "GET HEAD", false, page_pool },
	{ "operator-drain", "operator/drain", "POST", false, page_drain },
	{ "home", "", "GET HEAD", false, page_home },
};

static bool
matches(const char *pattern, const struct path *p)
{
	size_t i;

	for (i = 0; i < p->n; i++) {
		size_t n = strcspn(pattern, "/");
		bool any = n == 1 && pattern[0] == '*';

		if (!any && (strlen(p->seg[i]) != n || memcmp(p->seg[i], pattern, n) != 0))
			return false;
		pattern += n;
		if (*pattern == '\0')
			return i + 1 == p->n;
		pattern++;
	}
	return false;
}

static bool
allowed(const char *methods, const char *method)
{
	size_t n = strlen(method);

	if (methods[0] == '\0')
		return true;
	for (; *methods != '\0'; methods += strcspn(methods, " "), methods += *methods == ' ')
		if (strcspn(methods, " ") == n && memcmp(methods, method, n) == 0)
			return true;
	return false;
}

static int
unknown(const struct path *p, struct err *e)
{
	if (strcmp(p->seg[0], "xrpc") == 0) {
		if (p->n != 2 || !syntax_nsid(p->seg[1], strlen(p->seg[1])))
			return err_set(e, ERR_INPUT, "invalid xrpc path");
		return err_named(e, ERR_NOTFOUND, "MethodNotImplemented", "this runner has no method %s", p->seg[1]);
	}
	if (strcmp(p->seg[0], "bundle") == 0)
		return err_set(e, ERR_INPUT, "a bundle is called as /bundle/{author}/{name}/{version}/{endpoint}");
	return err_set(e, ERR_NOTFOUND, "there is nothing here; see /");
}

const struct route *
route_find(const struct path *p, const char *method, const char **allow, struct err *e)
{
	size_t i;

	for (i = 0; i < sizeof routes / sizeof *routes; i++) {
		const struct route *r = &routes[i];

		if (!matches(r->pattern, p))
			continue;
		if (allowed(r->methods, method))
			return r;
		*allow = r->methods;
		if (strcmp(p->seg[0], "xrpc") == 0)
			err_set(e, ERR_INPUT, "Incorrect HTTP method (%s) expected %s", method,
			    r->methods[0] == 'P' ? "POST" : "GET");
		else
			err_named(e, ERR_INPUT, "MethodNotAllowed", "%s is not possible here; %s is", method, r->methods);
		return NULL;
	}
	unknown(p, e);
	return NULL;
}

static int
check_params(const struct request *r, struct err *e)
{
	const struct conf *c = r->conf;
	char size[32];

	conf_size_print(c->limits.header, size);
	if ((int64_t)r->header_bytes > c->limits.header)
		return err_named(e, ERR_INPUT, "HeadersTooLarge", "the request headers are larger than limits.header = %s",
		    size);
	if (r->header_count > HEADERS_MAX || r->env_count > PARAMS_MAX)
		return err_named(e, ERR_INPUT, "HeadersTooLarge", "the request has more than %d headers", HEADERS_MAX);
	if ((int64_t)r->env_bytes > c->limits.header + 4 * c->limits.url + PARAMS_OWN_BYTES)
		return err_named(e, ERR_INPUT, "HeadersTooLarge",
		    "the request parameters are too large (limits.header = %s)", size);
	return 0;
}

static int
check_method(struct call *c, struct err *e)
{
	const char *m = c->request->method;

	if (!header_method_ok(m))
		return err_set(e, ERR_INPUT, "the HTTP method is not a token of at most 16 characters");
	/* Of no use to a handler, and no fetch API takes them. */
	if (strcmp(m, "TRACE") == 0 || strcmp(m, "CONNECT") == 0 || strcmp(m, "TRACK") == 0) {
		reply_header(&c->reply, "Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
		return err_named(e, ERR_INPUT, "MethodNotAllowed", "%s is not possible here", m);
	}
	return 0;
}

/* What is our own fault is told to the log; a path of this host is nobody's business. */
static void
hide_internal(const struct call *c, struct err *e)
{
	if (e->kind != ERR_INTERNAL || e->name[0] != '\0')
		return;
	log_error("request failed", "job=%s why=%s", c->job[0] != '\0' ? c->job : "-", log_q(e->text));
	err_set(e, ERR_INTERNAL, "the runner failed; its log says why");
}

int
route_begin(struct call *c, const struct door *d, struct waiter *w, struct request *r, struct err *e)
{
	const struct conf *conf = r->conf;
	const char *allow = NULL;

	*c = (struct call){ .door = d, .waiter = w, .request = r, .path = PATH_INIT, .reply = REPLY_INIT,
		.start_us = clock_mono_us() };
	if (check_params(r, e) != 0 || check_method(c, e) != 0 ||
	    path_parse(r->uri, conf->web.base_path, (size_t)conf->limits.url, &c->path, e) != 0)
		return -1;
	c->route = route_find(&c->path, r->method, &allow, e);
	if (c->route != NULL)
		return 0;
	if (allow != NULL)
		reply_header(&c->reply, "Allow", strcmp(allow, "GET HEAD") == 0 ? "GET, HEAD" :
			strcmp(allow, "POST") == 0 ? "POST" : "GET, HEAD, POST");
	return -1;
}

static void
log_request(const struct call *c, bool gone)
{
	int64_t us = clock_mono_us() - c->start_us;
	char trace[8 + TRACE_ID_TEXT] = "";

	if (c->traced) {
		memcpy(trace, " trace=", 7);
		trace_hex(c->trace.id, sizeof c->trace.id, trace + 7);
	}
	log_info("request", "method=%s route=%s status=%d ms=%lld.%lld job=%s%s%s",
	    header_method_ok(c->request->method) ? c->request->method : "?", c->route != NULL ? c->route->name : "-",
	    c->reply.status, (long long)(us / 1000), (long long)(us % 1000 / 100), c->job[0] != '\0' ? c->job : "-", trace,
	    gone ? " gone=yes" : "");
}

void
route_end(struct call *c, int rc, struct err *e)
{
	bool gone = false;

	if (rc != 0) {
		hide_internal(c, e);
		reply_error(&c->reply, e);
	}
	if (!c->reply.sent)
		gone = request_send(c->request, &c->reply) != 0;
	count_request(c->door->conf, c->reply.status, clock_mono_us() - c->start_us);
	if (log_wants(LOG_INFO))
		log_request(c, gone);
	invoke_forget(c);
	path_clear(&c->path);
	reply_clear(&c->reply);
}

void
route_serve(const struct door *d, struct waiter *w, struct request *r)
{
	struct err e = ERR_INIT;
	struct call c;
	int rc = route_begin(&c, d, w, r, &e);

	if (rc == 0)
		rc = c.route->run(&c, &e);
	route_end(&c, rc, &e);
}
