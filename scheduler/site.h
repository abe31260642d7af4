/*
 * The directory of an instance, HOME/run/i/N: what lies in it before the bundle comes.
 */
#ifndef SCHEDULER_SITE_H
#define SCHEDULER_SITE_H

#include <stdbool.h>

struct err;

int site_make(const char *dir, struct err *e);
/* What it needs without a wall that keeps files apart: tmp/ and package.json. */
int site_furnish(const char *dir, struct err *e);
/*
 * A listening unix socket in the directory, non-blocking; -1 and e.  By way of the directory's descriptor: a home's path may
 * be longer than a socket's may be.
 */
int site_listen(const char *dir, const char *name, int backlog, struct err *e);
/*
 * For an instance whose user id inside its wall is another than ours (plan.foreign): what is in the directory can be read and
 * its sockets connected to.  Outside, run/i keeps everybody off.
 */
int site_open(const char *dir, bool gate, struct err *e);

#endif
