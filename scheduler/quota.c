/*
 * A line for each author, bundle and caller that was met lately.  Starts are a bucket: as many as a minute may have at once,
 * and one more each time a minute divided by that has passed; so the time after which the next one fits is known exactly.
 * CPU time is read of the processes of each instance once a second and at the end of its longer calls; an instance is of one bundle
 * for life, and of the callers those pay whose calls run there at that moment.
 */
#include "scheduler/quota.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/store_usage.h"
#include "scheduler/catalog.h"
#include "scheduler/instance.h"
#include "scheduler/shop.h"

#define BUCKETS     1024
#define LINES_MAX   20000
#define FLUSH_TICKS 5
#define LEFT        256
#define LONG_US     100000
#define MINUTE_US   INT64_C(60000000)
#define DAY_MS      INT64_C(86400000)

enum kind { AUTHOR, BUNDLE, CALLER, KINDS };
static const char *const words[KINDS] = { "author", "bundle", "caller" };

struct line {
	enum kind kind;
	char *name;
	int64_t open, running;
	int64_t full_us;          /* monotonic: when the bucket is full again */
	int64_t day;              /* of what follows */
	int64_t cpu_ms, egress;
	bool dirty;
	struct line *next;
};

/* The operator's keys for one kind; 0: no limit. */
struct bounds {
	int64_t open, running, starts, cpu, egress;
};

/* Jobs that have ended lately: that a connection of theirs is over is told a moment later, when the instance may be gone. */
struct left {
	int64_t row;
	char *caller, *did, *bundle;
};
static struct {
	struct left item[LEFT];
	size_t next;
} left;

static struct line *lines[BUCKETS];
static size_t count;
static int64_t ticks;

static struct bounds
bounds(enum kind k)
{
	const struct conf *c = shop.conf;

	/* How many of an author or a bundle are open is asked by the door, how many run at once by wait.c. */
	switch (k) {
	case AUTHOR:
		return (struct bounds){ 0, 0, c->limits.author_starts, c->limits.author_cpu, c->limits.author_egress };
	case BUNDLE:
		return (struct bounds){ 0, 0, c->limits.bundle_starts, c->limits.bundle_cpu, c->limits.bundle_egress };
	default:
		return (struct bounds){ c->limits.per_caller, c->limits.caller_running, c->limits.caller_starts,
			c->limits.caller_cpu, c->limits.caller_egress };
	}
}

static bool
any(enum kind k)
{
	struct bounds b = bounds(k);

	return b.open > 0 || b.running > 0 || b.starts > 0 || b.cpu > 0 || b.egress > 0;
}

static bool
asks_egress(void)
{
	return bounds(AUTHOR).egress > 0 || bounds(BUNDLE).egress > 0 || bounds(CALLER).egress > 0;
}

/* --- lines --- */

static int64_t
today(void)
{
	return clock_wall_ms() / DAY_MS;
}

static struct line **
slot(enum kind k, const char *name)
{
	uint64_t h = 14695981039346656037u + (uint64_t)k;
	const char *s;

	for (s = name; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211u;
	return &lines[h % BUCKETS];
}

/* Lets those go of whom nothing has to be known. */
static void
shrink(void)
{
	int64_t now = clock_mono_us(), day = today();
	size_t i;

	for (i = 0; i < BUCKETS; i++) {
		struct line **p = &lines[i];

		while (*p != NULL) {
			struct line *l = *p;

			if (l->open > 0 || l->full_us > now || l->dirty || (l->day == day && l->cpu_ms + l->egress > 0)) {
				p = &l->next;
				continue;
			}
			*p = l->next;
			count--;
			free(l->name);
			free(l);
		}
	}
}

static struct line *
line_of(enum kind k, const char *name)
{
	struct line **p = slot(k, name), *l;

	for (l = *p; l != NULL; l = l->next)
		if (l->kind == k && strcmp(l->name, name) == 0)
			break;
	if (l == NULL) {
		if (count >= LINES_MAX)
			shrink();
		l = mem_alloc(sizeof *l);
		l->kind = k;
		l->name = mem_str(name);
		l->next = *p;
		*p = l;
		count++;
	}
	if (l->day != today()) {
		l->day = today();
		l->cpu_ms = l->egress = 0;
	}
	return l;
}

/* Of IPv6 the network: whoever has one address has all of them. */
static char *
address(const char *client)
{
	unsigned char b[16];
	char text[INET6_ADDRSTRLEN];

	if (inet_pton(AF_INET6, client, b) != 1)
		return mem_str(client);
	memset(b + 8, 0, 8);
	inet_ntop(AF_INET6, b, text, sizeof text);
	return mem_fmt("%s/64", text);
}

static struct line *
line_for(enum kind k, const char *did, const char *bundle, const char *caller, const char *client)
{
	char *name = k == AUTHOR ? mem_str(did) : k == BUNDLE ? mem_fmt("%s/%s", did, bundle) :
	    caller != NULL ? mem_str(caller) : address(client);
	struct line *l = line_of(k, name);

	free(name);
	return l;
}

static struct line *
line_of_job(enum kind k, const struct job *j)
{
	return line_for(k, j->code != NULL ? j->code->did : "", j->w.bundle, j->w.caller, j->w.client);
}

/* --- the judgement --- */

/* What a bucket of n a minute says: 0, or microseconds until the next start fits. */
static int64_t
bucket_wait(const struct line *l, int64_t n, int64_t now)
{
	int64_t step = MINUTE_US / n, full = l->full_us > now ? l->full_us : now;

	return full + step - now > MINUTE_US ? full + step - now - MINUTE_US : 0;
}

static void
bucket_take(struct line *l, int64_t n, int64_t now)
{
	l->full_us = (l->full_us > now ? l->full_us : now) + MINUTE_US / n;
}

static int
refuse(struct job *j, const struct line *l, const char *what, int64_t n, const char *key, int64_t wait_ms, struct err *e)
{
	static const char *const whose[KINDS] = { "this author", "this bundle", "you" };

	j->retry_at = clock_wall_ms() + wait_ms;
	return err_named(e, ERR_BUSY, "RateLimitExceeded", "%s of %s: limits.%s = %lld; again in %lld s", what, whose[l->kind],
	    key, (long long)n, (long long)((wait_ms + 999) / 1000));
}

/* A call of this code takes about so long: then one of those that are open is done. */
static int64_t
soon(const struct job *j)
{
	return j->code->run_us > 1000000 ? j->code->run_us / 1000 : 1000;
}

static int
judge(struct job *j, struct line *l, int64_t now, struct err *e)
{
	struct bounds b = bounds(l->kind);
	int64_t midnight = (today() + 1) * DAY_MS - clock_wall_ms(), wait;
	char key[40];

	if (b.open > 0 && l->open >= b.open)
		return refuse(j, l, "calls that are not done", b.open, "per_caller", soon(j), e);
	if (b.running > 0 && l->running >= b.running)
		return refuse(j, l, "calls at once", b.running, "caller_running", soon(j), e);
	if (b.starts > 0 && (wait = bucket_wait(l, b.starts, now)) > 0) {
		snprintf(key, sizeof key, "%s_starts", words[l->kind]);
		return refuse(j, l, "calls a minute", b.starts, key, wait / 1000 + 1, e);
	}
	if (b.cpu > 0 && l->cpu_ms >= b.cpu) {
		snprintf(key, sizeof key, "%s_cpu", words[l->kind]);
		return refuse(j, l, "milliseconds of processor time a day", b.cpu, key, midnight, e);
	}
	if (b.egress > 0 && l->egress >= b.egress) {
		snprintf(key, sizeof key, "%s_egress", words[l->kind]);
		return refuse(j, l, "bytes over the network a day", b.egress, key, midnight, e);
	}
	return 0;
}

int
quota_enter(struct job *j, struct err *e)
{
	struct line *mine[KINDS] = { NULL };
	int64_t now;
	int k;

	if (!any(AUTHOR) && !any(BUNDLE) && !any(CALLER))
		return 0;
	now = clock_mono_us();
	for (k = 0; k < KINDS; k++) {
		mine[k] = any((enum kind)k) ? line_of_job((enum kind)k, j) : NULL;
		if (mine[k] != NULL && judge(j, mine[k], now, e) != 0)
			return -1;
	}
	for (k = 0; k < KINDS; k++) {
		struct bounds b = bounds((enum kind)k);

		if (mine[k] == NULL)
			continue;
		if (b.starts > 0)
			bucket_take(mine[k], b.starts, now);
		mine[k]->open++;
	}
	j->counted = true;
	return 0;
}

void
quota_again(struct job *j)
{
	j->counted = any(CALLER);
}

static void
running(struct job *j, int64_t by)
{
	if (j->counted && any(CALLER))
		line_of_job(CALLER, j)->running += by;
}

void
quota_started(struct job *j)
{
	running(j, 1);
	j->ran = j->counted;
}

void
quota_stopped(struct job *j)
{
	if (j->ran)
		running(j, -1);
	j->ran = false;
}

static void
left_clear(struct left *l)
{
	free(l->caller);
	free(l->did);
	free(l->bundle);
	*l = (struct left){ 0 };
}

static void
leaves(const struct job *j)
{
	struct left *l = &left.item[left.next];

	left.next = (left.next + 1) % LEFT;
	left_clear(l);
	*l = (struct left){ j->w.id.row, j->w.caller != NULL ? mem_str(j->w.caller) : address(j->w.client), mem_str(j->code->did),
		mem_str(j->code->name) };
}

void
quota_leave(struct job *j)
{
	int k;

	if (j->ran && j->code != NULL && asks_egress())
		leaves(j);
	quota_stopped(j);
	for (k = 0; k < KINDS && j->counted && j->code != NULL; k++) {
		struct line *l = any((enum kind)k) ? line_of_job((enum kind)k, j) : NULL;

		if (l != NULL && l->open > 0)
			l->open--;
	}
	j->counted = false;
}

/* --- what is used --- */

static void
use(struct line *l, int64_t cpu_ms, int64_t bytes)
{
	l->cpu_ms += cpu_ms;
	l->egress += bytes;
	l->dirty = true;
}

static void
use_bundle(const char *did, const char *name, int64_t cpu_ms, int64_t bytes)
{
	if (any(AUTHOR))
		use(line_for(AUTHOR, did, NULL, NULL, NULL), cpu_ms, bytes);
	if (any(BUNDLE))
		use(line_for(BUNDLE, did, name, NULL, NULL), cpu_ms, bytes);
}

static void
use_left(const struct left *l, bool bundle_too, int64_t bytes)
{
	if (bundle_too)
		use_bundle(l->did, l->bundle, 0, bytes);
	if (any(CALLER))
		use(line_of(CALLER, l->caller), 0, bytes);
}

void
quota_egress(const struct instance *i, int64_t row, int64_t bytes)
{
	const struct code *code = i != NULL ? instance_code(i) : NULL;
	size_t k;

	if (!asks_egress())
		return;
	if (code != NULL)
		use_bundle(code->did, code->name, 0, bytes);
	for (k = 0; k < shop.running.n && row > 0; k++) {
		const struct job *j = shop.running.item[k];

		if (j->w.id.row != row)
			continue;
		if (code == NULL)
			use_bundle(j->code->did, j->code->name, 0, bytes);
		if (any(CALLER))
			use(line_of_job(CALLER, j), 0, bytes);
		return;
	}
	for (k = 0; k < LEFT && row > 0; k++)
		if (left.item[k].row == row)
			use_left(&left.item[k], code == NULL, bytes);
}

/* Who calls there at the moment: each has an equal part. */
static void
use_callers(const struct instance *i, int64_t cpu_ms)
{
	size_t k;
	int n = 0;

	for (k = 0; k < shop.running.n; k++)
		n += shop.running.item[k]->instance == i;
	for (k = 0; k < shop.running.n; k++)
		if (shop.running.item[k]->instance == i)
			use(line_of_job(CALLER, shop.running.item[k]), cpu_ms / n, 0);
}

static bool
asks_cpu(void)
{
	return bounds(AUTHOR).cpu > 0 || bounds(BUNDLE).cpu > 0 || bounds(CALLER).cpu > 0;
}

static void
read_instance(struct pool_entry *x)
{
	const struct code *code = instance_code(x->instance);
	int64_t ms = code != NULL ? instance_cpu_ms(x->instance) : -1;

	if (code == NULL || ms <= x->cpu_ms)
		return;
	use_bundle(code->did, code->name, ms - x->cpu_ms, 0);
	if (any(CALLER))
		use_callers(x->instance, ms - x->cpu_ms);
	x->cpu_ms = ms;
}

void
quota_ready(struct pool_entry *x)
{
	if (x != NULL && asks_cpu())
		x->cpu_ms = instance_cpu_ms(x->instance);
}

/* Short calls of an instance that stays are read with the next tick. */
void
quota_over(const struct job *j)
{
	struct pool_entry *x;

	if (j->instance == NULL || !asks_cpu() || (x = pool_of(&shop.pool, j->instance)) == NULL)
		return;
	if (x->retiring || clock_mono_us() - j->started_us >= LONG_US)
		read_instance(x);
}

static void
read_instances(void)
{
	size_t k;

	for (k = 0; k < shop.pool.n; k++)
		if (shop.pool.item[k].state != INSTANCE_ENDING)
			read_instance(&shop.pool.item[k]);
}

static void
flush(void)
{
	struct err e = ERR_INIT;
	size_t i;

	for (i = 0; i < BUCKETS; i++) {
		struct line *l;

		for (l = lines[i]; l != NULL; l = l->next) {
			if (!l->dirty)
				continue;
			l->dirty = false;
			if (work_usage_put(shop.s.store, l->day, words[l->kind], l->name, l->cpu_ms, l->egress, &e) != 0)
				log_warn("usage", "why=%s", log_q(e.text));
		}
	}
}

void
quota_tick(void)
{
	if (asks_cpu())
		read_instances();
	if (++ticks % FLUSH_TICKS == 0)
		flush();
}

/* --- beginning and end --- */

static void
on_usage(void *arg, const char *kind, const char *name, int64_t cpu_ms, int64_t egress)
{
	int k;

	(void)arg;
	for (k = 0; k < KINDS; k++)
		if (strcmp(words[k], kind) == 0) {
			struct line *l = line_of((enum kind)k, name);

			l->cpu_ms = cpu_ms;
			l->egress = egress;
		}
}

static void
on_open_job(void *arg, const char *caller, const char *client)
{
	(void)arg;
	line_for(CALLER, "", "", caller, client)->open++;
}

int
quota_open(struct err *e)
{
	if (work_usage_read(shop.s.store, today(), on_usage, NULL, e) != 0)
		return -1;
	return any(CALLER) ? work_open_callers(shop.s.store, on_open_job, NULL, e) : 0;
}

void
quota_close(void)
{
	size_t i;

	flush();
	for (i = 0; i < LEFT; i++)
		left_clear(&left.item[i]);
	left.next = 0;
	for (i = 0; i < BUCKETS; i++)
		while (lines[i] != NULL) {
			struct line *l = lines[i];

			lines[i] = l->next;
			free(l->name);
			free(l);
		}
	count = 0;
}
