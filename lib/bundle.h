/*
 * What an author deployed: the record dev.at-run.bundle (DESIGN 6, schema/lexicons), read strictly.  Unknown fields are
 * ignored as lexicons demand; a known field of the wrong type or out of range is an error that names it.
 */
#ifndef LIB_BUNDLE_H
#define LIB_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/conf.h" /* struct conf_list */

struct buf;
struct err;

#define BUNDLE_ENDPOINTS_MAX 256
#define BUNDLE_SECRETS_MAX   64
#define BUNDLE_CALLBACKS_MAX 64
#define BUNDLE_PATH_MAX      256 /* of a file in a bundle */

/* What a schedule does when the job before is not done, and when its time passed while the runner was down. */
enum bundle_overlap { BUNDLE_OVERLAP_SKIP, BUNDLE_OVERLAP_QUEUE, BUNDLE_OVERLAP_PARALLEL, BUNDLE_OVERLAPS };
enum bundle_missed { BUNDLE_MISSED_SKIP, BUNDLE_MISSED_ONCE, BUNDLE_MISSES };

struct bundle_endpoint {
	char *name;
	bool task;           /* runs in the background: a call is answered 202 */
	bool idempotent;     /* may be started again when an instance died */
	int64_t concurrency; /* calls side by side over the whole runner; 0: not said */
	int64_t priority;    /* -10 to 10: higher ones go first */
	int64_t attempts;    /* starts of user code in all when idempotent; 0: not said */
	int64_t backoff_ms;  /* before the second start, doubled for each further; 0: not said */
	int64_t timeout_ms;  /* 0: the bundle's */
	char *schedule;      /* a cron expression (lib/cron.h), NULL: none */
	char *zone;          /* its time zone, NULL: UTC */
	unsigned overlap;    /* enum bundle_overlap */
	unsigned missed;     /* enum bundle_missed */
};

struct bundle {
	char *type;      /* $type, NULL when not said */
	char *name;
	char *version;   /* NULL: not said */
	char *runtime;   /* MIME type, lower case, no parameters; the record's, else the blob's */
	char *mime;      /* of the blob, NULL when there is none */
	char *code;      /* CID of the blob (raw, sha2-256); NULL only for a local bundle */
	int64_t bytes;   /* of the blob */
	char *entry;     /* relative path, NULL: by runtime (bundle_entry finds it) */
	bool any_endpoint; /* the record lists none: every exported name may be called */
	struct bundle_endpoint *endpoint;
	size_t endpoints;
	struct { /* "*" stands for all */
		struct conf_list net, read, write, env, run, ffi, sys;
	} permissions;
	struct { /* 0: not said; the operator's limits cap them */
		int64_t timeout_ms, cpu_ms, memory_bytes, processes, files, scratch_bytes;
		int64_t request_bytes, response_bytes, log_bytes, egress_bytes;
		int64_t concurrency; /* calls side by side over the whole runner */
	} limits;
	bool fresh;      /* "reuse": "never": each call gets an instance of its own */
	struct conf_list secrets; /* names of what the author sealed for the runner; empty: none are looked for */
	struct conf_list callbacks; /* hosts that callers may name beside permissions.net (lib/callback.h) */
	char *created_at; /* NULL: not said */
};

/*
 * Reads the JSON of a record.  local: a bundle of [dev] bundles, which has no blob and may lack a name.
 * ERR_INPUT, name "InvalidBundle".  Allocated; pure.
 */
struct bundle *bundle_parse(const char *json, size_t n, bool local, struct err *e);
void bundle_free(struct bundle *b);
/* Appends a record that bundle_parse reads back to the same struct. */
void bundle_json(const struct bundle *b, struct buf *out);

const char *bundle_overlap_name(enum bundle_overlap o);
const char *bundle_missed_name(enum bundle_missed m);
/* The endpoint of that name; with any_endpoint one that stands for all (its name is NULL).  NULL: no such endpoint. */
const struct bundle_endpoint *bundle_endpoint(const struct bundle *b, const char *name);

/* A path of a bundle's file: relative, '/'-divided, no empty, "." or ".." part, no control bytes, UTF-8. */
bool bundle_path_ok(const char *s, size_t n);
/* Names tried when the record names no entry, by the kind of code: "main.js", "main.mjs", ... or "main.py", ...
 * The first is also the name a single file is stored under.  NULL past the end. */
const char *bundle_entry_default(const struct bundle *b, size_t i);
/* The file to start in an unpacked directory.  ERR_INPUT "InvalidBundle" when it is not there as a plain file. */
int bundle_entry(const struct bundle *b, const char *dir, char out[BUNDLE_PATH_MAX + 1], struct err *e);

/*
 * Puts the tree from_dir into the new directory to_dir: hard links, copies on another file system or when asked (a
 * link would let whoever owns the file change it in both places).  No symbolic link is followed: any makes it fail.
 * On failure to_dir is removed again.
 */
int bundle_place(const char *from_dir, const char *to_dir, bool copy, struct err *e);
/* Removes a tree without following symbolic links.  Not there is fine. */
int bundle_remove(const char *dir, struct err *e);

#endif
