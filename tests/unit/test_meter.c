#include "tests/t.h"

#include <string.h>

#include "lib/buf.h"
#include "lib/job.h"
#include "lib/knock.h"
#include "scheduler/meter.h"

/* Each test adds to what those before have counted: so each has meters of its own. */

TEST(meters_tell_only_news)
{
	meter_text();
	CHECK(meter_text() == NULL);
	meter_set(METER_QUEUE, METER_HELD, 0);
	meter_set(METER_MEMORY, 0, 12345); /* quiet */
	CHECK(meter_text() == NULL);
	meter_set(METER_QUEUE, METER_HELD, 3);
	CHECK(meter_text() != NULL);
	CHECK(meter_text() == NULL);
}

TEST(meters_speak_prometheus)
{
	const char *text;

	meter_add(METER_JOBS, OUTCOME_OK, 2);
	meter_add(METER_JOBS, OUTCOME_TIMEOUT, 1);
	meter_add(METER_STARTS, START_NONE, 1);
	meter_add(METER_AFTER, OUTCOME_OK, 1);
	meter_time(METER_AFTER_TIME, 0, 30000);
	meter_time(METER_JOB_TIME, 0, 0);
	meter_time(METER_JOB_TIME, 0, 1500000);
	meter_time(METER_JOB_TIME, 0, INT64_C(99999999000));
	meter_time(METER_RUN_TIME, START_COLD, 20000);
	meter_time(METER_FETCH_TIME, METER_FAILURE, -5);
	text = meter_text();
	CHECK(text != NULL);
	CHECK(strstr(text, "\nat_rund_jobs_total{outcome=\"ok\"} 2\n") != NULL);
	CHECK(strstr(text, "\nat_rund_jobs_total{outcome=\"timeout\"} 1\n") != NULL);
	CHECK(strstr(text, "\nat_rund_jobs_total{outcome=\"(null)\"}") == NULL);
	CHECK(strstr(text, "\nat_rund_after_total{outcome=\"ok\"} 1\n") != NULL);
	CHECK(strstr(text, "\nat_rund_after_seconds_count 1\n") != NULL);
	CHECK(strstr(text, "\nat_rund_job_starts_total{start=\"none\"} 1\n") != NULL);
	CHECK(strstr(text, "\n# TYPE at_rund_job_seconds histogram\n") != NULL);
	CHECK(strstr(text, "\nat_rund_job_seconds_bucket{le=\"0.001\"} 1\n") != NULL);
	CHECK(strstr(text, "\nat_rund_job_seconds_bucket{le=\"1.000\"} 1\n") != NULL);
	CHECK(strstr(text, "\nat_rund_job_seconds_bucket{le=\"2.500\"} 2\n") != NULL);
	CHECK(strstr(text, "\nat_rund_job_seconds_bucket{le=\"+Inf\"} 3\n") != NULL);
	CHECK(strstr(text, "\nat_rund_job_seconds_sum 100001.499000\n") != NULL);
	CHECK(strstr(text, "\nat_rund_run_seconds_bucket{start=\"cold\",le=\"0.025\"} 1\n") != NULL);
	CHECK(strstr(text, "\nat_rund_run_seconds_bucket{start=\"cold\",le=\"0.010\"} 0\n") != NULL);
	CHECK(strstr(text, "\nat_rund_run_seconds_count{start=\"cold\"} 1\n") != NULL);
	CHECK(strstr(text, "at_rund_run_seconds_count{start=\"none\"}") == NULL);
	CHECK(strstr(text, "\nat_rund_fetch_seconds_sum{result=\"failed\"} 0.000000\n") != NULL);
	CHECK(strstr(text, "(null)") == NULL);
}

TEST(meters_count_what_the_door_answered)
{
	struct knocks k = { .magic = KNOCK_MAGIC, .bytes = sizeof k, .us = 4500 };
	const char *text;

	CHECK(knock_of(202) == KNOCK_2XX && knock_of(304) == KNOCK_3XX && knock_of(404) == KNOCK_4XX && knock_of(429) == KNOCK_429 &&
	    knock_of(500) == KNOCK_5XX && knock_of(503) == KNOCK_503);
	k.answered[KNOCK_429] = 2;
	k.within[1] = 2;
	CHECK(!meter_knocks(&k, sizeof k - 1));
	CHECK(meter_knocks(&k, sizeof k));
	CHECK(meter_knocks(&k, sizeof k));
	k.within[0] = -1; /* nonsense is heard, and counts nothing */
	CHECK(meter_knocks(&k, sizeof k));
	k.magic = 0;
	CHECK(!meter_knocks(&k, sizeof k));
	text = meter_text();
	CHECK(strstr(text, "\nat_rund_http_requests_total{status=\"429\"} 4\n") != NULL);
	CHECK(strstr(text, "\nat_rund_http_request_seconds_bucket{le=\"0.001\"} 0\n") != NULL);
	CHECK(strstr(text, "\nat_rund_http_request_seconds_bucket{le=\"0.002\"} 4\n") != NULL);
	CHECK(strstr(text, "\nat_rund_http_request_seconds_sum 0.009000\n") != NULL);
}

TEST(meters_become_json_of_otlp)
{
	struct buf values = BUF_INIT, batch = BUF_INIT;

	meter_add(METER_EGRESS_BYTES, METER_SENT, 77);
	meter_time(METER_WAIT_TIME, 0, 3000);
	meter_set(METER_CPU, 0, 1500000);
	meter_values(&values);
	CHECK(values.len == meter_bytes());
	meter_encode(values.data, 1000000, 2000000, true, &batch);
	CHECK(strstr(batch.data, "{\"name\":\"at_rund.egress.io\",\"description\":\"What went over them.\",\"unit\":\"By\","
	    "\"sum\":{\"dataPoints\":["
	    "{\"startTimeUnixNano\":\"1000000000\",\"timeUnixNano\":\"2000000000\",\"asInt\":\"77\","
	    "\"attributes\":[{\"key\":\"at_rund.direction\","
	    "\"value\":{\"stringValue\":\"sent\"}}]}") != NULL);
	CHECK(strstr(batch.data, "\"aggregationTemporality\":2,\"isMonotonic\":true}}") != NULL);
	CHECK(strstr(batch.data, "\"name\":\"process.cpu.time\"") != NULL && strstr(batch.data, "\"asDouble\":1.5") != NULL);
	CHECK(strstr(batch.data, "\"count\":\"1\",\"sum\":0.0030000000000000001,"
	    "\"bucketCounts\":[\"0\",\"0\",\"1\",\"0\",\"0\",\"0\",\"0\",\"0\","
	    "\"0\",\"0\",\"0\",\"0\",\"0\",\"0\",\"0\"],\"explicitBounds\":[0.001") != NULL);
	buf_clear(&values);
	buf_clear(&batch);
}
