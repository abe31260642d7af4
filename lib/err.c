#include "lib/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *word, *xrpc;
} kinds[ERR_KIND_COUNT] = {
	[ERR_NONE] = { "none", "InternalServerError" },
	[ERR_INPUT] = { "input", "InvalidRequest" },
	[ERR_DENIED] = { "denied", "Forbidden" },
	[ERR_NOTFOUND] = { "notfound", "NotFound" },
	[ERR_BUSY] = { "busy", "NotEnoughResources" },
	[ERR_REMOTE] = { "remote", "UpstreamFailure" },
	[ERR_TIMEOUT] = { "timeout", "UpstreamTimeout" },
	[ERR_INTERNAL] = { "internal", "InternalServerError" },
};

static void
fill(struct err *e, enum err_kind kind, const char *name, const char *fmt, va_list ap)
{
	if (e == NULL)
		return;
	e->kind = kind;
	snprintf(e->name, sizeof e->name, "%s", name);
	vsnprintf(e->text, sizeof e->text, fmt, ap);
}

int
err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(e, kind, "", fmt, ap);
	va_end(ap);
	return -1;
}

int
err_named(struct err *e, enum err_kind kind, const char *name, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(e, kind, name, fmt, ap);
	va_end(ap);
	return -1;
}

bool
err_is_full(const struct err *e)
{
	return e->kind == ERR_BUSY && strcmp(e->name, ERR_DISK_FULL) == 0;
}

int
err_errno(struct err *e, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	va_start(ap, fmt);
	if (saved == ENOSPC || saved == EDQUOT)
		fill(e, ERR_BUSY, ERR_DISK_FULL, fmt, ap);
	else
		fill(e, ERR_INTERNAL, "", fmt, ap);
	va_end(ap);
	if (e != NULL) {
		size_t n = strlen(e->text);
		snprintf(e->text + n, sizeof e->text - n, ": %s", strerror(saved));
	}
	return -1;
}

int
err_wrap(struct err *e, const char *fmt, ...)
{
	char inner[sizeof e->text];
	va_list ap;
	size_t n, rest;

	if (e == NULL)
		return -1;
	memcpy(inner, e->text, sizeof inner);
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof e->text, fmt, ap);
	va_end(ap);
	n = strlen(e->text);
	if (n + 3 > sizeof e->text)
		return -1;
	memcpy(e->text + n, ": ", 3);
	n += 2;
	rest = sizeof e->text - n - 1;
	if (strlen(inner) < rest)
		rest = strlen(inner);
	memcpy(e->text + n, inner, rest);
	e->text[n + rest] = '\0';
	return -1;
}

const char *
err_kind_name(enum err_kind kind)
{
	return kinds[kind].word;
}

const char *
err_name(const struct err *e)
{
	return e->name[0] != '\0' ? e->name : kinds[e->kind].xrpc;
}
