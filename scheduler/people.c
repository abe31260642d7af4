#include "scheduler/people.h"

#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "scheduler/fetch.h"
#include "scheduler/fetcher.h"
#include "scheduler/loop.h"

#define BUCKETS    512
#define PEOPLE_MAX 8192
#define FAILED_MS  2000  /* a failure is told so long without asking again */
#define RETRY_MS   10000 /* what is stale and cannot be asked for still serves, and is tried again after this */
#define RENEW_MS   2000  /* an answer so new is not asked for anew: a storm of forged tokens asks once */

struct people {
	const struct conf *conf;
	struct fetch *fetch;
	void (*told)(const char *name);
	struct person *bucket[BUCKETS];
	size_t n;
};

struct people *
people_new(const struct conf *c, struct fetch *f, void (*told)(const char *name))
{
	struct people *p = mem_alloc(sizeof *p);

	p->conf = c;
	p->fetch = f;
	p->told = told;
	return p;
}

static void
person_free(struct person *x)
{
	free(x->name);
	free(x->did);
	free(x);
}

/* Lets those go that nobody asked for since. */
static void
shrink(struct people *p, int64_t since_ms)
{
	size_t i;

	for (i = 0; i < BUCKETS; i++) {
		struct person **at = &p->bucket[i];

		while (*at != NULL) {
			struct person *x = *at;

			if (x->used_ms >= since_ms) {
				at = &x->next;
				continue;
			}
			*at = x->next;
			p->n--;
			person_free(x);
		}
	}
}

void
people_free(struct people *p)
{
	if (p == NULL)
		return;
	shrink(p, INT64_MAX);
	free(p);
}

static struct person **
slot(struct people *p, const char *name)
{
	uint64_t h = 14695981039346656037u;
	const char *s;

	for (s = name; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211u;
	return &p->bucket[h % BUCKETS];
}

static struct person *
find(struct people *p, const char *name)
{
	struct person *x = *slot(p, name);

	while (x != NULL && strcmp(x->name, name) != 0)
		x = x->next;
	return x;
}

static struct person *
find_or_make(struct people *p, const char *name)
{
	struct person *x = find(p, name), **at;

	if (x != NULL)
		return x;
	if (p->n >= PEOPLE_MAX)
		shrink(p, loop_now_ms() - 60000);
	if (p->n >= PEOPLE_MAX)
		shrink(p, INT64_MAX);
	at = slot(p, name);
	x = mem_alloc(sizeof *x);
	x->name = mem_str(name);
	x->next = *at;
	*at = x;
	p->n++;
	return x;
}

static void
take(struct people *p, struct person *x, const struct fetcher_answer *a)
{
	free(x->did);
	x->did = mem_str(a->did);
	x->failure = (struct err)ERR_INIT;
	x->has_key = a->key != NULL && key_parse_method(&x->key, a->key_type, a->key, &x->failure) == 0;
	if (a->key == NULL)
		err_named(&x->failure, ERR_REMOTE, "NoSigningKey", "the DID document names no signing key (#atproto)");
	x->fresh_until_ms = loop_now_ms() + p->conf->atproto.identity_fresh;
}

/* The network failed us: what was known serves on.  Who does not exist any more is known no more. */
static void
take_failure(struct person *x, const struct err *why)
{
	if (x->did != NULL && why->kind != ERR_NOTFOUND) {
		x->fresh_until_ms = loop_now_ms() + RETRY_MS;
		return;
	}
	free(x->did);
	x->did = NULL;
	x->has_key = false;
	x->failure = *why;
	x->fresh_until_ms = loop_now_ms() + FAILED_MS;
}

static void
on_answer(void *arg, const struct fetcher_request *r, struct fetcher_answer *a, const struct fetcher_answer *failed,
    const struct err *why)
{
	struct people *p = arg;
	struct person *x = find_or_make(p, r->author);

	(void)failed;
	if (a != NULL)
		take(p, x, a);
	else
		take_failure(x, why);
	x->used_ms = x->asked_ms = loop_now_ms();
	log_debug("identity", "name=%s did=%s why=%s", log_q(r->author), log_q(x->did), log_q(x->failure.text));
	p->told(r->author);
}

static void
ask(struct people *p, const char *name, bool renew)
{
	struct fetcher_request r = { .op = FETCHER_IDENTITY, .author = name, .renew = renew };

	fetch_ask(p->fetch, &r, p->conf->atproto.fetch_timeout, on_answer, p);
}

const struct person *
people_who(struct people *p, const char *name)
{
	struct person *x = find(p, name);
	int64_t now = loop_now_ms();

	if (x != NULL && x->fresh_until_ms > now) {
		x->used_ms = now;
		return x;
	}
	ask(p, name, false);
	if (x == NULL || x->did == NULL)
		return NULL;
	x->used_ms = now;
	return x;
}

bool
people_renew(struct people *p, const char *name)
{
	const struct person *x = find(p, name);

	if (x != NULL && loop_now_ms() - x->asked_ms < RENEW_MS)
		return false;
	ask(p, name, true);
	return true;
}
