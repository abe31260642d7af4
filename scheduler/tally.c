#include "scheduler/tally.h"

#include <stdbool.h>
#include <stddef.h>

#include "lib/buf.h"
#include "lib/store_traffic.h"

static const char *const callback_ends[CALLBACK_ENDS] = { "delivered", "put_off", "failed" };

static struct {
	int64_t outcome[OUTCOME_COUNT], start[START_COUNT], bucket[TRAFFIC_BOUNDS + 1], sum_ms; /* the last bucket is all */
	int64_t callback[CALLBACK_ENDS];
	bool changed;
	struct buf text;
} tally = { .changed = true };

void
tally_end(enum job_outcome outcome, enum job_start start, int64_t ms)
{
	int i = 0;

	if (ms < 0)
		ms = 0;
	while (i < TRAFFIC_BOUNDS && ms > traffic_bound_ms[i])
		i++;
	tally.bucket[i]++;
	tally.sum_ms += ms;
	tally.outcome[outcome]++;
	tally.start[start]++;
	tally.changed = true;
}

void
tally_callback(enum tally_callback how)
{
	tally.callback[how]++;
	tally.changed = true;
}

static void
head(struct buf *b, const char *name, const char *type, const char *help)
{
	buf_fmt(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
histogram(struct buf *b)
{
	int64_t n = 0;

	head(b, "at_rund_job_seconds", "histogram", "From the acceptance of a job to its end.");
	for (int i = 0; i <= TRAFFIC_BOUNDS; i++) {
		n += tally.bucket[i];
		if (i < TRAFFIC_BOUNDS)
			buf_fmt(b, "at_rund_job_seconds_bucket{le=\"%lld.%03lld\"} %lld\n", (long long)traffic_bound_ms[i] / 1000,
			    (long long)traffic_bound_ms[i] % 1000, (long long)n);
		else
			buf_fmt(b, "at_rund_job_seconds_bucket{le=\"+Inf\"} %lld\n", (long long)n);
	}
	buf_fmt(b, "at_rund_job_seconds_sum %lld.%03lld\nat_rund_job_seconds_count %lld\n", (long long)tally.sum_ms / 1000,
	    (long long)tally.sum_ms % 1000, (long long)n);
}

const char *
tally_take(void)
{
	struct buf *b = &tally.text;

	if (!tally.changed)
		return NULL;
	tally.changed = false;
	buf_reset(b);
	head(b, "at_rund_jobs_total", "counter", "Jobs that ended, since the scheduler started.");
	for (int i = OUTCOME_NONE + 1; i < OUTCOME_COUNT; i++)
		buf_fmt(b, "at_rund_jobs_total{outcome=\"%s\"} %lld\n", job_outcome_name((enum job_outcome)i),
		    (long long)tally.outcome[i]);
	head(b, "at_rund_job_starts_total", "counter", "The same by the kind of instance that took them.");
	for (int i = START_NONE; i < START_COUNT; i++)
		buf_fmt(b, "at_rund_job_starts_total{start=\"%s\"} %lld\n", i == START_NONE ? "none" : job_start_name((enum job_start)i),
		    (long long)tally.start[i]);
	head(b, "at_rund_callbacks_total", "counter", "Attempts to tell the end of a job (At-Run-Callback), by how they ended.");
	for (int i = 0; i < CALLBACK_ENDS; i++)
		buf_fmt(b, "at_rund_callbacks_total{result=\"%s\"} %lld\n", callback_ends[i], (long long)tally.callback[i]);
	histogram(b);
	return b->data;
}
