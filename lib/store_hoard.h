/*
 * How much history there is, whose it is, and less of it, in steps: the workshop walks over jobs and lines of the log.
 */
#ifndef LIB_STORE_HOARD_H
#define LIB_STORE_HOARD_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct store;

struct work_size {
	int64_t row, bytes;
	const char *author; /* DID, or as the URL said it; borrowed for the call */
	bool done;
};
/* Tells fn of the next jobs after a row, max of them at most.  How many; -1. */
int work_sizes(struct store *s, int64_t after, int max, void (*fn)(void *arg, const struct work_size *w), void *arg,
    struct err *e);
/* Takes something of a job that is done away, and at last itself.  1: there is more of it; 0: it is gone; -1. */
int work_shed(struct store *s, int64_t row, struct err *e);

/* Bytes of the next lines after a line, max of them at most; *last: the last of these.  1; 0: there is none; -1. */
int work_log_sizes(struct store *s, int64_t after, int max, int64_t *last, int64_t *bytes, struct err *e);
/* The oldest lines go, up to this one. */
int work_log_drop(struct store *s, int64_t to, struct err *e);

#endif
