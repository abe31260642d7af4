/*
 * Standard output or error of an instance: bytes become lines, each as long as limits.log_line at the most.
 */
#ifndef SCHEDULER_VOICE_H
#define SCHEDULER_VOICE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/buf.h"

struct voice;
typedef void voice_line_fn(void *arg, const struct voice *v, const char *text, size_t n);

struct voice {
	const char *source; /* "stdout", "stderr" */
	int fd;             /* -1: closed */
	size_t line_max;
	voice_line_fn *fn;
	void *arg;
	struct buf line;
	bool skips;         /* the rest of a line that was too long */
};

/* Watches the descriptor, which it then owns. */
void voice_open(struct voice *v, const char *source, int fd, size_t line_max, voice_line_fn *fn, void *arg);
/* Reads what is there, within reason. */
void voice_drain(struct voice *v);
/* The last line, if it is not empty, counts.  Twice is fine. */
void voice_close(struct voice *v);

#endif
