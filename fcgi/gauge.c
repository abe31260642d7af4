#include "fcgi/gauge.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/store.h"

#define PULSE_MS      1000
#define PULSE_DEAD_MS 10000
#define LOAD_MS       100
#define LOAD_SHARE    50  /* a long queue takes long to count: at most this part of the time */
#define SLOTS         64

/* Counts of one (author, bundle); a collision only makes it ask the ledger again. */
struct slot {
	char *author, *bundle;
	int64_t at;
	struct front_load load;
	int64_t fresh; /* entered, and not in the ledger yet */
};

struct gauge {
	const struct conf *conf;
	pthread_mutex_t lock;
	int64_t pulse_at, counts_at;
	struct front_pulse pulse;
	int64_t total, total_at, load_ms; /* load_ms: how long counts are believed */
	int64_t few;                      /* fewer jobs than this in all are too many for nobody */
	int64_t fresh;
	struct slot slot[SLOTS];
};

struct gauge *
gauge_new(const struct conf *c)
{
	struct gauge *g = mem_alloc(sizeof *g);

	g->conf = c;
	g->pulse_at = g->counts_at = -PULSE_MS;
	g->few = c->limits.per_author < c->limits.per_bundle ? c->limits.per_author : c->limits.per_bundle;
	g->total_at = -LOAD_MS;
	g->load_ms = LOAD_MS;
	pthread_mutex_init(&g->lock, NULL);
	return g;
}

void
gauge_free(struct gauge *g)
{
	size_t i;

	if (g == NULL)
		return;
	for (i = 0; i < SLOTS; i++) {
		free(g->slot[i].author);
		free(g->slot[i].bundle);
	}
	pthread_mutex_destroy(&g->lock);
	free(g);
}

static bool
beating(const struct front_pulse *p)
{
	return p->any && !p->ended && p->this_boot && clock_mono_ms() - p->seen_mono <= PULSE_DEAD_MS;
}

/* With the lock held.  Bad news is never kept: a scheduler that has just come back must not be refused for a second more. */
static int
feel(struct gauge *g, struct store *s, int64_t now, struct err *e)
{
	struct front_pulse p;

	if (now - g->pulse_at < PULSE_MS && beating(&g->pulse) && !g->pulse.draining)
		return 0;
	if (front_pulse(s, &p, e) != 0) {
		g->pulse_at = now - PULSE_MS;
		return -1;
	}
	p.queued = g->pulse.queued;
	p.running = g->pulse.running;
	p.instances = g->pulse.instances;
	g->pulse = p;
	g->pulse_at = now;
	return 0;
}

int
gauge_pulse(struct gauge *g, struct store *s, struct front_pulse *out, struct err *e)
{
	int64_t now = clock_mono_ms();
	int rc;

	pthread_mutex_lock(&g->lock);
	rc = feel(g, s, now, e);
	if (rc == 0 && now - g->counts_at >= PULSE_MS) {
		rc = front_counts(s, &g->pulse, e);
		g->counts_at = rc == 0 ? now : now - PULSE_MS;
	}
	*out = g->pulse;
	pthread_mutex_unlock(&g->lock);
	return rc;
}

int
gauge_alive(struct gauge *g, struct store *s, struct err *e)
{
	bool beats, drains;
	int rc;

	pthread_mutex_lock(&g->lock);
	rc = feel(g, s, clock_mono_ms(), e);
	beats = beating(&g->pulse);
	drains = g->pulse.draining;
	pthread_mutex_unlock(&g->lock);
	if (rc != 0)
		return -1;
	/* A scheduler that has no room to write its pulse looks dead, but is not. */
	if (!beats && !store_has_room(s))
		return err_named(e, ERR_BUSY, ERR_DISK_FULL, "the disk that holds the database is full");
	if (!beats)
		return err_named(e, ERR_BUSY, "RunnerUnavailable",
		    "the scheduler is not running; jobs cannot be accepted at the moment");
	if (drains)
		return err_named(e, ERR_BUSY, "RunnerDraining", "the runner is draining and takes no new jobs");
	return 0;
}

static struct slot *
place_of(struct gauge *g, const char *author, const char *bundle)
{
	uint32_t h = 2166136261u;
	const char *p;

	for (p = author; *p != '\0'; p++)
		h = (h ^ (unsigned char)*p) * 16777619u;
	for (p = bundle; *p != '\0'; p++)
		h = (h ^ (unsigned char)*p) * 16777619u;
	return &g->slot[h % SLOTS];
}

static bool
is_of(const struct slot *s, const char *author, const char *bundle)
{
	return s->author != NULL && strcmp(s->author, author) == 0 && strcmp(s->bundle, bundle) == 0;
}

static struct slot *
slot_of(struct gauge *g, const char *author, const char *bundle)
{
	struct slot *s = place_of(g, author, bundle);

	if (!is_of(s, author, bundle)) {
		free(s->author);
		free(s->bundle);
		s->author = mem_str(author);
		s->bundle = mem_str(bundle);
		s->at = -LOAD_MS;
		s->fresh = 0;
	}
	return s;
}

static int
full(const struct gauge *g, const struct slot *s, struct err *e)
{
	const struct conf *c = g->conf;

	if (g->total >= c->limits.queue)
		return err_named(e, ERR_BUSY, "QueueFull", "the runner has %lld jobs waiting or running, limits.queue = %lld",
		    (long long)g->total, (long long)c->limits.queue);
	if (s->load.author >= c->limits.per_author)
		return err_named(e, ERR_BUSY, "RateLimitExceeded",
		    "this author has %lld jobs waiting or running, limits.per_author = %lld", (long long)s->load.author,
		    (long long)c->limits.per_author);
	if (s->load.bundle >= c->limits.per_bundle)
		return err_named(e, ERR_BUSY, "RateLimitExceeded",
		    "this bundle has %lld jobs waiting or running, limits.per_bundle = %lld", (long long)s->load.bundle,
		    (long long)c->limits.per_bundle);
	return 0;
}

static int
count(struct gauge *g, struct slot *slot, struct store *s, struct err *e)
{
	int64_t began = clock_mono_us(), took;
	int rc = front_load(s, slot->author, slot->bundle, g->conf->limits.queue, g->few, &slot->load, e);

	took = clock_mono_us() - began;
	g->load_ms = took * LOAD_SHARE / 1000 > LOAD_MS ? took * LOAD_SHARE / 1000 : LOAD_MS;
	g->total_at = clock_mono_ms();
	/* A batch of calls is committed after all of them have entered. */
	g->total = slot->load.total + g->fresh;
	slot->load.author += slot->fresh;
	slot->load.bundle += slot->fresh;
	slot->at = rc == 0 ? g->total_at : -g->load_ms;
	return rc;
}

/* What is full, and when there is a place.  A strange clock or job is no reason to send anybody away for longer than it may take. */
static int64_t
retry_s(const struct gauge *g, struct slot *slot, struct store *s)
{
	const struct conf *c = g->conf;
	bool all = g->total >= c->limits.queue, author = slot->load.author >= c->limits.per_author;
	int64_t ms = front_place_in(s, all ? NULL : slot->author, all || author ? NULL : slot->bundle), most = c->limits.timeout;

	return ((ms > 0 && ms < most ? ms : most) + 999) / 1000;
}

int
gauge_enter(struct gauge *g, struct store *s, const char *author, const char *bundle, int64_t *again_s, struct err *e)
{
	int64_t now = clock_mono_ms();
	struct slot *slot;
	size_t n;
	int rc = 0;

	pthread_mutex_lock(&g->lock);
	slot = slot_of(g, author, bundle);
	/* While all together are few, nobody's are counted. */
	if (now - slot->at >= g->load_ms && now - g->total_at < g->load_ms && g->total < g->few) {
		slot->load.author = slot->load.bundle = g->total;
		slot->at = now;
	}
	/* Only entries are counted here, no ends: so a full house is believed only when the ledger has just said so. */
	if (now - slot->at >= g->load_ms || now - g->total_at >= g->load_ms || full(g, slot, NULL) != 0)
		rc = count(g, slot, s, e);
	if (rc == 0 && (rc = full(g, slot, e)) != 0) {
		*again_s = retry_s(g, slot, s);
		n = strlen(e->text);
		snprintf(e->text + n, sizeof e->text - n, "; again in %lld s", (long long)*again_s);
	}
	if (rc == 0) {
		g->total++;
		g->fresh++;
		slot->fresh++;
		slot->load.author++;
		slot->load.bundle++;
	}
	pthread_mutex_unlock(&g->lock);
	return rc;
}

void
gauge_stored(struct gauge *g, const char *author, const char *bundle)
{
	struct slot *s;

	pthread_mutex_lock(&g->lock);
	g->fresh--;
	s = place_of(g, author, bundle);
	if (is_of(s, author, bundle) && s->fresh > 0) /* another may have had the slot meanwhile */
		s->fresh--;
	pthread_mutex_unlock(&g->lock);
}
