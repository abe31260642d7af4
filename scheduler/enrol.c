#include "scheduler/enrol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/store_schedule.h"
#include "lib/syntax.h"
#include "scheduler/fetch.h"
#include "scheduler/fetcher.h"
#include "scheduler/intake.h"
#include "scheduler/schedule.h"
#include "scheduler/shop.h"

#define PAGES_MAX 50 /* of an author's records */

struct enrolled {
	char *did, *bundle; /* "": all */
	int pages;          /* asked for in this round */
};

static struct {
	struct enrolled **item; /* each stays where it is: the fetcher's answers name it */
	size_t n;
	int64_t look_ms;        /* monotonic: when to look again */
} all;

static void
add(void *arg, const char *did, const char *bundle)
{
	struct enrolled *x;
	size_t i;

	(void)arg;
	for (i = 0; i < all.n; i++)
		if (strcmp(all.item[i]->did, did) == 0 && strcmp(all.item[i]->bundle, bundle) == 0)
			return;
	x = mem_alloc(sizeof *x);
	x->did = mem_str(did);
	x->bundle = mem_str(bundle);
	all.item = mem_grow(all.item, (all.n + 1) * sizeof(struct enrolled *));
	all.item[all.n++] = x;
}

static bool
is_blocked(const char *did)
{
	const struct conf_list *l = &shop.conf->access.blocklist;
	size_t i;

	for (i = 0; i < l->n; i++)
		if (strcmp(l->item[i], did) == 0)
			return true;
	return false;
}

int
enrol_open(struct err *e)
{
	const struct conf *c = shop.conf;
	size_t i;

	/* Whose bundles run in every mode, but for those that run in none. */
	for (i = 0; strcmp(c->schedules.enroll, "allowlist") == 0 && i < c->access.allowlist.n; i++)
		if (!is_blocked(c->access.allowlist.item[i]))
			add(NULL, c->access.allowlist.item[i], "");
	return work_enrolments(shop.s.store, add, NULL, e);
}

void
enrol_close(void)
{
	size_t i;

	for (i = 0; i < all.n; i++) {
		free(all.item[i]->did);
		free(all.item[i]->bundle);
		free(all.item[i]);
	}
	free(all.item);
	all.item = NULL;
	all.n = 0;
}

bool
enrol_has(const char *did, const char *name)
{
	size_t i;

	for (i = 0; i < all.n; i++)
		if (strcmp(all.item[i]->did, did) == 0 &&
		    (all.item[i]->bundle[0] == '\0' || strcmp(all.item[i]->bundle, name) == 0))
			return true;
	return false;
}

/* --- looking at records --- */

/* The page is the server's word alone: it is only a reason to fetch the bundle, with its proof. */
static void
look_at(const struct enrolled *x, const char *uri, const char *json)
{
	struct err e = ERR_INIT;
	cJSON *record = json_parse(json, strlen(json), JSON_DEPTH, &e);
	const char *name = json_string(record, "name"), *rkey = strrchr(uri, '/');
	const cJSON *endpoint, *endpoints = json_object(record, "endpoints");

	if (name != NULL && rkey != NULL && strcmp(rkey + 1, name) == 0 && syntax_bundle_name(name, strlen(name)))
		cJSON_ArrayForEach(endpoint, endpoints)
		{
			if (json_string(endpoint, "schedule") == NULL)
				continue;
			intake_ask(x->did, name, "latest");
			break;
		}
	cJSON_Delete(record);
}

static void ask(struct enrolled *x, const char *cursor);

static void
on_page(void *arg, const struct fetcher_request *asked, struct fetcher_answer *answer, const struct fetcher_answer *failed,
    const struct err *why)
{
	struct enrolled *x = NULL;
	size_t i;

	(void)failed;
	for (i = 0; i < all.n; i++) /* it may be enrolled no longer */
		if (all.item[i] == arg)
			x = arg;
	if (x == NULL)
		return;
	if (answer == NULL) {
		log_warn("schedules", "author=%s why=%s", asked->author, log_q(why->text));
		return;
	}
	for (i = 0; i < answer->n_records; i++)
		look_at(x, answer->records[i].uri, answer->records[i].value_json);
	if (answer->cursor != NULL && x->pages < PAGES_MAX)
		ask(x, answer->cursor);
}

static void
ask(struct enrolled *x, const char *cursor)
{
	struct fetcher_request r = { .op = FETCHER_RECORDS, .author = x->did, .collection = shop.conf->atproto.collection,
		.cursor = cursor };

	x->pages++;
	fetch_ask(shop.fetch, &r, shop.conf->atproto.fetch_timeout, on_page, x);
}

static void
look(struct enrolled *x)
{
	x->pages = 0;
	if (x->bundle[0] != '\0')
		intake_ask(x->did, x->bundle, "latest");
	else
		ask(x, NULL);
}

/* What has schedules is asked for by name: a record that is gone stands on no page. */
static void
look_again(void *arg, const char *did, const char *name)
{
	(void)arg;
	if (enrol_has(did, name))
		intake_ask(did, name, "latest");
}

void
enrol_tick(void)
{
	size_t i;

	if (all.n == 0 || clock_mono_ms() < all.look_ms || shop.draining)
		return;
	all.look_ms = clock_mono_ms() + shop.conf->schedules.refresh;
	for (i = 0; i < all.n; i++)
		look(all.item[i]);
	schedule_bundles(look_again, NULL);
}

/* --- orders --- */

static bool
read_args(const cJSON *args, const char **did, const char **bundle, char *note, size_t n)
{
	*did = json_string(args, "did");
	*bundle = json_string(args, "bundle");
	if (*bundle == NULL)
		*bundle = "";
	if (*did != NULL && syntax_did(*did, strlen(*did)) &&
	    (**bundle == '\0' || syntax_bundle_name(*bundle, strlen(*bundle))))
		return true;
	snprintf(note, n, "nobody is named: {\"did\":\"did:plc:...\",\"bundle\":\"hello\"}");
	return false;
}

void
enrol_order(const cJSON *args, char *note, size_t n)
{
	const char *did, *bundle;
	struct err e = ERR_INIT;

	if (!read_args(args, &did, &bundle, note, n))
		return;
	if (work_enrol(shop.s.store, did, bundle, clock_wall_ms(), &e) < 0) {
		snprintf(note, n, "%s", e.text);
		return;
	}
	add(NULL, did, bundle);
	all.look_ms = 0;
	snprintf(note, n, "enrolled; its schedules are looked for");
}

void
enrol_order_end(const cJSON *args, char *note, size_t n)
{
	const char *did, *bundle;
	struct err e = ERR_INIT;
	int was;

	if (!read_args(args, &did, &bundle, note, n))
		return;
	if ((was = work_unenrol(shop.s.store, did, bundle, &e)) < 0) {
		snprintf(note, n, "%s", e.text);
		return;
	}
	enrol_close();
	if (enrol_open(&e) != 0)
		log_error("enrolments", "why=%s", log_q(e.text));
	schedule_drop(did, NULL);
	snprintf(note, n, was > 0 ? "enrolled no longer" : "it was not enrolled by the operator");
}
