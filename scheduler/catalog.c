#include "scheduler/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "backends/backend.h"
#include "backends/runtime.h"
#include "lib/bundle.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/mem.h"
#include "lib/store_secret.h"
#include "lib/store_bundle.h"
#include "lib/store_work.h"
#include "scheduler/fetcher.h"
#include "scheduler/loop.h"
#include "scheduler/turn.h"

#define BUCKETS        1024
#define NAMES_MAX      4096 /* in memory; the ledger knows them all */
#define ASK_AGAIN_MS   10000
#define SEALED_MS      2000 /* secrets that are missing or bad are looked for again when this old */

struct name {
	char *key; /* author NUL name NUL version NUL */
	size_t key_n;
	struct code *code;
	int64_t checked_at;   /* wall */
	int64_t ask_after_ms; /* monotonic: a background question is under way, or failed lately */
	int64_t used_ms;
	struct name *next;
};

/* Names an operator wants asked for again, also those that only the ledger knows. */
#define FORGOTTEN_MAX 64
struct forgotten {
	char *author, *name; /* NULL: all */
	int64_t at;          /* wall: what was checked before counts for nothing */
};

struct catalog {
	struct forgotten forgotten[FORGOTTEN_MAX];
	size_t forgotten_next;
	const struct conf *conf;
	const struct runtimes *runtimes;
	struct store *store;
	void (*key)(struct code *);
	struct name *names[BUCKETS];
	struct code *codes[BUCKETS];
	size_t name_count;
};

/* --- codes --- */

struct code *
code_ref(struct code *c)
{
	c->refs++;
	return c;
}

void
code_unref(struct code *c)
{
	if (c == NULL || --c->refs > 0)
		return;
	if (c->local)
		bundle_remove(c->dir, NULL); /* the copy that dev.c made for it */
	free(c->cid);
	free(c->sealed_cid);
	free(c->sealed);
	free(c->did);
	free(c->name);
	free(c->dir);
	free(c->entry);
	free(c->key);
	bundle_free(c->bundle);
	free(c);
}

bool
code_wants_secrets(const struct code *c)
{
	return c->bundle->secrets.n > 0 && !c->local;
}

const char *
code_runtime_name(const struct code *c)
{
	return c->runtime != NULL ? c->runtime->name : NULL;
}

const char *
code_wall_name(const struct code *c)
{
	return c->wall != NULL ? c->wall->name : NULL;
}

static size_t
hash(const char *p, size_t n)
{
	uint64_t h = 14695981039346656037u;

	while (n-- > 0)
		h = (h ^ (unsigned char)*p++) * 1099511628211u;
	return (size_t)(h % BUCKETS);
}

struct code *
catalog_peek(struct catalog *c, const char *cid)
{
	struct code *k = c->codes[hash(cid, strlen(cid))];

	while (k != NULL && strcmp(k->cid, cid) != 0)
		k = k->next;
	return k;
}

void
catalog_adopt(struct catalog *c, struct code *code)
{
	struct code **slot = &c->codes[hash(code->cid, strlen(code->cid))];

	code->next = *slot;
	*slot = code_ref(code);
}

void
catalog_tidy(struct catalog *c)
{
	size_t i;

	for (i = 0; i < BUCKETS; i++) {
		struct code **p = &c->codes[i];

		while (*p != NULL) {
			struct code *k = *p;

			if (k->refs > 1 || k->waiting != NULL || k->broken_until_ms > loop_now_ms()) {
				p = &k->next;
				continue;
			}
			*p = k->next;
			code_unref(k);
		}
	}
}

/* --- names --- */

static char *
make_key(const char *author, const char *name, const char *version, size_t *n)
{
	size_t a = strlen(author) + 1, b = strlen(name) + 1, v = strlen(version) + 1;
	char *key = mem_alloc(a + b + v);

	memcpy(key, author, a);
	memcpy(key + a, name, b);
	memcpy(key + a + b, version, v);
	*n = a + b + v;
	return key;
}

static bool
key_is(const struct name *m, const char *author, const char *name, const char *version)
{
	const char *p = m->key;

	if (strcmp(p, author) != 0)
		return false;
	p += strlen(p) + 1;
	if (name == NULL)
		return true;
	if (strcmp(p, name) != 0)
		return false;
	p += strlen(p) + 1;
	return version == NULL || strcmp(p, version) == 0;
}

static size_t
name_bucket(const char *author, const char *name, const char *version)
{
	return (hash(author, strlen(author)) * 31 + hash(name, strlen(name)) * 7 + hash(version, strlen(version))) %
	    BUCKETS;
}

static struct name *
name_find(struct catalog *c, const char *author, const char *name, const char *version)
{
	struct name *m = c->names[name_bucket(author, name, version)];

	while (m != NULL && !key_is(m, author, name, version))
		m = m->next;
	return m;
}

static void
name_unlink(struct catalog *c, struct name **slot)
{
	struct name *m = *slot;

	*slot = m->next;
	c->name_count--;
	code_unref(m->code);
	free(m->key);
	free(m);
}

/* Lets the names go that nobody asked for in the last minutes; all of them when that is not enough. */
static void
names_shrink(struct catalog *c)
{
	int64_t old = loop_now_ms() - 60000;
	int round;
	size_t i;

	for (round = 0; round < 2 && c->name_count >= NAMES_MAX; round++) {
		for (i = 0; i < BUCKETS; i++) {
			struct name **p = &c->names[i];

			while (*p != NULL) {
				if (round == 1 || (*p)->used_ms < old)
					name_unlink(c, p);
				else
					p = &(*p)->next;
			}
		}
	}
}

static struct name *
name_put(struct catalog *c, const char *author, const char *name, const char *version, struct code *code,
    int64_t checked_at)
{
	struct name *m = name_find(c, author, name, version);

	if (m == NULL) {
		size_t b = name_bucket(author, name, version);

		names_shrink(c);
		m = mem_alloc(sizeof *m);
		m->key = make_key(author, name, version, &m->key_n);
		m->next = c->names[b];
		c->names[b] = m;
		c->name_count++;
	}
	code_ref(code);
	code_unref(m->code);
	m->code = code;
	m->checked_at = checked_at;
	m->ask_after_ms = 0;
	m->used_ms = loop_now_ms();
	return m;
}

/* --- the ledger behind --- */

int
catalog_settle(struct catalog *c, struct code *code, struct err *e)
{
	char entry[BUNDLE_PATH_MAX + 1];

	code->runtime = code->bundle->runtime != NULL ? runtimes_find(c->runtimes, code->bundle->runtime) : NULL;
	/* What its entry would be only matters for code that can run; admission names the runtime that is missing. */
	if (bundle_entry(code->bundle, code->dir, entry, code->runtime != NULL ? e : NULL) != 0) {
		if (code->runtime != NULL)
			return -1;
		entry[0] = '\0';
	}
	code->entry = mem_str(entry);
	if (c->key != NULL && code->runtime != NULL)
		c->key(code);
	return 0;
}

void
catalog_set_key(struct catalog *c, void (*key)(struct code *code))
{
	c->key = key;
}

static struct code *
code_make(struct catalog *c, const char *cid, const char *did, const char *name, const char *dir, struct bundle **b,
    struct err *e)
{
	struct code *k = mem_alloc(sizeof *k);

	k->refs = 1;
	k->cid = mem_str(cid);
	k->did = mem_str(did);
	k->name = mem_str(name);
	k->dir = dir[0] == '/' ? mem_str(dir) : mem_fmt("%s/%s", c->conf->home, dir);
	k->bundle = *b;
	*b = NULL;
	if (catalog_settle(c, k, e) != 0) {
		code_unref(k);
		return NULL;
	}
	return k;
}

/* From a row of the table bundle; NULL when its directory is gone or the record does not parse any more. */
static struct code *
code_of_row(struct catalog *c, const struct work_bundle *row, struct err *e)
{
	struct code *k = catalog_peek(c, row->cid);
	struct bundle *b;

	if (k != NULL)
		return k;
	b = bundle_parse(row->record_json, strlen(row->record_json), false, e);
	if (b == NULL)
		return NULL;
	if (b->runtime == NULL || b->runtime[0] == '\0') {
		free(b->runtime);
		b->runtime = mem_str(row->runtime);
	}
	k = code_make(c, row->cid, row->did, row->name, row->dir, &b, e);
	bundle_free(b);
	if (k == NULL)
		return NULL;
	if (code_wants_secrets(k))
		work_sealed_get(c->store, k->did, k->name, &k->sealed_cid, &k->sealed, NULL);
	catalog_adopt(c, k);
	code_unref(k); /* the catalog's reference remains */
	return k;
}

static bool
is_forgotten(const struct catalog *c, const char *author, const char *did, const char *name, int64_t checked_at)
{
	size_t i;

	for (i = 0; i < FORGOTTEN_MAX; i++) {
		const struct forgotten *f = &c->forgotten[i];

		if (checked_at <= f->at &&
		    (f->author == NULL || strcmp(f->author, author) == 0 || strcmp(f->author, did) == 0) &&
		    (f->name == NULL || strcmp(f->name, name) == 0))
			return true;
	}
	return false;
}

static struct name *
name_load(struct catalog *c, const char *author, const char *name, const char *version)
{
	struct work_bundle row = { 0 };
	struct name *m = NULL;
	struct code *k;
	char *did = NULL;
	int64_t checked = INT64_MAX;

	if (strncmp(author, "did:", 4) == 0)
		did = mem_str(author);
	else if (work_author_get(c->store, author, &did, &checked, NULL) != 0)
		goto out;
	if (work_bundle_get(c->store, did, name, version, &row, NULL) != 0) {
		/* A CID that was fetched under another version is the same bytes, though its PDS keeps them no more. */
		k = strncmp(version, "bafy", 4) == 0 ? catalog_by_cid(c, version, NULL) : NULL;
		if (k != NULL && !k->local && strcmp(k->did, did) == 0 && strcmp(k->name, name) == 0)
			m = name_put(c, author, name, version, k, clock_wall_ms());
		goto out;
	}
	k = code_of_row(c, &row, NULL);
	if (k == NULL)
		goto out;
	checked = row.checked_at < checked ? row.checked_at : checked;
	m = name_put(c, author, name, version, k, is_forgotten(c, author, did, name, checked) ? 0 : checked);
out:
	free(did);
	work_bundle_clear(&row);
	return m;
}

static bool
needs_sealed(const struct code *k)
{
	return code_wants_secrets(k) && (k->sealed == NULL || k->sealed_bad);
}

enum catalog_found
catalog_find(struct catalog *c, const char *author, const char *name, const char *version, struct code **out)
{
	struct name *m = name_find(c, author, name, version);
	int64_t age;
	bool fixed;

	if (m == NULL)
		m = name_load(c, author, name, version);
	if (m == NULL)
		return CATALOG_MISSING;
	/* A version that is a CID can mean nothing else tomorrow; what was sealed for it can. */
	fixed = !code_wants_secrets(m->code) && strcmp(m->code->cid, version) == 0 && strcmp(m->code->did, author) == 0 &&
	    m->checked_at > 0;
	age = fixed ? 0 : clock_wall_ms() - m->checked_at;
	if (age < 0)
		age = c->conf->atproto.record_fresh + 1; /* the clock was set back: who knows */
	if (age > c->conf->atproto.record_stale || (needs_sealed(m->code) && age > SEALED_MS))
		return CATALOG_MISSING;
	m->used_ms = loop_now_ms();
	*out = m->code;
	if (age <= c->conf->atproto.record_fresh || m->ask_after_ms > loop_now_ms())
		return CATALOG_FRESH;
	m->ask_after_ms = loop_now_ms() + ASK_AGAIN_MS;
	return CATALOG_STALE;
}

const char *
catalog_known_cid(struct catalog *c, const char *author, const char *name, const char *version)
{
	struct name *m = name_find(c, author, name, version);

	return m != NULL ? m->code->cid : NULL;
}

static void
write_down(const struct fetcher_answer *a, const struct code *k, const char *author, const char *name, const char *version,
    struct turn *t)
{
	struct work_bundle row = { 0 };

	row.cid = mem_str(a->cid);
	row.did = mem_str(a->did);
	row.name = mem_str(name);
	row.uri = mem_str(a->uri);
	row.runtime = mem_str(k->bundle->runtime != NULL ? k->bundle->runtime : "");
	row.code = mem_str(a->code);
	row.dir = mem_str(a->dir);
	row.record_json = mem_str(a->record_json);
	row.rev = mem_str(a->rev);
	row.commit = mem_str(a->commit);
	row.proof = mem_str(a->proof);
	row.bytes = a->bytes;
	row.fetched_at = row.checked_at = clock_wall_ms();
	turn_bundle(t, &row, version);
	if (strncmp(author, "did:", 4) != 0)
		turn_author(t, author, a->did, a->pds);
}

/* All versions of a bundle have the same secrets.  True: they are others than before. */
static bool
seal(struct catalog *c, const char *did, const char *name, const char *cid, const char *json)
{
	bool changed = false;
	size_t i;

	for (i = 0; i < BUCKETS; i++) {
		struct code *k;

		for (k = c->codes[i]; k != NULL; k = k->next) {
			if (!code_wants_secrets(k) || strcmp(k->did, did) != 0 || strcmp(k->name, name) != 0 ||
			    (k->sealed_cid == NULL ? cid == NULL : cid != NULL && strcmp(k->sealed_cid, cid) == 0))
				continue;
			free(k->sealed_cid);
			free(k->sealed);
			k->sealed_cid = mem_str(cid);
			k->sealed = mem_str(json);
			k->sealed_bad = false;
			k->broken_until_ms = 0;
			changed = true;
		}
	}
	return changed;
}

int
catalog_rev(struct catalog *c, const char *did, const char *rev, struct err *e)
{
	char *newest = NULL;
	int rc = work_rev_get(c->store, did, &newest, e);

	if (rc == 0 && newest != NULL && strcmp(rev, newest) < 0)
		rc = err_named(e, ERR_REMOTE, "RevWentBack", "the server shows %.100s as it was at %.13s, and %.13s was seen before",
		    did, rev, newest);
	free(newest);
	return rc;
}

struct code *
catalog_take(struct catalog *c, const char *author, const char *name, const char *version, struct fetcher_answer *a,
    struct turn *t, bool *unsealed, struct err *e)
{
	struct code *k = catalog_peek(c, a->cid);

	if (catalog_rev(c, a->did, a->rev, e) != 0)
		return NULL;
	if (k == NULL) {
		k = code_make(c, a->cid, a->did, name, a->dir, &a->bundle, e);
		if (k == NULL)
			return NULL;
		catalog_adopt(c, k);
		code_unref(k);
	}
	write_down(a, k, author, name, version, t);
	*unsealed = code_wants_secrets(k) && seal(c, k->did, k->name, a->sealed_cid, a->sealed_json);
	if (*unsealed)
		turn_sealed(t, k->did, k->name, a->sealed_cid, a->sealed_json);
	name_put(c, author, name, version, k, clock_wall_ms());
	return k;
}

void
catalog_failed(struct catalog *c, const char *author, const char *name, const char *version, const struct err *why)
{
	struct name **p = &c->names[name_bucket(author, name, version)];

	while (*p != NULL && !key_is(*p, author, name, version))
		p = &(*p)->next;
	if (*p == NULL)
		return;
	if (why->kind == ERR_NOTFOUND)
		(*p)->checked_at = 0; /* the author took it back: the next call asks and waits */
	(*p)->ask_after_ms = loop_now_ms() + ASK_AGAIN_MS;
}

int
catalog_forget(struct catalog *c, const char *author, const char *name)
{
	struct forgotten *f = &c->forgotten[c->forgotten_next++ % FORGOTTEN_MAX];
	int count = 0;
	size_t i;

	free(f->author);
	free(f->name);
	*f = (struct forgotten){ mem_str(author), mem_str(name), clock_wall_ms() };
	for (i = 0; i < BUCKETS; i++) {
		struct name *m;

		for (m = c->names[i]; m != NULL; m = m->next) {
			bool his = author == NULL || strcmp(m->code->did, author) == 0 ||
			    key_is(m, author, NULL, NULL);

			if (his && (name == NULL || strcmp(m->code->name, name) == 0)) {
				/* The row stays, old enough to be asked for before it is used again. */
				m->checked_at = 0;
				m->ask_after_ms = 0;
				count++;
			}
		}
	}
	return count;
}

struct code *
catalog_by_cid(struct catalog *c, const char *cid, struct err *e)
{
	struct code *k = catalog_peek(c, cid);
	struct work_bundle row = { 0 };

	if (k != NULL)
		return k;
	if (work_bundle_get(c->store, "", cid, NULL, &row, e) != 0)
		return NULL;
	k = code_of_row(c, &row, e);
	work_bundle_clear(&row);
	return k;
}

struct catalog *
catalog_new(const struct conf *conf, const struct runtimes *rs, struct store *s)
{
	struct catalog *c = mem_alloc(sizeof *c);

	c->conf = conf;
	c->runtimes = rs;
	c->store = s;
	return c;
}

void
catalog_free(struct catalog *c)
{
	size_t i;

	if (c == NULL)
		return;
	for (i = 0; i < FORGOTTEN_MAX; i++) {
		free(c->forgotten[i].author);
		free(c->forgotten[i].name);
	}
	for (i = 0; i < BUCKETS; i++) {
		while (c->names[i] != NULL)
			name_unlink(c, &c->names[i]);
		while (c->codes[i] != NULL) {
			struct code *k = c->codes[i];

			c->codes[i] = k->next;
			code_unref(k);
		}
	}
	free(c);
}
