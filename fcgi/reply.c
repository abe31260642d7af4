#include "fcgi/reply.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "lib/jwt.h"

void
reply_clear(struct reply *r)
{
	buf_clear(&r->head);
	buf_clear(&r->body);
	*r = (struct reply)REPLY_INIT;
}

static bool
token(const char *s)
{
	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++)
		if (*s != '-' && !isalnum((unsigned char)*s) && strchr("!#$%&'*+.^_`|~", *s) == NULL)
			return false;
	return true;
}

static bool
field(const char *s)
{
	for (; *s != '\0'; s++)
		if (((unsigned char)*s < ' ' && *s != '\t') || *s == 0x7f)
			return false;
	return true;
}

void
reply_header(struct reply *r, const char *name, const char *value)
{
	if (!token(name) || !field(value))
		return;
	buf_str(&r->head, name);
	buf_add(&r->head, ": ", 2);
	buf_str(&r->head, value);
	buf_add(&r->head, "\r\n", 2);
}

void
reply_type(struct reply *r, const char *content_type)
{
	reply_header(r, "Content-Type", content_type);
	reply_header(r, "Cache-Control", "no-store");
	reply_header(r, "X-Content-Type-Options", "nosniff");
}

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
reply_status(enum err_kind kind, const char *name)
{
	size_t i;

	for (i = 0; name != NULL && i < sizeof by_name / sizeof *by_name; i++)
		if (strcmp(name, by_name[i].name) == 0)
			return by_name[i].status;
	if (name != NULL && jwt_meaning(name) != NULL)
		return 401; /* tokens */
	return kind < ERR_KIND_COUNT ? by_kind[kind] : 500;
}

static const struct {
	int status;
	const char *text;
} reasons[] = {
	{ 200, "OK" }, { 201, "Created" }, { 202, "Accepted" }, { 203, "Non-Authoritative Information" },
	{ 204, "No Content" }, { 205, "Reset Content" }, { 206, "Partial Content" },
	{ 300, "Multiple Choices" }, { 301, "Moved Permanently" }, { 302, "Found" }, { 303, "See Other" },
	{ 304, "Not Modified" }, { 307, "Temporary Redirect" }, { 308, "Permanent Redirect" },
	{ 400, "Bad Request" }, { 401, "Unauthorized" }, { 402, "Payment Required" }, { 403, "Forbidden" },
	{ 404, "Not Found" }, { 405, "Method Not Allowed" }, { 406, "Not Acceptable" },
	{ 408, "Request Timeout" }, { 409, "Conflict" }, { 410, "Gone" }, { 411, "Length Required" },
	{ 412, "Precondition Failed" }, { 413, "Content Too Large" }, { 414, "URI Too Long" },
	{ 415, "Unsupported Media Type" }, { 416, "Range Not Satisfiable" }, { 418, "I'm a teapot" },
	{ 422, "Unprocessable Content" }, { 425, "Too Early" }, { 426, "Upgrade Required" },
	{ 428, "Precondition Required" }, { 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" }, { 451, "Unavailable For Legal Reasons" },
	{ 500, "Internal Server Error" }, { 501, "Not Implemented" }, { 502, "Bad Gateway" },
	{ 503, "Service Unavailable" }, { 504, "Gateway Timeout" }, { 507, "Insufficient Storage" },
};

const char *
reply_reason(int status)
{
	static const char *const classes[] = { "Success", "Redirection", "Client Error", "Server Error" };
	size_t i;

	for (i = 0; i < sizeof reasons / sizeof *reasons; i++)
		if (reasons[i].status == status)
			return reasons[i].text;
	return status >= 200 && status <= 599 ? classes[status / 100 - 2] : "Unknown";
}

void
reply_error(struct reply *r, const struct err *e)
{
	char wait[24];

	r->status = reply_status(e->kind, err_name(e));
	r->borrowed = NULL;
	r->has_length = r->stream = false;
	buf_reset(&r->body);
	buf_str(&r->body, "{\"error\":");
	buf_json_str(&r->body, err_name(e));
	buf_str(&r->body, ",\"message\":");
	buf_json_str(&r->body, e->text);
	buf_str(&r->body, "}\n");
	reply_type(r, "application/json");
	if (r->status == 429 || r->status == 503) {
		snprintf(wait, sizeof wait, "%lld", r->retry_s > 0 ? (long long)r->retry_s : r->status == 429 ? 1 : 5);
		reply_header(r, "Retry-After", wait);
	}
	if (r->status == 401)
		reply_header(r, "WWW-Authenticate", "Bearer");
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
reply_outcome(enum job_outcome outcome, const char *kind, const char *name, const char *text, struct err *e)
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

size_t
reply_print(const struct reply *r, bool head_only, struct buf *out)
{
	bool bodiless = r->status == 204 || r->status == 205 || r->status == 304;
	size_t n = r->borrowed != NULL ? r->borrowed_bytes : r->body.len;

	buf_fmt(out, "Status: %d %s\r\n", r->status, reply_reason(r->status));
	buf_add(out, r->head.data, r->head.len);
	if (!bodiless && !r->stream && !r->has_length)
		buf_fmt(out, "Content-Length: %zu\r\n", n);
	buf_add(out, "\r\n", 2);
	return bodiless || head_only ? 0 : n;
}
