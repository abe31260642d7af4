#include "scheduler/retry.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/bundle.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/store_retry.h"
#include "lib/store_work.h"
#include "scheduler/catalog.h"
#include "scheduler/intake.h"
#include "scheduler/shop.h"

#define WAITED_BASE_MS 100 /* while somebody waits */
#define DOUBLINGS      20

static int64_t
jitter(int64_t most)
{
	uint64_t r = 0;

	if (getrandom(&r, sizeof r, 0) != (ssize_t)sizeof r)
		r = (uint64_t)clock_mono_us();
	return 1 + (int64_t)(r % (uint64_t)(most > 0 ? most : 1));
}

/* Between nothing and a bound that doubles with each attempt. */
static int64_t
pause_ms(const struct job *j)
{
	const struct bundle_endpoint *ep = bundle_endpoint(j->code->bundle, j->w.endpoint);
	int64_t base = j->w.mode == JOB_SYNC ? WAITED_BASE_MS : shop.conf->jobs.backoff, most;
	int doubled = j->w.attempt - 1 < DOUBLINGS ? j->w.attempt - 1 : DOUBLINGS;

	if (j->w.mode == JOB_ASYNC && ep != NULL && ep->backoff_ms > 0)
		base = ep->backoff_ms;
	most = base << (doubled > 0 ? doubled : 0);
	return jitter(most < shop.conf->jobs.backoff_max ? most : shop.conf->jobs.backoff_max);
}

/* An instance that goes away is nobody's doing when we stop; what threw or was too slow is told to whoever waits. */
static bool
worth_it(const struct job *j, enum job_outcome outcome)
{
	if (outcome == OUTCOME_KILLED || outcome == OUTCOME_MEMORY || outcome == OUTCOME_LOST)
		return true;
	return j->w.mode == JOB_ASYNC && (outcome == OUTCOME_ERROR || outcome == OUTCOME_TIMEOUT);
}

static bool
may_again(const struct job *j, enum job_outcome outcome, int64_t pause)
{
	if (!j->idempotent || j->streamed || shop.draining || !worth_it(j, outcome))
		return false;
	if (j->w.attempt >= j->attempts || j->kills >= shop.conf->jobs.poison)
		return false;
	return pause < shop_left_ms(j);
}

static void
end_poisoned(struct job *j, enum job_outcome outcome, const struct err *why)
{
	struct err e = ERR_INIT;

	err_named(&e, why->kind, "JobPoisoned", "it is set aside: it ended its instance %d times (jobs.poison = %lld); the last time: %.300s",
	    j->kills, (long long)shop.conf->jobs.poison, why->text);
	turn_job_end(j, outcome, &e);
}

void
retry_or_end(struct job *j, enum job_outcome outcome, const struct err *why)
{
	int64_t pause = pause_ms(j);

	if (outcome == OUTCOME_KILLED || outcome == OUTCOME_MEMORY)
		j->kills++;
	if (may_again(j, outcome, pause)) {
		j->again = true;
		j->tried = outcome;
		j->again_at = clock_wall_ms() + pause;
		free(j->err);
		j->err = mem_dup(why, sizeof *why);
	} else if (j->idempotent && j->kills >= shop.conf->jobs.poison && j->w.attempt < j->attempts) {
		end_poisoned(j, outcome, why);
	} else {
		turn_job_end(j, outcome, why);
	}
}

bool
retry_put_back(struct job *j, const struct err *why)
{
	if (j->w.mode != JOB_ASYNC || !j->idempotent || j->streamed || j->again || j->outcome != OUTCOME_NONE ||
	    j->w.attempt >= j->attempts)
		return false;
	j->again = true;
	j->tried = OUTCOME_LOST;
	j->again_at = clock_wall_ms();
	free(j->err);
	j->err = mem_dup(why, sizeof *why);
	return true;
}

/* --- waiting for the next attempt --- */

static void
unlink_later(struct job *j)
{
	struct job **p = &shop.later;

	while (*p != j)
		p = &(*p)->next;
	*p = j->next;
	j->next = NULL;
}

static void on_due(void *arg);

static void
wait_until(struct job *j, int64_t at)
{
	int64_t ms = at - clock_wall_ms();

	/* A wall clock that was set back must not keep it for ever. */
	if (ms > shop.conf->jobs.backoff_max)
		ms = shop.conf->jobs.backoff_max;
	j->next = shop.later;
	shop.later = j;
	loop_after(&j->timer, ms > 0 ? ms : 0, on_due, j);
}

static void
on_due(void *arg)
{
	struct job *j = arg;
	struct work_job w = { 0 };
	struct err e = ERR_INIT;

	unlink_later(j);
	/* The row says admitted; it is read again with its request. */
	if (work_job_load(shop.s.store, j->w.id.row, &w, &e) == 0 && w.state == JOB_ADMITTED)
		intake_again(&w);
	else
		work_job_clear(&w);
	turn_job_free(j);
}

void
retry_later(struct job *j)
{
	j->again = false;
	wait_until(j, j->again_at);
}

enum retry_fate
retry_recall(struct job *j)
{
	struct err e = ERR_INIT;
	int64_t again_at = 0;

	if (j->w.attempt == 0)
		return RETRY_NOW;
	if (work_attempts(shop.s.store, j->w.id.row, &j->kills, &again_at, &e) != 0) {
		log_warn("attempts", "why=%s", log_q(e.text));
		return RETRY_NOW;
	}
	if (j->w.attempt >= j->attempts) {
		err_named(&e, ERR_INTERNAL, "RunnerFailed", "the scheduler stopped while this ran; it was started %d times, which is all "
		    "it may be", j->w.attempt);
		turn_job_end(j, OUTCOME_LOST, &e);
		return RETRY_NEVER;
	}
	if (again_at <= clock_wall_ms())
		return RETRY_NOW;
	wait_until(j, again_at);
	return RETRY_LATER;
}

bool
retry_waits(int64_t row)
{
	const struct job *j = shop.later;

	while (j != NULL && j->w.id.row != row)
		j = j->next;
	return j != NULL;
}

void
retry_close(void)
{
	while (shop.later != NULL) {
		struct job *j = shop.later;

		shop.later = j->next;
		turn_job_free(j);
	}
}
