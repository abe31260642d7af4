/*
 * What runs the code: a runtime definition, read from NAME.ini or NAME.nix (DESIGN 7).
 */
#ifndef BACKENDS_RUNTIME_H
#define BACKENDS_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/conf.h"

struct buf;
struct err;

struct runtime {
	char *name;               /* as [runtimes] names it */
	char *file;               /* the definition's path */
	char *dir;                /* where the executor file lies: the definition's directory, or the installed one */
	struct conf_list mime;    /* MIME types it takes, lower case */
	char *command;            /* "deno": found in PATH, or absolute */
	char *program;            /* absolute path of command, NULL when not installed */
	struct conf_list flags;   /* before the executor file */
	char *executor;           /* absolute path of the executor file */
	struct conf_pairs permission_flags; /* "net" → "--allow-net={}" */
	struct conf_list nix, debian, npm;  /* packages of its image; at-rund build */
	struct conf_list prepare; /* commands run in the image at the end of its making */
	bool scripts;             /* the packages' own scripts run too, for which the image gets a whole small Debian */
	int concurrency;          /* calls an instance serves at a time, 1 */
	char *missing;            /* why it cannot run here at all, NULL when it can; walls_new adds its own reasons */
	char *version;            /* filled by the one who asks (runtime_probe), may be NULL */
};

/* Parses one definition.  text of a .nix file is the JSON that nix-instantiate printed (lib/child.h runs it). */
int runtime_parse_ini(struct runtime *r, const char *name, const char *file, const char *text, size_t n, struct err *e);
int runtime_parse_nix_json(struct runtime *r, const char *name, const char *file, const char *json, size_t n,
    struct err *e);

struct runtimes {
	struct runtime *item;
	size_t n;
};

/*
 * Loads every runtime of the config.  A relative definition file lies in conf->runtimes_dir.  A definition that
 * cannot be read or evaluated stays in the list with `missing` set, so that `runtime list` can say so; two runtimes
 * that claim one MIME type are an error.  probe: also ask each command for its version (--version), side by side.
 */
int runtimes_load(struct runtimes *rs, const struct conf *c, bool probe, struct err *e);
void runtimes_clear(struct runtimes *rs);
/* The runtime for a MIME type ("application/javascript+deno; charset=utf-8" loses its parameters), or NULL. */
const struct runtime *runtimes_find(const struct runtimes *rs, const char *mime);
/* Path of a file that came with at-rund, NAME/FILE ("deno", "deno.nix"), allocated, or NULL. */
char *runtime_shipped(const char *name, const char *file);
const struct runtime *runtimes_named(const struct runtimes *rs, const char *name);

#endif
