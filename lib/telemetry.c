#include "lib/telemetry.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/trace.h"
#include "lib/utf8.h"

#ifndef AT_RUND_VERSION
#define AT_RUND_VERSION "0.1.0"
#endif

#define HEADERS_MAX 32
#define RESOURCE_MAX 64
#define ALL (UINT64_C(1) << 63)

static const char *const signal_words[] = { "traces", "metrics", "logs" };
static const char *const signal_names[] = { "TRACES", "METRICS", "LOGS" };
static const char *const signal_methods[] = { "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
	"/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", "/opentelemetry.proto.collector.logs.v1.LogsService/Export" };
static const char *const protocol_words[] = { "grpc", "http/protobuf", "http/json" };

const char *
telemetry_signal_name(enum telemetry_signal s)
{
	return signal_words[s];
}

const char *
telemetry_protocol_name(enum telemetry_protocol p)
{
	return protocol_words[p];
}

static void
complain(struct telemetry *t, const char *name, const char *what)
{
	buf_fmt(&t->problems, "%s is ignored: %s\n", name, what);
}

/* --- variables: empty is as not set --- */

static const char *
variable(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

/* OTEL_EXPORTER_OTLP_TRACES_what, else OTEL_EXPORTER_OTLP_what; *own: it was the first. */
static const char *
of_signal(enum telemetry_signal s, const char *what, char name[64], bool *own)
{
	const char *value;

	snprintf(name, 64, "OTEL_EXPORTER_OTLP_%s_%s", signal_names[s], what);
	if (own != NULL)
		*own = true;
	if ((value = variable(name)) != NULL)
		return value;
	snprintf(name, 64, "OTEL_EXPORTER_OTLP_%s", what);
	if (own != NULL)
		*own = false;
	return variable(name);
}

static int64_t
number(struct telemetry *t, const char *name, int64_t least, int64_t most, int64_t otherwise)
{
	const char *value = variable(name);
	long long n;
	char *end;

	if (value == NULL)
		return otherwise;
	errno = 0;
	n = strtoll(value, &end, 10);
	if (errno == 0 && *end == '\0' && n >= least && n <= most)
		return n;
	complain(t, name, "it is not a whole number in the range that makes sense");
	return otherwise;
}

/* "a=b,c=d" with percent-encoded values; false when one of them is none. */
static bool
unescape(const char *s, size_t n, struct buf *out)
{
	size_t i;

	buf_reset(out);
	buf_add(out, "", 0);
	for (i = 0; i < n; i++) {
		char c = s[i];

		if (c == '%') {
			char hex[3] = { i + 1 < n ? s[i + 1] : '\0', i + 2 < n ? s[i + 2] : '\0', '\0' };

			if (!isxdigit((unsigned char)hex[0]) || !isxdigit((unsigned char)hex[1]))
				return false;
			c = (char)strtol(hex, NULL, 16);
			i += 2;
		}
		if (c == '\0')
			return false;
		buf_char(out, c);
	}
	return true;
}

static void
trim(const char **s, size_t *n)
{
	while (*n > 0 && (**s == ' ' || **s == '\t'))
		++*s, --*n;
	while (*n > 0 && ((*s)[*n - 1] == ' ' || (*s)[*n - 1] == '\t'))
		--*n;
}

/* Calls fn for each pair; false at the first that is none. */
static bool
each_pair(const char *list, bool (*fn)(struct telemetry *t, void *arg, const char *key, const char *value), struct telemetry *t,
    void *arg)
{
	struct buf key = BUF_INIT, value = BUF_INIT;
	bool fine = true;

	while (fine && *list != '\0') {
		size_t n = strcspn(list, ","), k;
		const char *eq = memchr(list, '=', n), *name = list, *text;
		size_t text_n;

		text = list;
		text_n = n;
		trim(&text, &text_n);
		if (text_n > 0) {
			fine = eq != NULL;
			k = eq != NULL ? (size_t)(eq - list) : 0;
			text = eq != NULL ? eq + 1 : list;
			text_n = eq != NULL ? n - k - 1 : 0;
			trim(&name, &k);
			trim(&text, &text_n);
			fine = fine && k > 0 && unescape(name, k, &key) && unescape(text, text_n, &value) && fn(t, arg, key.data, value.data);
		}
		list += n + (list[n] == ',');
	}
	buf_clear(&key);
	buf_clear(&value);
	return fine;
}

/* --- one signal --- */

static bool
add_header(struct telemetry *t, void *arg, const char *key, const char *value)
{
	struct telemetry_target *to = arg;
	const char *p;

	(void)t;
	for (p = key; *p != '\0'; p++)
		if (!isalnum((unsigned char)*p) && strchr("!#$%&'*+-.^_`|~", *p) == NULL)
			return false;
	for (p = value; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return false;
	if (to->headers.n == HEADERS_MAX)
		return false;
	to->headers.item = mem_grow(to->headers.item, (to->headers.n + 1) * sizeof *to->headers.item);
	/* HTTP/2 knows lower case alone. */
	to->headers.item[to->headers.n] = mem_fmt("%s: %s", key, value);
	for (char *c = to->headers.item[to->headers.n]; *c != ':'; c++)
		*c = (char)tolower((unsigned char)*c);
	to->headers.n++;
	return true;
}

/* The port that a URL names, 0: none. */
static long
port_of(const char *url)
{
	const char *host = strstr(url, "://");
	size_t n;

	host = host != NULL ? host + 3 : url;
	if (*host == '[')
		host += strcspn(host, "]");
	n = strcspn(host, ":/?#");
	return host[n] == ':' ? strtol(host + n + 1, NULL, 10) : 0;
}

static bool
plain_url(const char *url)
{
	const char *p;

	if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
		return false;
	for (p = url; *p != '\0'; p++)
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f)
			return false;
	p = strstr(url, "://") + 3;
	return *p != '\0' && *p != '/' && *p != ':' && strlen(url) < 2048;
}

static enum telemetry_protocol
choose_protocol(struct telemetry *t, enum telemetry_signal s, const struct conf *c, const char *url)
{
	char name[64];
	const char *word = of_signal(s, "PROTOCOL", name, NULL);
	int i;

	for (i = 0; word != NULL && i < 3; i++)
		if (strcmp(word, protocol_words[i]) == 0)
			return (enum telemetry_protocol)i;
	if (word != NULL)
		complain(t, name, "expected grpc, http/protobuf or http/json");
	word = c->observability.otlp_protocol;
	for (i = 0; word != NULL && i < 3; i++)
		if (strcmp(word, protocol_words[i]) == 0)
			return (enum telemetry_protocol)i;
	/* 4318 is that of OTLP over HTTP. */
	return port_of(url) == 4317 ? TELEMETRY_GRPC : TELEMETRY_PROTOBUF;
}

static bool
insecure(enum telemetry_signal s)
{
	char name[64];
	const char *value = of_signal(s, "INSECURE", name, NULL);

	return value != NULL && strcasecmp(value, "true") == 0;
}

static void
make_url(struct telemetry_target *to, enum telemetry_signal s, const char *base, bool whole)
{
	size_t n = strlen(base);

	while (n > 0 && base[n - 1] == '/' && !(whole && to->protocol != TELEMETRY_GRPC))
		n--;
	if (to->protocol == TELEMETRY_GRPC)
		to->url = mem_fmt("%.*s%s", (int)n, base, signal_methods[s]);
	else if (whole)
		to->url = mem_str(base);
	else
		to->url = mem_fmt("%.*s/v1/%s", (int)n, base, signal_words[s]);
}

static bool
exporter_none(struct telemetry *t, enum telemetry_signal s)
{
	char name[32];
	const char *word;

	snprintf(name, sizeof name, "OTEL_%s_EXPORTER", signal_names[s]);
	word = variable(name);
	if (word == NULL || strcmp(word, "otlp") == 0)
		return false;
	if (strcmp(word, "none") != 0)
		complain(t, name, "expected otlp or none");
	return strcmp(word, "none") == 0;
}

static void
load_target(struct telemetry *t, enum telemetry_signal s, const struct conf *c)
{
	struct telemetry_target *to = &t->target[s];
	char name[64], *made = NULL;
	bool own = false;
	const char *url = of_signal(s, "ENDPOINT", name, &own), *value;

	if (exporter_none(t, s))
		return;
	/* gRPC's endpoints may be a bare "host:port". */
	if (url != NULL && strstr(url, "://") == NULL)
		url = made = mem_fmt("%s://%s", insecure(s) ? "http" : "https", url);
	if (url != NULL && !plain_url(url)) {
		complain(t, name, "it is no http or https URL");
		url = NULL;
	}
	if (url == NULL) {
		url = c->observability.otlp_endpoint;
		own = false;
	}
	if (url == NULL || url[0] == '\0' || !plain_url(url)) {
		free(made);
		return;
	}
	to->on = true;
	to->protocol = choose_protocol(t, s, c, url);
	make_url(to, s, url, own);
	free(made);
	of_signal(s, "TIMEOUT", name, NULL);
	to->timeout_ms = number(t, name, 1, 600000, 10000);
	if ((value = of_signal(s, "HEADERS", name, NULL)) != NULL && !each_pair(value, add_header, t, to))
		complain(t, name, "expected name=value,... of HTTP headers; what follows the one that is none is left out");
	to->ca = mem_str(of_signal(s, "CERTIFICATE", name, NULL));
	to->certificate = mem_str(of_signal(s, "CLIENT_CERTIFICATE", name, NULL));
	to->key = mem_str(of_signal(s, "CLIENT_KEY", name, NULL));
	if ((value = of_signal(s, "COMPRESSION", name, NULL)) != NULL && strcmp(value, "none") != 0)
		complain(t, name, "nothing is compressed");
	t->on = true;
}

/* --- what is said of all --- */

static void
set_resource(struct telemetry *t, const char *key, const char *value)
{
	struct conf_pairs *r = &t->resource;
	size_t i;

	for (i = 0; i < r->n && strcmp(r->item[i].key, key) != 0; i++)
		;
	if (i == r->n) {
		r->item = mem_grow(r->item, ++r->n * sizeof *r->item);
		r->item[i] = (struct conf_pair){ mem_str(key), NULL };
	}
	free(r->item[i].value);
	r->item[i].value = mem_str(value);
}

static bool
add_resource(struct telemetry *t, void *arg, const char *key, const char *value)
{
	(void)arg;
	if (t->resource.n == RESOURCE_MAX || !utf8_valid(key, strlen(key)) || !utf8_valid(value, strlen(value)))
		return false;
	set_resource(t, key, value);
	return true;
}

static void
load_resource(struct telemetry *t, const struct conf *c)
{
	uint8_t id[16];
	char text[64];
	const char *value;

	set_resource(t, "service.name", "at-rund");
	set_resource(t, "service.version", AT_RUND_VERSION);
	trace_random(id, sizeof id);
	trace_hex(id, sizeof id, text);
	set_resource(t, "service.instance.id", text);
	if (gethostname(text, sizeof text) == 0) {
		text[sizeof text - 1] = '\0';
		set_resource(t, "host.name", text);
	}
	if (c->did != NULL)
		set_resource(t, "at_rund.runner", c->did);
	if ((value = variable("OTEL_RESOURCE_ATTRIBUTES")) != NULL && !each_pair(value, add_resource, t, NULL))
		complain(t, "OTEL_RESOURCE_ATTRIBUTES", "expected key=value,...; what follows the one that is none is left out");
	if ((value = variable("OTEL_SERVICE_NAME")) != NULL && utf8_valid(value, strlen(value)))
		set_resource(t, "service.name", value);
}

static uint64_t
ratio(struct telemetry *t)
{
	const char *value = variable("OTEL_TRACES_SAMPLER_ARG");
	char *end;
	double r;

	if (value == NULL)
		return ALL;
	r = strtod(value, &end);
	if (*end == '\0' && r >= 0 && r <= 1)
		return (uint64_t)(r * (double)ALL);
	complain(t, "OTEL_TRACES_SAMPLER_ARG", "expected a number from 0 to 1");
	return ALL;
}

static void
load_sampler(struct telemetry *t)
{
	static const struct {
		const char *word;
		bool by_parent;
		int part; /* 0 none, 1 all, 2 some */
	} known[] = { { "parentbased_always_on", true, 1 }, { "parentbased_always_off", true, 0 }, { "parentbased_traceidratio", true, 2 },
		{ "always_on", false, 1 }, { "always_off", false, 0 }, { "traceidratio", false, 2 } };
	const char *word = variable("OTEL_TRACES_SAMPLER");
	size_t i, n = sizeof known / sizeof known[0];

	for (i = 0; word != NULL && i < n && strcmp(word, known[i].word) != 0; i++)
		;
	if (word == NULL || i == n) {
		if (word != NULL)
			complain(t, "OTEL_TRACES_SAMPLER", "it is none of those that are known here");
		i = 0;
	}
	t->sampler.by_parent = known[i].by_parent;
	t->sampler.bound = known[i].part == 2 ? ratio(t) : known[i].part == 1 ? ALL : 0;
}

static void
load_batch(struct telemetry *t, struct telemetry_batch *b, const char *prefix, int64_t delay_ms)
{
	char name[64];

	snprintf(name, sizeof name, "OTEL_%s_SCHEDULE_DELAY", prefix);
	b->delay_ms = number(t, name, 1, 3600000, delay_ms);
	snprintf(name, sizeof name, "OTEL_%s_MAX_QUEUE_SIZE", prefix);
	b->queue = number(t, name, 1, 1000000, 32768);
	snprintf(name, sizeof name, "OTEL_%s_MAX_EXPORT_BATCH_SIZE", prefix);
	b->most = number(t, name, 1, 1000000, 4096);
	if (b->most > b->queue)
		b->most = b->queue;
}

void
telemetry_load(struct telemetry *t, const struct conf *c)
{
	const char *disabled = variable("OTEL_SDK_DISABLED");
	int s;

	memset(t, 0, sizeof *t);
	if (disabled != NULL && strcasecmp(disabled, "true") == 0)
		return;
	for (s = 0; s < TELEMETRY_SIGNALS; s++)
		load_target(t, (enum telemetry_signal)s, c);
	if (!t->on)
		return;
	load_resource(t, c);
	load_sampler(t);
	load_batch(t, &t->spans, "BSP", 5000);
	load_batch(t, &t->lines, "BLRP", 1000);
	t->metrics_ms = number(t, "OTEL_METRIC_EXPORT_INTERVAL", 100, 86400000, 60000);
}

static void
free_list(struct conf_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->item[i]);
	free(l->item);
}

void
telemetry_clear(struct telemetry *t)
{
	for (int s = 0; s < TELEMETRY_SIGNALS; s++) {
		struct telemetry_target *to = &t->target[s];

		free(to->url);
		free(to->ca);
		free(to->certificate);
		free(to->key);
		free_list(&to->headers);
	}
	for (size_t i = 0; i < t->resource.n; i++) {
		free(t->resource.item[i].key);
		free(t->resource.item[i].value);
	}
	free(t->resource.item);
	buf_clear(&t->problems);
	memset(t, 0, sizeof *t);
}

uint8_t
telemetry_sample(const struct telemetry *t, const struct trace *parent, const uint8_t *id)
{
	uint64_t x = 0;
	int i;

	if (parent != NULL && t->sampler.by_parent)
		return parent->flags & TRACE_SAMPLED;
	for (i = 8; i < TRACE_ID_BYTES; i++)
		x = x << 8 | id[i];
	return (x >> 1) < t->sampler.bound ? TRACE_SAMPLED : 0;
}
