#include "fcgi/reply.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "lib/failure.h"

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

	r->status = failure_status(e->kind, err_name(e));
	r->borrowed = NULL;
	r->has_length = r->stream = false;
	buf_reset(&r->body);
	failure_body(e, &r->body);
	reply_type(r, "application/json");
	if (r->status == 429 || r->status == 503) {
		snprintf(wait, sizeof wait, "%lld", r->retry_s > 0 ? (long long)r->retry_s : r->status == 429 ? 1 : 5);
		reply_header(r, "Retry-After", wait);
	}
	if (r->status == 401)
		reply_header(r, "WWW-Authenticate", "Bearer");
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
