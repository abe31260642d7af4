/*
 * What walls have in common: lists, a runtime's permission flags, the command of the gate.
 */
#ifndef BACKENDS_PARTS_H
#define BACKENDS_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/conf.h"

struct buf;
struct err;
struct plan;
struct runtime;

void parts_add(struct conf_list *l, char *s /* taken over */);
void parts_clear(struct conf_list *l);
/* The items with commas between. */
void parts_join(struct buf *out, const struct conf_list *l);
/* The runtime's flag for a permission, "--allow-net={}", or NULL. */
const char *parts_flag(const struct runtime *r, const char *name);
/* "--allow-net={}" with the values; without values no flag at all, and with "*" the bare flag: everything. */
void parts_add_flag(struct conf_list *argv, const char *flag, const char *values);
/* The flag of a permission with our own values (or NULL) and those that the bundle asks for (or NULL). */
void parts_add_permission(struct conf_list *argv, const struct runtime *r, const char *name, const char *own,
    const struct conf_list *asked);
/* A definition's flag with {dir}, {executor} and {memory} filled in; allocated. */
char *parts_fill_flag(const struct conf *c, const char *dir, const char *executor_dir, const char *flag);
/* A bound of the process; 0 is none, but for core files. */
void parts_limit(struct plan *p, int resource, int64_t value);

/* 0 when the runtime's program is installed on this host. */
int parts_fits_host(const struct conf *c, const struct runtime *r, struct err *e);
/* A wall whose instances leave nothing outside of their directories. */
int parts_sweep_nothing(const struct conf *c, struct err *e);
/* The instance's environment as every wall with files of its own gives it: NAME, value; NULL past the end. */
const char *const *parts_env(size_t i);

/*
 * The way out (plan.gate).  The program on the host, allocated; NULL and ERR_NOTFOUND when it is not there.  Static, so that it
 * runs wherever a wall shows it.
 */
char *parts_gate(struct err *e);
/*
 * What stands before the runtime's command: gate is the program as seen inside, dir the instance's directory there, filter a
 * file there with what seccomp_filter_fd holds (NULL: the wall filters itself), write the paths that are writable there
 * beside /tmp.  The gate gives the command its limits, no capabilities, Landlock and the filter.
 */
void parts_gate_command(const struct conf *c, struct conf_list *argv, const char *gate, const char *dir, const char *filter,
    const struct conf_list *write);

#endif
