#include "scheduler/meter.h"

#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/job.h"
#include "lib/knock.h"
#include "lib/otlp.h"
#include "lib/store_traffic.h"

enum { BOUNDS = TRAFFIC_BOUNDS, HISTOGRAM = BOUNDS + 2 }; /* buckets, the last is all, and the sum in microseconds */

enum { LABELS_MAX = 16, CELLS = 512 };

static const char *const starts[START_COUNT] = { [START_NONE] = "none", [START_WARM] = "warm", [START_BLANK] = "blank",
	[START_COLD] = "cold" };
static const char *const answers[KNOCKS] = { "2xx", "3xx", "4xx", "429", "5xx", "503" };
static const char *const results[METER_RESULTS] = { "ok", "failed" };
static const char *const places[METER_PLACES] = { "held", "waiting", "running" };
static const char *const states[METER_STATES] = { "starting", "blank", "loading", "warm", "busy", "ending" };
static const char *const verdicts[METER_VERDICTS] = { "connected", "refused" };
static const char *const ways[METER_WAYS] = { "sent", "received" };
static const char *const callback_ends[METER_CALLBACK_ENDS] = { "delivered", "put_off", "failed" };
static const char *const files[METER_FILES_N] = { "main", "log" };
static const char *const signals[TELEMETRY_SIGNALS] = { "traces", "metrics", "logs" };

/* unit: as OpenTelemetry has it; what is in seconds is counted in microseconds. */
static const struct instrument {
	const char *prometheus; /* NULL: the front door or another meter says it there */
	const char *otel, *unit, *help;
	enum otlp_metric_type type;
	const char *label;      /* in OpenTelemetry with at_rund. in front, unless it has a dot; NULL: one value */
	const char *const *words; /* NULL: outcomes */
	int labels;
	bool quiet;             /* a change of it alone is no news */
} table[METER_COUNT] = {
	[METER_REQUESTS] = { "at_rund_http_requests_total", "at_rund.http.requests", "{request}",
	    "Requests that the front door answered, by status; 429 and 503 apart.",
	    OTLP_COUNTER, "status", answers, KNOCKS, false },
	[METER_REQUEST_TIME] = { "at_rund_http_request_seconds", "http.server.request.duration", "s", "Until they were answered.",
	    OTLP_HISTOGRAM, NULL, NULL, 1, false },
	[METER_JOBS] = { "at_rund_jobs_total", "at_rund.jobs", "{job}", "Jobs that ended, since the scheduler started.",
	    OTLP_COUNTER, "outcome", NULL, OUTCOME_COUNT, false },
	[METER_STARTS] = { "at_rund_job_starts_total", "at_rund.job.starts", "{job}",
	    "The same by the kind of instance that took them.",
	    OTLP_COUNTER, "start", starts, START_COUNT, false },
	[METER_JOB_TIME] = { "at_rund_job_seconds", "at_rund.job.duration", "s", "From the acceptance of a job to its end.",
	    OTLP_HISTOGRAM, NULL, NULL, 1, false },
	[METER_WAIT_TIME] = { "at_rund_wait_seconds", "at_rund.job.wait", "s",
	    "From admission to the start, of jobs that had to wait.",
	    OTLP_HISTOGRAM, NULL, NULL, 1, false },
	[METER_START_TIME] = { "at_rund_start_seconds", "faas.init_duration", "s",
	    "From admission until an instance had been made or bound.",
	    OTLP_HISTOGRAM, "start", starts, START_COUNT, false },
	[METER_RUN_TIME] = { "at_rund_run_seconds", "faas.invoke_duration", "s", "In the handler.",
	    OTLP_HISTOGRAM, "start", starts, START_COUNT, false },
	[METER_FETCH_TIME] = { "at_rund_fetch_seconds", "at_rund.fetch.duration", "s",
	    "Of jobs, waiting for a bundle or an identity.",
	    OTLP_HISTOGRAM, "result", results, METER_RESULTS, false },
	[METER_COMMIT_TIME] = { "at_rund_commit_seconds", "at_rund.database.commit.duration", "s",
	    "Of the scheduler's transactions.",
	    OTLP_HISTOGRAM, NULL, NULL, 1, true },
	[METER_QUEUE] = { "at_rund_queue_jobs", "at_rund.queue.jobs", "{job}", "Jobs in the scheduler's memory.",
	    OTLP_UP_DOWN, "place", places, METER_PLACES, false },
	[METER_INSTANCES] = { "at_rund_pool_instances", "at_rund.pool.instances", "{instance}", "Instances by what they do.",
	    OTLP_UP_DOWN, "state", states, METER_STATES, false },
	[METER_EGRESS] = { "at_rund_egress_connections_total", "at_rund.egress.connections", "{connection}",
	    "Ways out of the walls that ended.",
	    OTLP_COUNTER, "verdict", verdicts, METER_VERDICTS, false },
	[METER_EGRESS_BYTES] = { "at_rund_egress_bytes_total", "at_rund.egress.io", "By", "What went over them.",
	    OTLP_COUNTER, "direction", ways, METER_WAYS, false },
	[METER_LOG_BYTES] = { "at_rund_log_bytes_total", "at_rund.log.io", "By", "What handlers printed and was kept.",
	    OTLP_COUNTER, NULL, NULL, 1, false },
	[METER_CALLBACKS] = { "at_rund_callbacks_total", "at_rund.callbacks", "{attempt}",
	    "Attempts to tell the end of a job (At-Run-Callback), by how they ended.",
	    OTLP_COUNTER, "result", callback_ends, METER_CALLBACK_ENDS, false },
	[METER_AFTER] = { "at_rund_after_total", "at_rund.after", "{job}",
	    "Jobs with work after the answer (ctx.waitUntil), by how that ended.",
	    OTLP_COUNTER, "outcome", NULL, OUTCOME_COUNT, false },
	[METER_AFTER_TIME] = { "at_rund_after_seconds", "at_rund.after.duration", "s",
	    "From the end of an answer to that of work after it.",
	    OTLP_HISTOGRAM, NULL, NULL, 1, false },
	[METER_SYNCS] = { "at_rund_database_syncs_total", "at_rund.database.syncs", "{sync}",
	    "How often acceptances waited for the disk.",
	    OTLP_COUNTER, NULL, NULL, 1, false },
	[METER_CPU] = { "at_rund_scheduler_cpu_seconds_total", "process.cpu.time", "s", "CPU time of the scheduler.",
	    OTLP_COUNTER, NULL, NULL, 1, true },
	[METER_MEMORY] = { "at_rund_scheduler_memory_bytes", "process.memory.usage", "By", "Resident memory of the scheduler.",
	    OTLP_UP_DOWN, NULL, NULL, 1, true },
	[METER_FILES] = { "at_rund_scheduler_open_files", "process.open_file_descriptor.count", "{count}",
	    "Open descriptors of the scheduler.",
	    OTLP_UP_DOWN, NULL, NULL, 1, true },
	[METER_TOLD] = { "at_rund_telemetry_sent_total", "at_rund.telemetry.sent", "{item}",
	    "Spans, readings and log lines that a collector took.",
	    OTLP_COUNTER, "signal", signals, TELEMETRY_SIGNALS, false },
	[METER_DROPPED] = { "at_rund_telemetry_dropped_total", "at_rund.telemetry.dropped", "{item}",
	    "Those for which the queue had no room.",
	    OTLP_COUNTER, "signal", signals, TELEMETRY_SIGNALS, false },
	[METER_FAILED] = { "at_rund_telemetry_failed_total", "at_rund.telemetry.failed", "{item}", "Those that no collector took.",
	    OTLP_COUNTER, "signal", signals, TELEMETRY_SIGNALS, false },
	[METER_UNTOLD] = { "at_rund_telemetry_queue", "at_rund.telemetry.queue", "{item}", "Those that wait.",
	    OTLP_UP_DOWN, "signal", signals, TELEMETRY_SIGNALS, false },
	[METER_TELLING] = { "at_rund_telemetry_on", "at_rund.telemetry.on", "1", "1 while this goes to a collector.",
	    OTLP_GAUGE, "signal", signals, TELEMETRY_SIGNALS, false },
	[METER_TELEMETRY_FAILING] = { "at_rund_telemetry_failing", "at_rund.telemetry.failing", "1",
	    "1 while the collector does not take them.",
	    OTLP_GAUGE, NULL, NULL, 1, false },
	[METER_DATABASE] = { NULL, "at_rund.database.size", "By", "Size of the database and its log.",
	    OTLP_UP_DOWN, "file", files, METER_FILES_N, true },
	[METER_INVOCATIONS] = { NULL, "faas.invocations", "{invocation}", "Calls that ended well.", OTLP_COUNTER, NULL, NULL, 1, true },
	[METER_ERRORS] = { NULL, "faas.errors", "{error}", "Calls that failed in the handler.", OTLP_COUNTER, NULL, NULL, 1, true },
	[METER_TIMEOUTS] = { NULL, "faas.timeouts", "{timeout}", "Calls whose time was over.", OTLP_COUNTER, NULL, NULL, 1, true },
	[METER_COLDSTARTS] = { NULL, "faas.coldstarts", "{coldstart}", "Calls for which an instance was started.",
	    OTLP_COUNTER, NULL, NULL, 1, true },
};

static struct {
	int64_t cell[CELLS];
	int at[METER_COUNT], cells; /* where a meter's begin */
	bool changed;
	struct buf text;
} all = { .changed = true };

static int
width(const struct instrument *i)
{
	return i->type == OTLP_HISTOGRAM ? HISTOGRAM : 1;
}

static void
lay_out(void)
{
	if (all.cells > 0)
		return;
	for (int m = 0; m < METER_COUNT; m++) {
		all.at[m] = all.cells;
		all.cells += table[m].labels * width(&table[m]);
	}
	if (all.cells > CELLS)
		abort(); /* the table has outgrown its room */
}

static int64_t *
cell(enum meter m, int label)
{
	lay_out();
	return &all.cell[all.at[m] + label * width(&table[m])];
}

void
meter_add(enum meter m, int label, int64_t n)
{
	*cell(m, label) += n;
	all.changed = all.changed || !table[m].quiet;
}

void
meter_set(enum meter m, int label, int64_t n)
{
	int64_t *c = cell(m, label);

	all.changed = all.changed || (*c != n && !table[m].quiet);
	*c = n;
}

void
meter_time(enum meter m, int label, int64_t us)
{
	int64_t *c = cell(m, label);
	int i = 0;

	if (us < 0)
		us = 0;
	while (i < BOUNDS && us > traffic_bound_ms[i] * 1000)
		i++;
	c[i]++;
	c[BOUNDS + 1] += us;
	all.changed = all.changed || !table[m].quiet;
}

static bool
sane(const int64_t *n, int count)
{
	for (int i = 0; i < count; i++)
		if (n[i] < 0 || n[i] > INT64_C(1) << 50)
			return false;
	return true;
}

bool
meter_knocks(const void *p, size_t n)
{
	struct knocks k;
	int64_t *c;

	if (n != sizeof k)
		return false;
	memcpy(&k, p, sizeof k);
	if (k.magic != KNOCK_MAGIC || k.bytes != sizeof k)
		return false;
	if (!sane(k.answered, KNOCKS) || !sane(k.within, BOUNDS + 1) || !sane(&k.us, 1))
		return true;
	for (int i = 0; i < KNOCKS; i++)
		meter_add(METER_REQUESTS, i, k.answered[i]);
	c = cell(METER_REQUEST_TIME, 0);
	for (int i = 0; i <= BOUNDS; i++)
		c[i] += k.within[i];
	c[BOUNDS + 1] += k.us;
	return true;
}

static const char *
word_of(const struct instrument *i, int label)
{
	return i->words != NULL ? i->words[label] : job_outcome_name((enum job_outcome)label);
}

/* OUTCOME_NONE is no end, and what has no start has no time of it. */
static int
first_label(const struct instrument *i)
{
	if (i->label != NULL && i->words == NULL)
		return OUTCOME_NONE + 1;
	return i->words == starts && i->type == OTLP_HISTOGRAM ? START_NONE + 1 : 0;
}

static bool
in_seconds(const struct instrument *i)
{
	return strcmp(i->unit, "s") == 0;
}

/* --- Prometheus --- */

static void
put_labels(struct buf *b, const struct instrument *i, int label, int64_t le_ms)
{
	const char *comma = "";

	if (i->label == NULL && le_ms == 0)
		return;
	buf_char(b, '{');
	if (i->label != NULL) {
		buf_fmt(b, "%s=\"%s\"", i->label, word_of(i, label));
		comma = ",";
	}
	if (le_ms > 0)
		buf_fmt(b, "%sle=\"%lld.%03lld\"", comma, (long long)le_ms / 1000, (long long)le_ms % 1000);
	else if (le_ms < 0)
		buf_fmt(b, "%sle=\"+Inf\"", comma);
	buf_char(b, '}');
}

static void
put_seconds(struct buf *b, int64_t us)
{
	buf_fmt(b, " %lld.%06lld\n", (long long)us / 1000000, (long long)us % 1000000);
}

static void
put_histogram(struct buf *b, const struct instrument *i, int label, const int64_t *c)
{
	int64_t n = 0;

	for (int k = 0; k <= BOUNDS; k++) {
		n += c[k];
		buf_fmt(b, "%s_bucket", i->prometheus);
		put_labels(b, i, label, k < BOUNDS ? traffic_bound_ms[k] : -1);
		buf_fmt(b, " %lld\n", (long long)n);
	}
	buf_fmt(b, "%s_sum", i->prometheus);
	put_labels(b, i, label, 0);
	put_seconds(b, c[BOUNDS + 1]);
	buf_fmt(b, "%s_count", i->prometheus);
	put_labels(b, i, label, 0);
	buf_fmt(b, " %lld\n", (long long)n);
}

static void
put_meter(struct buf *b, enum meter m)
{
	const struct instrument *i = &table[m];
	const char *type = i->type == OTLP_HISTOGRAM ? "histogram" : i->type == OTLP_COUNTER ? "counter" : "gauge";

	buf_fmt(b, "# HELP %s %s\n# TYPE %s %s\n", i->prometheus, i->help, i->prometheus, type);
	for (int label = first_label(i); label < i->labels; label++) {
		const int64_t *c = cell(m, label);

		if (i->type == OTLP_HISTOGRAM) {
			put_histogram(b, i, label, c);
			continue;
		}
		buf_str(b, i->prometheus);
		put_labels(b, i, label, 0);
		if (in_seconds(i))
			put_seconds(b, *c);
		else
			buf_fmt(b, " %lld\n", (long long)*c);
	}
}

const char *
meter_text(void)
{
	if (!all.changed)
		return NULL;
	all.changed = false;
	buf_reset(&all.text);
	for (int m = 0; m < METER_COUNT; m++)
		if (table[m].prometheus != NULL)
			put_meter(&all.text, (enum meter)m);
	return all.text.data;
}

/* --- OpenTelemetry --- */

size_t
meter_bytes(void)
{
	lay_out();
	return (size_t)all.cells * sizeof all.cell[0];
}

void
meter_values(struct buf *out)
{
	buf_add(out, all.cell, meter_bytes());
}

static void
encode(enum meter m, const int64_t *values, struct otlp_metric *o, bool json, struct buf *batch)
{
	const struct instrument *i = &table[m];
	struct otlp_point points[LABELS_MAX];
	struct otlp_attr attrs[LABELS_MAX];
	char key[64] = "at_rund.";

	o->name = i->otel;
	o->unit = i->unit;
	o->help = i->help;
	o->type = i->type;
	o->points = points;
	o->points_n = 0;
	if (i->label != NULL)
		strncat(key, i->label, sizeof key - strlen(key) - 1);
	for (int label = first_label(i); label < i->labels; label++) {
		const int64_t *c = &values[all.at[m] + label * width(i)];
		struct otlp_point *p = &points[o->points_n];

		*p = (struct otlp_point){ .number = *c };
		if (i->type == OTLP_HISTOGRAM) {
			p->buckets = c;
			p->sum = (double)c[BOUNDS + 1] / 1e6;
		} else if (in_seconds(i)) {
			p->is_real = true;
			p->real = (double)*c / 1e6;
		}
		if (i->label != NULL) {
			const char *word = word_of(i, label);

			attrs[o->points_n] = (struct otlp_attr){ .key = key, .type = OTLP_TEXT, .text = word, .n = strlen(word) };
			p->attrs = &attrs[o->points_n];
			p->attrs_n = 1;
		}
		o->points_n++;
	}
	otlp_add_metric(batch, json, o);
}

void
meter_encode(const void *bytes, int64_t start_us, int64_t at_us, bool json, struct buf *batch)
{
	struct otlp_metric o = { .bounds_n = BOUNDS, .start_us = start_us, .at_us = at_us };
	int64_t values[CELLS];
	double bounds[BOUNDS];

	for (int k = 0; k < BOUNDS; k++)
		bounds[k] = (double)traffic_bound_ms[k] / 1000;
	o.bounds = bounds;
	memcpy(values, bytes, meter_bytes());
	for (int m = 0; m < METER_COUNT; m++)
		encode((enum meter)m, values, &o, json, batch);
}
