/*
 * What walls have in common: lists, a runtime's permission flags, what a bundle may ask for.
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

/* ERR_DENIED that names the permission; always -1. */
int parts_not_granted(struct err *e, const char *permission, const char *value, const char *why);
/* own: the bundle's own files too (read). */
int parts_permit_paths(const char *wall, const char *permission, const struct conf_list *l, bool own, struct err *e);
int parts_permit_net(const struct conf_list *l, struct err *e);
int parts_permit_env(const struct conf_list *l, struct err *e);

#endif
