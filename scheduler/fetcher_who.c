/*
 * Who an author is: one fetch of a document for many requests of an author, and nothing asked twice in a storm.
 */
#include "scheduler/fetcher_task.h"

#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/syntax.h"

#define IDENTITIES_MAX 2048
/* A failure is remembered this long, so that a storm of calls for a dead author asks once. */
#define FAILED_FRESH_MS 2000
/* A bad signature may mean that the key is new: the document is read again, but not in a storm. */
#define RENEW_MS 2000
/* An author may have moved to another PDS: a document older than this is asked for again when the PDS fails us. */
#define MOVED_AFTER_MS 5000
/* A document that cannot be refreshed goes on being used, and is tried again after this. */
#define RETRY_MS 30000

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

static int identity_get(struct task *t, const char *author, struct did_doc *out, struct err *e);

/* Asks the network.  A handle leads to a DID, whose document must name the handle. */
static int
identity_ask(struct task *t, const char *author, struct did_doc *out, struct err *e)
{
	const struct fetcher_conf *c = t->f->conf;
	struct http_limits limits;
	struct did_conf dc = { &t->f->policy, &limits, c->plc_url, c->handle_resolver };
	char *did = NULL;
	int rc = -1;

	if (task_limits(t, c->did_bytes, "fixed", 0, &limits, e) != 0)
		return -1;
	if (strncmp(author, "did:", 4) == 0)
		return did_resolve(t->http, &dc, author, out, e);
	if (did_of_handle(t->http, &dc, author, &did, e) != 0)
		return -1;
	if (identity_get(t, did, out, e) != 0)
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
identity_get(struct task *t, const char *author, struct did_doc *out, struct err *e)
{
	struct fetcher *f = t->f;
	struct did_doc got = DID_DOC_INIT;
	struct err why = ERR_INIT;
	struct identity *i;
	int rc = -1;

	pthread_mutex_lock(&f->lock);
	i = identity_entry(f, author);
	i->waiters++;
	while (i->busy)
		if (!task_wait(t)) {
			err_set(e, ERR_TIMEOUT, "%.100s did not resolve within the time of the call", author);
			goto out;
		}
	if (i->fresh_until <= clock_mono_ms()) {
		i->busy = true;
		pthread_mutex_unlock(&f->lock);
		rc = identity_ask(t, author, &got, &why);
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

int
who_is(struct task *t, struct err *e)
{
	int64_t start = clock_mono_ms();
	char *author = mem_str(t->author);
	int rc;

	if (strncmp(author, "did:", 4) != 0)
		syntax_handle_lower(author);
	rc = identity_get(t, author, &t->doc, e);
	free(t->handle);
	t->handle = NULL;
	/* Only a handle that led here is proven; what a document claims alone is not told on. */
	if (rc == 0 && strncmp(author, "did:", 4) != 0)
		t->handle = mem_str(author);
	free(author);
	t->identity_ms = clock_mono_ms() - start;
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

bool
who_moved(struct task *t, const struct err *e)
{
	bool theirs = e->kind == ERR_REMOTE || e->kind == ERR_TIMEOUT ||
	    (e->kind == ERR_NOTFOUND && strncmp(e->name, "Repo", 4) == 0);
	char *before;
	bool yes;

	if (!theirs || !identity_doubt(t->f, t->doc.did))
		return false;
	before = mem_str(t->doc.pds);
	yes = who_is(t, NULL) == 0 && strcmp(before, t->doc.pds) != 0;
	free(before);
	return yes;
}

/* The handle's entry holds the old document too, and is asked for with the next request. */
bool
who_renewed(struct task *t)
{
	struct did_doc doc = DID_DOC_INIT;
	struct identity *i;
	bool changed;

	pthread_mutex_lock(&t->f->lock);
	i = identity_entry(t->f, t->doc.did);
	if (!i->busy && i->asked + RENEW_MS <= clock_mono_ms())
		i->fresh_until = 0;
	pthread_mutex_unlock(&t->f->lock);
	changed = identity_get(t, t->doc.did, &doc, NULL) == 0 && doc.key != NULL &&
	    (t->doc.key == NULL || strcmp(doc.key, t->doc.key) != 0 || strcmp(doc.pds, t->doc.pds) != 0);
	if (changed && t->handle != NULL) {
		pthread_mutex_lock(&t->f->lock);
		i = identity_entry(t->f, t->handle);
		i->fresh_until = 0;
		pthread_mutex_unlock(&t->f->lock);
	}
	if (changed) {
		did_doc_clear(&t->doc);
		did_doc_copy(&t->doc, &doc);
	}
	did_doc_clear(&doc);
	return changed;
}

void
who_rev_known(struct task *t, const char *told, char rev[PROOF_REV_TEXT + 1])
{
	struct identity *i;

	pthread_mutex_lock(&t->f->lock);
	i = identity_entry(t->f, t->doc.did);
	memcpy(rev, i->rev, sizeof i->rev);
	pthread_mutex_unlock(&t->f->lock);
	if (told != NULL && strcmp(told, rev) > 0)
		memcpy(rev, told, PROOF_REV_TEXT + 1);
}

void
who_rev_note(struct task *t, const char *rev)
{
	struct identity *i;

	memcpy(t->rev, rev, sizeof t->rev);
	pthread_mutex_lock(&t->f->lock);
	i = identity_entry(t->f, t->doc.did);
	if (strcmp(rev, i->rev) > 0)
		memcpy(i->rev, rev, sizeof i->rev);
	pthread_mutex_unlock(&t->f->lock);
}

/* --- the answer that is only this --- */

int
task_identity(struct task *t, const cJSON *tree, struct buf *out, struct err *e)
{
	bool renew = false;

	if (json_bool(tree, "renew", &renew, e) != 0 || who_is(t, e) != 0)
		return -1;
	if (renew)
		who_renewed(t);
	buf_str(out, ",\"key\":");
	buf_json_str(out, t->doc.key);
	buf_str(out, ",\"keyType\":");
	buf_json_str(out, t->doc.key_type);
	return 0;
}
