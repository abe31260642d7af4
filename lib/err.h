/*
 * What went wrong, in a buffer the caller owns: nothing to allocate, nothing to leak.
 *
 * A function that can fail takes a struct err * last and returns -1 or NULL.  On success the
 * struct is left untouched.  e may be NULL when the caller does not care.
 */
#ifndef LIB_ERR_H
#define LIB_ERR_H

#include <stdbool.h>

/* Few kinds; one table in fcgi/request.c makes them HTTP statuses, one in
 * scheduler/collect.c makes them job outcomes. */
enum err_kind {
	ERR_NONE,
	ERR_INPUT,    /* the one who asked sent nonsense */
	ERR_DENIED,   /* understood, and not allowed */
	ERR_NOTFOUND, /* no such thing */
	ERR_BUSY,     /* a limit or a queue is full; later may work */
	ERR_REMOTE,   /* another server failed or lied */
	ERR_TIMEOUT,  /* a deadline passed */
	ERR_INTERNAL, /* our own fault or the machine's */
	ERR_KIND_COUNT
};

struct err {
	enum err_kind kind;
	char name[40]; /* XRPC error name such as "RecordNotFound"; "" means the kind's own */
	char text[512];
};

#define ERR_INIT { ERR_NONE, "", "" }

/* Sets kind and text; always returns -1 so that a failure is one line. */
int err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with an XRPC error name (DESIGN 5): err_named(e, ERR_NOTFOUND, "BundleNotFound", ...). */
int err_named(struct err *e, enum err_kind kind, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The name of errors whose reason is that a disk or a quota is full; their kind is ERR_BUSY. */
#define ERR_DISK_FULL "DiskFull"

/* As err_set with ERR_INTERNAL (a full disk: ERR_BUSY, ERR_DISK_FULL), and strerror(errno) appended. */
int err_errno(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool err_is_full(const struct err *e);
/* Puts "what we were doing: " before the text; keeps kind and name.  Always -1. */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "input", "denied", ...: for logs and rows. */
const char *err_kind_name(enum err_kind kind);
/* The XRPC error name: e->name, or the default of the kind (B.5 of the AT Protocol facts). */
const char *err_name(const struct err *e);

#endif
