#include "lib/failure.h"

#include <stdbool.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/jwt.h"

/* THE table.  By kind: */
static const int by_kind[ERR_KIND_COUNT] = {
	[ERR_NONE] = 500,
	[ERR_INPUT] = 400,
	[ERR_DENIED] = 403,
	[ERR_NOTFOUND] = 404,
	[ERR_BUSY] = 503,
	[ERR_REMOTE] = 502,
	[ERR_TIMEOUT] = 504,
	[ERR_INTERNAL] = 500,
};

/* ... and the names that say more than their kind. */
static const struct {
	const char *name;
	int status;
} by_name[] = {
	{ "AuthMissing", 401 },
	{ "AuthenticationRequired", 401 },
	{ "ExpiredToken", 401 },
	{ "InvalidToken", 401 },
	{ "MethodNotAllowed", 405 },
	{ "RequestTimeout", 408 },
	{ "JobCancelled", 409 },
	{ "JobNotDone", 409 },
	{ "IdempotencyKeyInUse", 409 },
	{ "IdempotencyKeyReused", 422 },
	{ "PayloadTooLarge", 413 },
	{ "UriTooLong", 414 },
	{ "RateLimitExceeded", 429 },
	{ "HeadersTooLarge", 431 },
	{ "HandlerFailed", 500 },
	{ "MethodNotImplemented", 501 },
	/* Not 503: that invites the caller's library to send again what may have run already. */
	{ "RunnerFailed", 502 },
	{ "JobTimeout", 504 },
	{ "JobExpired", 504 },
	/* 507 says "not enough room for this request", which is what a limit of bytes or memory is. */
	{ "MemoryLimitExceeded", 507 },
	{ "OutputLimitExceeded", 507 },
	{ "LimitExceeded", 507 },
};

int
failure_status(enum err_kind kind, const char *name)
{
	size_t i;

	for (i = 0; name != NULL && i < sizeof by_name / sizeof *by_name; i++)
		if (strcmp(name, by_name[i].name) == 0)
			return by_name[i].status;
	if (name != NULL && jwt_meaning(name) != NULL)
		return 401; /* tokens */
	return kind < ERR_KIND_COUNT ? by_kind[kind] : 500;
}

static enum err_kind
kind_of(const char *word)
{
	int i;

	for (i = 0; word != NULL && i < ERR_KIND_COUNT; i++)
		if (strcmp(word, err_kind_name((enum err_kind)i)) == 0)
			return (enum err_kind)i;
	return ERR_INTERNAL;
}

static const struct {
	enum err_kind kind;
	const char *name, *text;
} outcomes[OUTCOME_COUNT] = {
	[OUTCOME_OK] = { ERR_INTERNAL, "RunnerFailed", "the job is done, but its answer is gone" },
	[OUTCOME_ERROR] = { ERR_INTERNAL, "HandlerFailed", "the bundle failed" },
	[OUTCOME_TIMEOUT] = { ERR_TIMEOUT, "JobTimeout", "the job ran longer than its time limit (limits.timeout)" },
	[OUTCOME_MEMORY] = { ERR_INTERNAL, "MemoryLimitExceeded", "the job needed more than limits.memory" },
	[OUTCOME_OUTPUT] = { ERR_INTERNAL, "OutputLimitExceeded", "the answer is larger than limits.response" },
	[OUTCOME_KILLED] = { ERR_INTERNAL, "LimitExceeded", "the job was stopped at a limit" },
	[OUTCOME_REFUSED] = { ERR_INTERNAL, "", "the job was refused" },
	[OUTCOME_LOST] = { ERR_INTERNAL, "RunnerFailed", "the runner lost the job; it may have run in part" },
	[OUTCOME_EXPIRED] = { ERR_TIMEOUT, "JobExpired", "the job's time was over before its turn came" },
	[OUTCOME_CANCELLED] = { ERR_DENIED, "JobCancelled", "the job was cancelled" },
};

/* What was killed without having hit a limit: its process died, or we had to stop. */
static const struct {
	const char *why;
	enum job_outcome like;
} killed[] = {
	{ "InstanceDied", OUTCOME_ERROR },
	{ "InstanceKilled", OUTCOME_ERROR },
	{ "JobPoisoned", OUTCOME_ERROR },
	{ "RunnerStops", OUTCOME_LOST },
};

static enum job_outcome
killed_like(const char *name)
{
	size_t i;

	for (i = 0; name != NULL && i < sizeof killed / sizeof *killed; i++)
		if (strcmp(name, killed[i].why) == 0)
			return killed[i].like;
	return OUTCOME_KILLED;
}

void
failure_outcome(enum job_outcome outcome, const char *kind, const char *name, const char *text, struct err *e)
{
	enum job_outcome as = outcome == OUTCOME_KILLED ? killed_like(name) : outcome;
	bool has_text = text != NULL && text[0] != '\0';
	bool has_name = name != NULL && name[0] != '\0';

	/* It was its request that ended it, in the middle. */
	if (outcome == OUTCOME_REFUSED || (outcome == OUTCOME_CANCELLED && kind != NULL && strcmp(kind, "input") == 0)) {
		err_named(e, kind_of(kind), has_name ? name : "", "%s", has_text ? text : outcomes[outcome].text);
		return;
	}
	/* What the handler threw names itself ("TypeError"); our name for it is HandlerFailed. */
	if (outcome == OUTCOME_ERROR && has_name && has_text && strcmp(name, "HandlerFailed") != 0 &&
	    strncmp(text, name, strlen(name)) != 0) {
		err_named(e, outcomes[outcome].kind, outcomes[outcome].name, "%s: %s", name, text);
		return;
	}
	err_named(e, outcomes[as].kind, outcomes[as].name, "%s", has_text ? text : outcomes[as].text);
}

void
failure_body(const struct err *e, struct buf *out)
{
	buf_str(out, "{\"error\":");
	buf_json_str(out, err_name(e));
	buf_str(out, ",\"message\":");
	buf_json_str(out, e->text);
	buf_str(out, "}\n");
}
