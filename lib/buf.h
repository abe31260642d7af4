/*
 * A growing run of bytes.  data is always NUL-terminated at data[len] once anything was added, and
 * NULL before.  Zero-initialised (BUF_INIT) is a valid empty buffer.
 */
#ifndef LIB_BUF_H
#define LIB_BUF_H

#include <stddef.h>

struct buf {
	char *data;
	size_t len, room;
};

#define BUF_INIT { NULL, 0, 0 }

void buf_clear(struct buf *b);              /* frees; the buffer is empty and usable again */
void buf_reset(struct buf *b);              /* len = 0, keeps the room */
void buf_add(struct buf *b, const void *p, size_t n);
void buf_str(struct buf *b, const char *s);
void buf_char(struct buf *b, char c);
void buf_fmt(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Makes room for n more bytes and returns where they go; the caller then adds to len. */
char *buf_room(struct buf *b, size_t n);
/* Drops the first n bytes. */
void buf_drop(struct buf *b, size_t n);
/* Hands the bytes over (never NULL); the buffer is empty afterwards. */
char *buf_take(struct buf *b);
/* Appends s as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void buf_json(struct buf *b, const char *s, size_t n);
void buf_json_str(struct buf *b, const char *s); /* NULL becomes null */

#endif
