/*
 * The walls: what keeps a bundle apart from the host.  All walls end as a child process with one unix socket, so a
 * backend is a translator: task in, plan out.  None of its functions forks or waits; scheduler/spawn.c carries plans out.
 */
#ifndef BACKENDS_BACKEND_H
#define BACKENDS_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/conf.h"

struct err;
struct buf;
struct runtime;
struct bundle; /* lib/bundle.h */

/* What is wanted: one instance of a runtime in a directory of its own. */
struct task {
	int64_t instance;          /* number, for names and labels */
	const struct runtime *runtime;
	const char *dir;           /* absolute: HOME/run/i/N, holds sock, out (plan.gate), bundle/; if not contained tmp/, package.json */
	const struct bundle *bundle; /* whose permissions it needs; NULL: a blank, no permissions */
	const char *author, *name; /* whose bundle and which, for [grants]; NULL with a blank */
};

/* The bounds a wall sets on the process itself. */
struct plan_limit {
	int resource;              /* RLIMIT_* */
	uint64_t value;
};

/* What spawn.c does: nothing more than a person could type. */
struct plan {
	struct conf_list argv, env;
	char *cwd;
	struct plan_limit limit[8];
	size_t limits;
	/* Landlock: directories readable, directories writable, programs' files; empty lists: not used. */
	struct conf_list read_only, read_write;
	bool landlock;
	/*
	 * What the wall's own program reads of descriptors: arguments that must not stand on a command line, each with a
	 * NUL after it, as PLAN_ARGS_FD; then files, opened anew for reading, from PLAN_OPEN_FD on.
	 */
	struct conf_list args, open;
	/* The instance's directory as the process sees it; NULL: as we do. */
	char *dir;
	/* The plan's process holds all others in a pid namespace: they can be counted, and die with it. */
	bool contained;
	/*
	 * The wall has a gate (DESIGN 11): the plan starts at-rund-gate as the first process inside, by parts_gate_command.
	 * Who carries the plan out makes the socket task.dir/out before, which leads to the egress process, tells that what
	 * the bundle may reach before the bundle is loaded, and removes the socket afterwards.  Inside it lies as
	 * plan.dir/out, and connecting to it is all that the gate needs to be able to do with it.  The gate must be process 1
	 * of its pid namespace: whoever connects first is taken for it, and it may not end before all that it started.
	 */
	bool gate;
	/*
	 * The plan's process only starts the instance: once it has, another child of ours holds it, whose number is in the
	 * file `holder`, and in `first` that of the first process inside, with which all others die.  NULL: no such change.
	 */
	char *holder, *first;
	/* Removes what is left of an instance whose holder did not end by itself; empty: nothing can be. */
	struct conf_list undo;
	/* Behind the wall it has another user id than ours: the instance's directory must be readable by others. */
	bool foreign;
	/* Its processes are children of somebody else's daemon: who they are, the socket's other end tells.  With `contained`. */
	bool abroad;
	/* Its processes are those of a kernel in user space (gVisor): what can be counted is its control group.  With `contained`. */
	bool sealed;
	/* A program of the host that may have to call set-uid helpers; nothing of a bundle runs with its rights. */
	bool trusted;
	/*
	 * Filled in by who carries it out: files that the process writes 0 to before anything else, to join control groups; the
	 * directory of one that it is born in, NULL: none.
	 */
	struct conf_list join;
	char *cradle;
};
#define PLAN_ARGS_FD  3
#define PLAN_OPEN_FD  4
#define PLAN_OPEN_MAX 6 /* a shell, which probes have open them, knows numbers of one digit */
void plan_clear(struct plan *p);

struct backend { /* all required */
	const char *name; /* as in config and in job.wall */
	/* Nothing is inside but what the wall put there, so that a bundle may start programs: permit.c's run, ffi, sys. */
	bool closed;
	/* 0, or why this wall cannot stand here. */
	int (*probe)(const struct conf *c, struct err *e);
	/* Of one whose probe said 0, for people: what it is made of here, "bubblewrap 0.8.0".  May run commands. */
	void (*describe)(const struct conf *c, struct buf *out);
	/* 0, or why this runtime cannot run behind it: its program is not installed, its image not built. */
	int (*fits)(const struct conf *c, const struct runtime *r, struct err *e);
	int (*plan)(const struct conf *c, const struct task *t, struct plan *p, struct err *e);
	/*
	 * Which blanks may take the bundle: a task without a bundle gives the key of a blank; a bundle fits a blank when
	 * its key is the same.  What must be known when the process starts is in the key: host paths that the operator
	 * grants, and for `none` with deno the permissions that are flags of the process.  instance and dir are not set.
	 */
	void (*key)(const struct conf *c, const struct task *t, struct buf *out);
	/* Removes what an instance leaves; twice or after a crash is fine. */
	void (*clean)(const struct conf *c, const struct task *t);
	/*
	 * Removes what instances of dead schedulers of this home left outside of its directory, and only that; runs commands
	 * and waits for them, so only at the start.  Returns how many there were, or -1.
	 */
	int (*sweep)(const struct conf *c, struct err *e);
};

/* Nobody's code from anywhere behind no wall: 0 only where nobody but this machine can call it (DESIGN 10). */
int backend_none_allowed(const struct conf *c, struct err *e);
/* In order of strength; NULL past the end. */
const struct backend *backend_at(size_t i);
/*
 * May the bundle of the task have what it asks for, behind this wall (permit.c, the same table for all)?  0, or ERR_DENIED
 * "PermissionNotGranted" that names the permission, what was asked for, and why not.
 */
int backend_permit(const struct backend *wall, const struct conf *c, const struct task *t, struct err *e);
/* By its name in the config, or NULL. */
const struct backend *backend_named(const char *name);

#endif
