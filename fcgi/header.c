/*
 * Two filters.  In: what speaks of the connection to the web server stays with it (RFC 9110 7.6.1); "Proxy" would become
 * HTTP_PROXY in a CGI-like handler (httpoxy); cookies stay out while all bundles share one origin; a caller's token, and where
 * their answer is told, are for us.  Out: the same, and
 * everything a web server obeys instead of passing on, because a bundle is a stranger: X-Sendfile and its kin would serve
 * files of the host, "Status" would be a second status, "Location" on a 200 is an internal redirect in Apache.
 */
#include "fcgi/header.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fcgi/reply.h"
#include "fcgi/token.h"
#include "lib/buf.h"
#include "lib/trace.h"

static bool
in_list(const char *const *list, const char *name, size_t n)
{
	for (; *list != NULL; list++) {
		size_t len;
		bool prefix;

		if (((*list)[0] | 32) != (name[0] | 32))
			continue;
		len = strlen(*list);
		prefix = (*list)[len - 1] == '*';
		if (prefix ? n >= len - 1 && strncasecmp(*list, name, len - 1) == 0 :
			     n == len && strncasecmp(*list, name, n) == 0)
			return true;
	}
	return false;
}

static const char *const never_in[] = { "proxy", "connection", "keep-alive", "transfer-encoding", "te", "trailer",
	"upgrade", "proxy-*", "http2-settings", "expect", "content-length", "content-type",
	"at-run-callback", NULL };

static const char *const never_out[] = { "connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade",
	"proxy-*", "content-length", "status", "x-sendfile*", "x-accel-*", "x-lighttpd-*", "x-litespeed-*",
	"x-reproxy-*", "at-run-*", "via", NULL };

/* These speak for the whole origin, which all bundles and the runner share. */
static const char *const never_out_shared[] = { "set-cookie", "set-cookie2", "clear-site-data",
	"strict-transport-security", "alt-svc", "service-worker-allowed", "nel", "report-to", NULL };

static void
add_pair(struct buf *json, const char *name, size_t n, const char *value)
{
	buf_str(json, json->len > 1 ? ",[" : "[");
	buf_json(json, name, n);
	buf_char(json, ',');
	buf_json_str(json, value);
	buf_char(json, ']');
}

/* HTTP_USER_AGENT=x → user-agent.  False when the name is not one a header can have. */
static bool
name_of(const char *env, char out[128], size_t *n, const char **value)
{
	size_t i;

	for (i = 0; env[i] != '=' && env[i] != '\0' && i < 127; i++) {
		if (env[i] != '_' && env[i] != '-' && !isalnum((unsigned char)env[i]))
			return false;
		out[i] = env[i] == '_' ? '-' : (char)tolower((unsigned char)env[i]);
	}
	if (i == 0 || env[i] != '=')
		return false;
	*n = i;
	*value = env + i + 1;
	return true;
}

void
header_request(char *const *env, int64_t body_bytes, bool cookies, struct buf *json)
{
	char name[128], number[24];
	const char *value, *state = NULL;
	struct trace trace;
	bool traced = false;
	size_t n;

	buf_char(json, '[');
	for (; *env != NULL; env++) {
		if (strncmp(*env, "CONTENT_TYPE=", 13) == 0) {
			if ((*env)[13] != '\0')
				add_pair(json, "content-type", 12, *env + 13);
		} else if (strncmp(*env, "HTTP_", 5) == 0 && name_of(*env + 5, name, &n, &value) &&
		    !in_list(never_in, name, n) && (cookies || n != 6 || memcmp(name, "cookie", 6) != 0) &&
		    (n != 13 || memcmp(name, "authorization", 13) != 0 || !token_is_ours(value))) {
			/* What is no trace is as if it had not been sent, and the state that belongs to it goes with it. */
			if (n == 11 && memcmp(name, "traceparent", 11) == 0 && (traced || !(traced = trace_parse(value, &trace))))
				continue;
			if (n == 10 && memcmp(name, "tracestate", 10) == 0) {
				state = state == NULL ? value : state;
				continue;
			}
			add_pair(json, name, n, value);
		}
	}
	if (traced && state != NULL)
		add_pair(json, "tracestate", 10, state);
	if (body_bytes >= 0) {
		struct buf b = BUF_INIT;

		buf_fmt(&b, "%lld", (long long)body_bytes);
		memcpy(number, b.data, b.len + 1);
		buf_clear(&b);
		add_pair(json, "content-length", 14, number);
	}
	buf_char(json, ']');
}

bool
header_may_leave(const char *name, size_t n, int status, bool sandbox)
{
	/* Of the runner's own, the scheduler alone puts this one among the handler's (collect.c lets no handler do it). */
	if (n == 14 && strncasecmp(name, "at-run-receipt", n) == 0)
		return true;
	if (in_list(never_out, name, n))
		return false;
	if (sandbox && in_list(never_out_shared, name, n))
		return false;
	/* Apache makes "200 with Location: /x" a request of its own to /x, past every access rule. */
	if (n == 8 && strncasecmp(name, "location", 8) == 0)
		return status == 201 || status == 202 || (status >= 300 && status < 400);
	return true;
}

static void
put_utf8(struct buf *out, unsigned c)
{
	if (c < 0x80) {
		buf_char(out, (char)c);
	} else if (c < 0x800) {
		buf_char(out, (char)(0xc0 | c >> 6));
		buf_char(out, (char)(0x80 | (c & 0x3f)));
	} else {
		buf_char(out, (char)(0xe0 | c >> 12));
		buf_char(out, (char)(0x80 | (c >> 6 & 0x3f)));
		buf_char(out, (char)(0x80 | (c & 0x3f)));
	}
}

static bool
hex4(const char *p, unsigned *out)
{
	int i;

	for (*out = 0, i = 0; i < 4; i++) {
		if (!isxdigit((unsigned char)p[i]))
			return false;
		*out = *out * 16 + (unsigned)(isdigit((unsigned char)p[i]) ? p[i] - '0' : (p[i] | 32) - 'a' + 10);
	}
	return true;
}

/* One JSON string at *p into out.  A small hand parser, since this stands on the way of every warm call and the text
 * is what the scheduler printed. */
static bool
take_string(const char **p, struct buf *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *s = *p, *at;
	unsigned c;

	buf_reset(out);
	buf_add(out, "", 0);
	if (*s++ != '"')
		return false;
	while (*s != '"') {
		if (*s == '\0')
			return false;
		if (*s != '\\') {
			at = s;
			while (*s != '"' && *s != '\\' && *s != '\0')
				s++;
			buf_add(out, at, (size_t)(s - at));
		} else if (s[1] == 'u') {
			if (!hex4(s + 2, &c))
				return false;
			/* NUL and surrogates become a byte no header may hold, so the field is left out. */
			put_utf8(out, c == 0 || (c >= 0xd800 && c < 0xe000) ? 1 : c);
			s += 6;
		} else {
			if (s[1] == '\0' || (at = strchr(from, s[1])) == NULL)
				return false;
			buf_char(out, to[at - from]);
			s += 2;
		}
	}
	*p = s + 1;
	return true;
}

static bool
all_digits(const char *s)
{
	size_t n = strspn(s, "0123456789");

	return n > 0 && n < 16 && s[n] == '\0';
}

bool
header_answer(const char *json, bool sandbox, bool keep_length, struct reply *r)
{
	struct buf name = BUF_INIT, value = BUF_INIT;
	const char *p = json;
	bool ok = false;

	if (p == NULL || *p++ != '[')
		goto out;
	while (*p == '[') {
		p++;
		if (!take_string(&p, &name) || *p++ != ',' || !take_string(&p, &value) || *p++ != ']')
			goto out;
		if (keep_length && strcasecmp(name.data, "content-length") == 0 && all_digits(value.data) &&
		    !r->has_length) {
			reply_header(r, "Content-Length", value.data);
			r->has_length = true;
		} else if (header_may_leave(name.data, name.len, r->status, sandbox)) {
			reply_header(r, name.data, value.data);
		}
		if (*p == ',')
			p++;
	}
	ok = strcmp(p, "]") == 0;
out:
	buf_clear(&name);
	buf_clear(&value);
	return ok;
}

void
header_prefer(const char *value, struct prefer *p)
{
	*p = (struct prefer){ false, -1 };
	while (value != NULL && *value != '\0') {
		size_t n;

		value += strspn(value, " \t,;");
		n = strcspn(value, ",;");
		if (n >= 13 && strncasecmp(value, "respond-async", 13) == 0 &&
		    strspn(value + 13, " \t") == n - 13)
			p->async = true;
		else if (n > 5 && strncasecmp(value, "wait=", 5) == 0 && isdigit((unsigned char)value[5]))
			p->wait_s = (int)strtol(value + 5, NULL, 10) % 100000;
		value += n;
	}
}

bool
header_key(const char *value, char out[HEADER_KEY_MAX + 1])
{
	size_t n = strlen(value), i;
	bool quoted = n >= 2 && value[0] == '"' && value[n - 1] == '"';

	value += quoted;
	n -= quoted ? 2 : 0;
	if (n == 0 || n > HEADER_KEY_MAX)
		return false;
	for (i = 0; i < n; i++)
		if ((unsigned char)value[i] <= ' ' || (unsigned char)value[i] >= 0x7f || value[i] == '"' || value[i] == '\\')
			return false;
	memcpy(out, value, n);
	out[n] = '\0';
	return true;
}

bool
header_host_ok(const char *host)
{
	size_t n = 0;

	if (host == NULL || strlen(host) > 255)
		return false;
	if (host[0] == '[') {
		n = 1 + strspn(host + 1, "0123456789abcdefABCDEF:.");
		if (n < 3 || host[n++] != ']')
			return false;
	} else {
		n = strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
		if (n == 0 || host[0] == '.' || host[0] == '-')
			return false;
	}
	if (host[n] == '\0')
		return true;
	return host[n] == ':' && all_digits(host + n + 1) && strlen(host + n + 1) <= 5;
}

bool
header_method_ok(const char *method)
{
	size_t i;

	for (i = 0; method[i] != '\0'; i++)
		if (i == 16 || (!isalnum((unsigned char)method[i]) && strchr("!#$%&'*+-.^_`|~", method[i]) == NULL))
			return false;
	return i > 0;
}

bool
header_wants_html(const char *accept)
{
	const char *html = accept == NULL ? NULL : strcasestr(accept, "text/html");
	const char *json = accept == NULL ? NULL : strcasestr(accept, "application/json");

	return html != NULL && (json == NULL || html < json);
}
