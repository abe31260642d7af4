#include "tests/t.h"

#include <string.h>

#include "scheduler/tally.h"

TEST(tally_counts_and_tells_only_news)
{
	const char *text;

	tally_take();
	CHECK(tally_take() == NULL);
	tally_end(OUTCOME_OK, START_WARM, 0);
	tally_end(OUTCOME_OK, START_COLD, 1500);
	tally_end(OUTCOME_TIMEOUT, START_NONE, 99999999);
	text = tally_take();
	CHECK(text != NULL);
	CHECK(strstr(text, "\nat_rund_jobs_total{outcome=\"ok\"} 2\n") != NULL);
	CHECK(strstr(text, "\nat_rund_jobs_total{outcome=\"timeout\"} 1\n") != NULL);
	CHECK(strstr(text, "\nat_rund_job_starts_total{start=\"none\"} 1\n") != NULL);
	CHECK(strstr(text, "{le=\"0.001\"} 1\n") != NULL);
	CHECK(strstr(text, "{le=\"1.000\"} 1\n") != NULL);
	CHECK(strstr(text, "{le=\"2.500\"} 2\n") != NULL);
	CHECK(strstr(text, "{le=\"+Inf\"} 3\n") != NULL);
	CHECK(strstr(text, "at_rund_job_seconds_sum 100001.499\n") != NULL);
	CHECK(tally_take() == NULL);
}
