/*
 * Records of other people's repositories come by listRecords, unproven: each server is believed about its own users, which is
 * how everybody else on the network sees them too.
 *
 * A set is read from its first page to its last; each page is written at once, so memory holds one page of a hundred however
 * long the set is, and whom the reading did not meet goes at its end.  Who follows the operator is asked of each one's own
 * server, and only for those who come here and whom the operator follows: their follows are paged through until the operator
 * turns up.  A few hundred answers are kept in front of the ledger.
 */
#include "scheduler/graph.h"

#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/store_graph.h"
#include "lib/syntax.h"
#include "scheduler/fetch.h"
#include "scheduler/fetcher.h"
#include "scheduler/loop.h"

#define FOLLOW    "app.bsky.graph.follow"
#define LIST      "app.bsky.graph.list"
#define LISTITEM  "app.bsky.graph.listitem"
#define PAGES_MAX 2000 /* of a set or of somebody's follows: 200,000 records */
#define SCANS_MAX 4    /* people asked at once whether they follow */
#define LATELY    1024 /* answers in front of the ledger */
#define RETRY_MS  30000

struct set {
	struct graph *graph;
	const char *kind;          /* static: "follows", "list" */
	char *source;              /* whose; its URI as the config has it */
	char *owner;               /* DID */
	char *name, *uri, *cursor;
	int64_t id, reading;
	bool read;                 /* to its end, once at least */
	bool open;                 /* a page is on its way */
	int pages;
	int64_t next_ms;           /* monotonic: when to read it again */
	struct err failure;        /* of the last try */
	struct set *next;
};

/* Somebody whose follows are looked through. */
struct scan {
	char *did, *cursor;
	int pages;
	bool open;
	int64_t failed_until_ms; /* 0: not failed */
	struct err failure;
	struct graph *graph;
	struct scan *next;
};

struct lately {
	char *did;
	enum access_edge edge;
	const struct set *set;
	enum access_fact fact;
};

struct graph {
	const struct conf *conf;
	struct store *store;
	struct fetch *fetch;
	void (*told)(void);
	struct set *sets; /* the config may be read again: those that it has named so far */
	struct scan *scans;
	struct lately *lately; /* LATELY of them; NULL: nobody asked yet */
};

/* --- the sets --- */

static struct set *
add_set(struct graph *g, const char *kind, const char *source)
{
	struct set *s = mem_alloc(sizeof *s);
	struct work_graph row = { 0 };
	struct err e = ERR_INIT;
	int64_t age;

	if (work_graph_open(g->store, kind, source, &row, &e) != 0)
		log_error("graph", "why=%s", log_q(e.text));
	*s = (struct set){ .graph = g, .kind = kind, .source = mem_str(source), .owner = row.owner, .id = row.id,
		.reading = row.reading, .read = row.checked_at != 0, .next = g->sets };
	/* What the last scheduler read lately is not read again because there is a new one. */
	age = clock_wall_ms() - row.checked_at;
	if (s->read && age < g->conf->atproto.graph_fresh)
		s->next_ms = loop_now_ms() + g->conf->atproto.graph_fresh - age;
	g->sets = s;
	return s;
}

/* The set that answers such a question; a new one is read with the next tick.  NULL: there can be none. */
static struct set *
set_of(struct graph *g, enum access_edge edge, const char *list)
{
	const char *kind = edge == EDGE_LISTED ? "list" : "follows";
	const char *source = edge == EDGE_LISTED ? list : access_operator(g->conf);
	struct set *s;

	for (s = g->sets; s != NULL && source != NULL; s = s->next)
		if (s->kind[0] == kind[0] && strcmp(s->source, source) == 0)
			return s;
	return source != NULL ? add_set(g, kind, source) : NULL;
}

/* What a section of the config asks for, NULL: nothing. */
static const struct set *
wanted(struct graph *g, const char *mode, const char *list)
{
	if (strcmp(mode, "list") == 0)
		return set_of(g, EDGE_LISTED, list);
	if (strcmp(mode, "follows") == 0 || strcmp(mode, "mutuals") == 0)
		return set_of(g, EDGE_FOLLOWED, NULL);
	return NULL;
}

/* --- answers in front of the ledger --- */

static struct lately *
lately_slot(struct graph *g, enum access_edge edge, const struct set *set, const char *did)
{
	uint64_t h = 14695981039346656037u + (uint64_t)edge * 31 + set->id;
	const char *s;

	for (s = did; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211u;
	if (g->lately == NULL)
		g->lately = mem_array(LATELY, sizeof *g->lately);
	return &g->lately[h % LATELY];
}

static bool
lately_is(const struct lately *l, enum access_edge edge, const struct set *set, const char *did)
{
	return l->did != NULL && l->edge == edge && l->set == set && strcmp(l->did, did) == 0;
}

static enum access_fact
lately_put(struct lately *l, enum access_edge edge, const struct set *set, const char *did, enum access_fact fact)
{
	free(l->did);
	*l = (struct lately){ mem_str(did), edge, set, fact };
	return fact;
}

static void
lately_clear(struct graph *g)
{
	size_t i;

	for (i = 0; g->lately != NULL && i < LATELY; i++)
		free(g->lately[i].did);
	free(g->lately);
	g->lately = NULL;
}

/* --- reading a set --- */

static void on_page(void *arg, const struct fetcher_request *r, struct fetcher_answer *a, const struct fetcher_answer *answer,
    const struct err *why);

static const char *
authority(const struct set *s, char out[SYNTAX_DID_MAX + 1])
{
	const char *at = s->source + strlen("at://");
	size_t n = strcspn(at, "/");

	if (strcmp(s->kind, "follows") == 0)
		return s->source;
	if (n > SYNTAX_DID_MAX)
		n = SYNTAX_DID_MAX;
	memcpy(out, at, n);
	out[n] = '\0';
	return out;
}

static void
ask_page(struct graph *g, struct set *s)
{
	char did[SYNTAX_DID_MAX + 1];
	struct fetcher_request r = { .op = FETCHER_RECORDS, .author = authority(s, did), .cursor = s->cursor, .only = "subject" };

	if (strcmp(s->kind, "follows") == 0) {
		r.collection = FOLLOW;
	} else if (s->uri == NULL) { /* the list's own record first */
		r.collection = LIST;
		r.only = "name";
	} else {
		r.collection = LISTITEM;
		r.member = "list";
		r.value = s->uri;
	}
	s->open = true;
	fetch_ask(g->fetch, &r, g->conf->atproto.fetch_timeout, on_page, s);
}

static void
begin(struct graph *g, struct set *s)
{
	free(s->cursor);
	free(s->uri);
	free(s->name);
	s->cursor = s->uri = s->name = NULL;
	s->pages = 0;
	s->reading++;
	ask_page(g, s);
}

static void
failed(struct graph *g, struct set *s, const struct err *why)
{
	struct err e = ERR_INIT;

	s->failure = *why;
	s->open = false;
	s->next_ms = loop_now_ms() + (g->conf->atproto.graph_fresh < RETRY_MS ? g->conf->atproto.graph_fresh : RETRY_MS);
	log_warn("graph not read", "kind=%s source=%s serves=%s why=%s", s->kind, log_q(s->source), s->read ? "older" : "nobody",
	    log_q(why->text));
	if (work_graph_failed(g->store, s->id, why->text, clock_wall_ms(), &e) != 0)
		log_warn("graph", "why=%s", log_q(e.text));
	lately_clear(g);
	g->told();
}

static void
finish(struct graph *g, struct set *s)
{
	struct err e = ERR_INIT;

	if (work_graph_done(g->store, s->id, s->reading, s->name, clock_wall_ms(), &e) != 0) {
		failed(g, s, &e);
		return;
	}
	s->failure = (struct err)ERR_INIT;
	s->open = false;
	s->read = true;
	s->next_ms = loop_now_ms() + g->conf->atproto.graph_fresh;
	log_info("graph read", "kind=%s source=%s pages=%d", s->kind, log_q(s->source), s->pages);
	lately_clear(g);
	g->told();
}

/* A text member of a small object, allocated; NULL when there is none. */
static char *
member_of(const struct fetcher_record *r, const char *name)
{
	cJSON *tree = json_parse(r->value_json, strlen(r->value_json), JSON_DEPTH, NULL);
	char *text = mem_str(json_string(tree, name));

	cJSON_Delete(tree);
	return text;
}

/* The list's record says its name; its URI is written with a DID from here on. */
static void
find_list(struct set *s, const struct fetcher_answer *a)
{
	const char *rkey = strrchr(s->source, '/') + 1;
	size_t i;

	for (i = 0; i < a->n_records && s->uri == NULL; i++)
		if (strcmp(strrchr(a->records[i].uri, '/') + 1, rkey) == 0) {
			s->uri = mem_str(a->records[i].uri);
			s->name = member_of(&a->records[i], "name");
		}
}

static int
take_members(struct graph *g, struct set *s, const struct fetcher_answer *a, struct err *e)
{
	char **dids = mem_array(a->n_records + 1, sizeof *dids);
	size_t i, n = 0;
	int rc;

	for (i = 0; i < a->n_records; i++) {
		char *did = member_of(&a->records[i], "subject");

		if (did != NULL && syntax_did(did, strlen(did)))
			dids[n++] = did;
		else
			free(did);
	}
	rc = work_graph_page(g->store, s->id, s->reading, a->did, dids, n, e);
	for (i = 0; i < n; i++)
		free(dids[i]);
	free(dids);
	return rc;
}

static void
on_page(void *arg, const struct fetcher_request *r, struct fetcher_answer *a, const struct fetcher_answer *answer,
    const struct err *why)
{
	struct set *s = arg;
	struct graph *g = s->graph;
	bool list_record = strcmp(r->collection, LIST) == 0;
	struct err e = ERR_INIT;

	(void)answer;
	if (a == NULL) {
		failed(g, s, why);
		return;
	}
	free(s->owner);
	s->owner = mem_str(a->did);
	if (list_record)
		find_list(s, a);
	else if (take_members(g, s, a, &e) != 0) {
		failed(g, s, &e);
		return;
	}
	free(s->cursor);
	s->cursor = list_record && s->uri != NULL ? NULL : mem_str(a->cursor);
	s->pages++;
	if ((list_record && s->uri != NULL) || (s->cursor != NULL && s->pages < PAGES_MAX)) {
		ask_page(g, s);
		lately_clear(g);
		g->told(); /* whoever was met is in, before the end is */
		return;
	}
	finish(g, s);
	/* A list that was taken back is empty. */
	if (list_record && work_graph_failed(g->store, s->id, "there is no such list", clock_wall_ms(), &e) != 0)
		log_warn("graph", "why=%s", log_q(e.text));
}

void
graph_tick(struct graph *g)
{
	const struct conf *c = g->conf;
	const struct set *one = wanted(g, c->access.mode, c->access.list), *other = wanted(g, c->callers.mode, c->callers.list);
	struct set *s;

	for (s = g->sets; s != NULL; s = s->next)
		if ((s == one || s == other) && !s->open && s->next_ms <= loop_now_ms())
			begin(g, s);
}

/* --- does somebody follow the operator? --- */

static void
scan_free(struct graph *g, struct scan *x)
{
	struct scan **p = &g->scans;

	while (*p != x)
		p = &(*p)->next;
	*p = x->next;
	free(x->did);
	free(x->cursor);
	free(x);
}

static void scan_more(struct graph *g);

static void
scan_end(struct graph *g, struct scan *x, bool follows)
{
	struct err e = ERR_INIT;

	if (work_follower_put(g->store, x->did, set_of(g, EDGE_FOLLOWS, NULL)->owner, follows, clock_wall_ms(), &e) != 0)
		log_warn("graph", "why=%s", log_q(e.text));
	log_debug("follower", "did=%s follows=%d pages=%d", log_q(x->did), follows, x->pages);
	scan_free(g, x);
	lately_clear(g);
	scan_more(g);
	g->told();
}

static void
on_scan(void *arg, const struct fetcher_request *r, struct fetcher_answer *a, const struct fetcher_answer *answer,
    const struct err *why)
{
	struct scan *x = arg;
	struct graph *g = x->graph;

	(void)answer;
	x->open = false;
	x->pages++;
	/* What somebody does not have says as much as what they have. */
	if (a == NULL && why->kind != ERR_NOTFOUND) {
		x->failure = *why;
		x->failed_until_ms = loop_now_ms() + RETRY_MS;
		log_warn("follows not read", "did=%s why=%s", log_q(r->author), log_q(why->text));
		scan_more(g);
		g->told();
		return;
	}
	if (a != NULL && a->n_records == 0 && a->cursor != NULL && x->pages < PAGES_MAX) {
		free(x->cursor);
		x->cursor = mem_str(a->cursor);
		scan_more(g);
		return;
	}
	scan_end(g, x, a != NULL && a->n_records > 0);
}

/* Asks for the next pages, of so many people at once. */
static void
scan_more(struct graph *g)
{
	int64_t now = loop_now_ms();
	struct scan *x;
	int open = 0;

	for (x = g->scans; x != NULL; x = x->next)
		open += x->open;
	for (x = g->scans; x != NULL && open < SCANS_MAX; x = x->next) {
		struct fetcher_request r = { .op = FETCHER_RECORDS, .author = x->did, .collection = FOLLOW, .cursor = x->cursor,
			.member = "subject", .value = set_of(g, EDGE_FOLLOWS, NULL)->owner, .only = "subject" };

		if (x->open || x->failed_until_ms > now)
			continue;
		x->open = true;
		open++;
		fetch_ask(g->fetch, &r, g->conf->atproto.fetch_timeout, on_scan, x);
	}
}

static struct scan *
scan_of(const struct graph *g, const char *did)
{
	struct scan *x = g->scans;

	while (x != NULL && strcmp(x->did, did) != 0)
		x = x->next;
	return x;
}

static void
scan_begin(struct graph *g, const char *did)
{
	struct scan *x = scan_of(g, did);

	if (x != NULL && x->failed_until_ms != 0 && x->failed_until_ms <= loop_now_ms()) {
		scan_free(g, x); /* from its first page again */
		x = NULL;
	}
	if (x != NULL)
		return;
	x = mem_alloc(sizeof *x);
	x->graph = g;
	x->did = mem_str(did);
	x->next = g->scans;
	g->scans = x;
	scan_more(g);
}

/* --- facts --- */

static enum access_fact
is_member(struct graph *g, enum access_edge edge, const struct set *s, const char *did)
{
	struct lately *l = lately_slot(g, edge, s, did);
	struct err e = ERR_INIT;
	int has;

	if (lately_is(l, edge, s, did))
		return l->fact;
	if ((has = work_graph_has(g->store, s->id, did, &e)) < 0)
		log_warn("graph", "why=%s", log_q(e.text));
	if (has < 0 || (has == 0 && !s->read))
		return FACT_UNKNOWN;
	return lately_put(l, edge, s, did, has ? FACT_YES : FACT_NO);
}

static enum access_fact
is_follower(struct graph *g, const struct set *s, const char *did)
{
	struct lately *l = lately_slot(g, EDGE_FOLLOWS, s, did);
	int64_t checked_at = 0;
	bool follows = false;
	struct err e = ERR_INIT;

	if (s->owner == NULL)
		return FACT_UNKNOWN;
	if (lately_is(l, EDGE_FOLLOWS, s, did))
		return l->fact;
	if (work_follower_get(g->store, did, s->owner, &follows, &checked_at, &e) != 1) {
		scan_begin(g, did);
		return FACT_UNKNOWN;
	}
	/* Old: serves, while it is asked again.  The sets are read as often, and forget what is kept in front. */
	if (clock_wall_ms() - checked_at >= g->conf->atproto.graph_fresh)
		scan_begin(g, did);
	return lately_put(l, EDGE_FOLLOWS, s, did, follows ? FACT_YES : FACT_NO);
}

enum access_fact
graph_fact(void *arg, enum access_edge edge, const char *list, const char *did)
{
	struct graph *g = arg;
	struct set *s = set_of(g, edge, list);

	if (s == NULL)
		return FACT_NO;
	return edge == EDGE_FOLLOWS ? is_follower(g, s, did) : is_member(g, edge, s, did);
}

bool
graph_cannot(const struct graph *g, const char *did, struct err *e)
{
	const struct scan *x = scan_of(g, did);
	const struct err *why = x != NULL && x->failed_until_ms > loop_now_ms() ? &x->failure : NULL;
	const struct set *s;

	for (s = g->sets; s != NULL && why == NULL; s = s->next)
		if (!s->read && !s->open && s->failure.kind != ERR_NONE)
			why = &s->failure;
	if (why == NULL)
		return false;
	err_named(e, ERR_REMOTE, "GraphNotRead", "the social graph that decides this cannot be read: %.400s", why->text);
	return true;
}

/* --- beginning and end --- */

struct graph *
graph_new(const struct conf *c, struct store *s, struct fetch *f, void (*told)(void))
{
	struct graph *g = mem_alloc(sizeof *g);

	g->conf = c;
	g->store = s;
	g->fetch = f;
	g->told = told;
	graph_tick(g);
	return g;
}

static void
set_free(struct set *s)
{
	free(s->source);
	free(s->owner);
	free(s->name);
	free(s->uri);
	free(s->cursor);
	free(s);
}

void
graph_free(struct graph *g)
{
	struct set *s;

	if (g == NULL)
		return;
	while ((s = g->sets) != NULL) {
		g->sets = s->next;
		set_free(s);
	}
	while (g->scans != NULL)
		scan_free(g, g->scans);
	lately_clear(g);
	free(g);
}
