#include "fcgi/html.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/buf.h"
#include "lib/utf8.h"

/* How many bytes stand for themselves. */
static size_t
plain(const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if ((unsigned char)s[i] < ' ' || (unsigned char)s[i] >= 0x7f || strchr("<>&\"'", s[i]) != NULL)
			break;
	return i;
}

static void
one(struct buf *b, const char *s, size_t n, size_t *i)
{
	unsigned char c = (unsigned char)s[*i];
	size_t len = c >= 0x80 ? utf8_next(s + *i, n - *i) : 1;

	/* U+0080 to U+009F are controls too. */
	if (len == 0 || c == 0x7f || (c < ' ' && c != '\t' && c != '\n') || (len == 2 && c == 0xc2 && (unsigned char)s[*i + 1] < 0xa0)) {
		buf_str(b, "\xef\xbf\xbd");
		*i += len > 0 ? len : 1;
		return;
	}
	if (c >= 0x80 || c < ' ')
		buf_add(b, s + *i, len);
	else
		buf_fmt(b, "&#%d;", c);
	*i += len;
}

void
html_bytes(struct buf *b, const char *s, size_t n)
{
	size_t i = 0;

	while (i < n) {
		size_t run = plain(s + i, n - i);

		buf_add(b, s + i, run);
		i += run;
		if (i < n)
			one(b, s, n, &i);
	}
}

void
html_text(struct buf *b, const char *s)
{
	if (s != NULL)
		html_bytes(b, s, strlen(s));
}

void
html(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	for (;;) {
		size_t n = strcspn(fmt, "%");

		buf_add(b, fmt, n);
		fmt += n;
		if (*fmt == '\0')
			break;
		if (strncmp(fmt, "%lld", 4) == 0) {
			buf_fmt(b, "%lld", va_arg(ap, long long));
			fmt += 4;
		} else if (strncmp(fmt, "%zu", 3) == 0) {
			buf_fmt(b, "%zu", va_arg(ap, size_t));
			fmt += 3;
		} else {
			if (fmt[1] == 's')
				html_text(b, va_arg(ap, const char *));
			else if (fmt[1] == 'd')
				buf_fmt(b, "%d", va_arg(ap, int));
			else
				buf_char(b, '%');
			fmt += fmt[1] != '\0' ? 2 : 1;
		}
	}
	va_end(ap);
}

void
html_count(struct buf *b, int64_t n)
{
	char digits[24];
	int len = snprintf(digits, sizeof digits, "%lld", (long long)n), i;

	for (i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0 && digits[i - 1] != '-')
			buf_char(b, ',');
		buf_char(b, digits[i]);
	}
}

void
html_ms(struct buf *b, int64_t ms)
{
	static const struct {
		int64_t below, unit;
		const char *word;
	} units[] = { { 1000, 1, "ms" }, { 120000, 1000, "s" }, { 7200000, 60000, "min" }, { 172800000, 3600000, "h" },
		{ INT64_MAX, 86400000, "d" } };
	size_t i = 0;

	if (ms < 0)
		ms = 0;
	while (ms >= units[i].below)
		i++;
	if (i > 0 && ms < 10 * units[i].unit)
		buf_fmt(b, "%lld.%lld", (long long)(ms / units[i].unit), (long long)(ms % units[i].unit * 10 / units[i].unit));
	else
		buf_fmt(b, "%lld", (long long)(ms / units[i].unit));
	buf_fmt(b, "\xc2\xa0%s", units[i].word);
}

void
html_time(struct buf *b, int64_t at)
{
	time_t s = (time_t)(at / 1000);
	struct tm tm;
	char text[40], machine[40];

	if (at == 0 || gmtime_r(&s, &tm) == NULL) {
		buf_str(b, "\xe2\x80\x93");
		return;
	}
	strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &tm);
	strftime(machine, sizeof machine, "%Y-%m-%dT%H:%M:%SZ", &tm);
	buf_fmt(b, "<time datetime=\"%s\">%s</time>", machine, text);
}

void
html_url(struct buf *b, const char *s)
{
	static const char kept[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:";

	for (; *s != '\0'; s++) {
		if (strchr(kept, *s) != NULL)
			buf_char(b, *s);
		else
			buf_fmt(b, "%%%02X", (unsigned char)*s);
	}
}
