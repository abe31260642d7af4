/*
 * Lists: the jobs of whoever proves to be their author or caller, and the log of whoever proves to be the author.  "From
 * loopback" would be no guard: behind a reverse proxy everybody comes from there.  With --dev no token is asked for, and then
 * it is everybody's.
 */
#include <stdlib.h>
#include <string.h>

#include "fcgi/prove.h"
#include "fcgi/request.h"
#include "fcgi/route.h"
#include "fcgi/token.h"
#include "fcgi/waiter.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/store_list.h"
#include "lib/syntax.h"

#define JOBS "dev.at-run.listJobs"
#define LOGS "dev.at-run.getLogs"

struct asked {
	struct token token;
	struct front_list list;
	struct buf bundle, level;
	struct job_id job;
};
#define ASKED_INIT { .token = TOKEN_INIT, .bundle = BUF_INIT, .level = BUF_INIT }

static void
asked_clear(struct asked *a)
{
	token_clear(&a->token);
	buf_clear(&a->bundle);
	buf_clear(&a->level);
}

static int
number(const char *query, const char *name, int64_t most, int64_t *out, struct err *e)
{
	struct buf text = BUF_INIT;
	char *end;
	int rc = 0;

	if (path_param(query, name, &text)) {
		*out = strtoll(text.data, &end, 10);
		if (text.len == 0 || *end != '\0' || *out < 1 || *out > most)
			rc = err_set(e, ERR_INPUT, "%s must be a whole number from 1 to %lld", name, (long long)most);
	}
	buf_clear(&text);
	return rc;
}

/* What both lists understand. */
static int
read_common(struct asked *a, const char *query, int64_t limit, int64_t most, struct err *e)
{
	if (number(query, "limit", most, &limit, e) != 0 || number(query, "cursor", INT64_MAX >> 1, &a->list.before, e) != 0)
		return -1;
	a->list.limit = (int)limit;
	if (!path_param(query, "bundle", &a->bundle))
		return 0;
	if (!syntax_bundle_name(a->bundle.data, a->bundle.len))
		return err_set(e, ERR_INPUT, "bundle is no name of one");
	a->list.bundle = a->bundle.data;
	return 0;
}

static int
read_level(struct asked *a, const char *query, struct err *e)
{
	static const char *const levels[] = { "debug", "info", "warn", "error" };
	size_t i;

	if (!path_param(query, "level", &a->level))
		return 0;
	for (i = 0; i < sizeof levels / sizeof *levels; i++)
		if (strcmp(a->level.data, levels[i]) == 0)
			a->list.level = levels[i];
	return a->list.level != NULL ? 0 : err_set(e, ERR_INPUT, "level must be debug, info, warn or error");
}

static int
read_log(struct asked *a, const char *query, struct err *e)
{
	struct buf text = BUF_INIT;
	int rc = read_level(a, query, e);

	if (rc == 0 && path_param(query, "since", &text) && (a->list.since = syntax_datetime_ms(text.data)) < 0)
		rc = err_set(e, ERR_INPUT, "since must be a time such as 2026-01-01T00:00:00Z");
	if (rc == 0 && path_param(query, "job", &text)) {
		a->list.job = &a->job;
		if (!job_id_parse(text.data, &a->job))
			rc = err_named(e, ERR_INPUT, "InvalidJobId", "this is no id of a job");
	}
	buf_clear(&text);
	return rc;
}

static int
prove(struct call *c, struct asked *a, const char *method, struct err *e)
{
	if (prove_asker(c, method, &a->token, e) != 0)
		return -1;
	if (a->token.any)
		a->list.who = a->token.jwt.issuer;
	else if (!c->door->conf->dev)
		return err_named(e, ERR_DENIED, "AuthMissing", "whose? send a token for %s (the operator asks at-rund)", method);
	return 0;
}

static int
answer(struct call *c, const struct asked *a, const char *what,
    int (*list)(struct store *s, const struct front_list *l, struct buf *json, int64_t *cursor, struct err *e), struct err *e)
{
	struct store *s = waiter_store(c->waiter, e);
	struct buf *b = &c->reply.body;
	int64_t cursor = 0;

	if (s == NULL)
		return -1;
	buf_fmt(b, "{\"%s\":", what);
	if (list(s, &a->list, b, &cursor, e) != 0)
		return -1;
	if (cursor > 0)
		buf_fmt(b, ",\"cursor\":\"%lld\"", (long long)cursor);
	buf_str(b, "}\n");
	reply_type(&c->reply, "application/json");
	return 0;
}

int
list_jobs(struct call *c, struct err *e)
{
	struct asked a = ASKED_INIT;
	int rc = -1;

	if (read_common(&a, c->path.query, 50, 100, e) == 0 && prove(c, &a, JOBS, e) == 0)
		rc = answer(c, &a, "jobs", front_jobs_of, e);
	asked_clear(&a);
	return rc;
}

int
list_logs(struct call *c, struct err *e)
{
	struct asked a = ASKED_INIT;
	int rc = -1;

	if (read_common(&a, c->path.query, 100, 1000, e) == 0 && read_log(&a, c->path.query, e) == 0 && prove(c, &a, LOGS, e) == 0)
		rc = answer(c, &a, "lines", front_logs, e);
	asked_clear(&a);
	return rc;
}
