/* The table of routes: which handler, which method, which refusal. */
#include <string.h>

#include "fcgi/route.h"
#include "lib/err.h"
#include "lib/failure.h"
#include "tests/t.h"

static const char *
route_of(const char *method, const char *uri, int *status, const char **allow)
{
	struct path p = PATH_INIT;
	struct err e = ERR_INIT;
	const struct route *r = NULL;

	*allow = NULL;
	*status = 200;
	if (path_parse(uri, "", 8192, &p, &e) == 0)
		r = route_find(&p, method, allow, &e);
	if (r == NULL)
		*status = failure_status(e.kind, err_name(&e));
	path_clear(&p);
	return r != NULL ? r->name : "-";
}

TEST(every_route_is_found_and_every_wrong_one_refused)
{
	static const struct {
		const char *method, *uri, *name;
		int status;
	} rows[] = {
		{ "GET", "/", "home", 200 },
		{ "GET", "/health", "health", 200 },
		{ "HEAD", "/ready?x=1", "ready", 200 },
		{ "GET", "/bundle/a.b/n/latest/e", "bundle", 200 },
		{ "PATCH", "/bundle/a.b/n/latest/e/x/y", "bundle", 200 },
		{ "GET", "/bundle/a.b/n/latest", "-", 400 },
		{ "GET", "/bundle", "-", 400 },
		{ "POST", "/xrpc/dev.at-run.invoke?x", "invoke", 200 },
		{ "PUT", "/xrpc/dev.at-run.invoke", "-", 400 },
		{ "GET", "/xrpc/dev.at-run.cancelJob", "-", 400 },
		{ "POST", "/xrpc/dev.at-run.cancelJob", "cancelJob", 200 },
		{ "GET", "/xrpc/dev.at-run.getJob", "getJob", 200 },
		{ "GET", "/xrpc/dev.at-run.listJobs", "listJobs", 200 },
		{ "GET", "/xrpc/dev.at-run.getLogs", "getLogs", 200 },
		{ "POST", "/xrpc/dev.at-run.getLogs", "-", 400 },
		{ "GET", "/xrpc/dev.at-run.describeRunner", "describeRunner", 200 },
		{ "GET", "/xrpc/com.example.unknown", "-", 501 },
		{ "GET", "/xrpc/no-nsid", "-", 400 },
		{ "GET", "/xrpc/dev.at-run.getJob/x", "-", 400 },
		{ "GET", "/xrpc", "-", 400 },
		{ "GET", "/job/1-x", "job", 200 },
		{ "GET", "/job/1-x/result", "result", 200 },
		{ "GET", "/job/1-x/other", "-", 404 },
		{ "GET", "/job", "-", 404 },
		{ "GET", "/health/stream", "drip", 200 },
		{ "POST", "/health", "-", 405 },
		{ "GET", "/health/", "-", 404 },
		{ "GET", "/metrics", "metrics", 200 },
		{ "GET", "/metric", "-", 404 },
		{ "GET", "/Health", "-", 404 },
		{ "GET", "/a//b", "-", 400 },
	};
	size_t i;

	for (i = 0; i < sizeof rows / sizeof *rows; i++) {
		const char *allow;
		int status;

		CHECK_STR(route_of(rows[i].method, rows[i].uri, &status, &allow), rows[i].name);
		CHECK_INT(status, rows[i].status);
		if (status == 405)
			CHECK_STR(allow, "GET HEAD");
	}
}
