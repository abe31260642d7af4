/*
 * HTML, a piece at a time.  Whatever is put in by a format is escaped; what stands in the format itself is ours.
 */
#ifndef FCGI_HTML_H
#define FCGI_HTML_H

#include <stddef.h>
#include <stdint.h>

struct buf;

/* Appends text: markup becomes references, what is not UTF-8 and control bytes become U+FFFD (tab and newline stay).  Also good
 * inside a quoted attribute.  NULL is nothing. */
void html_text(struct buf *b, const char *s);
void html_bytes(struct buf *b, const char *s, size_t n);

/* Appends the format: %s is escaped text, %d, %lld, %zu are numbers, %% is a percent sign; nothing else is known. */
void html(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "12,345"; "1.2 s", "87 ms"; "3 min", "2 h", "5 d". */
void html_count(struct buf *b, int64_t n);
void html_ms(struct buf *b, int64_t ms);
/* <time> of a unix time in ms, as 2026-01-01 12:00:00 UTC; a dash for 0. */
void html_time(struct buf *b, int64_t at);
/* Percent-encodes into a query or a path segment. */
void html_url(struct buf *b, const char *s);

#endif
