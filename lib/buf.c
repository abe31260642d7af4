#include "lib/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/utf8.h"

#define ROOM_FIRST 128

void
buf_clear(struct buf *b)
{
	free(b->data);
	*b = (struct buf)BUF_INIT;
}

void
buf_reset(struct buf *b)
{
	b->len = 0;
	if (b->data != NULL)
		b->data[0] = '\0';
}

char *
buf_room(struct buf *b, size_t n)
{
	if (n > SIZE_MAX / 4 - b->len)
		abort();
	if (b->room < b->len + n + 1) {
		size_t want = b->room < ROOM_FIRST ? ROOM_FIRST : b->room * 2;
		while (want < b->len + n + 1)
			want *= 2;
		b->data = mem_grow(b->data, want);
		b->room = want;
	}
	return b->data + b->len;
}

void
buf_add(struct buf *b, const void *p, size_t n)
{
	char *to = buf_room(b, n);

	if (n > 0)
		memcpy(to, p, n);
	b->len += n;
	b->data[b->len] = '\0';
}

void
buf_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void
buf_char(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void
buf_fmt(struct buf *b, const char *fmt, ...)
{
	char *to = buf_room(b, 0); /* mostly it fits into what is there */
	size_t room = b->room - b->len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(to, room, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	if ((size_t)n >= room) {
		to = buf_room(b, (size_t)n);
		va_start(ap, fmt);
		vsnprintf(to, (size_t)n + 1, fmt, ap);
		va_end(ap);
	}
	b->len += (size_t)n;
}

void
buf_drop(struct buf *b, size_t n)
{
	if (n >= b->len) {
		buf_reset(b);
		return;
	}
	memmove(b->data, b->data + n, b->len - n + 1);
	b->len -= n;
}

char *
buf_take(struct buf *b)
{
	char *p;

	buf_room(b, 0);
	b->data[b->len] = '\0';
	p = b->data;
	*b = (struct buf)BUF_INIT;
	return p;
}

/* How many bytes from here on stand in JSON as they are, one by one. */
static size_t
plain(const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n && s[i] >= ' ' && s[i] < 0x7f && s[i] != '"' && s[i] != '\\'; i++)
		;
	return i;
}

void
buf_json(struct buf *b, const char *s, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	size_t i = 0;

	buf_char(b, '"');
	while (i < n) {
		size_t len = plain(s + i, n - i);
		unsigned char c;

		if (len > 0) {
			buf_add(b, s + i, len);
			i += len;
			continue;
		}
		c = (unsigned char)s[i];
		len = utf8_next(s + i, n - i);
		if (len == 0) {
			buf_str(b, "\xEF\xBF\xBD");
			i++;
		} else if (c == '"' || c == '\\') {
			buf_char(b, '\\');
			buf_char(b, (char)c);
			i++;
		} else if (c == '\n') {
			buf_str(b, "\\n");
			i++;
		} else if (c < 0x20 || c == 0x7f) {
			char esc[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
			buf_add(b, esc, 6);
			i++;
		} else {
			buf_add(b, s + i, len);
			i += len;
		}
	}
	buf_char(b, '"');
}

void
buf_json_str(struct buf *b, const char *s)
{
	if (s == NULL)
		buf_str(b, "null");
	else
		buf_json(b, s, strlen(s));
}
