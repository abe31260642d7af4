#include "fcgi/path.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/syntax.h"
#include "lib/utf8.h"

static int
bad(struct err *e, const char *why)
{
	return err_named(e, ERR_INPUT, "InvalidPath", "%s", why);
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 32;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes n bytes of path into to (at least n + 1 bytes); the length, or -1. */
static long
decode(const char *p, size_t n, char *to, struct err *e)
{
	size_t i, len = 0;
	int c;

	for (i = 0; i < n; i++) {
		if ((unsigned char)p[i] <= ' ' || p[i] == 0x7f || p[i] == '#')
			return bad(e, "the path has a character that must be percent-encoded");
		if (p[i] != '%') {
			to[len++] = p[i];
			continue;
		}
		if (n - i < 3 || hex(p[i + 1]) < 0 || hex(p[i + 2]) < 0)
			return bad(e, "the path has a '%' that is not followed by two hex digits");
		c = hex(p[i + 1]) * 16 + hex(p[i + 2]);
		if (c < ' ' || c == 0x7f)
			return bad(e, "the path has an encoded control character");
		if (c == '/' || c == '\\' || c == '.')
			return bad(e, "the path has an encoded '/', '\\' or '.'");
		to[len++] = (char)c;
		i += 2;
	}
	to[len] = '\0';
	if (!utf8_valid(to, len))
		return bad(e, "the path is not UTF-8");
	return (long)len;
}

/* Dot segments and empty ones; an empty last segment ("/app/") only where allowed. */
static int
check_segments(const char *p, struct err *e)
{
	while (*p == '/') {
		size_t n = strcspn(p + 1, "/");

		if (n == 0 && p[1] == '/')
			return bad(e, "the path has an empty segment");
		if ((n == 1 && p[1] == '.') || (n == 2 && p[1] == '.' && p[2] == '.'))
			return bad(e, "the path has a '.' or '..' segment");
		p += 1 + n;
	}
	return 0;
}

int
path_check_rest(const char *rest, struct err *e)
{
	const unsigned char *c;

	if (rest[0] != '\0' && rest[0] != '/')
		return bad(e, "path must begin with '/'");
	for (c = (const unsigned char *)rest; *c != '\0'; c++)
		if (*c < ' ' || *c == 0x7f || *c == '\\')
			return bad(e, "path has a control character or a backslash");
	if (!utf8_valid(rest, strlen(rest)))
		return bad(e, "path is not UTF-8");
	return check_segments(rest, e);
}

static void
split(struct path *p)
{
	char *at = p->text;

	while (*at == '/') {
		if (p->n == PATH_FIXED) {
			p->rest = mem_str(at);
			break;
		}
		if (p->n > 0)
			*at = '\0';
		p->seg[p->n++] = ++at;
		at += strcspn(at, "/");
	}
	if (p->rest == NULL)
		p->rest = mem_str("");
	else
		*at = '\0';
}

int
path_parse(const char *uri, const char *base, size_t max, struct path *p, struct err *e)
{
	size_t n = strcspn(uri, "?"), cut = base != NULL ? strlen(base) : 0;
	char size[32];

	if (strlen(uri) > max) {
		conf_size_print((int64_t)max, size);
		return err_named(e, ERR_INPUT, "UriTooLong", "the URL is longer than limits.url = %s", size);
	}
	if (uri[0] != '/')
		return bad(e, "the request target must be a path that begins with '/'");
	if (cut > 0 && (n != strlen(PATH_DID) || memcmp(uri, PATH_DID, n) != 0)) {
		if (n < cut || memcmp(uri, base, cut) != 0 || (n > cut && uri[cut] != '/'))
			return err_named(e, ERR_NOTFOUND, "NotFound", "nothing is served outside of web.base_path");
		uri += cut;
		n -= cut;
	}
	p->query = uri[n] == '?' ? uri + n + 1 : "";
	p->text = mem_alloc(n + 2);
	if (n == 0)
		memcpy(p->text, "/", 2);
	else if (decode(uri, n, p->text, e) < 0)
		return -1;
	if (check_segments(p->text, e) != 0)
		return -1;
	split(p);
	return 0;
}

void
path_clear(struct path *p)
{
	free(p->text);
	free(p->rest);
	*p = (struct path)PATH_INIT;
}

/* --- queries --- */

/* One "name=value" of the query: the next one begins at *at. */
static bool
next_pair(const char **at, const char **pair, size_t *n, size_t *name)
{
	while (**at == '&')
		(*at)++;
	if (**at == '\0')
		return false;
	*pair = *at;
	*n = strcspn(*at, "&");
	for (*name = 0; *name < *n && (*pair)[*name] != '='; (*name)++)
		;
	*at += *n;
	return true;
}

static bool
is_one_of(const char *const *names, const char *p, size_t n)
{
	for (; *names != NULL; names++)
		if (strlen(*names) == n && memcmp(*names, p, n) == 0)
			return true;
	return false;
}

bool
path_param(const char *query, const char *name, struct buf *out)
{
	const char *pair, *const names[] = { name, NULL };
	size_t n, len, i;

	while (next_pair(&query, &pair, &n, &len)) {
		if (!is_one_of(names, pair, len))
			continue;
		buf_reset(out);
		buf_add(out, "", 0);
		for (i = len + 1; i < n; i++) {
			int a = i + 2 < n ? hex(pair[i + 1]) : -1;
			int b = i + 2 < n ? hex(pair[i + 2]) : -1;

			if (pair[i] == '%' && a >= 0 && b >= 0) {
				/* NUL would cut the string that is checked from the one that is meant. */
				buf_char(out, a * 16 + b == 0 ? 1 : (char)(a * 16 + b));
				i += 2;
			} else {
				buf_char(out, pair[i] == '+' ? ' ' : pair[i]);
			}
		}
		return true;
	}
	return false;
}

void
path_query_without(const char *query, const char *const *names, struct buf *out)
{
	const char *pair;
	size_t n, len;

	buf_add(out, "", 0);
	while (next_pair(&query, &pair, &n, &len)) {
		if (is_one_of(names, pair, len))
			continue;
		if (out->len > 0)
			buf_char(out, '&');
		buf_add(out, pair, n);
	}
}

/* --- what is called --- */

static int
check_author(const char *s, bool dev, struct err *e)
{
	size_t n = strlen(s);

	if (dev && strcmp(s, "local") == 0)
		return 0;
	if (strncmp(s, "did:", 4) == 0) {
		if (!syntax_did(s, n))
			return err_named(e, ERR_INPUT, "InvalidDid", "the author is not a DID");
		if (syntax_did_known(s, n, dev))
			return 0;
		if (strncmp(s, "did:plc:", 8) == 0 || strncmp(s, "did:web:", 8) == 0)
			return err_named(e, ERR_INPUT, "InvalidDid", "the author is not a valid did:plc or did:web");
		return err_named(e, ERR_INPUT, "UnsupportedDidMethod", "only did:plc and did:web can be authors");
	}
	if (!syntax_handle(s, n))
		return err_named(e, ERR_INPUT, "InvalidHandle", "the author is neither a DID nor a handle");
	if (!syntax_handle_public(s, n, dev))
		return err_named(e, ERR_INPUT, "InvalidHandle", "handles of this top-level domain cannot be looked up");
	return 0;
}

int
target_check(const struct target *t, bool dev, struct err *e)
{
	const struct {
		const char *what, *value, *name;
		bool (*ok)(const char *, size_t);
	} parts[] = {
		{ "bundle", t->bundle, "InvalidBundleName", syntax_bundle_name },
		{ "version", t->version, "InvalidVersion", syntax_version },
		{ "endpoint", t->endpoint, "InvalidEndpoint", syntax_endpoint },
	};
	size_t i;

	if (t->author == NULL || t->author[0] == '\0')
		return err_set(e, ERR_INPUT, "author is missing");
	if (check_author(t->author, dev, e) != 0)
		return -1;
	for (i = 0; i < sizeof parts / sizeof *parts; i++) {
		if (parts[i].value == NULL || parts[i].value[0] == '\0')
			return err_set(e, ERR_INPUT, "%s is missing", parts[i].what);
		if (!parts[i].ok(parts[i].value, strlen(parts[i].value)))
			return err_named(e, ERR_INPUT, parts[i].name, "this is no name of a%s %s",
			    parts[i].what[0] == 'e' ? "n" : "", parts[i].what);
	}
	return path_check_rest(t->rest, e);
}

void
target_clear(struct target *t)
{
	free(t->author);
	free(t->bundle);
	free(t->version);
	free(t->endpoint);
	free(t->rest);
	free(t->query);
	*t = (struct target){ NULL, NULL, NULL, NULL, NULL, NULL };
}
