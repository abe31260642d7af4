/*
 * The config: one table names every key.  Loading, checks, `config show`, the file of `at-rund init`, the environment
 * (AT_RUND_SECTION_KEY) and, by a test, the manual page all follow from it.  conf_read.c reads the text.
 */
#include "lib/conf.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/egress.h"
#include "lib/err.h"
#include "lib/grant.h"
#include "lib/mem.h"
#include "lib/near.h"
#include "lib/syntax.h"
#include "lib/utf8.h"

enum type {
	T_TEXT,     /* char *; no value is NULL */
	T_DID,
	T_HANDLE,
	T_URL,      /* http or https */
	T_LIST_URI, /* at://DID/app.bsky.graph.list/RKEY */
	T_PATH,     /* ~ is the user's home; relative paths lie in the home of at-rund */
	T_ADDRESS,  /* IPv4 or IPv6 */
	T_PROGRAM,  /* a name found in PATH, or a path */
	T_BASE,     /* "" or /run */
	T_OCTAL,
	T_WORD,     /* one of words */
	T_NSID,
	T_BOOL,     /* bool */
	T_INT,      /* int64_t */
	T_DURATION,
	T_SIZE,
	T_DIDS,     /* struct conf_list, from here */
	T_PORTS,
	T_RULES,    /* of lib/egress.h */
	T_NETS,
	T_GRANT_PATHS, /* of lib/grant.h */
	T_GRANT_NAMES,
	T_GRANT_WALLS, /* to here */
	T_RESOLVER, /* char *: address or address:port */
	T_FILES,    /* struct conf_pairs: NAME = file; the key of the table is "" */
	T_COUNTS,   /* struct conf_pairs: warm.NAME = number; the key of the table is "warm." */
	T_WALLS,    /* struct conf_pairs: NAME = wall; the key of the table is "" */
};

struct key {
	const char *section, *name;
	enum type type;
	size_t at;                /* in struct conf */
	const char *value;        /* default, as one would write it; NULL: none */
	int64_t min, max;
	const char *const *words;
	const char *help;
	const char *sample;       /* not NULL: stands in the file of `at-rund init`, with this value */
};

static const char *const isolations[] = { "auto", "none", "sandbox", "container", "firecracker", NULL };
static const char *const host_modes[] = { "open", "allowlist", "blocklist", "follows", "mutuals", "list", NULL };
static const char *const call_modes[] = { "open", "known", "allowlist", "blocklist", "follows", "mutuals", "list", NULL };
static const char *const reuses[] = { "auto", "never", NULL };
static const char *const files[] = { "auto", "host", "image", NULL };
static const char *const engines[] = { "auto", "podman", "docker", NULL };
static const char *const log_formats[] = { "text", "json", NULL };
static const char *const levels[] = { "error", "warn", "info", "debug", NULL };
static const char *const enrollers[] = { "operator", "allowlist", NULL };
static const char *const otlp_protocols[] = { "auto", "grpc", "http/protobuf", "http/json", NULL };
static const char *const metrics[] = { "off", "loopback", "on", NULL };

#define SECOND  INT64_C(1000)
#define HOUR    (3600 * SECOND)
#define DAY     (24 * HOUR)
#define KIB     INT64_C(1024)
#define MIB     (1024 * KIB)
#define GIB     (1024 * MIB)

#define TEXT(section, name, type, field, value, help, sample) \
	{ section, name, type, offsetof(struct conf, field), value, 0, 0, NULL, help, sample }
#define WORD(section, name, field, value, words, help, sample) \
	{ section, name, T_WORD, offsetof(struct conf, field), value, 0, 0, words, help, sample }
#define NUMBER(section, name, type, field, value, min, max, help, sample) \
	{ section, name, type, offsetof(struct conf, field), value, min, max, NULL, help, sample }

static const struct key keys[] = {
	TEXT("", "did", T_DID, did, NULL, "the runner's DID: yours, or did:web:HOST for one of its own", "did:plc:your-did-here"),
	TEXT("", "handle", T_HANDLE, handle, NULL, "your handle, for people", "you.bsky.social"),
	TEXT("", "operator", T_DID, operator, NULL,
	    "your DID when did is the runner's own (did:web:its-host); not set: did is you", NULL),
	NUMBER("", "port", T_INT, port, "3000", 0, 65535,
	    "at-rund serve answers here with a private lighttpd; 0: only the FastCGI socket", "3000"),
	WORD("", "isolation", isolation, "auto", isolations,
	    "the wall around bundles; auto takes the strongest that works, never none", "auto"),
	TEXT("", "contact", T_TEXT, contact, NULL, "how to reach you: free text, shown on the runner's card", NULL),

	WORD("access", "mode", access.mode, "allowlist", host_modes, "whose bundles run here", "allowlist"),
	TEXT("access", "allowlist", T_DIDS, access.allowlist, NULL, "DIDs whose bundles run, in every mode",
	    "[\"did:plc:friend1\", \"did:plc:friend2\"]"),
	TEXT("access", "blocklist", T_DIDS, access.blocklist, NULL, "DIDs whose bundles never run, in every mode", NULL),
	TEXT("access", "list", T_LIST_URI, access.list, NULL, "at:// URI of an app.bsky.graph.list (mode = list)", NULL),

	WORD("callers", "mode", callers.mode, "open", call_modes,
	    "who may call; known: anybody with a valid service token, blocklist: anybody with one but those listed", NULL),
	TEXT("callers", "allowlist", T_DIDS, callers.allowlist, NULL, "DIDs that may call, in every mode", NULL),
	TEXT("callers", "blocklist", T_DIDS, callers.blocklist, NULL, "DIDs that may never call, in every mode", NULL),
	TEXT("callers", "list", T_LIST_URI, callers.list, NULL, "at:// URI of an app.bsky.graph.list (mode = list)", NULL),

	TEXT("isolation", "authors", T_GRANT_WALLS, walls.authors, NULL,
	    "walls around what an author wrote, or one bundle, whatever else is said", NULL),
	TEXT("isolation", "", T_WALLS, walls.runtimes, NULL, "the wall around bundles of a runtime, instead of isolation", NULL),

	TEXT("runtimes", "", T_FILES, runtimes, NULL,
	    "runtimes offered: NAME = definition, a .ini or .nix file, relative to the runtimes directory of the home",
	    "deno.ini"),

	NUMBER("limits", "timeout", T_DURATION, limits.timeout, "30s", 1, DAY,
	    "wall time of a call, from its acceptance to its answer", "30s"),
	NUMBER("limits", "memory", T_SIZE, limits.memory, "256M", 16 * MIB, 1024 * GIB, "memory of an instance", "256M"),
	NUMBER("limits", "cpu", T_DURATION, limits.cpu, "0", 0, DAY,
	    "CPU time of a job; 0: not limited beside timeout", NULL),
	NUMBER("limits", "processes", T_INT, limits.processes, "64", 1, 65536, "processes and threads of an instance", NULL),
	NUMBER("limits", "files", T_INT, limits.files, "256", 16, 1048576, "open files of an instance", NULL),
	NUMBER("limits", "scratch", T_SIZE, limits.scratch, "64M", 0, 1024 * GIB, "what an instance may write to /tmp", NULL),
	NUMBER("limits", "request", T_SIZE, limits.request, "6M", 1 * KIB, 1 * GIB, "body of a request", "6M"),
	NUMBER("limits", "response", T_SIZE, limits.response, "6M", 1 * KIB, 16 * GIB, "body of an answer", NULL),
	NUMBER("limits", "header", T_SIZE, limits.header, "64K", 1 * KIB, 1 * MIB,
	    "header fields of a request or an answer, together", NULL),
	NUMBER("limits", "url", T_SIZE, limits.url, "8K", 128, 64 * KIB, "path and query of a request", NULL),
	NUMBER("limits", "log", T_SIZE, limits.log, "64K", 0, 1 * GIB, "what the log keeps of one job", NULL),
	NUMBER("limits", "log_line", T_SIZE, limits.log_line, "8K", 64, 1 * MIB, "one line of a log", NULL),
	NUMBER("limits", "log_author", T_SIZE, limits.log_author, "16M", 0, 1024 * GIB, "what the log keeps of one author in an hour",
	    NULL),
	NUMBER("limits", "egress", T_SIZE, limits.egress, "10M", 0, 1024 * GIB,
	    "what a job may send to and take from the network", NULL),
	NUMBER("limits", "queue", T_INT, limits.queue, "1000", 1, 10000000, "jobs that are not done, in all", "1000"),
	NUMBER("limits", "per_author", T_INT, limits.per_author, "200", 1, 10000000,
	    "jobs that are not done, of one author", NULL),
	NUMBER("limits", "per_bundle", T_INT, limits.per_bundle, "100", 1, 10000000,
	    "jobs that are not done, of one bundle", NULL),
	NUMBER("limits", "author_running", T_INT, limits.author_running, "0", 0, 100000,
	    "jobs of one author that run side by side; 0: any number", NULL),
	NUMBER("limits", "bundle_running", T_INT, limits.bundle_running, "0", 0, 100000,
	    "jobs of one bundle that run side by side; 0: any number", NULL),
	NUMBER("limits", "per_caller", T_INT, limits.per_caller, "0", 0, 10000000,
	    "jobs that are not done, of one caller: a DID or an address; 0: any number", NULL),
	NUMBER("limits", "caller_running", T_INT, limits.caller_running, "0", 0, 100000,
	    "jobs of one caller that run side by side; 0: any number", NULL),
	NUMBER("limits", "author_starts", T_INT, limits.author_starts, "0", 0, 10000000,
	    "calls a minute, of one author; 0: any number", NULL),
	NUMBER("limits", "bundle_starts", T_INT, limits.bundle_starts, "0", 0, 10000000,
	    "calls a minute, of one bundle; 0: any number", NULL),
	NUMBER("limits", "caller_starts", T_INT, limits.caller_starts, "0", 0, 10000000,
	    "calls a minute, of one caller; 0: any number", NULL),
	NUMBER("limits", "author_cpu", T_DURATION, limits.author_cpu, "0", 0, 365 * DAY,
	    "processor time a day (UTC), of one author; 0: any", NULL),
	NUMBER("limits", "bundle_cpu", T_DURATION, limits.bundle_cpu, "0", 0, 365 * DAY,
	    "processor time a day (UTC), of one bundle; 0: any", NULL),
	NUMBER("limits", "caller_cpu", T_DURATION, limits.caller_cpu, "0", 0, 365 * DAY,
	    "processor time a day (UTC), of one caller; 0: any", NULL),
	NUMBER("limits", "author_egress", T_SIZE, limits.author_egress, "0", 0, 1024 * 1024 * GIB,
	    "bytes over the network a day (UTC), both ways, of one author; 0: any", NULL),
	NUMBER("limits", "bundle_egress", T_SIZE, limits.bundle_egress, "0", 0, 1024 * 1024 * GIB,
	    "bytes over the network a day (UTC), both ways, of one bundle; 0: any", NULL),
	NUMBER("limits", "caller_egress", T_SIZE, limits.caller_egress, "0", 0, 1024 * 1024 * GIB,
	    "bytes over the network a day (UTC), both ways, of one caller; 0: any", NULL),
	NUMBER("limits", "priority", T_INT, limits.priority, "0", 0, 10,
	    "the highest priority that an author may give an endpoint", NULL),

	NUMBER("pool", "warm.", T_COUNTS, pool.warm, NULL, 0, 1024, "blank instances of a runtime kept ready", "1"),
	NUMBER("pool", "max", T_INT, pool.max, "8", 1, 65536, "instances in all", "8"),
	NUMBER("pool", "per_bundle", T_INT, pool.per_bundle, "4", 1, 65536, "instances of one bundle", NULL),
	NUMBER("pool", "idle", T_DURATION, pool.idle, "5m", 1, 365 * DAY, "how long a warm instance waits for a call", NULL),
	NUMBER("pool", "calls", T_INT, pool.calls, "0", 0, INT64_C(1) << 40, "calls an instance serves; 0: any number", NULL),
	WORD("pool", "reuse", pool.reuse, "auto", reuses, "never: each call gets an instance of its own, which ends with it", NULL),
	NUMBER("pool", "spare", T_SIZE, pool.spare, "64M", 0, 1024 * GIB,
	    "memory of the machine that stays free: below it idle instances end; 0: nobody looks", NULL),

	TEXT("observability", "otlp_endpoint", T_URL, observability.otlp_endpoint, NULL,
	    "where traces, metrics and logs go: an OpenTelemetry collector", NULL),
	WORD("observability", "otlp_protocol", observability.otlp_protocol, "auto", otlp_protocols,
	    "how it is spoken to; auto: gRPC on port 4317, else HTTP with protobuf", NULL),
	WORD("observability", "log_format", observability.log_format, "text", log_formats,
	    "log lines for people or for machines", "text"),
	WORD("observability", "level", observability.level, "info", levels, "least level that is logged", NULL),

	TEXT("web", "listen", T_PATH, web.listen, "run/fcgi.sock", "FastCGI socket", NULL),
	TEXT("web", "listen_mode", T_OCTAL, web.listen_mode, "0660", "its mode, octal", NULL),
	TEXT("web", "bind", T_ADDRESS, web.bind, "127.0.0.1", "address on which the private lighttpd answers", NULL),
	NUMBER("web", "threads", T_INT, web.threads, "64", 1, 512,
	    "requests that one FastCGI process waits with at a time: streams, slow uploads, pages", NULL),
	NUMBER("web", "processes", T_INT, web.processes, "1", 1, 64, "FastCGI processes", NULL),
	TEXT("web", "base_path", T_BASE, web.base_path, "", "path under which the web server shows the runner", NULL),
	TEXT("web", "public_url", T_URL, web.public_url, NULL,
	    "the runner's address as callers see it; not set: from the request", NULL),
	TEXT("web", "sandbox_answers", T_BOOL, web.sandbox_answers, "yes",
	    "answers of bundles get an origin of their own (Content-Security-Policy: sandbox)", NULL),
	WORD("web", "metrics", web.metrics, "off", metrics, "who may read /metrics", NULL),
	TEXT("web", "status_page", T_BOOL, web.status_page, "yes", "the pages at / and /operator", NULL),
	NUMBER("web", "body_timeout", T_DURATION, web.body_timeout, "30s", 1 * SECOND, HOUR,
	    "how long a client may take to send a body", NULL),
	TEXT("web", "stream_requests", T_BOOL, web.stream_requests, "no",
	    "large request bodies reach their handlers while they come, also behind lighttpd and nginx", NULL),
	TEXT("web", "lighttpd", T_PROGRAM, web.lighttpd, "lighttpd", "the program that serves port", NULL),

	TEXT("atproto", "plc_url", T_URL, atproto.plc_url, "https://plc.directory", "PLC directory", NULL),
	TEXT("atproto", "handle_resolver", T_URL, atproto.handle_resolver, NULL,
	    "server that resolves handles; not set: DNS and .well-known", NULL),
	TEXT("atproto", "collection", T_NSID, atproto.collection, "dev.at-run.bundle", "collection of bundle records", NULL),
	TEXT("atproto", "secret_collection", T_NSID, atproto.secret_collection, "dev.at-run.secret",
	    "collection of authors' sealed secrets", NULL),
	TEXT("atproto", "runner_collection", T_NSID, atproto.runner_collection, "dev.at-run.runner",
	    "collection of the record that announces this runner", NULL),
	TEXT("atproto", "ports", T_PORTS, atproto.ports, NULL, "ports besides 443 that a PDS may use", NULL),
	NUMBER("atproto", "record_fresh", T_DURATION, atproto.record_fresh, "30s", 0, 30 * DAY,
	    "how long a record counts as current without asking", NULL),
	NUMBER("atproto", "record_stale", T_DURATION, atproto.record_stale, "1d", 0, 3650 * DAY,
	    "how long an older record still serves, while it is asked for again or the PDS is down", NULL),
	NUMBER("atproto", "identity_fresh", T_DURATION, atproto.identity_fresh, "10m", 0, 30 * DAY,
	    "how long a DID document and a handle count as current", NULL),
	NUMBER("atproto", "graph_fresh", T_DURATION, atproto.graph_fresh, "15m", 1 * SECOND, 30 * DAY,
	    "how long follows and lists count as current; what cannot be read anew serves on", NULL),
	NUMBER("atproto", "blob", T_SIZE, atproto.blob, "10M", 1 * KIB, 10 * GIB, "blob of a bundle", NULL),
	NUMBER("atproto", "record", T_SIZE, atproto.record, "1M", 1 * KIB, 16 * MIB, "record, DID document, proof", NULL),
	NUMBER("atproto", "unpacked", T_SIZE, atproto.unpacked, "64M", 1 * KIB, 100 * GIB, "unpacked archive of a bundle", NULL),
	NUMBER("atproto", "entries", T_INT, atproto.entries, "1000", 1, 1000000, "files in an archive", NULL),
	NUMBER("atproto", "connect_timeout", T_DURATION, atproto.connect_timeout, "5s", 1, HOUR, "until connected", NULL),
	NUMBER("atproto", "first_byte_timeout", T_DURATION, atproto.first_byte_timeout, "10s", 1, HOUR,
	    "until an answer begins", NULL),
	NUMBER("atproto", "fetch_timeout", T_DURATION, atproto.fetch_timeout, "30s", 1, HOUR, "until an answer is whole", NULL),
	NUMBER("atproto", "workers", T_INT, atproto.workers, "8", 1, 256, "fetches side by side", NULL),

	TEXT("egress", "allow", T_RULES, egress.allow, NULL,
	    "hosts that bundles may reach at all, host, *.host or host:port; not set: all public ones", NULL),
	TEXT("egress", "deny", T_RULES, egress.deny, NULL, "hosts that no bundle may reach", NULL),
	TEXT("egress", "allow_private", T_NETS, egress.allow_private, NULL,
	    "networks that names may lead to although they are private", NULL),
	TEXT("egress", "ports", T_PORTS, egress.ports, NULL, "ports that bundles may reach; not set: all", NULL),
	TEXT("egress", "resolver", T_RESOLVER, egress.resolver, NULL,
	    "DNS resolver asked for bundles' hosts; not set: as this machine resolves names", NULL),
	NUMBER("egress", "connections", T_INT, egress.connections, "32", 1, 4096, "connections of an instance at once", NULL),
	NUMBER("egress", "connect_timeout", T_DURATION, egress.connect_timeout, "10s", 100, HOUR,
	    "until a bundle's host is resolved and connected", NULL),
	NUMBER("egress", "idle", T_DURATION, egress.idle, "1m", 100, DAY, "how long a connection may carry nothing", NULL),
	NUMBER("egress", "total", T_DURATION, egress.total, "1h", 100, 365 * DAY, "how long a connection may last", NULL),

	TEXT("grants", "read", T_GRANT_PATHS, grants.read, NULL,
	    "paths of the host that bundles may read when they ask for them: who (*, a DID, DID/name) and the path", NULL),
	TEXT("grants", "write", T_GRANT_PATHS, grants.write, NULL, "and those that they may write", NULL),
	TEXT("grants", "env", T_GRANT_NAMES, grants.env, NULL,
	    "environment variables of the runner that bundles may see when they ask for them: who and the name", NULL),
	WORD("sandbox", "files", sandbox.files, "auto", files,
	    "whose programs and libraries bundles see: the host's, or those of the runtime's image; auto: the image's where there is one",
	    NULL),
	TEXT("build", "nixpkgs", T_PATH, build.nixpkgs, NULL,
	    "a nixpkgs to make images of with Nix, where a runtime's definition names packages of it; not set: Debian's packages", NULL),
	WORD("container", "engine", container.engine, "auto", engines, "what starts containers; auto takes the first installed",
	    NULL),
	TEXT("container", "runtime", T_PROGRAM, container.runtime, "auto",
	    "the OCI runtime, crun, runc or runsc; auto takes the first that works", NULL),
	NUMBER("container", "first_uid", T_INT, container.first_uid, "1879048192", 65536, 4294836224,
	    "first of the 65536 user ids of containers, where podman runs as root", NULL),

	TEXT("dev", "bundles", T_PATH, dev_conf.bundles, NULL,
	    "folder of bundles served as author local, with serve --dev only", NULL),

	NUMBER("scheduler", "grace", T_DURATION, scheduler.grace, "30s", 0, DAY, "how long running jobs may finish at the end",
	    NULL),
	NUMBER("scheduler", "keep_sync", T_DURATION, scheduler.keep_sync, "1h", 1 * SECOND, 3650 * DAY,
	    "how long jobs that somebody waited for are kept", NULL),
	NUMBER("scheduler", "keep_async", T_DURATION, scheduler.keep_async, "7d", 1 * SECOND, 3650 * DAY,
	    "how long other jobs are kept", NULL),
	NUMBER("scheduler", "keep_size", T_SIZE, scheduler.keep_size, "2G", 1 * MIB, 16384 * GIB,
	    "what the database may hold; above it the oldest jobs that are done go before their time", NULL),
	NUMBER("scheduler", "keep_author", T_SIZE, scheduler.keep_author, "1G", 0, 16384 * GIB,
	    "what the history of one author may hold of it, 0: all; above it his oldest jobs go before their time", NULL),
	NUMBER("scheduler", "keep_log", T_SIZE, scheduler.keep_log, "512M", 0, 16384 * GIB,
	    "what the log may hold in all, 0: any number; above it the oldest lines go", NULL),
	NUMBER("scheduler", "checkpoint_pages", T_INT, scheduler.checkpoint_pages, "1000", 10, 1000000,
	    "pages in the database's log before they are moved over", NULL),
	NUMBER("scheduler", "batch", T_INT, scheduler.batch, "64", 1, 4096, "jobs claimed in one turn", NULL),

	WORD("schedules", "enroll", schedules.enroll, "allowlist", enrollers,
	    "whose schedules are started: operator: of those enrolled by hand; allowlist: also of all on access.allowlist", NULL),
	NUMBER("schedules", "refresh", T_DURATION, schedules.refresh, "10m", 100, 30 * DAY,
	    "how often the records of enrolled bundles are looked at", NULL),

	TEXT("callbacks", "allow", T_RULES, callbacks.allow, NULL,
	    "hosts that any call may name in At-Run-Callback, beside those of its bundle: host, host:port or *.host", NULL),
	NUMBER("callbacks", "attempts", T_INT, callbacks.attempts, "12", 1, 100, "times a callback is tried", NULL),
	NUMBER("callbacks", "backoff", T_DURATION, callbacks.backoff, "10s", 1, DAY,
	    "longest wait before a second try, doubled for each further one", NULL),
	NUMBER("callbacks", "backoff_max", T_DURATION, callbacks.backoff_max, "1h", 1, DAY, "longest wait between two tries", NULL),
	NUMBER("callbacks", "timeout", T_DURATION, callbacks.timeout, "10s", 100, HOUR, "how long a receiver may take to answer", NULL),
	NUMBER("callbacks", "parallel", T_INT, callbacks.parallel, "4", 1, 64,
	    "callbacks under way at once, at most half of them to one host", NULL),
	NUMBER("callbacks", "body", T_SIZE, callbacks.body, "64K", 0, 128 * KIB,
	    "largest answer of a handler that goes along; of larger ones the receiver is told where they are", NULL),

	NUMBER("jobs", "keep_keys", T_DURATION, jobs.keep_keys, "1d", 1 * SECOND, 365 * DAY,
	    "how long an Idempotency-Key means its job", NULL),
	NUMBER("jobs", "max_age", T_DURATION, jobs.max_age, "6h", 1, 365 * DAY,
	    "how long a job that nobody waits for may wait for its start", NULL),
	NUMBER("jobs", "attempts", T_INT, jobs.attempts, "10", 1, 20, "starts of an idempotent job, at most", NULL),
	NUMBER("jobs", "backoff", T_DURATION, jobs.backoff, "1s", 1, DAY,
	    "longest wait before a second start, doubled for each further one; the wait itself is random", NULL),
	NUMBER("jobs", "backoff_max", T_DURATION, jobs.backoff_max, "10m", 1, DAY, "longest wait between two starts", NULL),
	NUMBER("jobs", "poison", T_INT, jobs.poison, "3", 1, 20, "times a job may kill its instance until it is set aside",
	    NULL),
};
enum { KEYS = sizeof keys / sizeof keys[0] };

/* What callers hold is the first member; origins are for `config show`. */
struct loaded {
	struct conf conf;
	char *from[KEYS]; /* NULL: default */
};

static void *
field(const struct conf *c, const struct key *k)
{
	return (char *)(uintptr_t)c + k->at;
}

/* Keys whose last part is a runtime's name. */
static bool
is_open(const struct key *k)
{
	return k->type == T_FILES || k->type == T_COUNTS || k->type == T_WALLS;
}

/* "limits.timeout", "pool.warm.NAME". */
static void
full_name(const struct key *k, struct buf *out)
{
	bool open = is_open(k);

	buf_fmt(out, "%s%s%s%s", k->section, k->section[0] != '\0' ? "." : "", k->name, open ? "NAME" : "");
}

/* ---- values ---- */

static void
range(const struct key *k, struct buf *out)
{
	char lo[32], hi[32];

	if (k->type == T_DURATION) {
		conf_duration_print(k->min, lo);
		conf_duration_print(k->max, hi);
	} else if (k->type == T_SIZE) {
		conf_size_print(k->min, lo);
		conf_size_print(k->max, hi);
	} else {
		snprintf(lo, sizeof lo, "%lld", (long long)k->min);
		snprintf(hi, sizeof hi, "%lld", (long long)k->max);
	}
	buf_fmt(out, "from %s to %s", lo, hi);
}

/* What a value of this key looks like. */
static void
expectation(const struct key *k, struct buf *out)
{
	static const char *const plain[] = {
		[T_TEXT] = "text",
		[T_DID] = "a DID such as did:plc:ewvi7nxzyoun6zhxrhs64oiz or did:web:example.com",
		[T_HANDLE] = "a handle such as you.example.com",
		[T_URL] = "a URL such as https://example.com",
		[T_LIST_URI] = "a list such as at://did:plc:…/app.bsky.graph.list/…",
		[T_PATH] = "a path",
		[T_ADDRESS] = "an address such as 127.0.0.1, 0.0.0.0 or ::1",
		[T_PROGRAM] = "a program's name or path",
		[T_BASE] = "nothing, or a path such as /run",
		[T_OCTAL] = "a mode such as 0660",
		[T_NSID] = "an NSID such as dev.at-run.bundle",
		[T_BOOL] = "yes or no",
		[T_DIDS] = "DIDs: [\"did:plc:…\", \"did:web:…\"]",
		[T_PORTS] = "port numbers from 1 to 65535",
		[T_RULES] = "hosts: [\"api.example.com\", \"*.example.org:8443\"]",
		[T_NETS] = "networks: [\"10.1.0.0/16\", \"fd00::/8\"]",
		[T_GRANT_PATHS] = "who and an absolute path, none of the system's own: [\"did:plc:… /srv/data\", \"did:plc:…/name /srv/x\"]",
		[T_GRANT_WALLS] = "who and a wall: [\"did:plc:… container\", \"did:plc:…/name none\"]",
		[T_WALLS] = "one of auto, none, sandbox, container, firecracker",
		[T_GRANT_NAMES] = "who and a variable's name: [\"* REGION\", \"did:plc:…/name TOKEN\"]",
		[T_RESOLVER] = "an address such as 192.0.2.53, 192.0.2.53:5353 or \"[2001:db8::53]:5353\"",
		[T_FILES] = "the file of a runtime definition, NAME.ini or NAME.nix",
	};

	switch (k->type) {
	case T_WORD:
		buf_str(out, "one of ");
		for (const char *const *w = k->words; *w != NULL; w++)
			buf_fmt(out, "%s%s", w == k->words ? "" : ", ", *w);
		return;
	case T_INT:
	case T_COUNTS:
		buf_str(out, "a number ");
		range(k, out);
		return;
	case T_DURATION:
		buf_str(out, "a duration with its unit (ms, s, m, h, d) ");
		range(k, out);
		return;
	case T_SIZE:
		buf_str(out, "a size in bytes, or with K, M, G, ");
		range(k, out);
		return;
	default:
		buf_str(out, plain[k->type]);
	}
}

static bool
parse_int(const char *s, int64_t min, int64_t max, int64_t *out)
{
	char *end;
	long long n;

	if (!isdigit((unsigned char)s[0]) || (s[0] == '0' && s[1] != '\0'))
		return false;
	errno = 0;
	n = strtoll(s, &end, 10);
	if (errno != 0 || *end != '\0' || n < min || n > max)
		return false;
	*out = n;
	return true;
}

static bool
parse_bool(const char *s, bool *out)
{
	static const char *const no[] = { "no", "false", "off", "0" }, *const yes[] = { "yes", "true", "on", "1" };

	for (int i = 0; i < 4; i++) {
		if (strcasecmp(s, yes[i]) == 0 || strcasecmp(s, no[i]) == 0) {
			*out = strcasecmp(s, yes[i]) == 0;
			return true;
		}
	}
	return false;
}

static bool
is_url(const char *s)
{
	size_t n = strncmp(s, "https://", 8) == 0 ? 8 : strncmp(s, "http://", 7) == 0 ? 7 : 0;

	if (n == 0 || s[n] == '\0' || s[n] == '/' || strlen(s) > 2048)
		return false;
	for (const char *p = s; *p != '\0'; p++) {
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f || strchr("\"<>\\^`{|}", *p) != NULL)
			return false;
	}
	return strchr(s, '@') == NULL && strchr(s, '#') == NULL;
}

static bool
is_list_uri(const char *s)
{
	return syntax_aturi(s, strlen(s)) && strstr(s, "/app.bsky.graph.list/") != NULL;
}

static bool
is_address(const char *s)
{
	unsigned char bytes[16];

	return inet_pton(AF_INET, s, bytes) == 1 || inet_pton(AF_INET6, s, bytes) == 1;
}

bool
conf_base_ok(const char *s)
{
	size_t n = strlen(s);

	if (n == 0)
		return true;
	if (s[0] != '/' || s[n - 1] == '/' || strstr(s, "//") != NULL || strstr(s, "/.") != NULL)
		return false;
	return strspn(s, "/abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~") == n;
}

static bool
is_octal(const char *s)
{
	size_t n = strlen(s);

	return n >= 3 && n <= 4 && strspn(s, "01234567") == n;
}

static bool
is_resolver(const char *s)
{
	struct egress_rule r;

	return egress_rule_parse(s, strlen(s), 53, &r, NULL) == 0 && !r.all && !r.under && r.host.family != 0;
}

static bool
is_word(const char *const *words, const char *v)
{
	while (*words != NULL && strcmp(*words, v) != 0)
		words++;
	return *words != NULL;
}

static bool
fits(const struct key *k, const char *v)
{
	struct egress_rule rule;
	struct egress_net net;
	int64_t n;

	switch (k->type) {
	case T_DID:
	case T_DIDS:
		return syntax_did(v, strlen(v));
	case T_HANDLE:
		return syntax_handle(v, strlen(v));
	case T_NSID:
		return syntax_nsid(v, strlen(v));
	case T_URL:
		return is_url(v);
	case T_LIST_URI:
		return is_list_uri(v);
	case T_ADDRESS:
		return is_address(v);
	case T_BASE:
		return conf_base_ok(v);
	case T_OCTAL:
		return is_octal(v);
	case T_PORTS:
		return parse_int(v, 1, 65535, &n);
	case T_RULES:
		return egress_rule_parse(v, strlen(v), 0, &rule, NULL) == 0;
	case T_NETS:
		return egress_net_parse(v, &net, NULL) == 0;
	case T_RESOLVER:
		return is_resolver(v);
	case T_GRANT_PATHS:
		return grant_is_path(v);
	case T_GRANT_NAMES:
		return grant_is_name(v);
	case T_GRANT_WALLS:
		return grant_is_for(v) && is_word(isolations, grant_what(v));
	case T_WALLS:
		return is_word(isolations, v);
	case T_PATH:
	case T_PROGRAM:
	case T_FILES:
		return v[0] != '\0';
	default:
		return true;
	}
}

/* ~/x and ~ are below the user's home; a relative path lies in the home of at-rund. */
static char *
expand_path(const struct conf *c, const char *v)
{
	const char *home = getenv("HOME");

	if (v[0] == '~' && (v[1] == '/' || v[1] == '\0') && home != NULL)
		return mem_fmt("%s%s", home, v + 1);
	return v[0] == '/' ? mem_str(v) : mem_fmt("%s/%s", c->home, v);
}

static void
set_text(char **at, char *value)
{
	free(*at);
	*at = value;
}

static bool
set_number(const struct key *k, int64_t *at, const char *v)
{
	int64_t n;

	if (k->type == T_INT)
		return parse_int(v, k->min, k->max, at);
	n = k->type == T_DURATION ? conf_duration_parse(v) : conf_size_parse(v);
	if (n < k->min || n > k->max)
		return false;
	*at = n;
	return true;
}

/* One value into a scalar field; false when it does not fit. */
static bool
set_scalar(struct conf *c, const struct key *k, const char *v)
{
	void *at = field(c, k);
	int64_t n;

	switch (k->type) {
	case T_BOOL:
		return parse_bool(v, at);
	case T_INT:
	case T_DURATION:
	case T_SIZE:
		return parse_int(v, 0, 0, &n) ? k->min <= 0 && (*(int64_t *)at = 0, true) : set_number(k, at, v);
	case T_WORD:
		for (const char *const *w = k->words; *w != NULL; w++) {
			if (strcmp(*w, v) == 0) {
				set_text(at, mem_str(v));
				return true;
			}
		}
		return false;
	case T_PATH:
		if (!fits(k, v))
			return false;
		set_text(at, expand_path(c, v));
		return true;
	default:
		if (!fits(k, v))
			return false;
		set_text(at, v[0] == '\0' && k->type != T_BASE ? NULL : mem_str(v));
		return true;
	}
}

static void
list_add(struct conf_list *l, const char *v)
{
	for (size_t i = 0; i < l->n; i++) {
		if (strcmp(l->item[i], v) == 0)
			return;
	}
	l->item = mem_grow(l->item, (l->n + 1) * sizeof *l->item);
	l->item[l->n++] = mem_str(v);
}

static void
pairs_put(struct conf_pairs *p, const char *key, const char *v)
{
	size_t i = 0;

	while (i < p->n && strcmp(p->item[i].key, key) != 0)
		i++;
	if (i == p->n) {
		p->item = mem_grow(p->item, (p->n + 1) * sizeof *p->item);
		p->item[p->n++] = (struct conf_pair){ mem_str(key), NULL };
	}
	set_text(&p->item[i].value, mem_str(v));
}

/* ---- from text ---- */

struct parse {
	struct loaded *l;
	const char *name;
	struct buf why;       /* of the last refusal */
	struct buf *problems;
};

static const char *
refuse(struct parse *p, const struct key *k, const char *v)
{
	struct buf shown = BUF_INIT;
	size_t n = strlen(v);

	if (n > 60)
		for (n = 60; n > 0 && (v[n] & 0xc0) == 0x80; n--)
			;
	buf_json(&shown, v, n);
	buf_reset(&p->why);
	buf_str(&p->why, "expected ");
	expectation(k, &p->why);
	buf_fmt(&p->why, ", not %s", shown.data);
	if (k->type == T_WORD) {
		const char *near = near_word(v, k->words);

		if (near != NULL)
			buf_fmt(&p->why, "; did you mean %s?", near);
	}
	buf_clear(&shown);
	return p->why.data;
}

static const char *
say(struct parse *p, const char *what, const char *detail)
{
	buf_reset(&p->why);
	buf_fmt(&p->why, "%s%s", what, detail);
	return p->why.data;
}

static bool
is_runtime_name(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= 32 && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == n && s[0] != '-';
}

/* The values of a list that was not written in brackets: split at commas and spaces, but for grants, which hold one. */
static const char *
set_list(struct parse *p, const struct key *k, const char *v, bool in_list)
{
	char *copy = mem_str(v), *save = NULL;
	const char *why = NULL;

	if (in_list || (k->type >= T_GRANT_PATHS && k->type <= T_GRANT_WALLS)) {
		if (!fits(k, v))
			why = refuse(p, k, v);
		else
			list_add(field(&p->l->conf, k), v);
		goto out;
	}
	for (char *w = strtok_r(copy, ", \t", &save); w != NULL && why == NULL; w = strtok_r(NULL, ", \t", &save)) {
		if (!fits(k, w))
			why = refuse(p, k, w);
		else
			list_add(field(&p->l->conf, k), w);
	}
out:
	free(copy);
	return why;
}

static bool
is_list(const struct key *k)
{
	return k->type >= T_DIDS && k->type <= T_GRANT_WALLS;
}

static const char *
set_pair(struct parse *p, const struct key *k, const char *name, const char *v)
{
	int64_t n;

	if (!is_runtime_name(name))
		return say(p, "a runtime's name has at most 32 lower case letters, digits and '-', not ", name);
	if (k->type == T_COUNTS ? !parse_int(v, k->min, k->max, &n) : !fits(k, v))
		return refuse(p, k, v);
	pairs_put(field(&p->l->conf, k), name, v);
	return NULL;
}

/* NULL when set; otherwise what is wrong. */
static const char *
set(struct parse *p, const struct key *k, const char *name, const char *v, bool in_list)
{
	if (is_list(k))
		return v == NULL ? NULL : set_list(p, k, v, in_list);
	if (in_list) {
		buf_reset(&p->why);
		buf_str(&p->why, "expected one value and no list: ");
		expectation(k, &p->why);
		return p->why.data;
	}
	if (is_open(k))
		return set_pair(p, k, name + strlen(k->name), v);
	return set_scalar(&p->l->conf, k, v) ? NULL : refuse(p, k, v);
}

static const struct key *
find(const char *section, const char *name)
{
	for (int i = 0; i < KEYS; i++) {
		const struct key *k = &keys[i];
		bool open = is_open(k);

		if (strcmp(k->section, section) != 0)
			continue;
		if (open ? strncmp(k->name, name, strlen(k->name)) == 0 : strcmp(k->name, name) == 0)
			return k;
	}
	return NULL;
}

static bool
is_section(const char *name)
{
	for (int i = 0; i < KEYS; i++) {
		if (strcmp(keys[i].section, name) == 0)
			return true;
	}
	return false;
}

/* The key that was probably meant: same name elsewhere, or a near name, here before elsewhere. */
static const char *
unknown_key(struct parse *p, const char *section, const char *name)
{
	const struct key *best = NULL;
	int best_score = INT32_MAX;

	for (int i = 0; i < KEYS; i++) {
		int d = near_distance(name, keys[i].name);
		int score = 2 * d + (strcmp(keys[i].section, section) != 0 ? 3 : 0);

		if (keys[i].name[0] != '\0' && near_enough(name, d) && score < best_score) {
			best_score = score;
			best = &keys[i];
		}
	}
	buf_reset(&p->why);
	buf_str(&p->why, "unknown key");
	if (best != NULL && strcmp(best->section, section) == 0) {
		buf_str(&p->why, "; did you mean ");
		full_name(best, &p->why);
		buf_char(&p->why, '?');
	} else if (best != NULL) {
		buf_fmt(&p->why, "; %s stands %s%s%s", best->name,
		    best->section[0] == '\0' ? "at the top of the file, before any [section]" : "in [", best->section,
		    best->section[0] == '\0' ? "" : "]");
	} else {
		buf_str(&p->why, "; at-rund.conf(5) lists them all");
	}
	return p->why.data;
}

static const char *
unknown_section(struct parse *p, const char *name)
{
	const char *sections[KEYS + 1] = { NULL }, *near;
	int n = 0;

	for (int i = 0; i < KEYS; i++) {
		if (keys[i].section[0] != '\0' && (n == 0 || strcmp(sections[n - 1], keys[i].section) != 0))
			sections[n++] = keys[i].section;
	}
	sections[n] = NULL;
	near = near_word(name, sections);
	buf_reset(&p->why);
	buf_str(&p->why, "unknown section");
	if (near != NULL)
		buf_fmt(&p->why, "; did you mean [%s]?", near);
	else
		for (int i = 0; i < n; i++)
			buf_fmt(&p->why, "%s%s", i == 0 ? "; there are " : ", ", sections[i]);
	return p->why.data;
}

static const char *
on_value(void *arg, int line, const char *section, const char *name, const char *value, bool in_list)
{
	struct parse *p = arg;
	const struct key *k;
	const char *why;

	if (name == NULL)
		return is_section(section) ? NULL : unknown_section(p, section);
	k = find(section, name);
	if (k == NULL)
		return unknown_key(p, section, name);
	why = set(p, k, name, value, in_list);
	if (why == NULL && p->l->from[k - keys] == NULL) {
		bool several = is_open(k);

		p->l->from[k - keys] = several ? mem_str(p->name) : mem_fmt("%s:%d", p->name, line);
	}
	return why;
}

/* ---- checks across keys ---- */

static void
warn(struct parse *p, const char *key, const char *what)
{
	size_t i = 0;

	while (i < KEYS - 1) {
		struct buf name = BUF_INIT;
		bool same;

		full_name(&keys[i], &name);
		same = strcmp(name.data, key) == 0;
		buf_clear(&name);
		if (same)
			break;
		i++;
	}
	buf_fmt(p->problems, "%s: warning: %s: %s\n", p->l->from[i] != NULL ? p->l->from[i] : p->name, key, what);
}

static int
check_mode(struct parse *p, const char *section, const char *mode, const struct conf_list *allowed, const char *list,
    struct err *e)
{
	const struct conf *c = &p->l->conf;
	char key[40];

	snprintf(key, sizeof key, "%s.mode", section);
	if (strcmp(mode, "list") == 0 && list == NULL)
		err_set(e, ERR_INPUT, "%s: %s = list needs %s.list, the at:// URI of a list", p->name, key, section);
	else if ((strcmp(mode, "follows") == 0 || strcmp(mode, "mutuals") == 0) && c->did == NULL && c->handle == NULL &&
	    c->operator == NULL)
		err_set(e, ERR_INPUT, "%s: %s = %s needs did: whose %s are meant?", p->name, key, mode, mode);
	else {
		bool local = c->dev && c->dev_conf.bundles != NULL; /* then there is somebody whose bundles run */

		if (strcmp(mode, "allowlist") == 0 && allowed->n == 0 && c->did == NULL && !local)
			warn(p, key, strcmp(section, "access") == 0 ?
			    "the allowlist is empty and did is not set, so nobody's bundles run here" :
			    "the allowlist is empty and did is not set, so nobody may call");
		return 0;
	}
	buf_fmt(p->problems, "%s\n", e->text);
	return -1;
}

/* A path granted below one that may be written, or NULL. */
static const char *
nested_grant(const struct conf *c)
{
	const struct conf_list *lists[] = { &c->grants.read, &c->grants.write };

	for (int k = 0; k < 2; k++)
		for (size_t i = 0; i < lists[k]->n; i++)
			for (size_t j = 0; j < c->grants.write.n; j++) {
				const char *path = grant_what(lists[k]->item[i]), *top = grant_what(c->grants.write.item[j]);

				if (strncmp(path, top, strlen(top)) == 0 && path[strlen(top)] == '/')
					return path;
			}
	return NULL;
}

static int
check(struct parse *p, struct err *e)
{
	const struct conf *c = &p->l->conf;
	const char *otlp = c->observability.otlp_endpoint, *inner;
	struct err own = ERR_INIT;

	inner = nested_grant(c);
	if (inner != NULL) {
		buf_fmt(p->problems, "%s: grants: %s lies below a path that bundles may write, who could make it lead anywhere\n",
		    p->name, inner);
		return err_set(e, ERR_INPUT, "%s: grants: %s lies below a path that bundles may write", p->name, inner);
	}
	if (check_mode(p, "access", c->access.mode, &c->access.allowlist, c->access.list, &own) != 0 ||
	    check_mode(p, "callers", c->callers.mode, &c->callers.allowlist, c->callers.list, &own) != 0)
		return err_set(e, own.kind, "%s", own.text);
	if (c->did != NULL && strcmp(c->did, "did:plc:your-did-here") == 0)
		warn(p, "did", "this is the example's DID; put your own here");
	if (c->limits.log_line > c->limits.log && c->limits.log > 0)
		warn(p, "limits.log_line", "more than limits.log, so one long line fills the log of a job");
	if (otlp != NULL && strstr(otlp, ":4317") != NULL && strncmp(c->observability.otlp_protocol, "http", 4) == 0)
		warn(p, "observability.otlp_protocol", "4317 is the port of OTLP over gRPC; over HTTP it is 4318");
	if (otlp != NULL && strstr(otlp, ":4318") != NULL && strcmp(c->observability.otlp_protocol, "grpc") == 0)
		warn(p, "observability.otlp_protocol", "4318 is the port of OTLP over HTTP; over gRPC it is 4317");
	return 0;
}

/* ---- loading ---- */

static void
value_clear(struct conf *c, const struct key *k)
{
	switch (k->type) {
	case T_BOOL:
	case T_INT:
	case T_DURATION:
	case T_SIZE:
		break;
	case T_DIDS:
	case T_PORTS:
	case T_RULES:
	case T_NETS:
	case T_GRANT_PATHS:
	case T_GRANT_NAMES:
	case T_GRANT_WALLS: {
		struct conf_list *l = field(c, k);

		for (size_t i = 0; i < l->n; i++)
			free(l->item[i]);
		free(l->item);
		*l = (struct conf_list){ NULL, 0 };
		break;
	}
	case T_FILES:
	case T_COUNTS:
	case T_WALLS: {
		struct conf_pairs *l = field(c, k);

		for (size_t i = 0; i < l->n; i++) {
			free(l->item[i].key);
			free(l->item[i].value);
		}
		free(l->item);
		*l = (struct conf_pairs){ NULL, 0 };
		break;
	}
	default:
		set_text(field(c, k), NULL);
	}
}

void
conf_free(struct conf *c)
{
	struct loaded *l = (struct loaded *)c;

	if (c == NULL)
		return;
	for (int i = 0; i < KEYS; i++) {
		value_clear(c, &keys[i]);
		free(l->from[i]);
	}
	free(c->home);
	free(c->file);
	free(c->run_dir);
	free(c->bundles_dir);
	free(c->runtimes_dir);
	free(c->keys_dir);
	free(c->database);
	free(l);
}

/* Everything at its default, below home. */
static struct loaded *
loaded_new(const char *home)
{
	struct loaded *l = mem_alloc(sizeof *l);
	struct conf *c = &l->conf;
	const char *dev = getenv("AT_RUND_DEV");

	c->home = mem_str(home);
	c->run_dir = mem_fmt("%s/run", home);
	c->bundles_dir = mem_fmt("%s/bundles", home);
	c->runtimes_dir = mem_fmt("%s/runtimes", home);
	c->keys_dir = mem_fmt("%s/keys", home);
	c->database = mem_fmt("%s/at-rund.db", home);
	c->dev = dev != NULL && strcmp(dev, "1") == 0;
	for (int i = 0; i < KEYS; i++) {
		if (keys[i].value != NULL && !set_scalar(c, &keys[i], keys[i].value))
			abort(); /* the table contradicts itself */
	}
	if (strcmp(home, CONF_SYSTEM_HOME) == 0)
		set_text(&c->web.listen, mem_str(CONF_SYSTEM_SOCKET)); /* a web server may not enter the home */
	return l;
}

/* AT_RUND_LIMITS_TIMEOUT=10s goes over the file.  [runtimes] has no such form: AT_RUND_RUNTIMES is a directory. */
static int
from_environment(struct parse *p, struct err *e)
{
	int rc = 0;

	for (int i = 0; i < KEYS; i++) {
		const struct key *k = &keys[i];
		const char *value, *why;
		char *name;

		if (is_open(k))
			continue;
		name = mem_fmt("AT_RUND_%s%s%s", k->section, k->section[0] != '\0' ? "_" : "", k->name);
		for (char *s = name; *s != '\0'; s++)
			*s = (char)toupper((unsigned char)*s);
		value = getenv(name);
		if (value != NULL) {
			value_clear(&p->l->conf, k);
			why = utf8_valid(value, strlen(value)) ? set(p, k, k->name, value, false) : "not UTF-8";
			if (why != NULL) {
				if (rc == 0)
					err_set(e, ERR_INPUT, "environment %s: %s", name, why);
				buf_fmt(p->problems, "environment %s: %s\n", name, why);
				rc = -1;
			}
			set_text(&p->l->from[i], mem_fmt("environment %s", name));
		}
		free(name);
	}
	return rc;
}

/* name: for messages; NULL text: no file. */
static struct conf *
load(const char *name, const char *text, size_t n, const char *home, bool environment, struct buf *problems,
    struct err *e)
{
	struct buf own = BUF_INIT;
	struct parse p = { .l = loaded_new(home), .name = name, .why = BUF_INIT };
	struct conf *c = &p.l->conf;
	struct err later = ERR_INIT;
	int rc = 0;

	p.problems = problems != NULL ? problems : &own;
	if (text != NULL)
		rc = conf_read(name, text, n, on_value, &p, p.problems, e);
	/* A refused value was not set, so every field is whole and the other checks may go on. */
	if (environment && from_environment(&p, &later) != 0 && rc == 0)
		rc = err_set(e, later.kind, "%s", later.text);
	if (rc == 0)
		rc = check(&p, e);
	buf_clear(&p.why);
	buf_clear(&own);
	if (rc != 0) {
		conf_free(c);
		return NULL;
	}
	return c;
}

struct conf *
conf_parse(const char *name, const char *text, size_t n, const char *home, struct buf *problems, struct err *e)
{
	return load(name, text != NULL ? text : "", n, home, false, problems, e);
}

static int
read_file(const char *path, struct buf *out, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), rc = -1;
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? err_set(e, ERR_NOTFOUND, "%s: no such file", path) : err_errno(e, "read %s", path);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		err_set(e, ERR_INPUT, "%s is not a file", path);
		goto out;
	}
	do {
		n = read(fd, buf_room(out, 65536), 65536);
		if (n > 0)
			out->len += (size_t)n;
	} while ((n > 0 && out->len <= (2 << 20)) || (n < 0 && errno == EINTR));
	if (n < 0) {
		err_errno(e, "read %s", path);
		goto out;
	}
	buf_str(out, "");
	rc = 0;
out:
	close(fd);
	return rc;
}

/* Absolute, without asking whether it is there. */
static char *
absolute(const char *path)
{
	char *real = realpath(path, NULL), *cwd;

	if (real != NULL || path[0] == '/')
		return real != NULL ? real : mem_str(path);
	cwd = getcwd(NULL, 0);
	real = mem_fmt("%s/%s", cwd != NULL ? cwd : "", path);
	free(cwd);
	return real;
}

static char *
user_home(void)
{
	const char *home = getenv("HOME");
	struct passwd *pw = home == NULL || home[0] != '/' ? getpwuid(getuid()) : NULL;

	if (pw != NULL)
		home = pw->pw_dir;
	return mem_fmt("%s/.at-rund", home != NULL ? home : "");
}

/* config.ini or config.toml in dir, allocated, or NULL. */
static char *
config_in(const char *dir)
{
	static const char *const names[] = { "config.ini", "config.toml" };

	for (int i = 0; i < 2; i++) {
		char *path = mem_fmt("%s/%s", dir, names[i]);

		if (access(path, F_OK) == 0)
			return path;
		free(path);
	}
	return NULL;
}

/* Where the config is (NULL: nowhere) and where the home. */
static void
locate(const char *path, char **file, char **home)
{
	static const char etc[] = "/etc/at-rund";
	const char *given = getenv("AT_RUND_HOME");
	char *slash;

	*home = given != NULL && given[0] != '\0' ? absolute(given) : NULL;
	if (path != NULL) {
		*file = absolute(path);
		if (*home != NULL)
			return;
		*home = mem_str(*file);
		slash = strrchr(*home, '/');
		slash[slash == *home ? 1 : 0] = '\0';
	} else if (*home != NULL) {
		*file = config_in(*home);
		return;
	} else {
		*home = user_home();
		*file = config_in(*home);
		if (*file == NULL && (*file = config_in(etc)) != NULL)
			set_text(home, mem_str(etc));
	}
	/* A system install keeps its state where such things live. */
	if (strcmp(*home, etc) == 0)
		set_text(home, mem_str(CONF_SYSTEM_HOME));
}

struct conf *
conf_load(const char *path, bool missing_ok, struct buf *problems, struct err *e)
{
	struct buf text = BUF_INIT;
	struct conf *c = NULL;
	char *file, *home;

	locate(path, &file, &home);
	if (file == NULL) {
		if (missing_ok)
			c = load("defaults", NULL, 0, home, true, problems, e);
		else
			err_set(e, ERR_INPUT, "no config: neither %s/config.ini nor config.toml is there; "
			    "at-rund init writes one", home);
	} else if (read_file(file, &text, e) == 0) {
		c = load(file, text.data, text.len, home, true, problems, e);
	}
	if (c != NULL)
		c->file = mem_str(file);
	buf_clear(&text);
	free(file);
	free(home);
	return c;
}

/* ---- showing ---- */

/* The value as text, as one would write it; nothing when there is none. */
static void
value_text(const struct conf *c, const struct key *k, struct buf *out)
{
	const void *at = field(c, k);
	char number[32];

	switch (k->type) {
	case T_BOOL:
		buf_str(out, *(const bool *)at ? "yes" : "no");
		break;
	case T_INT:
		buf_fmt(out, "%lld", (long long)*(const int64_t *)at);
		break;
	case T_DURATION:
	case T_SIZE:
		(k->type == T_SIZE ? conf_size_print : conf_duration_print)(*(const int64_t *)at, number);
		buf_str(out, number);
		break;
	case T_DIDS:
	case T_PORTS:
	case T_RULES:
	case T_NETS:
	case T_GRANT_PATHS:
	case T_GRANT_NAMES:
	case T_GRANT_WALLS: {
		const struct conf_list *l = at;

		buf_char(out, '[');
		for (size_t i = 0; i < l->n; i++)
			buf_fmt(out, "%s%s", i > 0 ? ", " : "", l->item[i]);
		buf_char(out, ']');
		break;
	}
	case T_FILES:
	case T_COUNTS:
	case T_WALLS:
		break;
	default:
		if (*(char *const *)at != NULL)
			buf_str(out, *(char *const *)at);
	}
}

static void
value_json(const struct conf *c, const struct key *k, struct buf *out)
{
	const void *at = field(c, k);
	struct buf text = BUF_INIT;

	if (is_list(k)) {
		const struct conf_list *l = at;

		buf_char(out, '[');
		for (size_t i = 0; i < l->n; i++) {
			buf_str(out, i > 0 ? "," : "");
			buf_json_str(out, l->item[i]);
		}
		buf_char(out, ']');
	} else if (is_open(k)) {
		const struct conf_pairs *l = at;

		buf_char(out, '{');
		for (size_t i = 0; i < l->n; i++) {
			buf_str(out, i > 0 ? "," : "");
			buf_json_str(out, l->item[i].key);
			buf_char(out, ':');
			buf_json_str(out, l->item[i].value);
		}
		buf_char(out, '}');
	} else {
		value_text(c, k, &text);
		if (k->type == T_BOOL)
			buf_str(out, *(const bool *)at ? "true" : "false");
		else if (k->type == T_INT)
			buf_str(out, text.data);
		else
			buf_json_str(out, k->type < T_BOOL && *(char *const *)at == NULL ? NULL :
			    text.data != NULL ? text.data : "");
	}
	buf_clear(&text);
}

static void
show_line(const struct conf *c, const struct key *k, const char *from, struct buf *out)
{
	size_t start = out->len, width;
	const struct conf_pairs *p = field(c, k);

	if (is_open(k)) {
		for (size_t i = 0; i < p->n; i++)
			buf_fmt(out, "%s.%s%s = %s  (%s)\n", k->section, k->name, p->item[i].key, p->item[i].value, from);
		if (p->n > 0)
			return;
	}
	full_name(k, out);
	buf_str(out, " = ");
	value_text(c, k, out);
	width = out->len - start;
	buf_fmt(out, "%*s(%s)\n", width < 38 ? (int)(40 - width) : 2, "", from);
}

void
conf_show(const struct conf *c, bool json, struct buf *out)
{
	const struct loaded *l = (const struct loaded *)c;

	if (json) {
		buf_str(out, "{\"home\":");
		buf_json_str(out, c->home);
		buf_str(out, ",\"file\":");
		buf_json_str(out, c->file);
		buf_fmt(out, ",\"dev\":%s,\"keys\":[", c->dev ? "true" : "false");
	} else {
		buf_fmt(out, "# home %s\n# file %s\n", c->home, c->file != NULL ? c->file : "(none)");
	}
	for (int i = 0; i < KEYS; i++) {
		const char *from = l->from[i] != NULL ? l->from[i] : "default";

		if (!json) {
			show_line(c, &keys[i], from, out);
			continue;
		}
		buf_fmt(out, "%s{\"key\":\"", i > 0 ? "," : "");
		full_name(&keys[i], out);
		buf_str(out, "\",\"value\":");
		value_json(c, &keys[i], out);
		buf_str(out, ",\"from\":");
		buf_json_str(out, from);
		buf_char(out, '}');
	}
	if (json)
		buf_str(out, "]}\n");
}

/* Read anew at each use and never kept elsewhere. */
static bool
is_live(const struct key *k)
{
	static const char *const sections[] = { "access", "callers", "limits", "pool", "jobs" };
	static const char *const names[] = { "scheduler.grace", "scheduler.keep_sync", "scheduler.keep_async", "scheduler.batch",
		"observability.level", "observability.log_format" };
	size_t n = strlen(k->section);

	for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
		if (strcmp(k->section, sections[i]) == 0)
			return true;
	}
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (strncmp(names[i], k->section, n) == 0 && names[i][n] == '.' && strcmp(names[i] + n + 1, k->name) == 0)
			return true;
	}
	return false;
}

static void
swap(void *a, void *b, size_t n)
{
	char keep[sizeof(struct conf_list) + sizeof(int64_t)]; /* room for any of them */

	memcpy(keep, a, n);
	memcpy(a, b, n);
	memcpy(b, keep, n);
}

void
conf_take(struct conf *into, struct conf *from, struct buf *taken, struct buf *left)
{
	struct loaded *a = (struct loaded *)into, *b = (struct loaded *)from;

	for (int i = 0; i < KEYS; i++) {
		const struct key *k = &keys[i];
		struct buf was = BUF_INIT, is = BUF_INIT, *list;
		bool same;

		value_json(into, k, &was);
		value_json(from, k, &is);
		same = was.len == is.len && memcmp(was.data, is.data, is.len) == 0;
		buf_clear(&was);
		buf_clear(&is);
		if (same)
			continue;
		list = is_live(k) ? taken : left;
		buf_str(list, list->len > 0 ? " " : "");
		full_name(k, list);
		if (!is_live(k))
			continue;
		swap(field(into, k), field(from, k), is_list(k) ? sizeof(struct conf_list) : k->type == T_COUNTS ?
		    sizeof(struct conf_pairs) : k->type < T_BOOL ? sizeof(char *) :
		    k->type == T_BOOL ? sizeof(bool) : sizeof(int64_t));
		swap(&a->from[i], &b->from[i], sizeof a->from[i]);
	}
}

void
conf_template(struct buf *out)
{
	const char *section = "";

	buf_str(out, "# The config of this runner.  Every key with its default: man at-rund.conf, or `at-rund config show`.\n"
	    "# `at-rund config check` reads it through.\n\n");
	for (int i = 0; i < KEYS; i++) {
		const struct key *k = &keys[i];
		bool open = is_open(k);

		if (k->sample == NULL)
			continue;
		if (strcmp(section, k->section) != 0)
			buf_fmt(out, "\n[%s]\n", k->section);
		section = k->section;
		buf_fmt(out, "# %s", k->help);
		if (k->type == T_WORD) {
			buf_str(out, ": ");
			for (const char *const *w = k->words; *w != NULL; w++)
				buf_fmt(out, "%s%s", w == k->words ? "" : " | ", *w);
		}
		/* What has a default is shown as it is; the rest is a form to fill in. */
		buf_fmt(out, "\n%s%s%s = %s\n", k->value == NULL ? "# " : "", k->name, open ? "deno" : "", k->sample);
	}
}
