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

#include "lib/archive.h"
#include "lib/buf.h"
#include "lib/bundle.h"
#include "lib/cid.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/data.h"
#include "lib/did.h"
#include "lib/http.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/pds.h"
#include "lib/proof.h"
#include "lib/syntax.h"

#define QUEUE_MAX      1024
#define IDENTITIES_MAX 2048
#define AUTHOR_MAX     SYNTAX_DID_MAX
/* A failure is remembered this long, so that a storm of calls for a dead author asks once. */
#define FAILED_FRESH_MS 2000
/* A bad signature may mean that the key is new: the document is read again, but not in a storm. */
#define RENEW_MS 2000
/* What a proof may have over the record's own limit: the commit and the tree's nodes. */
#define PROOF_ROOM (512 * 1024)
/* The chain in words holds a DID twice, and CIDs. */
#define PROOF_WORDS_MAX 8192
/* An author may have moved to another PDS: a document older than this is asked for again when the PDS fails us. */
#define MOVED_AFTER_MS 5000
/* A document that cannot be refreshed goes on being used, and is tried again after this. */
#define RETRY_MS 30000

int
fetcher_conf_fill(struct fetcher_conf *f, const struct conf *c, struct err *e)
{
	size_t i;

	memset(f, 0, sizeof *f);
	f->plc_url = c->atproto.plc_url;
	f->handle_resolver = c->atproto.handle_resolver;
	f->collection = c->atproto.collection;
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

/* --- what the threads share --- */

struct work {
	char *json;
	size_t n;
	int64_t came; /* when its time began to run */
	struct work *next;
};

/* An author as a request named it: a DID or a handle. */
struct identity {
	char *author;
	bool busy;          /* somebody is asking; wait for changed */
	bool known;         /* doc is good */
	int64_t asked, fresh_until;
	struct did_doc doc;
	char rev[PROOF_REV_TEXT + 1]; /* the newest that was proven; kept under the DID */
	struct err failure; /* kind ERR_NONE: the last try went well */
	int waiters;        /* who holds a pointer to this */
	struct identity *next;
};

struct making {
	char *name;
	struct making *next;
};

struct fetcher {
	const struct fetcher_conf *conf;
	int fd;
	struct http_policy policy;
	pthread_mutex_t lock;     /* guards all below */
	pthread_cond_t more, room; /* of the queue */
	pthread_cond_t changed;   /* an identity or a code directory is done */
	struct work *first, **last;
	size_t queued;
	struct identity *identities;
	size_t n_identities;
	struct making *making;
	pthread_mutex_t write_lock;
};

/* One request while it is served. */
struct job {
	struct fetcher *f;
	struct http *http;
	uint64_t id;
	const char *author, *name, *version, *known_cid, *last_rev; /* borrowed from the request's tree */
	int64_t end;                                     /* monotonic ms */
	struct did_doc doc;
	char *handle; /* proven, or NULL */
	char *uri, *record;       /* JSON text of the record */
	char cid[CID_TEXT + 1], commit[CID_TEXT + 1], rev[PROOF_REV_TEXT + 1];
	char *proof;              /* in words */
	struct bundle *bundle;
	char *dir;    /* name below bundles_dir */
	int64_t bytes;
	bool unchanged;
	int64_t identity_ms, record_ms, blob_ms;
};

static int64_t
left_ms(const struct job *j)
{
	return j->end - clock_mono_ms();
}

/* No request of a job outlives the job. */
static int
limits_for(const struct job *j, int64_t bytes, const char *key, int redirects, struct http_limits *l, struct err *e)
{
	const struct fetcher_conf *c = j->f->conf;
	int64_t left = left_ms(j);

	if (left <= 0)
		return err_set(e, ERR_TIMEOUT, "the time of the call was over while its bundle was fetched");
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

/* Waits for `changed`, at most until the job's end.  false: too late. */
static bool
wait_changed(const struct job *j)
{
	struct timespec t;
	int64_t left = left_ms(j);

	if (left <= 0)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += left / 1000;
	t.tv_nsec += left % 1000 * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	pthread_cond_timedwait(&j->f->changed, &j->f->lock, &t);
	return true;
}

/* --- identities --- */

static void
identity_free(struct identity *i)
{
	free(i->author);
	did_doc_clear(&i->doc);
	free(i);
}

/* Drops the one that is stale the longest.  Under the lock. */
static void
identity_evict(struct fetcher *f)
{
	struct identity **at, **worst = NULL, *gone;

	for (at = &f->identities; *at != NULL; at = &(*at)->next)
		if (!(*at)->busy && (*at)->waiters == 0 &&
		    (worst == NULL || (*at)->fresh_until <= (*worst)->fresh_until))
			worst = at;
	if (worst == NULL)
		return;
	gone = *worst;
	*worst = gone->next;
	f->n_identities--;
	identity_free(gone);
}

/* Finds or makes the entry; the most recently used stand in front.  Under the lock. */
static struct identity *
identity_entry(struct fetcher *f, const char *author)
{
	struct identity **at, *i;

	for (at = &f->identities; (i = *at) != NULL; at = &i->next)
		if (strcmp(i->author, author) == 0) {
			*at = i->next;
			break;
		}
	if (i == NULL) {
		if (f->n_identities >= IDENTITIES_MAX)
			identity_evict(f);
		i = mem_alloc(sizeof *i);
		i->author = mem_str(author);
		f->n_identities++;
	}
	i->next = f->identities;
	f->identities = i;
	return i;
}

static int identity_get(struct job *j, const char *author, struct did_doc *out, struct err *e);

/* Asks the network.  A handle leads to a DID, whose document must name the handle. */
static int
identity_ask(struct job *j, const char *author, struct did_doc *out, struct err *e)
{
	const struct fetcher_conf *c = j->f->conf;
	struct http_limits limits;
	struct did_conf dc = { &j->f->policy, &limits, c->plc_url, c->handle_resolver };
	char *did = NULL;
	int rc = -1;

	if (limits_for(j, c->did_bytes, "fixed", 0, &limits, e) != 0)
		return -1;
	if (strncmp(author, "did:", 4) == 0)
		return did_resolve(j->http, &dc, author, out, e);
	if (did_of_handle(j->http, &dc, author, &did, e) != 0)
		return -1;
	if (identity_get(j, did, out, e) != 0)
		goto out;
	if (!did_doc_names(out, author)) {
		err_named(e, ERR_NOTFOUND, "HandleNotFound", "%.100s leads to %.100s, whose document names %.100s",
		    author, did, out->handle != NULL ? out->handle : "no handle");
		goto out;
	}
	rc = 0;
out:
	free(did);
	return rc;
}

/* Puts what the network said into the entry.  Under the lock. */
static void
identity_settle(struct fetcher *f, struct identity *i, int rc, struct did_doc *got, const struct err *why)
{
	int64_t now = clock_mono_ms();
	bool theirs = why->kind == ERR_REMOTE || why->kind == ERR_TIMEOUT || why->kind == ERR_DENIED;

	i->busy = false;
	i->asked = now;
	if (rc == 0) {
		did_doc_clear(&i->doc);
		i->doc = *got;
		*got = (struct did_doc)DID_DOC_INIT;
		i->known = true;
		i->failure = (struct err)ERR_INIT;
		i->fresh_until = now + f->conf->identity_fresh_ms;
	} else if (i->known && theirs) {
		i->fresh_until = now + RETRY_MS;
	} else {
		i->known = false;
		i->failure = *why;
		i->fresh_until = now + FAILED_FRESH_MS;
	}
	pthread_cond_broadcast(&f->changed);
}

static int
identity_get(struct job *j, const char *author, struct did_doc *out, struct err *e)
{
	struct fetcher *f = j->f;
	struct did_doc got = DID_DOC_INIT;
	struct err why = ERR_INIT;
	struct identity *i;
	int rc = -1;

	pthread_mutex_lock(&f->lock);
	i = identity_entry(f, author);
	i->waiters++;
	while (i->busy)
		if (!wait_changed(j)) {
			err_set(e, ERR_TIMEOUT, "%.100s did not resolve within the time of the call", author);
			goto out;
		}
	if (i->fresh_until <= clock_mono_ms()) {
		i->busy = true;
		pthread_mutex_unlock(&f->lock);
		rc = identity_ask(j, author, &got, &why);
		pthread_mutex_lock(&f->lock);
		identity_settle(f, i, rc, &got, &why);
		rc = -1;
	}
	if (i->known) {
		did_doc_clear(out);
		did_doc_copy(out, &i->doc);
		rc = 0;
	} else if (e != NULL) {
		*e = i->failure;
	}
out:
	i->waiters--;
	pthread_mutex_unlock(&f->lock);
	did_doc_clear(&got);
	return rc;
}

static int
get_identity(struct job *j, struct err *e)
{
	int64_t start = clock_mono_ms();
	char *author = mem_str(j->author);
	int rc;

	if (strncmp(author, "did:", 4) != 0)
		syntax_handle_lower(author);
	rc = identity_get(j, author, &j->doc, e);
	free(j->handle);
	j->handle = NULL;
	/* Only a handle that led here is proven; what a document claims alone is not told on. */
	if (rc == 0 && strncmp(author, "did:", 4) != 0)
		j->handle = mem_str(author);
	free(author);
	j->identity_ms = clock_mono_ms() - start;
	return rc;
}

/* Lets a document that is not quite new be asked for again.  Says whether it was. */
static bool
identity_doubt(struct fetcher *f, const char *did)
{
	int64_t now = clock_mono_ms();
	struct identity *i;
	bool old = false;

	pthread_mutex_lock(&f->lock);
	for (i = f->identities; i != NULL; i = i->next)
		if (i->known && !i->busy && strcmp(i->doc.did, did) == 0 && now - i->asked > MOVED_AFTER_MS) {
			i->fresh_until = 0;
			old = true;
		}
	pthread_mutex_unlock(&f->lock);
	return old;
}

/* The PDS failed us: has the author another one by now? */
static bool
moved(struct job *j, const struct err *e)
{
	bool theirs = e->kind == ERR_REMOTE || e->kind == ERR_TIMEOUT ||
	    (e->kind == ERR_NOTFOUND && strncmp(e->name, "Repo", 4) == 0);
	char *before;
	bool yes;

	if (!theirs || !identity_doubt(j->f, j->doc.did))
		return false;
	before = mem_str(j->doc.pds);
	yes = get_identity(j, NULL) == 0 && strcmp(before, j->doc.pds) != 0;
	free(before);
	return yes;
}

/* --- records --- */

static int
not_there(const struct job *j, const char *rkey, bool by_cid, struct err *e)
{
	const char *collection = j->f->conf->collection;

	bool proven = strcmp(e->name, "RecordNotInRepository") == 0;
	bool moved_on = by_cid && strcmp(e->name, "RecordMismatch") == 0;

	if (!proven && !moved_on && strcmp(e->name, "RecordNotFound") != 0)
		return err_wrap(e, "the bundle %s of %.100s", j->name, j->doc.did);
	if (by_cid)
		return err_named(e, ERR_NOTFOUND, "BundleNotFound",
		    "at://%.100s/%s/%s is not at %s: a PDS keeps only the current record; deploy %s:VERSION records to "
		    "keep older ones", j->doc.did, collection, rkey, j->version, j->name);
	return err_named(e, ERR_NOTFOUND, "BundleNotFound", "there is no record at://%.100s/%s/%s%s", j->doc.did,
	    collection, rkey, proven ? " (proven by the tree of its repository)" : "");
}

/*
 * Reads the document once more, unless that was just done.  true: the author's key or server is another now.  The handle's
 * entry holds the old document too, and is asked for with the next request.
 */
static bool
identity_renewed(struct job *j)
{
	struct did_doc doc = DID_DOC_INIT;
	struct identity *i;
	bool changed;

	pthread_mutex_lock(&j->f->lock);
	i = identity_entry(j->f, j->doc.did);
	if (!i->busy && i->asked + RENEW_MS <= clock_mono_ms())
		i->fresh_until = 0;
	pthread_mutex_unlock(&j->f->lock);
	changed = identity_get(j, j->doc.did, &doc, NULL) == 0 && doc.key != NULL &&
	    (j->doc.key == NULL || strcmp(doc.key, j->doc.key) != 0 || strcmp(doc.pds, j->doc.pds) != 0);
	if (changed && j->handle != NULL) {
		pthread_mutex_lock(&j->f->lock);
		i = identity_entry(j->f, j->handle);
		i->fresh_until = 0;
		pthread_mutex_unlock(&j->f->lock);
	}
	if (changed) {
		did_doc_clear(&j->doc);
		did_doc_copy(&j->doc, &doc);
	}
	did_doc_clear(&doc);
	return changed;
}

/* The newest revision of the author that anybody here knows of, "" when nobody does. */
static void
rev_known(struct job *j, char rev[PROOF_REV_TEXT + 1])
{
	struct identity *i;

	pthread_mutex_lock(&j->f->lock);
	i = identity_entry(j->f, j->doc.did);
	memcpy(rev, i->rev, sizeof i->rev);
	pthread_mutex_unlock(&j->f->lock);
	if (j->last_rev != NULL && strcmp(j->last_rev, rev) > 0)
		memcpy(rev, j->last_rev, PROOF_REV_TEXT + 1);
}

static void
rev_note(struct job *j, const char *rev)
{
	struct identity *i;

	pthread_mutex_lock(&j->f->lock);
	i = identity_entry(j->f, j->doc.did);
	if (strcmp(rev, i->rev) > 0)
		memcpy(i->rev, rev, sizeof i->rev);
	pthread_mutex_unlock(&j->f->lock);
}

static int
take_proof(struct job *j, const struct proof_ask *ask, const struct proof *p, struct err *e)
{
	struct buf json = BUF_INIT, words = BUF_INIT;
	struct err why = ERR_INIT;
	int rc = -1;

	if ((int64_t)p->n > j->f->conf->record_bytes) {
		err_set(e, ERR_REMOTE, "the record has %zu bytes, more than %lld (atproto.record)", p->n,
		    (long long)j->f->conf->record_bytes);
		goto out;
	}
	if (data_json(p->bytes, p->n, &json, &why) != 0) {
		err_named(e, ERR_REMOTE, "RecordMalformed", "record: %s", why.text);
		goto out;
	}
	proof_words(ask, p, &words);
	cid_print(&p->record, j->cid);
	cid_print(&p->commit, j->commit);
	memcpy(j->rev, p->rev, sizeof j->rev);
	j->uri = mem_fmt("at://%s/%s/%s", ask->did, ask->collection, ask->rkey);
	j->record = buf_take(&json);
	j->proof = buf_take(&words);
	rc = 0;
out:
	buf_clear(&json);
	buf_clear(&words);
	return rc;
}

/* One proof from the author's server, under the key and the server that j->doc names. */
static int
prove(struct job *j, const char *rkey, const struct cid *wanted, struct err *e)
{
	const struct fetcher_conf *c = j->f->conf;
	struct http_limits limits;
	struct pds_conf pc = { &j->f->policy, &limits, NULL };
	char rev[PROOF_REV_TEXT + 1];
	struct key key;
	struct proof_ask ask = { .did = j->doc.did, .collection = c->collection, .rkey = rkey, .key = &key,
		.record = wanted, .last_rev = rev, .now_ms = clock_wall_ms() };
	struct buf car = BUF_INIT;
	struct proof p = { .nodes = 0 };
	int rc = -1;

	if (j->doc.key == NULL)
		return err_named(e, ERR_REMOTE, "NoSigningKey", "the DID document names no signing key (#atproto)");
	if (key_parse_method(&key, j->doc.key_type, j->doc.key, e) != 0 ||
	    limits_for(j, c->record_bytes + PROOF_ROOM, "atproto.record and what a proof needs", 0, &limits, e) != 0)
		return -1;
	rev_known(j, rev);
	if (pds_proof_get(j->http, &pc, j->doc.pds, j->doc.did, c->collection, rkey, &car, e) != 0)
		goto out;
	rc = proof_record(&ask, (const uint8_t *)car.data, car.len, &p, e);
	if (rc == 0 || (e->kind == ERR_NOTFOUND && p.rev[0] != '\0'))
		rev_note(j, p.rev);
	if (rc == 0)
		rc = take_proof(j, &ask, &p, e);
out:
	buf_clear(&car);
	return rc;
}

static int
check_record(const struct job *j, const char *pinned, struct err *e)
{
	const struct bundle *b = j->bundle;
	const char *collection = j->f->conf->collection;

	if (b->type != NULL && strcmp(b->type, collection) != 0)
		return err_named(e, ERR_INPUT, "InvalidBundle", "the record's $type is %.100s, not %s", b->type,
		    collection);
	if (strcmp(b->name, j->name) != 0)
		return err_named(e, ERR_INPUT, "InvalidBundle", "the record says its name is %.100s, not %s", b->name,
		    j->name);
	if (pinned != NULL && b->version != NULL && strcmp(b->version, pinned) != 0)
		return err_named(e, ERR_INPUT, "InvalidBundle", "the record says its version is %.100s, not %s",
		    b->version, pinned);
	if (b->bytes > j->f->conf->blob_bytes)
		return err_named(e, ERR_INPUT, "InvalidBundle", "the code has %lld bytes, more than %lld (atproto.blob)",
		    (long long)b->bytes, (long long)j->f->conf->blob_bytes);
	return 0;
}

static int
get_record(struct job *j, struct err *e)
{
	int64_t start = clock_mono_ms();
	struct cid cid;
	bool latest = strcmp(j->version, "latest") == 0;
	bool by_cid = !latest && cid_parse(&cid, j->version, strlen(j->version), NULL) == 0;
	const char *pinned = latest || by_cid ? NULL : j->version;
	char *rkey = pinned != NULL ? mem_fmt("%s:%s", j->name, pinned) : mem_str(j->name);
	struct err why = ERR_INIT;
	int rc = prove(j, rkey, by_cid ? &cid : NULL, &why);

	/* The key may have been rotated since the document was read: once more with the new one. */
	if (rc != 0 && strcmp(why.name, "BadSignature") == 0 && identity_renewed(j))
		rc = prove(j, rkey, by_cid ? &cid : NULL, &why);
	if (rc != 0) {
		*e = why;
		not_there(j, rkey, by_cid, e);
		goto out;
	}
	rc = -1;
	j->bundle = bundle_parse(j->record, strlen(j->record), false, e);
	if (j->bundle != NULL)
		rc = check_record(j, pinned, e);
out:
	free(rkey);
	j->record_ms = clock_mono_ms() - start;
	return rc;
}

/* --- code --- */

/*
 * Where the code lies: an archive under the CID of the blob; one file under that and a hash of the name it is stored
 * under, because two records may give the same bytes different names, and neither author may spoil the other's.
 */
static char *
code_dir(const struct bundle *b, bool archive)
{
	const char *single = b->entry != NULL ? b->entry : bundle_entry_default(b, 0);
	char text[CID_TEXT + 1];
	struct cid c;

	if (archive)
		return mem_str(b->code);
	cid_of_bytes(&c, CID_RAW, single, strlen(single));
	cid_print(&c, text);
	return mem_fmt("%s-%.12s", b->code, text + CID_TEXT - 12);
}

static bool
have_dir(struct job *j, bool archive)
{
	char *name = code_dir(j->bundle, archive);
	char *path = mem_fmt("%s/%s", j->f->conf->bundles_dir, name);
	bool there = access(path, F_OK) == 0;

	free(path);
	if (there) {
		free(j->dir);
		j->dir = name;
	} else {
		free(name);
	}
	return there;
}

/* A file without a name: gone when we are. */
static int
blob_file(const char *dir, struct err *e)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char *path;

	if (fd >= 0)
		return fd;
	path = mem_fmt("%s/blob.tmp-XXXXXX", dir);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		err_errno(e, "create a file in %s", dir);
	else
		unlink(path);
	free(path);
	return fd;
}

static int
download(struct job *j, struct err *e)
{
	const struct fetcher_conf *c = j->f->conf;
	const struct bundle *b = j->bundle;
	const char *single = b->entry != NULL ? b->entry : bundle_entry_default(b, 0);
	struct archive_limits al = { c->unpacked_bytes, c->entries, "atproto.unpacked", "atproto.entries" };
	struct http_limits limits;
	struct pds_conf pc = { &j->f->policy, NULL, &limits };
	struct cid cid;
	char head[512];
	ssize_t n;
	int fd, rc = -1;

	if (limits_for(j, c->blob_bytes, "atproto.blob", 3, &limits, e) != 0 ||
	    cid_parse(&cid, b->code, strlen(b->code), e) != 0)
		return -1;
	fd = blob_file(c->bundles_dir, e);
	if (fd < 0)
		return -1;
	if (pds_blob_get(j->http, &pc, j->doc.pds, j->doc.did, &cid, b->bytes, fd, &j->bytes, e) != 0) {
		err_wrap(e, "the code of %s of %.100s", j->name, j->doc.did);
		goto out;
	}
	n = pread(fd, head, sizeof head, 0);
	if (n < 0) {
		err_errno(e, "read the blob");
		goto out;
	}
	j->dir = code_dir(b, archive_magic(head, (size_t)n));
	rc = archive_unpack(fd, c->bundles_dir, j->dir, single, &al, e);
out:
	close(fd);
	return rc;
}

/* Waits while another thread makes the same code; then it is ours to make.  Under the lock. */
static int
making_enter(struct job *j, struct err *e)
{
	struct making *m;

	for (;;) {
		for (m = j->f->making; m != NULL; m = m->next)
			if (strcmp(m->name, j->bundle->code) == 0)
				break;
		if (m == NULL)
			break;
		if (!wait_changed(j))
			return err_set(e, ERR_TIMEOUT, "the code did not come within the time of the call");
	}
	m = mem_alloc(sizeof *m);
	m->name = mem_str(j->bundle->code);
	m->next = j->f->making;
	j->f->making = m;
	return 0;
}

static void
making_leave(struct job *j)
{
	struct making **at, *gone;

	for (at = &j->f->making; strcmp((*at)->name, j->bundle->code) != 0; at = &(*at)->next)
		;
	gone = *at;
	*at = gone->next;
	free(gone->name);
	free(gone);
	pthread_cond_broadcast(&j->f->changed);
}

static int
get_code(struct job *j, struct err *e)
{
	int64_t start = clock_mono_ms();
	char entry[BUNDLE_PATH_MAX + 1], *path;
	int rc;

	j->bytes = j->bundle->bytes >= 0 ? j->bundle->bytes : 0;
	if (!have_dir(j, true) && !have_dir(j, false)) {
		pthread_mutex_lock(&j->f->lock);
		rc = making_enter(j, e);
		pthread_mutex_unlock(&j->f->lock);
		if (rc != 0)
			return -1;
		if (!have_dir(j, true) && !have_dir(j, false))
			rc = download(j, e);
		pthread_mutex_lock(&j->f->lock);
		making_leave(j);
		pthread_mutex_unlock(&j->f->lock);
		if (rc != 0)
			return -1;
	} else if (j->known_cid != NULL) {
		j->unchanged = strcmp(j->known_cid, j->cid) == 0;
	}
	path = mem_fmt("%s/%s", j->f->conf->bundles_dir, j->dir);
	rc = bundle_entry(j->bundle, path, entry, e);
	free(path);
	j->blob_ms = clock_mono_ms() - start;
	return rc;
}

/* --- one request --- */

static int
read_request(struct job *j, const cJSON *tree, int64_t came, struct err *e)
{
	int64_t id = 0, deadline = j->f->conf->total_ms;
	const char *op = json_string(tree, "op");
	struct cid cid;

	if (json_int(tree, "id", 0, INT64_C(9007199254740991), &id, e) != 0)
		return -1;
	j->id = (uint64_t)id;
	if (json_int(tree, "deadlineMs", 1, 3600000, &deadline, e) != 0)
		return -1;
	j->end = came + deadline;
	j->author = json_string(tree, "author");
	j->name = json_string(tree, "name");
	j->version = json_string(tree, "version");
	j->known_cid = json_string(tree, "knownCid");
	j->last_rev = json_string(tree, "lastRev");
	if (op == NULL || strcmp(op, "bundle") != 0)
		return err_set(e, ERR_INPUT, "the fetcher knows no such operation");
	if (j->author == NULL || strlen(j->author) > AUTHOR_MAX ||
	    !syntax_at_identifier(j->author, strlen(j->author)))
		return err_set(e, ERR_INPUT, "the author is neither a DID nor a handle");
	if (j->name == NULL || !syntax_bundle_name(j->name, strlen(j->name)))
		return err_set(e, ERR_INPUT, "not a bundle's name");
	if (j->version == NULL || !syntax_version(j->version, strlen(j->version)))
		return err_set(e, ERR_INPUT, "not a version");
	if (j->known_cid != NULL && cid_parse(&cid, j->known_cid, strlen(j->known_cid), e) != 0)
		return -1;
	if (j->last_rev != NULL && !syntax_tid(j->last_rev, strlen(j->last_rev)))
		return err_set(e, ERR_INPUT, "lastRev is not a revision");
	return 0;
}

static void
answer_ok(const struct job *j, struct buf *out)
{
	buf_fmt(out, "{\"id\":%llu,\"ok\":true,\"did\":", (unsigned long long)j->id);
	buf_json_str(out, j->doc.did);
	buf_str(out, ",\"handle\":");
	buf_json_str(out, j->handle);
	buf_str(out, ",\"pds\":");
	buf_json_str(out, j->doc.pds);
	buf_str(out, ",\"uri\":");
	buf_json_str(out, j->uri);
	buf_str(out, ",\"cid\":");
	buf_json_str(out, j->cid);
	buf_fmt(out, ",\"proven\":true,\"rev\":\"%s\",\"commit\":\"%s\",\"proof\":", j->rev, j->commit);
	buf_json_str(out, j->proof);
	buf_fmt(out, ",\"unchanged\":%s,\"record\":", j->unchanged ? "true" : "false");
	buf_str(out, j->record);
	buf_str(out, ",\"code\":");
	buf_json_str(out, j->bundle->code);
	buf_str(out, ",\"dir\":\"bundles/");
	buf_str(out, j->dir);
	buf_fmt(out, "\",\"bytes\":%lld,\"timings\":{\"identity\":%lld,\"record\":%lld,\"blob\":%lld}}",
	    (long long)j->bytes, (long long)j->identity_ms, (long long)j->record_ms, (long long)j->blob_ms);
}

static void
answer_error(uint64_t id, const struct err *e, struct buf *out)
{
	/* Where a stranger's server points is the stranger's fault, not the caller's. */
	struct err told = *e;

	if (told.kind == ERR_DENIED)
		told.kind = ERR_REMOTE;
	if (told.kind == ERR_NONE)
		told.kind = ERR_INTERNAL;
	buf_fmt(out, "{\"id\":%llu,\"ok\":false,\"kind\":\"%s\",\"name\":", (unsigned long long)id,
	    err_kind_name(told.kind));
	buf_json_str(out, err_name(&told));
	buf_str(out, ",\"message\":");
	buf_json_str(out, told.text);
	buf_char(out, '}');
}

static void
job_clear(struct job *j)
{
	did_doc_clear(&j->doc);
	free(j->handle);
	free(j->uri);
	free(j->record);
	free(j->proof);
	bundle_free(j->bundle);
	free(j->dir);
}

static void
serve(struct fetcher *f, struct http *http, const struct work *w, struct buf *out)
{
	struct job j = { .f = f, .http = http };
	struct err e = ERR_INIT;
	bool fine;
	cJSON *tree = json_parse(w->json, w->n, JSON_DEPTH, &e);

	fine = tree != NULL && read_request(&j, tree, w->came, &e) == 0 && get_identity(&j, &e) == 0 &&
	    (get_record(&j, &e) == 0 || (moved(&j, &e) && get_record(&j, &e) == 0)) && get_code(&j, &e) == 0;
	if (fine)
		answer_ok(&j, out);
	else
		answer_error(j.id, &e, out);
	if (out->len > FETCHER_MESSAGE_MAX) {
		buf_reset(out);
		err_set(&e, ERR_REMOTE, "the record is too large");
		answer_error(j.id, &e, out);
	}
	log_debug("fetched", "author=%s bundle=%s version=%s ok=%d identity_ms=%lld record_ms=%lld blob_ms=%lld why=%s",
	    log_q(j.author), log_q(j.name), log_q(j.version), fine, (long long)j.identity_ms,
	    (long long)j.record_ms, (long long)j.blob_ms, log_q(fine ? "" : e.text));
	job_clear(&j);
	cJSON_Delete(tree);
}

/* --- messages --- */

static void
add_message(struct buf *out, const char *p, size_t n)
{
	unsigned char head[4] = { (unsigned char)(n >> 24), (unsigned char)(n >> 16), (unsigned char)(n >> 8),
		(unsigned char)n };

	buf_add(out, head, 4);
	buf_add(out, p, n);
}

long
fetcher_message_next(const char *p, size_t n, const char **json, size_t *json_n, struct err *e)
{
	const unsigned char *u = (const unsigned char *)p;
	uint32_t len;

	if (n < 4)
		return 0;
	len = (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
	if (len < 2 || len > FETCHER_MESSAGE_MAX)
		return err_set(e, ERR_REMOTE, "a message of %u bytes between scheduler and fetcher", len);
	if (n - 4 < len)
		return 0;
	*json = p + 4;
	*json_n = len;
	return 4 + (long)len;
}

static void
send_all(struct fetcher *f, const struct buf *json)
{
	struct buf out = BUF_INIT;
	size_t at = 0;

	add_message(&out, json->data, json->len);
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

/* --- the scheduler's side --- */

void
fetcher_request_add(struct buf *out, const struct fetcher_request *r)
{
	struct buf json = BUF_INIT;

	buf_fmt(&json, "{\"id\":%llu,\"op\":\"bundle\",\"author\":", (unsigned long long)r->id);
	buf_json_str(&json, r->author);
	buf_str(&json, ",\"name\":");
	buf_json_str(&json, r->name);
	buf_str(&json, ",\"version\":");
	buf_json_str(&json, r->version);
	if (r->known_cid != NULL) {
		buf_str(&json, ",\"knownCid\":");
		buf_json_str(&json, r->known_cid);
	}
	if (r->last_rev != NULL) {
		buf_str(&json, ",\"lastRev\":");
		buf_json_str(&json, r->last_rev);
	}
	buf_fmt(&json, ",\"deadlineMs\":%lld}", (long long)(r->deadline_ms > 0 ? r->deadline_ms : 1));
	add_message(out, json.data, json.len);
	buf_clear(&json);
}

void
fetcher_answer_clear(struct fetcher_answer *a)
{
	free(a->did);
	free(a->handle);
	free(a->pds);
	free(a->uri);
	free(a->cid);
	free(a->record_json);
	free(a->code);
	free(a->dir);
	free(a->rev);
	free(a->commit);
	free(a->proof);
	bundle_free(a->bundle);
	memset(a, 0, sizeof *a);
}

static bool
plain(const char *s, size_t max)
{
	size_t n = strlen(s);

	return n > 0 && n <= max && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:/.-") == n;
}

static bool
cid_is(const char *s, enum cid_codec codec)
{
	struct cid c;

	return s != NULL && cid_parse(&c, s, strlen(s), NULL) == 0 && c.codec == codec;
}

/* "bundles/", the CID of the code, and perhaps "-" and a few letters or digits: nothing that leads elsewhere. */
static bool
dir_is(const char *dir, const char *code)
{
	size_t n = strlen("bundles/");

	if (dir == NULL || strncmp(dir, "bundles/", n) != 0 || strncmp(dir + n, code, CID_TEXT) != 0)
		return false;
	dir += n + CID_TEXT;
	return *dir == '\0' ||
	    (*dir == '-' && strlen(dir) <= 32 && strspn(dir, "-abcdefghijklmnopqrstuvwxyz234567") == strlen(dir));
}

static bool
uri_is(const char *uri, const char *did)
{
	size_t n = strlen(did);

	return uri != NULL && syntax_aturi(uri, strlen(uri)) && strncmp(uri + 5, did, n) == 0 && uri[5 + n] == '/';
}

/* Takes strings into out; false when one of them cannot be. */
static bool
read_ok(const cJSON *tree, struct fetcher_answer *out, struct err *e)
{
	const char *did = json_string(tree, "did"), *handle = json_string(tree, "handle"),
		   *pds = json_string(tree, "pds"), *uri = json_string(tree, "uri"), *cid = json_string(tree, "cid"),
		   *code = json_string(tree, "code"), *dir = json_string(tree, "dir"),
		   *rev = json_string(tree, "rev"), *commit = json_string(tree, "commit"),
		   *proof = json_string(tree, "proof");
	const cJSON *record = json_object(tree, "record"), *timings = json_object(tree, "timings");
	struct buf text = BUF_INIT;

	out->bytes = -1;
	if (!cJSON_IsTrue(json_member(tree, "proven")) || rev == NULL || !syntax_tid(rev, strlen(rev)) ||
	    !cid_is(commit, CID_DAG_CBOR) || proof == NULL || strlen(proof) > PROOF_WORDS_MAX)
		return false;
	if (did == NULL || !syntax_did(did, strlen(did)) ||
	    (handle != NULL ? !syntax_handle(handle, strlen(handle)) : json_member(tree, "handle") != NULL) ||
	    pds == NULL || !plain(pds, 300) || !uri_is(uri, did) || !cid_is(cid, CID_DAG_CBOR) ||
	    !cid_is(code, CID_RAW) || !dir_is(dir, code) || record == NULL ||
	    json_int(tree, "bytes", 0, INT64_C(1) << 40, &out->bytes, e) != 0 || out->bytes < 0 ||
	    json_bool(tree, "unchanged", &out->unchanged, e) != 0 ||
	    json_int(timings, "identity", 0, INT64_C(1) << 40, &out->identity_ms, e) != 0 ||
	    json_int(timings, "record", 0, INT64_C(1) << 40, &out->record_ms, e) != 0 ||
	    json_int(timings, "blob", 0, INT64_C(1) << 40, &out->blob_ms, e) != 0)
		return false;
	json_print(record, &text);
	out->record_json = buf_take(&text);
	out->bundle = bundle_parse(out->record_json, strlen(out->record_json), false, e);
	if (out->bundle == NULL || strcmp(out->bundle->code, code) != 0)
		return false;
	out->did = mem_str(did);
	out->handle = mem_str(handle);
	out->pds = mem_str(pds);
	out->uri = mem_str(uri);
	out->cid = mem_str(cid);
	out->code = mem_str(code);
	out->dir = mem_str(dir);
	out->rev = mem_str(rev);
	out->commit = mem_str(commit);
	out->proof = mem_str(proof);
	return true;
}

static bool
read_error(const cJSON *tree, struct err *out)
{
	const char *kind = json_string(tree, "kind"), *name = json_string(tree, "name"),
		   *message = json_string(tree, "message");
	char *p;
	int k;

	if (kind == NULL || name == NULL || message == NULL || !plain(name, sizeof out->name - 1) ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != strlen(name))
		return false;
	for (k = ERR_NONE + 1; k < ERR_KIND_COUNT; k++)
		if (strcmp(kind, err_kind_name((enum err_kind)k)) == 0)
			break;
	if (k == ERR_KIND_COUNT)
		return false;
	err_named(out, (enum err_kind)k, name, "%s", message);
	for (p = out->text; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	return true;
}

int
fetcher_answer_parse(const char *json, size_t n, struct fetcher_answer *out, struct err *e)
{
	cJSON *tree = json_parse(json, n, JSON_DEPTH, e);
	struct err why = ERR_INIT;
	int64_t id = -1;
	bool fine;

	memset(out, 0, sizeof *out);
	if (tree == NULL)
		return err_wrap(e, "the fetcher's answer");
	fine = json_bool(tree, "ok", &out->ok, &why) == 0 &&
	    json_int(tree, "id", 0, INT64_C(9007199254740991), &id, &why) == 0 && id >= 0 &&
	    (out->ok ? read_ok(tree, out, &why) : read_error(tree, &out->error));
	out->id = id >= 0 ? (uint64_t)id : 0;
	cJSON_Delete(tree);
	if (fine)
		return 0;
	fetcher_answer_clear(out);
	return err_set(e, ERR_REMOTE, "the fetcher's answer is malformed%s%s", why.text[0] != '\0' ? ": " : "", why.text);
}
