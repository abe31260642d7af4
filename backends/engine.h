/*
 * A container engine by its command line: Podman or Docker.  Which one, which OCI runtime and whether it can set limits
 * is found by trying (container.c); here is how one speaks to it.
 */
#ifndef BACKENDS_ENGINE_H
#define BACKENDS_ENGINE_H

#include <stdbool.h>

#include "lib/conf.h"

struct buf;
struct err;

struct engine {
	char *program;  /* absolute path */
	bool docker;
	bool rootless;  /* podman of an ordinary user */
	char *runtime;  /* OCI runtime: a path for podman, a name for docker; NULL: the engine's own choice */
	bool cgroups;   /* memory and processes can be limited by it */
};

/* The engine that the config names, or the first one installed.  ERR_NOTFOUND: none, and what to install. */
int engine_find(const struct conf *c, struct engine *x, struct err *e);
void engine_clear(struct engine *x);
/* "podman" or "docker". */
const char *engine_name(const struct engine *x);
/* Is its OCI runtime runsc, gVisor's? */
bool engine_is_gvisor(const struct engine *x);
/* Its program and the options that stand before the command. */
void engine_argv(const struct engine *x, struct conf_list *argv);
/* All that it finds in its environment: paths of its own, nothing that an image could ask for (CVE-2026-57231). */
void engine_env(const struct engine *x, struct conf_list *env);
/* Runs a command of it: words end with NULL.  As child_run. */
int engine_run(const struct engine *x, const char *const words[], int timeout_ms, struct buf *out, struct err *e);
int engine_run_list(const struct engine *x, const struct conf_list *words, int timeout_ms, struct buf *out, struct err *e);

#endif
