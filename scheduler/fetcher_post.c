/*
 * A callback on its way (lib/notice.h): the only thing that the fetcher brings to somebody instead of fetching it.  The
 * address rules are those of everything else; nothing is redirected, and of the answer only the status is of use.
 */
#include "scheduler/fetcher_task.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/buf.h"
#include "lib/callback.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/mem.h"

#define ANSWER_BYTES 8192
#define HEADERS      4

/* Texts of the scheduler's own making, but they stand in headers. */
static bool
fits_header(const char *s)
{
	for (; s != NULL && *s != '\0'; s++)
		if ((unsigned char)*s <= ' ' || (unsigned char)*s >= 0x7f)
			return false;
	return s != NULL;
}

static int
tell(struct task *t, const char *url, const char *json, const char *const *headers, struct buf *out, struct err *e)
{
	struct callback_url u;
	struct http_policy policy = { t->f->policy.dev, &u.port, 1 }; /* the port is one that the list of hosts names */
	struct http_limits limits;
	int64_t wait = 0;
	struct err why = ERR_INIT;
	char host[256];
	int status = 0;

	if (callback_url_parse(url, policy.dev, &u, e) != 0)
		return -1;
	/* What was looked up in lists and what is connected to are read by two parsers: they have to agree. */
	if (http_url_check(&policy, url, host, &why) != 0 || (!u.local && strcasecmp(host, u.host.text) != 0))
		return err_named(e, ERR_REMOTE, FETCHER_POST_DENIED, "%s", why.kind != ERR_NONE ? why.text : "whose URL is this?");
	if (task_limits(t, ANSWER_BYTES, "", 0, &limits, e) != 0)
		return -1;
	limits.connect_ms = limits.first_byte_ms = limits.total_ms = task_left_ms(t);
	limits.connect_key = limits.first_byte_key = limits.total_key = "callbacks.timeout";
	if (http_tell(t->http, &policy, url, headers, json, &limits, &status, &wait, &why) != 0)
		return err_named(e, ERR_REMOTE, why.kind == ERR_DENIED ? FETCHER_POST_DENIED : err_name(&why), "%s", why.text);
	buf_fmt(out, ",\"status\":%d,\"retryAfter\":%lld", status, (long long)wait);
	return 0;
}

int
task_post(struct task *t, const cJSON *tree, struct buf *out, struct err *e)
{
	const char *url = json_string(tree, "url"), *json = json_string(tree, "body"), *job = json_string(tree, "name"),
		   *signature = json_string(tree, "signature");
	char *line[HEADERS + 1] = { NULL };
	size_t i;
	int rc;

	if (url == NULL || json == NULL || !fits_header(signature) || !fits_header(job))
		return err_set(e, ERR_INPUT, "a callback without its parts");
	line[0] = mem_fmt("At-Run-Signature: %s", signature);
	line[1] = mem_fmt("At-Run-Job: %s", job);
	line[2] = mem_fmt("Idempotency-Key: \"%s\"", job);
	rc = tell(t, url, json, (const char *const *)line, out, e);
	for (i = 0; i < HEADERS; i++)
		free(line[i]);
	return rc;
}
