/*
 * Files of ours with holes: web server snippets, units of systemd.  "@NAME@" becomes a value; a line that begins with
 * "@NAME?@" stands only where the value is not empty, one with "@NAME!@" only where it is.
 */
#ifndef CLI_TEMPLATE_H
#define CLI_TEMPLATE_H

#include <stdbool.h>

struct buf;
struct err;

struct template_var {
	const char *name, *value;
};

/* Fills text's holes into out; vars ends with a NULL name.  A hole that nobody knows is an error of ours. */
int template_fill(const char *text, const struct template_var *vars, struct buf *out, struct err *e);
/* The same with a file of contrib/, by its name there. */
int template_load(const char *name, const struct template_var *vars, struct buf *out, struct err *e);
/* Whether s reads the same in every file that is filled here: no spaces, quotes or other signs with a meaning. */
bool template_plain(const char *s);

#endif
