/*
 * The role that talks to strangers.  One thread reads requests, a pool of threads serves them with plain blocking code,
 * each with its own http handle; whoever is done writes its answer under a lock.  The process has no key, no database
 * and, where Landlock exists, no way to open either: it reads what name look-ups and TLS need and writes bundles/.
 *
 * What is shared between the threads: the queue, the identities (one fetch for many requests of an author), and the
 * list of code directories being made (one download for many requests of a bundle).
 */
#include "scheduler/fetcher.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/bundle.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/syntax.h"
#include "scheduler/fetcher_task.h"

#define QUEUE_MAX 1024

int
fetcher_conf_fill(struct fetcher_conf *f, const struct conf *c, struct err *e)
{
	size_t i;

	memset(f, 0, sizeof *f);
	f->plc_url = c->atproto.plc_url;
	f->handle_resolver = c->atproto.handle_resolver;
	f->collection = c->atproto.collection;
	f->runner = c->did;
	f->secret_collection = c->atproto.secret_collection;
	f->bundles_dir = c->bundles_dir;
	f->dev = c->dev;
	if (c->atproto.ports.n > FETCHER_PORTS_MAX)
		return err_set(e, ERR_INPUT, "atproto.ports lists more than %d ports", FETCHER_PORTS_MAX);
	for (i = 0; i < c->atproto.ports.n; i++) {
		char *end;
		long port = strtol(c->atproto.ports.item[i], &end, 10);

		if (port < 1 || port > 65535 || *end != '\0')
			return err_set(e, ERR_INPUT, "atproto.ports: %.40s is not a port", c->atproto.ports.item[i]);
		f->ports[f->n_ports++] = (int)port;
	}
	f->blob_bytes = c->atproto.blob;
	f->record_bytes = c->atproto.record;
	f->did_bytes = 512 * 1024;
	f->unpacked_bytes = c->atproto.unpacked;
	f->entries = c->atproto.entries;
	f->connect_ms = c->atproto.connect_timeout;
	f->first_byte_ms = c->atproto.first_byte_timeout;
	f->total_ms = c->atproto.fetch_timeout;
	f->identity_fresh_ms = c->atproto.identity_fresh;
	f->workers = (int)c->atproto.workers;
	return 0;
}

struct work {
	char *json;
	size_t n;
	int64_t came; /* when its time began to run */
	struct work *next;
};

/* --- a task --- */

int64_t
task_left_ms(const struct task *t)
{
	return t->end - clock_mono_ms();
}

int
task_limits(const struct task *t, int64_t bytes, const char *key, int redirects, struct http_limits *l, struct err *e)
{
	const struct fetcher_conf *c = t->f->conf;
	int64_t left = task_left_ms(t);

	if (left <= 0)
		return err_set(e, ERR_TIMEOUT, "the time of the call was over while somebody else's server was asked");
	*l = (struct http_limits){
		.bytes = bytes,
		.bytes_key = key,
		.connect_ms = c->connect_ms,
		.connect_key = "atproto.connect_timeout",
		.first_byte_ms = c->first_byte_ms,
		.first_byte_key = "atproto.first_byte_timeout",
		.total_ms = left < c->total_ms ? left : c->total_ms,
		.total_key = left < c->total_ms ? "what was left of the call's time" : "atproto.fetch_timeout",
		.redirects = redirects,
	};
	return 0;
}

bool
task_wait(const struct task *t)
{
	struct timespec at;
	int64_t left = task_left_ms(t);

	if (left <= 0)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += left / 1000;
	at.tv_nsec += left % 1000 * 1000000;
	if (at.tv_nsec >= 1000000000) {
		at.tv_sec++;
		at.tv_nsec -= 1000000000;
	}
	pthread_cond_timedwait(&t->f->changed, &t->f->lock, &at);
	return true;
}

static const struct {
	const char *word;
	int (*serve)(struct task *, const cJSON *, struct buf *, struct err *);
} operations[] = {
	{ "bundle", task_bundle },
	{ "identity", task_identity },
	{ "records", task_records },
	{ "post", task_post },
};

/* What all requests have.  The number of the operation, or -1. */
static int
read_request(struct task *t, const cJSON *tree, int64_t came, struct err *e)
{
	int64_t id = 0, deadline = t->f->conf->total_ms;
	const char *op = json_string(tree, "op");
	size_t i, n = sizeof operations / sizeof *operations;

	if (json_int(tree, "id", 0, INT64_C(9007199254740991), &id, e) != 0)
		return -1;
	t->id = (uint64_t)id;
	if (json_int(tree, "deadlineMs", 1, 3600000, &deadline, e) != 0)
		return -1;
	t->end = came + deadline;
	for (i = 0; i < n && (op == NULL || strcmp(op, operations[i].word) != 0); i++)
		;
	if (i == n)
		return err_set(e, ERR_INPUT, "the fetcher knows no such operation");
	t->author = json_string(tree, "author");
	if (operations[i].serve != task_post && (t->author == NULL || !syntax_at_identifier(t->author, strlen(t->author))))
		return err_set(e, ERR_INPUT, "the author is neither a DID nor a handle");
	return (int)i;
}

static void
answer_ok(const struct task *t, const char *op, const struct buf *more, struct buf *out)
{
	buf_fmt(out, "{\"id\":%llu,\"op\":\"%s\",\"ok\":true", (unsigned long long)t->id, op);
	if (t->doc.did != NULL) {
		buf_str(out, ",\"did\":");
		buf_json_str(out, t->doc.did);
		buf_str(out, ",\"handle\":");
		buf_json_str(out, t->handle);
		buf_str(out, ",\"pds\":");
		buf_json_str(out, t->doc.pds);
	}
	buf_add(out, more->data, more->len);
	buf_char(out, '}');
}

/* When it was proven that something is not there, the revision goes along: what is older may hide it no more. */
static void
answer_error(const struct task *t, const struct err *e, struct buf *out)
{
	/* Where a stranger's server points is the stranger's fault, not the caller's. */
	struct err told = *e;

	if (told.kind == ERR_DENIED)
		told.kind = ERR_REMOTE;
	if (told.kind == ERR_NONE)
		told.kind = ERR_INTERNAL;
	buf_fmt(out, "{\"id\":%llu,\"ok\":false,\"kind\":\"%s\",\"name\":", (unsigned long long)t->id,
	    err_kind_name(told.kind));
	buf_json_str(out, err_name(&told));
	buf_str(out, ",\"message\":");
	buf_json_str(out, told.text);
	if (t->rev[0] != '\0') {
		buf_str(out, ",\"did\":");
		buf_json_str(out, t->doc.did);
		buf_fmt(out, ",\"rev\":\"%s\"", t->rev);
	}
	buf_char(out, '}');
}

static void
serve(struct fetcher *f, struct http *http, const struct work *w, struct buf *out)
{
	struct task t = { .f = f, .http = http };
	struct buf more = BUF_INIT;
	struct err e = ERR_INIT;
	int64_t start = clock_mono_ms();
	cJSON *tree = json_parse(w->json, w->n, JSON_DEPTH, &e);
	int op = tree != NULL ? read_request(&t, tree, w->came, &e) : -1;
	bool fine = op >= 0 && operations[op].serve(&t, tree, &more, &e) == 0;

	if (fine)
		answer_ok(&t, operations[op].word, &more, out);
	else
		answer_error(&t, &e, out);
	if (out->len > FETCHER_MESSAGE_MAX) {
		buf_reset(out);
		err_set(&e, ERR_REMOTE, "the answer is too large");
		answer_error(&t, &e, out);
	}
	log_debug("fetched", "op=%s author=%s name=%s version=%s ok=%d identity_ms=%lld ms=%lld why=%s",
	    op >= 0 ? operations[op].word : "?", log_q(t.author), log_q(json_string(tree, "name")),
	    log_q(json_string(tree, "version")), fine, (long long)t.identity_ms, (long long)(clock_mono_ms() - start),
	    log_q(fine ? "" : e.text));
	did_doc_clear(&t.doc);
	free(t.handle);
	buf_clear(&more);
	cJSON_Delete(tree);
}

/* --- messages --- */

static void
send_all(struct fetcher *f, const struct buf *json)
{
	struct buf out = BUF_INIT;
	size_t at = 0;

	fetcher_message_add(&out, json->data, json->len);
	pthread_mutex_lock(&f->write_lock);
	while (at < out.len) {
		ssize_t n = send(f->fd, out.data + at, out.len - at, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			_exit(0); /* the scheduler is gone */
		at += (size_t)n;
	}
	pthread_mutex_unlock(&f->write_lock);
	buf_clear(&out);
}

static void *
worker(void *arg)
{
	struct fetcher *f = arg;
	struct http *http = http_new();
	struct buf out = BUF_INIT;

	for (;;) {
		struct work *w;

		pthread_mutex_lock(&f->lock);
		while (f->first == NULL)
			pthread_cond_wait(&f->more, &f->lock);
		w = f->first;
		f->first = w->next;
		if (f->first == NULL)
			f->last = &f->first;
		f->queued--;
		pthread_cond_signal(&f->room);
		pthread_mutex_unlock(&f->lock);
		buf_reset(&out);
		serve(f, http, w, &out);
		send_all(f, &out);
		if (out.room > 256 * 1024)
			buf_clear(&out);
		free(w->json);
		free(w);
	}
	return NULL;
}

static void
enqueue(struct fetcher *f, const char *json, size_t n)
{
	struct work *w = mem_alloc(sizeof *w);

	w->json = mem_dup(json, n);
	w->n = n;
	w->came = clock_mono_ms();
	pthread_mutex_lock(&f->lock);
	while (f->queued >= QUEUE_MAX)
		pthread_cond_wait(&f->room, &f->lock);
	*f->last = w;
	f->last = &w->next;
	f->queued++;
	pthread_cond_signal(&f->more);
	pthread_mutex_unlock(&f->lock);
}

/* Reads requests until the other side closes. */
static int
read_requests(struct fetcher *f)
{
	struct buf in = BUF_INIT;
	struct err e = ERR_INIT;

	for (;;) {
		const char *json = NULL;
		size_t n = 0;
		long took;
		ssize_t got = read(f->fd, buf_room(&in, 65536), 65536);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		in.len += (size_t)got;
		while ((took = fetcher_message_next(in.data, in.len, &json, &n, &e)) > 0) {
			enqueue(f, json, n);
			buf_drop(&in, (size_t)took);
		}
		if (took < 0) {
			log_error("fetcher", "why=%s", log_q(e.text));
			break;
		}
	}
	buf_clear(&in);
	return 0;
}

/* --- the process --- */

static void
set_limit(int what, rlim_t value)
{
	struct rlimit r = { value, value };

	setrlimit(what, &r);
}

/* Newer than Debian 12's header. */
#define ACCESS_TRUNCATE (1ULL << 14)
#define ACCESS_READ     (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ACCESS_V1       ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

static void
allow(int rules, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr a = { .allowed_access = access };
	struct stat st;

	a.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (a.parent_fd < 0)
		return;
	/* A rule for a file may not speak of directories. */
	if (fstat(a.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
		a.allowed_access &= LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE;
	syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &a, 0);
	close(a.parent_fd);
}

/*
 * Reading: what the resolver, TLS and libraries loaded late need.  Writing: bundles/.  The home (database, keys) is out
 * of reach; where it lies below /etc, only the files we need of /etc are in.
 */
static bool
close_files(const char *bundles_dir)
{
	static const char *const read_only[] = { "/usr", "/lib", "/lib64", "/run/systemd/resolve",
		"/run/NetworkManager", "/run/resolvconf", "/dev/urandom", "/dev/null", "/etc/ssl",
		"/etc/ca-certificates", "/etc/pki", "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf",
		"/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services", "/etc/ld.so.cache", "/etc/localtime" };
	struct landlock_ruleset_attr attr = { .handled_access_fs = ACCESS_V1 };
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	size_t i;
	int rules;
	bool closed;

	if (version < 1)
		return false;
	if (version >= 2)
		attr.handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
	if (version >= 3)
		attr.handled_access_fs |= ACCESS_TRUNCATE;
	rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
	if (rules < 0)
		return false;
	for (i = 0; i < sizeof read_only / sizeof read_only[0]; i++)
		allow(rules, read_only[i], ACCESS_READ);
	/* resolv.conf is replaced, not rewritten, when the network changes: only its directory keeps it in reach. */
	if (strncmp(bundles_dir, "/etc/", 5) != 0)
		allow(rules, "/etc", ACCESS_READ);
	allow(rules, bundles_dir, attr.handled_access_fs & ~(uint64_t)LANDLOCK_ACCESS_FS_EXECUTE);
	closed = syscall(SYS_landlock_restrict_self, rules, 0) == 0;
	close(rules);
	return closed;
}

/* Half-made directories of a process that was killed. */
static void
sweep(const char *bundles_dir)
{
	DIR *d = opendir(bundles_dir);
	struct dirent *entry;

	while (d != NULL && (entry = readdir(d)) != NULL) {
		char *path;

		if (strstr(entry->d_name, ".tmp-") == NULL)
			continue;
		path = mem_fmt("%s/%s", bundles_dir, entry->d_name);
		if (unlink(path) != 0)
			bundle_remove(path, NULL);
		free(path);
	}
	if (d != NULL)
		closedir(d);
}

static void
drop_rights(const struct fetcher_conf *c)
{
	int64_t file = c->unpacked_bytes > c->blob_bytes ? c->unpacked_bytes : c->blob_bytes;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0);
	set_limit(RLIMIT_CORE, 0);
	set_limit(RLIMIT_NOFILE, 256);
	set_limit(RLIMIT_FSIZE, (rlim_t)file + 1024 * 1024);
	if (!close_files(c->bundles_dir))
		log_warn("fetcher without landlock", "why=%s", log_q("this kernel does not offer it"));
#ifndef __SANITIZE_ADDRESS__
	/* A bound on what a stranger's bytes can make us hold; ASan maps terabytes. */
	set_limit(RLIMIT_AS, (rlim_t)1024 * 1024 * 1024);
#endif
}

static void
start(struct fetcher *f)
{
	pthread_condattr_t monotonic;
	pthread_attr_t small;
	int i, n = f->conf->workers > 0 ? f->conf->workers : 8;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&f->lock, NULL);
	pthread_mutex_init(&f->write_lock, NULL);
	pthread_cond_init(&f->more, NULL);
	pthread_cond_init(&f->room, NULL);
	pthread_cond_init(&f->changed, &monotonic);
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 1024 * 1024);
	for (i = 0; i < n && i < 64; i++) {
		pthread_t t;

		if (pthread_create(&t, &small, worker, f) != 0)
			break;
		pthread_detach(t);
	}
	if (i == 0)
		abort();
	pthread_attr_destroy(&small);
	pthread_condattr_destroy(&monotonic);
}

int
fetcher_main(int fd, const struct fetcher_conf *c)
{
	/* Lives as long as the process: the threads look at it until _exit. */
	static struct fetcher f;

	/* Few arenas: each reserves 64 MiB of the address space that is bounded below. */
	mallopt(M_ARENA_MAX, 2);
	f.conf = c;
	f.fd = fd;
	f.last = &f.first;
	f.policy = (struct http_policy){ c->dev, c->ports, c->n_ports };
	sweep(c->bundles_dir);
	http_setup();
	drop_rights(c);
	start(&f);
	read_requests(&f);
	/* Threads may be in the middle of anything: what is half-made is swept at the next start. */
	_exit(0);
}
