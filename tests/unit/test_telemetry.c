#include "tests/t.h"

#include <stdlib.h>
#include <string.h>

#include "lib/conf.h"
#include "lib/err.h"
#include "lib/telemetry.h"
#include "lib/trace.h"

static const char *const names[] = { "OTEL_SDK_DISABLED", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
	"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL",
	"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_SERVICE_NAME",
	"OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_BSP_SCHEDULE_DELAY",
	"OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_METRIC_EXPORT_INTERVAL", "OTEL_LOGS_EXPORTER",
	"OTEL_EXPORTER_OTLP_INSECURE" };

/* What such an environment and such a config mean; pairs of name and value, ends with NULL. */
static void
load(struct telemetry *t, const char *section, const char *const *env)
{
	struct err e = ERR_INIT;
	struct conf *c = conf_parse("config.ini", section, strlen(section), "/nowhere", NULL, &e);

	CHECK(c != NULL);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		unsetenv(names[i]);
	for (; env != NULL && *env != NULL; env += 2)
		setenv(env[0], env[1], 1);
	telemetry_load(t, c);
	conf_free(c);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		unsetenv(names[i]);
}

static const char *
resource(const struct telemetry *t, const char *key)
{
	for (size_t i = 0; i < t->resource.n; i++)
		if (strcmp(t->resource.item[i].key, key) == 0)
			return t->resource.item[i].value;
	return NULL;
}

#define SEED "[observability]\notlp_endpoint = \"http://localhost:4317\"\n"

TEST(telemetry_is_off_until_somebody_says_where_to)
{
	static const char *const off[] = { "OTEL_SDK_DISABLED", "true", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:4318", NULL };
	struct telemetry t;

	load(&t, "", NULL);
	CHECK(!t.on && t.problems.len == 0);
	telemetry_clear(&t);
	load(&t, SEED, off);
	CHECK(!t.on);
	telemetry_clear(&t);
}

TEST(telemetry_of_the_seed_is_grpc)
{
	struct telemetry t;

	load(&t, SEED, NULL);
	CHECK(t.on && t.target[TELEMETRY_TRACES].on && t.target[TELEMETRY_METRICS].on && t.target[TELEMETRY_LOGS].on);
	CHECK(t.target[TELEMETRY_TRACES].protocol == TELEMETRY_GRPC);
	CHECK_STR(t.target[TELEMETRY_LOGS].url, "http://localhost:4317/opentelemetry.proto.collector.logs.v1.LogsService/Export");
	CHECK_INT(t.target[TELEMETRY_TRACES].timeout_ms, 10000);
	CHECK_STR(resource(&t, "service.name"), "at-rund");
	telemetry_clear(&t);
}

TEST(telemetry_variables_go_over_the_config)
{
	static const char *const env[] = { "OTEL_EXPORTER_OTLP_ENDPOINT", "https://c.example/otlp/", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
		"http://t.example:9999/own/path", "OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20abc , x-a=1",
		"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-b=2", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/json",
		"OTEL_EXPORTER_OTLP_TIMEOUT", "250",
		"OTEL_RESOURCE_ATTRIBUTES", "service.name=lost,deployment.environment.name=a%2Cb", "OTEL_SERVICE_NAME", "mine",
		"OTEL_BSP_SCHEDULE_DELAY", "77", "OTEL_BSP_MAX_QUEUE_SIZE", "100", "OTEL_METRIC_EXPORT_INTERVAL", "1000", NULL };
	struct telemetry t;

	load(&t, SEED, env);
	CHECK_STR(t.target[TELEMETRY_TRACES].url, "http://t.example:9999/own/path");
	CHECK_STR(t.target[TELEMETRY_METRICS].url, "https://c.example/otlp/v1/metrics");
	CHECK(t.target[TELEMETRY_METRICS].protocol == TELEMETRY_PROTOBUF && t.target[TELEMETRY_LOGS].protocol == TELEMETRY_JSON);
	CHECK_INT(t.target[TELEMETRY_METRICS].headers.n, 2);
	CHECK_STR(t.target[TELEMETRY_METRICS].headers.item[0], "authorization: Bearer abc");
	CHECK_STR(t.target[TELEMETRY_METRICS].headers.item[1], "x-a: 1");
	CHECK_INT(t.target[TELEMETRY_TRACES].headers.n, 1);
	CHECK_STR(t.target[TELEMETRY_TRACES].headers.item[0], "x-b: 2");
	CHECK_INT(t.target[TELEMETRY_LOGS].timeout_ms, 250);
	CHECK_STR(resource(&t, "service.name"), "mine");
	CHECK_STR(resource(&t, "deployment.environment.name"), "a,b");
	CHECK_INT(t.spans.delay_ms, 77);
	CHECK_INT(t.spans.queue, 100);
	CHECK_INT(t.spans.most, 100);
	CHECK_INT(t.metrics_ms, 1000);
	CHECK_INT(t.problems.len, 0);
	telemetry_clear(&t);
}

TEST(telemetry_ignores_nonsense_and_says_so)
{
	static const char *const env[] = { "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://x", "OTEL_EXPORTER_OTLP_PROTOCOL", "smoke",
		"OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "OTEL_EXPORTER_OTLP_HEADERS", "a=1,no,b=2", "OTEL_TRACES_SAMPLER", "coin",
		"OTEL_BSP_MAX_QUEUE_SIZE", "-1", "OTEL_LOGS_EXPORTER", "none", NULL };
	struct telemetry t;

	load(&t, SEED, env);
	CHECK(strstr(t.target[TELEMETRY_TRACES].url, "http://localhost:4317/") != NULL);
	CHECK(t.target[TELEMETRY_TRACES].protocol == TELEMETRY_GRPC && t.target[TELEMETRY_TRACES].timeout_ms == 10000);
	CHECK_INT(t.target[TELEMETRY_TRACES].headers.n, 1);
	CHECK(!t.target[TELEMETRY_LOGS].on);
	CHECK(strstr(t.problems.data, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is ignored") != NULL);
	CHECK(strstr(t.problems.data, "OTEL_EXPORTER_OTLP_PROTOCOL is ignored") != NULL);
	CHECK(strstr(t.problems.data, "OTEL_EXPORTER_OTLP_TIMEOUT is ignored") != NULL);
	CHECK(strstr(t.problems.data, "OTEL_TRACES_SAMPLER is ignored") != NULL);
	CHECK(strstr(t.problems.data, "OTEL_BSP_MAX_QUEUE_SIZE is ignored") != NULL);
	telemetry_clear(&t);
}

TEST(a_bare_grpc_endpoint_has_a_scheme_by_insecure)
{
	static const char *const safe[] = { "OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317", NULL };
	static const char *const plain[] = { "OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317", "OTEL_EXPORTER_OTLP_INSECURE", "true", NULL };
	struct telemetry t;

	load(&t, "", safe);
	CHECK(strncmp(t.target[TELEMETRY_TRACES].url, "https://c:4317/", 15) == 0);
	telemetry_clear(&t);
	load(&t, "", plain);
	CHECK(strncmp(t.target[TELEMETRY_TRACES].url, "http://c:4317/", 14) == 0 && t.target[TELEMETRY_TRACES].protocol == TELEMETRY_GRPC);
	telemetry_clear(&t);
}

TEST(samplers_follow_the_parent_or_the_ratio)
{
	static const struct {
		const char *word, *arg;
		int alone_min, alone_max, on, off; /* of 1000 that begin here; below a recorded parent, below one that is not */
	} cases[] = {
		{ "parentbased_always_on", "", 1000, 1000, 1, 0 },
		{ "parentbased_always_off", "", 0, 0, 1, 0 },
		{ "parentbased_traceidratio", "0.5", 350, 650, 1, 0 },
		{ "always_on", "", 1000, 1000, 1, 1 },
		{ "always_off", "", 0, 0, 0, 0 },
		{ "traceidratio", "0", 0, 0, 0, 0 },
		{ "traceidratio", "1", 1000, 1000, 1, 1 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const char *env[] = { "OTEL_TRACES_SAMPLER", cases[i].word, "OTEL_TRACES_SAMPLER_ARG", cases[i].arg, NULL };
		struct trace on, off;
		struct telemetry t;
		int n = 0;

		load(&t, SEED, env);
		CHECK_INT(t.problems.len, 0);
		for (int k = 0; k < 1000; k++) {
			trace_begin(&on, NULL, 0, 0);
			n += telemetry_sample(&t, NULL, on.id);
		}
		CHECK(n >= cases[i].alone_min && n <= cases[i].alone_max);
		trace_begin(&on, NULL, TRACE_SAMPLED, 0);
		trace_begin(&off, NULL, 0, 0);
		CHECK_INT(telemetry_sample(&t, &on, on.id), cases[i].on);
		CHECK_INT(telemetry_sample(&t, &off, off.id), cases[i].off);
		telemetry_clear(&t);
	}
}
