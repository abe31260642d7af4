/*
 * The operator's config: config.ini, or the seed's config.toml, which is read as it stands (DESIGN 15).
 * One table in conf.c names every key, its type, default, range and help; check, `config show`, `at-rund init`
 * and the man page follow from it.  Errors name file:line, the key, what was expected and the nearest key.
 */
#ifndef LIB_CONF_H
#define LIB_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

/* A system install: its config and its home. */
#define CONF_SYSTEM_DIR    "/etc/at-rund"
#define CONF_SYSTEM_HOME   "/var/lib/at-rund"
#define CONF_SYSTEM_SOCKET "/run/at-rund/fcgi.sock"

struct conf_list {
	char **item;
	size_t n;
};

/* A key whose name the operator chooses: [runtimes] deno = deno.nix, [pool] warm.deno = 2. */
struct conf_pair {
	char *key, *value;
};
struct conf_pairs {
	struct conf_pair *item;
	size_t n;
};

/* Durations are milliseconds, sizes bytes. */
struct conf {
	/* where */
	char *home;  /* directory of the database, bundles/, keys/, run/, runtimes/ */
	char *file;  /* the config that was read, NULL when none */
	char *run_dir, *bundles_dir, *runtimes_dir, *keys_dir, *database; /* absolute, below home */
	bool dev;    /* --dev, or AT_RUND_DEV=1 handed down by serve */

	/* top level */
	char *did, *handle;
	char *operator;    /* DID of the person behind it; NULL: did is theirs */
	int64_t port;      /* 3000; 0: only the FastCGI socket */
	char *isolation;   /* auto, none, sandbox, container, firecracker */
	char *contact;     /* free text for the card */

	struct { char *mode; struct conf_list allowlist, blocklist; char *list; } access;
	struct { char *mode; struct conf_list allowlist, blocklist; char *list; } callers;
	struct conf_pairs runtimes; /* name → definition file */
	struct { struct conf_list authors; struct conf_pairs runtimes; } walls; /* [isolation]: "WHO wall"; runtime → wall */

	struct {
		int64_t timeout;                         /* 30s: whole budget of a call */
		int64_t memory;                          /* 256M an instance */
		int64_t cpu;                             /* 0: not limited beside timeout; ms of CPU a job */
		int64_t processes, files;                /* 64, 256 an instance */
		int64_t scratch;                         /* 64M */
		int64_t request, response, header, url;  /* 6M, 6M, 64K, 8K bytes */
		int64_t log, log_line, log_author;       /* 64K a job, 8K a line, 16M an author and hour */
		int64_t egress;                          /* 10M a job */
		int64_t queue, per_author, per_bundle;   /* 1000, 200, 100 jobs not done */
		int64_t author_running, bundle_running;  /* 0: any number side by side */
		/* of a caller: not done, side by side; starts a minute; CPU ms and network bytes a day; 0: any number */
		int64_t per_caller, caller_running;
		int64_t author_starts, bundle_starts, caller_starts;
		int64_t author_cpu, bundle_cpu, caller_cpu;
		int64_t author_egress, bundle_egress, caller_egress;
		int64_t priority;                        /* 0: the highest an author may give itself */
	} limits;

	struct {
		struct conf_pairs warm; /* runtime → blanks to keep; keys "warm.NAME" */
		int64_t max;            /* 8 instances in all */
		int64_t per_bundle;     /* 4 instances of one bundle */
		int64_t idle;           /* 300s until a warm instance goes */
		int64_t calls;          /* 0: no limit of calls an instance serves */
		char *reuse;            /* auto, never */
		int64_t spare;          /* 64M of the machine's memory; 0: nobody looks */
	} pool;

	struct { char *otlp_endpoint, *otlp_protocol, *log_format, *level; } observability;

	struct {
		char *listen;         /* FastCGI socket; default run/fcgi.sock, of a system install CONF_SYSTEM_SOCKET */
		char *listen_mode;    /* octal, 0660 */
		char *bind;           /* address of the private lighttpd, 127.0.0.1 */
		int64_t threads;      /* 64 */
		int64_t processes;    /* 1 */
		char *base_path;      /* "" or "/run" */
		char *public_url;     /* https://host as callers see it; NULL: from the request */
		bool sandbox_answers; /* yes: CSP sandbox and nosniff on bundle answers (DESIGN 5) */
		char *metrics;        /* off, loopback, on */
		bool status_page;
		int64_t body_timeout; /* 30s for a slow client's body */
		bool stream_requests; /* no: the web server collects bodies where it can */
		char *lighttpd;       /* program, "lighttpd" */
	} web;

	struct {
		char *plc_url;            /* https://plc.directory */
		char *handle_resolver;    /* NULL: DNS and well-known */
		char *collection;         /* dev.at-run.bundle */
		char *secret_collection;  /* dev.at-run.secret */
		char *runner_collection;  /* dev.at-run.runner */
		struct conf_list ports;   /* further ports than 443 that a PDS may use */
		int64_t record_fresh;     /* 30s: served without asking */
		int64_t record_stale;     /* 24h: served while asking again in the background, or while the PDS is down */
		int64_t identity_fresh;   /* 10m */
		int64_t graph_fresh;      /* 15m: follows and lists */
		int64_t blob, record, unpacked, entries; /* 10M, 1M, 64M, 1000 */
		int64_t connect_timeout, first_byte_timeout, fetch_timeout; /* 5s, 10s, 30s */
		int64_t workers;          /* 8 fetches side by side */
	} atproto;

	struct { /* the way out of the walls: lib/egress.h says what the texts mean */
		struct conf_list allow, deny;   /* rules; an empty allow: every name */
		struct conf_list allow_private; /* networks that names may lead to although they are private */
		struct conf_list ports;         /* empty: every port */
		char *resolver;                 /* address or address:port; NULL: as the host resolves names */
		int64_t connections;            /* 32 at once, an instance */
		int64_t connect_timeout, idle, total; /* 10s, 60s, 1h of a connection */
	} egress;

	struct { struct conf_list read, write, env; } grants; /* entries of lib/grant.h */
	struct { char *files; } sandbox; /* auto, host, image */
	struct { char *nixpkgs; } build; /* a directory; NULL: images are made of Debian's packages */

	struct {
		char *engine;      /* auto, podman, docker */
		char *runtime;     /* auto, or an OCI runtime: crun, runc, runsc */
		int64_t first_uid; /* of the 65536 user ids that root's podman gives containers */
	} container;

	struct { char *bundles; } dev_conf; /* [dev] bundles = DIR: pseudo-author 'local', with --dev only */

	struct {
		int64_t grace;            /* 30s for a drain */
		int64_t keep_sync;        /* 1h: rows of calls somebody waited for */
		int64_t keep_async;       /* 7d */
		int64_t keep_size;        /* 2G: the database with all that it holds */
		int64_t keep_author;      /* 1G: what is of one author's jobs */
		int64_t keep_log;         /* 512M: lines of the log */
		int64_t checkpoint_pages; /* 1000 */
		int64_t batch;            /* 64 jobs a turn */
	} scheduler;

	struct {
		char *enroll;             /* operator, allowlist: whose schedules are started without being enrolled by hand */
		int64_t refresh;          /* 10m: how often their records are looked at */
	} schedules;

	struct { /* At-Run-Callback: lib/callback.h */
		struct conf_list allow;   /* hosts that any call may name */
		int64_t attempts;         /* 12 */
		int64_t backoff, backoff_max; /* 10s, 1h: between attempts */
		int64_t timeout;          /* 10s for an attempt */
		int64_t parallel;         /* 4 at once */
		int64_t body;             /* 64K: larger answers are told as a URL */
	} callbacks;

	struct {
		int64_t keep_keys;        /* 1d: how long an Idempotency-Key means its job */
		int64_t max_age;          /* 6h: how long what was accepted may wait for its start */
		int64_t attempts;         /* 10: starts of a job, at most */
		int64_t backoff, backoff_max; /* 1s, 10m: between attempts */
		int64_t poison;           /* 3: kills of its instance until a job is set aside */
	} jobs;
};

/*
 * Finds and reads the config.  path: --config or NULL; home: AT_RUND_HOME or NULL.  Order: --config, then
 * HOME_DIR/config.ini or config.toml where HOME_DIR is AT_RUND_HOME, ~/.at-rund, /etc/at-rund.
 * With no file at all: defaults below the home when missing_ok, else ERR_INPUT that says `at-rund init`.
 * Every problem of the file is found in one go: e holds the first, problems (may be NULL) one line each.
 */
struct conf *conf_load(const char *path, bool missing_ok, struct buf *problems, struct err *e);
void conf_free(struct conf *c);

/*
 * A running program takes over what another reading of the config says: keys that are read anew at each use change places
 * (so that freeing `from` frees the old values).  The names of those are appended to taken, and to left those that differ
 * but need a new start.
 */
void conf_take(struct conf *into, struct conf *from, struct buf *taken, struct buf *left);

/* Reads text as if it were the file `name` (tests, fuzzing). */
struct conf *conf_parse(const char *name, const char *text, size_t n, const char *home, struct buf *problems,
    struct err *e);

/* Effective values and where each came from: "limits.timeout = 30s  (default)" lines, or a JSON object. */
void conf_show(const struct conf *c, bool json, struct buf *out);
/* The commented file that `at-rund init` writes. */
void conf_template(struct buf *out);

/* A section and key of the table for a field, for messages: conf_key(&c->limits.timeout)... is not needed:
 * messages name keys literally, "limits.timeout". */

/* "30s" "5m" "1h" "7d" "250ms" → ms; "64K" "6M" "1G" → bytes; -1 when malformed. */
int64_t conf_duration_parse(const char *s);
int64_t conf_size_parse(const char *s);
/* Whether s may be web.base_path: "" or "/run". */
bool conf_base_ok(const char *s);
/* The shortest form that reads back as the same value: "30s", "6M". */
void conf_duration_print(int64_t ms, char out[32]);
void conf_size_print(int64_t bytes, char out[32]);

/* A simple ini/toml/… reader for other files of ours (runtime definitions): calls fn for each section, key and value;
 * lists call fn once an item.  fn returns NULL or what is wrong with it. */
typedef const char *conf_fn(void *arg, int line, const char *section, const char *key, const char *value, bool in_list);
int conf_read(const char *name, const char *text, size_t n, conf_fn *fn, void *arg, struct buf *problems, struct err *e);

#endif
