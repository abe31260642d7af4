/*
 * What every hand of the workshop does to a job.
 */
#include "scheduler/shop.h"

#include <string.h>

#include "lib/clock.h"
#include "scheduler/collect.h"

#define SWEEP_MS 200

struct shop shop;

void
shop_end(struct job *j, enum job_outcome outcome, enum err_kind kind, const char *name, const char *text)
{
	struct err e = ERR_INIT;

	err_named(&e, kind, name, "%s", text);
	turn_job_end(j, outcome, &e);
}

static void
on_pump(void *arg)
{
	(void)arg; /* the end of the turn does the work */
}

/* Another look at who waits, ms from now at the latest. */
void
shop_pump_in(int64_t ms)
{
	if (shop.pump.at == 0 || shop.pump.due_ms > clock_mono_ms() + ms)
		loop_after(&shop.pump, ms, on_pump, NULL);
}

/* A job that never started: its end is written with this turn. */
void
shop_drop(struct job *j)
{
	turn_drop(&shop.turn, j);
}

bool
shop_late(struct job *j)
{
	const char *key = j->limit_key;
	int64_t allowed = j->timeout_ms;
	char limit[64];
	struct err e = ERR_INIT;

	if (j->deadline_ms > clock_mono_ms())
		return false;
	if (j->w.mode == JOB_ASYNC) {
		key = "jobs.max_age";
		allowed = shop.conf->jobs.max_age;
	} else if (key == NULL) /* not admitted yet: what the door wrote */
		key = j->timeout_ms < shop.conf->limits.timeout ? "the caller's wait" : "limits.timeout";
	collect_limit_ms(key, allowed, limit, sizeof limit);
	if (j->w.attempt > 0)
		err_named(&e, ERR_TIMEOUT, "JobExpired", "the job's time was over before it could be started again, after %d tries: "
		    "%s", j->w.attempt, limit);
	else
		err_named(&e, ERR_TIMEOUT, "JobExpired", "the job's time was over before its turn came: %s", limit);
	turn_job_end(j, OUTCOME_EXPIRED, &e);
	return true;
}

/* On the monotonic clock, whatever has become of the other since; after a boot only that one is left to judge by. */
static int64_t
created_mono(const struct job *j)
{
	int64_t now = clock_mono_ms(), age = clock_wall_ms() - j->w.created_at;

	if (j->w.id.row >= shop.boot_row && j->w.created_mono > 0 && j->w.created_mono <= now)
		return j->w.created_mono;
	return now - (age > 0 ? age : 0);
}

/* The monotonic moment when it is too late to start it. */
static int64_t
expires_ms(const struct job *j)
{
	return created_mono(j) + (j->w.mode == JOB_ASYNC ? shop.conf->jobs.max_age : j->timeout_ms);
}

int64_t
shop_left_ms(const struct job *j)
{
	return expires_ms(j) - clock_mono_ms();
}

void
shop_set_deadline(struct job *j, int64_t timeout_ms)
{
	j->timeout_ms = timeout_ms;
	j->deadline_ms = expires_ms(j);
}

bool
shop_cancelled(struct job *j)
{
	if (!j->w.cancel)
		return false;
	shop_end(j, OUTCOME_CANCELLED, ERR_DENIED, "JobCancelled", "the job was cancelled before it started");
	return true;
}

static void
sweep_one(void *arg, struct job *j)
{
	(void)arg;
	if (shop_late(j)) {
		wait_remove(&shop.wait, j);
		shop_drop(j);
	}
}

/* Who waited too long. */
static void
shop_sweep(void *arg)
{
	struct job **p = &shop.held, *j;

	(void)arg;
	while ((j = *p) != NULL) {
		if (!shop_late(j)) {
			p = &j->next;
			continue;
		}
		*p = j->next;
		j->next = NULL;
		shop.held_n--;
		shop_drop(j);
	}
	wait_jobs(&shop.wait, sweep_one, NULL);
	if (shop.held != NULL || shop.wait.n > 0)
		shop_sweep_soon();
}

void
shop_sweep_soon(void)
{
	if (shop.sweep.at == 0)
		loop_after(&shop.sweep, SWEEP_MS, shop_sweep, NULL);
}
