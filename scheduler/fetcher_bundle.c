/*
 * A bundle: the record with its proof from the author's server, then the code it names, unpacked under the CID of its blob.
 * One download serves many requests of a bundle.
 */
#include "scheduler/fetcher_task.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/archive.h"
#include "lib/buf.h"
#include "lib/bundle.h"
#include "lib/cid.h"
#include "lib/clock.h"
#include "lib/data.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/pds.h"
#include "lib/secret.h"
#include "lib/syntax.h"

/* What a proof may have over the record's own limit: the commit and the tree's nodes. */
#define PROOF_ROOM (512 * 1024)

/* A blob that a thread downloads and unpacks. */
struct making {
	char *name;
	struct making *next;
};

/* A record with what proves it. */
struct proven {
	char *uri, *json;
	char cid[CID_TEXT + 1], commit[CID_TEXT + 1], rev[PROOF_REV_TEXT + 1];
	char *proof; /* in words */
};

struct job {
	struct task *t;
	const char *name, *version, *known_cid, *last_rev; /* borrowed from the request's tree */
	struct proven record, sealed; /* sealed: what the author sealed for this runner, if the bundle asks for it */
	struct bundle *bundle;
	char *dir;    /* name below bundles_dir */
	int64_t bytes;
	bool unchanged;
	int64_t record_ms, blob_ms;
};

/* --- the record --- */

static int
not_there(const struct job *j, const char *rkey, bool by_cid, struct err *e)
{
	const char *collection = j->t->f->conf->collection;

	bool proven = strcmp(e->name, "RecordNotInRepository") == 0;
	bool moved_on = by_cid && strcmp(e->name, "RecordMismatch") == 0;

	if (!proven && !moved_on && strcmp(e->name, "RecordNotFound") != 0)
		return err_wrap(e, "the bundle %s of %.100s", j->name, j->t->doc.did);
	if (by_cid)
		return err_named(e, ERR_NOTFOUND, "BundleNotFound",
		    "at://%.100s/%s/%s is not at %s: a PDS keeps only the current record; deploy %s:VERSION records to "
		    "keep older ones", j->t->doc.did, collection, rkey, j->version, j->name);
	return err_named(e, ERR_NOTFOUND, "BundleNotFound", "there is no record at://%.100s/%s/%s%s", j->t->doc.did,
	    collection, rkey, proven ? " (proven by the tree of its repository)" : "");
}

static int
take_proof(const struct task *t, const struct proof_ask *ask, const struct proof *p, struct proven *out, struct err *e)
{
	struct buf json = BUF_INIT, words = BUF_INIT;
	struct err why = ERR_INIT;
	int rc = -1;

	if ((int64_t)p->n > t->f->conf->record_bytes) {
		err_set(e, ERR_REMOTE, "the record has %zu bytes, more than %lld (atproto.record)", p->n,
		    (long long)t->f->conf->record_bytes);
		goto out;
	}
	if (data_json(p->bytes, p->n, &json, &why) != 0) {
		err_named(e, ERR_REMOTE, "RecordMalformed", "record: %s", why.text);
		goto out;
	}
	proof_words(ask, p, &words);
	cid_print(&p->record, out->cid);
	cid_print(&p->commit, out->commit);
	memcpy(out->rev, p->rev, sizeof out->rev);
	out->uri = mem_fmt("at://%s/%s/%s", ask->did, ask->collection, ask->rkey);
	out->json = buf_take(&json);
	out->proof = buf_take(&words);
	rc = 0;
out:
	buf_clear(&json);
	buf_clear(&words);
	return rc;
}

static void
proven_clear(struct proven *p)
{
	free(p->uri);
	free(p->json);
	free(p->proof);
}

/* One proof from the author's server, under the key and the server that j->t->doc names. */
static int
prove(struct job *j, const char *collection, const char *rkey, const struct cid *wanted, struct proven *out, struct err *e)
{
	const struct fetcher_conf *c = j->t->f->conf;
	struct http_limits limits;
	struct pds_conf pc = { &j->t->f->policy, &limits, NULL };
	char rev[PROOF_REV_TEXT + 1];
	struct key key;
	struct proof_ask ask = { .did = j->t->doc.did, .collection = collection, .rkey = rkey, .key = &key,
		.record = wanted, .last_rev = rev, .now_ms = clock_wall_ms() };
	struct buf car = BUF_INIT;
	struct proof p = { .nodes = 0 };
	int rc = -1;

	if (j->t->doc.key == NULL)
		return err_named(e, ERR_REMOTE, "NoSigningKey", "the DID document names no signing key (#atproto)");
	if (key_parse_method(&key, j->t->doc.key_type, j->t->doc.key, e) != 0 ||
	    task_limits(j->t, c->record_bytes + PROOF_ROOM, "atproto.record and what a proof needs", 0, &limits, e) != 0)
		return -1;
	who_rev_known(j->t, j->last_rev, rev);
	if (pds_proof_get(j->t->http, &pc, j->t->doc.pds, j->t->doc.did, collection, rkey, &car, e) != 0)
		goto out;
	rc = proof_record(&ask, (const uint8_t *)car.data, car.len, &p, e);
	if (rc == 0 || (e->kind == ERR_NOTFOUND && p.rev[0] != '\0'))
		who_rev_note(j->t, p.rev);
	if (rc == 0)
		rc = take_proof(j->t, &ask, &p, out, e);
out:
	buf_clear(&car);
	return rc;
}

static int
check_record(const struct job *j, const char *pinned, struct err *e)
{
	const struct bundle *b = j->bundle;
	const char *collection = j->t->f->conf->collection;

	if (b->type != NULL && strcmp(b->type, collection) != 0)
		return err_named(e, ERR_INPUT, "InvalidBundle", "the record's $type is %.100s, not %s", b->type,
		    collection);
	if (strcmp(b->name, j->name) != 0)
		return err_named(e, ERR_INPUT, "InvalidBundle", "the record says its name is %.100s, not %s", b->name,
		    j->name);
	if (pinned != NULL && b->version != NULL && strcmp(b->version, pinned) != 0)
		return err_named(e, ERR_INPUT, "InvalidBundle", "the record says its version is %.100s, not %s",
		    b->version, pinned);
	if (b->bytes > j->t->f->conf->blob_bytes)
		return err_named(e, ERR_INPUT, "InvalidBundle", "the code has %lld bytes, more than %lld (atproto.blob)",
		    (long long)b->bytes, (long long)j->t->f->conf->blob_bytes);
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
	int rc = prove(j, j->t->f->conf->collection, rkey, by_cid ? &cid : NULL, &j->record, &why);

	/* The key may have been rotated since the document was read: once more with the new one. */
	if (rc != 0 && strcmp(why.name, "BadSignature") == 0 && who_renewed(j->t))
		rc = prove(j, j->t->f->conf->collection, rkey, by_cid ? &cid : NULL, &j->record, &why);
	if (rc != 0) {
		*e = why;
		not_there(j, rkey, by_cid, e);
		goto out;
	}
	rc = -1;
	j->bundle = bundle_parse(j->record.json, strlen(j->record.json), false, e);
	if (j->bundle != NULL)
		rc = check_record(j, pinned, e);
out:
	free(rkey);
	j->record_ms = clock_mono_ms() - start;
	return rc;
}

/*
 * What the author sealed for this runner stands in a record of its own, for each bundle and runner one, and is proven like
 * the bundle: neither an old box nor the absence of one is believed on the server's word alone.  That there is none is no
 * failure here; whoever runs the bundle says what is missing.
 */
static int
get_sealed(struct job *j, struct err *e)
{
	const struct fetcher_conf *c = j->t->f->conf;
	struct err why = ERR_INIT;
	char *rkey;
	int rc;

	if (j->bundle->secrets.n == 0 || c->runner == NULL)
		return 0;
	rkey = secret_rkey(j->name, c->runner);
	rc = prove(j, c->secret_collection, rkey, NULL, &j->sealed, &why);
	if (rc != 0 && (strcmp(why.name, "RecordNotInRepository") == 0 || strcmp(why.name, "RecordNotFound") == 0))
		rc = 0;
	if (rc != 0) {
		*e = why;
		err_wrap(e, "the sealed secrets of %s of %.100s", j->name, j->t->doc.did);
	}
	free(rkey);
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
	char *path = mem_fmt("%s/%s", j->t->f->conf->bundles_dir, name);
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
	const struct fetcher_conf *c = j->t->f->conf;
	const struct bundle *b = j->bundle;
	const char *single = b->entry != NULL ? b->entry : bundle_entry_default(b, 0);
	struct archive_limits al = { c->unpacked_bytes, c->entries, "atproto.unpacked", "atproto.entries" };
	struct http_limits limits;
	struct pds_conf pc = { &j->t->f->policy, NULL, &limits };
	struct cid cid;
	char head[512];
	ssize_t n;
	int fd, rc = -1;

	if (task_limits(j->t, c->blob_bytes, "atproto.blob", 3, &limits, e) != 0 ||
	    cid_parse(&cid, b->code, strlen(b->code), e) != 0)
		return -1;
	fd = blob_file(c->bundles_dir, e);
	if (fd < 0)
		return -1;
	if (pds_blob_get(j->t->http, &pc, j->t->doc.pds, j->t->doc.did, &cid, b->bytes, fd, &j->bytes, e) != 0) {
		err_wrap(e, "the code of %s of %.100s", j->name, j->t->doc.did);
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
		for (m = j->t->f->making; m != NULL; m = m->next)
			if (strcmp(m->name, j->bundle->code) == 0)
				break;
		if (m == NULL)
			break;
		if (!task_wait(j->t))
			return err_set(e, ERR_TIMEOUT, "the code did not come within the time of the call");
	}
	m = mem_alloc(sizeof *m);
	m->name = mem_str(j->bundle->code);
	m->next = j->t->f->making;
	j->t->f->making = m;
	return 0;
}

static void
making_leave(struct job *j)
{
	struct making **at, *gone;

	for (at = &j->t->f->making; strcmp((*at)->name, j->bundle->code) != 0; at = &(*at)->next)
		;
	gone = *at;
	*at = gone->next;
	free(gone->name);
	free(gone);
	pthread_cond_broadcast(&j->t->f->changed);
}

static int
get_code(struct job *j, struct err *e)
{
	int64_t start = clock_mono_ms();
	char entry[BUNDLE_PATH_MAX + 1], *path;
	int rc;

	j->bytes = j->bundle->bytes >= 0 ? j->bundle->bytes : 0;
	if (!have_dir(j, true) && !have_dir(j, false)) {
		pthread_mutex_lock(&j->t->f->lock);
		rc = making_enter(j, e);
		pthread_mutex_unlock(&j->t->f->lock);
		if (rc != 0)
			return -1;
		if (!have_dir(j, true) && !have_dir(j, false))
			rc = download(j, e);
		pthread_mutex_lock(&j->t->f->lock);
		making_leave(j);
		pthread_mutex_unlock(&j->t->f->lock);
		if (rc != 0)
			return -1;
	} else if (j->known_cid != NULL) {
		j->unchanged = strcmp(j->known_cid, j->record.cid) == 0;
	}
	path = mem_fmt("%s/%s", j->t->f->conf->bundles_dir, j->dir);
	rc = bundle_entry(j->bundle, path, entry, e);
	free(path);
	j->blob_ms = clock_mono_ms() - start;
	return rc;
}

/* --- one request --- */

static int
read_request(struct job *j, const cJSON *tree, struct err *e)
{
	struct cid cid;

	j->name = json_string(tree, "name");
	j->version = json_string(tree, "version");
	j->known_cid = json_string(tree, "knownCid");
	j->last_rev = json_string(tree, "lastRev");
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
answer_sealed(const struct job *j, struct buf *out)
{
	if (j->sealed.json == NULL)
		return;
	buf_fmt(out, ",\"sealed\":{\"cid\":\"%s\",\"record\":", j->sealed.cid);
	buf_str(out, j->sealed.json);
	buf_char(out, '}');
}

static void
answer(const struct job *j, struct buf *out)
{
	const struct proven *r = &j->record;

	buf_str(out, ",\"uri\":");
	buf_json_str(out, r->uri);
	buf_str(out, ",\"cid\":");
	buf_json_str(out, r->cid);
	buf_fmt(out, ",\"proven\":true,\"rev\":\"%s\",\"commit\":\"%s\",\"proof\":", r->rev, r->commit);
	buf_json_str(out, r->proof);
	buf_fmt(out, ",\"unchanged\":%s,\"record\":", j->unchanged ? "true" : "false");
	buf_str(out, r->json);
	answer_sealed(j, out);
	buf_str(out, ",\"code\":");
	buf_json_str(out, j->bundle->code);
	buf_str(out, ",\"dir\":\"bundles/");
	buf_str(out, j->dir);
	buf_fmt(out, "\",\"bytes\":%lld,\"timings\":{\"identity\":%lld,\"record\":%lld,\"blob\":%lld}", (long long)j->bytes,
	    (long long)j->t->identity_ms, (long long)j->record_ms, (long long)j->blob_ms);
}

static void
job_clear(struct job *j)
{
	proven_clear(&j->record);
	proven_clear(&j->sealed);
	bundle_free(j->bundle);
	free(j->dir);
}

int
task_bundle(struct task *t, const cJSON *tree, struct buf *out, struct err *e)
{
	struct job j = { .t = t };
	int rc = -1;

	if (read_request(&j, tree, e) == 0 && who_is(t, e) == 0 &&
	    (get_record(&j, e) == 0 || (who_moved(t, e) && get_record(&j, e) == 0)) && get_sealed(&j, e) == 0 &&
	    get_code(&j, e) == 0) {
		answer(&j, out);
		rc = 0;
	}
	job_clear(&j);
	return rc;
}
