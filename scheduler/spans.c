#include "scheduler/spans.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/backend.h"
#include "lib/buf.h"
#include "lib/bundle.h"
#include "lib/clock.h"
#include "lib/job.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "scheduler/catalog.h"
#include "scheduler/instance.h"
#include "scheduler/report.h"
#include "scheduler/turn.h"

/* Numbers of spans below the request's (trace_child). */
enum { ADMISSION = 1, ANSWER, JOB, FETCH = 100, ATTEMPT = 1000 };

struct spans {
	struct trace t;
	bool server;               /* the root is an HTTP request whose caller waits */
	uint8_t top[TRACE_SPAN_BYTES]; /* of the span that holds the rest */
	uint8_t run[TRACE_SPAN_BYTES];
	bool old;                  /* admitted before: it comes from the ledger again */
	bool has_door;             /* the door has begun the trace: its request is a span */
	int64_t seen_us, admitted_us, ended_us; /* monotonic */
	unsigned fetches;
};

static bool
is_sampled(const struct spans *s)
{
	return (s->t.flags & TRACE_SAMPLED) != 0;
}

/* --- the beginning --- */

/* The door writes addresses there. */
static bool
by_itself(const struct job *j)
{
	return j->w.client != NULL && strcmp(j->w.client, "schedule") == 0;
}

static void
name_top(struct job *j)
{
	struct spans *s = j->spans;

	s->server = j->w.mode == JOB_SYNC && !by_itself(j);
	if (!s->server && s->has_door)
		trace_child(s->t.span, JOB, s->top);
	else
		memcpy(s->top, s->t.span, sizeof s->top);
}

void
spans_seen(struct job *j)
{
	struct spans *s = j->spans = mem_alloc(sizeof *s);
	int64_t by_us = (j->w.created_at + 1) * 1000;
	char row[TRACE_ROW_TEXT];

	s->seen_us = clock_mono_us();
	s->old = j->w.state != JOB_QUEUED;
	if (j->w.trace == NULL || !trace_row_parse(j->w.trace, by_us, &s->t)) {
		report_trace(&s->t, NULL, 0);
	} else if (s->t.start_us == 0 && !trace_none(s->t.parent, sizeof s->t.parent)) {
		struct trace sender = s->t;

		report_trace(&s->t, &sender, 0); /* a door that makes no spans has handed it on */
	}
	s->has_door = s->t.start_us != 0;
	if (!s->has_door) {
		trace_row(&s->t, by_us, row);
		free(j->w.trace);
		j->w.trace = mem_str(row);
		s->t.start_us = j->w.created_at * 1000;
	}
	name_top(j);
}

void
spans_free(struct job *j)
{
	free(j->spans);
	j->spans = NULL;
}

/* --- spans --- */

/* Once for all spans that are told together, so that they do not overlap by the time between two looks at two clocks. */
static int64_t ahead_us;

static int64_t
look_at_clocks(void)
{
	int64_t now = clock_mono_us();

	ahead_us = clock_wall_us() - now;
	return now;
}

static int64_t
wall_of(int64_t mono_us)
{
	return ahead_us + mono_us;
}

/* "bundle/endpoint", until the next call. */
static const char *
run_name(const struct job *j)
{
	static char name[200];
	size_t n = strnlen(j->w.bundle, 98), m = strnlen(j->w.endpoint, 98);

	memcpy(name, j->w.bundle, n);
	name[n] = '/';
	memcpy(name + n + 1, j->w.endpoint, m);
	name[n + 1 + m] = '\0';
	return name;
}

static void
put_bundle(const struct job *j)
{
	report_text(ATTR_AUTHOR, j->code != NULL ? j->code->did : j->w.author);
	report_text(ATTR_BUNDLE, j->w.bundle);
	report_text(ATTR_ENDPOINT, j->w.endpoint);
}

static void
put_id(const struct job *j)
{
	char id[JOB_ID_LEN + 1];

	job_id_print(&j->w.id, id);
	report_text(ATTR_FAAS_INVOCATION, id);
}

static void
put_error(const struct job *j)
{
	if (j->err != NULL)
		report_text(ATTR_ERROR_TYPE, err_name(j->err));
}

/* What was refused is the caller's affair, not a failure here. */
static enum otlp_status
status_of(enum job_outcome o)
{
	return o == OUTCOME_OK || o == OUTCOME_REFUSED || o == OUTCOME_CANCELLED || o == OUTCOME_NONE ? OTLP_UNSET : OTLP_ERROR;
}

static void
below_top(const struct job *j, const char *name, unsigned number, int64_t from_us, int64_t to_us)
{
	const struct spans *s = j->spans;
	uint8_t id[TRACE_SPAN_BYTES];
	struct report_span r = { .trace = &s->t, .span = id, .parent = s->top, .name = name, .kind = OTLP_INTERNAL,
		.start_us = wall_of(from_us), .end_us = wall_of(to_us) };

	trace_child(s->t.span, number, id);
	report_span(&r);
}

void
spans_admitted(struct job *j)
{
	struct spans *s = j->spans;

	if (s == NULL || s->admitted_us != 0)
		return;
	s->admitted_us = clock_mono_us();
	name_top(j); /* admission may have made a task of it */
}

void
spans_fetched(struct job *j, const char *what, int64_t since_us, bool fine)
{
	struct spans *s = j->spans;
	uint8_t id[TRACE_SPAN_BYTES], parent[TRACE_SPAN_BYTES];
	struct report_span r;
	int64_t now;

	if (s == NULL || !is_sampled(s))
		return;
	now = look_at_clocks();
	trace_child(s->t.span, FETCH + s->fetches++, id);
	trace_child(s->t.span, ADMISSION, parent);
	r = (struct report_span){ .trace = &s->t, .span = id, .parent = parent, .name = "fetch", .kind = OTLP_INTERNAL,
		.status = fine ? OTLP_UNSET : OTLP_ERROR, .start_us = wall_of(since_us), .end_us = wall_of(now) };
	report_span(&r);
	report_text(ATTR_WHAT, what);
	report_end();
}

void
spans_finished(struct job *j)
{
	if (j->spans != NULL)
		j->spans->ended_us = clock_mono_us();
}

/* How it came to an instance, and what it did there. */
static void
put_attempt(struct job *j, enum job_outcome outcome)
{
	struct spans *s = j->spans;
	unsigned number = ATTEMPT + 2 * (unsigned)j->w.attempt;
	uint8_t last[TRACE_SPAN_BYTES];
	int64_t waited_since = j->waits_since_us != 0 ? j->waits_since_us : s->admitted_us;
	struct report_span r = { .trace = &s->t, .span = s->run, .parent = s->top, .link = j->w.attempt > 1 ? last : NULL,
		.name = run_name(j), .kind = OTLP_INTERNAL, .status = status_of(outcome), .start_us = wall_of(j->started_us),
		.end_us = wall_of(s->ended_us), .message = j->err != NULL ? j->err->text : NULL };

	trace_child(s->t.span, number - 2, last);
	if (j->waits_since_us != 0 || j->start != START_WARM) {
		below_top(j, j->start == START_WARM ? "queue" : "start", number + 1, waited_since, j->started_us);
		report_text(ATTR_START, job_start_name(j->start));
		report_end();
	}
	report_span(&r);
	if (j->w.attempt > 1)
		report_int(ATTR_ATTEMPT, j->w.attempt);
	if (outcome != OUTCOME_OK)
		put_error(j);
	report_end();
}

void
spans_again(struct job *j)
{
	struct spans *s = j->spans;

	if (s == NULL)
		return;
	look_at_clocks();
	if (is_sampled(s) && j->started)
		put_attempt(j, j->tried);
	s->ended_us = 0;
}

/* The whole of it: what was called, by what it was served, and how it ended. */
static void
put_top(const struct job *j, int64_t now_us)
{
	const struct spans *s = j->spans;
	const uint8_t *parent = !s->server && s->has_door ? s->t.span :
	    trace_none(s->t.parent, sizeof s->t.parent) ? NULL : s->t.parent;
	struct report_span r = { .trace = &s->t, .span = s->top, .parent = parent, .name = run_name(j),
		.kind = s->server ? OTLP_SERVER : OTLP_CONSUMER, .status = status_of(j->outcome),
		.message = j->err != NULL ? j->err->text : NULL,
		.start_us = s->server ? s->t.start_us : j->w.created_at * 1000, .end_us = wall_of(now_us) };
	char number[24];

	report_span(&r);
	put_bundle(j);
	put_id(j);
	report_text(ATTR_FAAS_NAME, run_name(j));
	report_text(ATTR_FAAS_VERSION, j->w.version);
	report_text(ATTR_FAAS_TRIGGER, by_itself(j) ? "timer" : "http");
	report_text(ATTR_OUTCOME, job_outcome_name(j->outcome));
	if (s->server) {
		report_text(ATTR_METHOD, j->w.method);
		report_text(ATTR_ROUTE, "/bundle/{author}/{name}/{version}/{endpoint}");
	}
	report_text(ATTR_CALLER, j->w.caller);
	if (j->code != NULL) {
		report_text(ATTR_CID, j->code->cid);
		report_text(ATTR_RUNTIME, code_runtime_name(j->code));
		report_text(ATTR_WALL, code_wall_name(j->code));
	}
	if (j->start != START_NONE) {
		report_text(ATTR_START, job_start_name(j->start));
		report_bool(ATTR_FAAS_COLDSTART, j->start == START_COLD);
	}
	if (j->instance != NULL || j->instance_id != 0) {
		snprintf(number, sizeof number, "%lld", (long long)(j->instance != NULL ? instance_ledger_id(j->instance) : j->instance_id));
		report_text(ATTR_FAAS_INSTANCE, number);
	}
	if (j->outcome == OUTCOME_OK && j->has_head)
		report_int(ATTR_STATUS, j->status);
	else
		put_error(j);
	report_end();
}

void
spans_accepted(struct job *j)
{
	struct spans *s = j->spans;
	struct report_span r;
	int64_t now;

	if (s == NULL || !s->has_door || s->server || !is_sampled(s))
		return;
	now = look_at_clocks();
	r = (struct report_span){ .trace = &s->t, .span = s->t.span, .name = run_name(j), .kind = OTLP_SERVER,
		.parent = trace_none(s->t.parent, sizeof s->t.parent) ? NULL : s->t.parent, .start_us = s->t.start_us,
		.end_us = wall_of(now) };
	report_span(&r);
	put_bundle(j);
	put_id(j);
	report_text(ATTR_METHOD, j->w.method);
	report_text(ATTR_ROUTE, "/bundle/{author}/{name}/{version}/{endpoint}");
	report_int(ATTR_STATUS, 202);
	report_end();
}

void
spans_end(struct job *j)
{
	struct spans *s = j->spans;
	int64_t now;

	if (s == NULL || !is_sampled(s))
		return;
	now = look_at_clocks();
	if (!s->old) {
		below_top(j, "admission", ADMISSION, s->seen_us, s->admitted_us != 0 ? s->admitted_us : now);
		report_end();
	}
	if (j->started && s->ended_us != 0) {
		put_attempt(j, j->outcome);
		below_top(j, "answer", ANSWER, s->ended_us, now);
		report_end();
	}
	put_top(j, now);
}

/* --- before the handler --- */

/* In JSON a quote inside of a value is written \", so the beginning of this pair can be nothing else. */
static const char *
pair_of(const char *json, const char **end)
{
	static const char head[] = "[\"traceparent\",\"";
	const char *at = strstr(json, head), *p;

	if (at == NULL)
		return NULL;
	for (p = at + sizeof head - 1; *p != '\0' && *p != '"'; p++)
		if (*p == '\\' && p[1] != '\0')
			p++;
	*end = *p == '"' && p[1] == ']' ? p + 2 : NULL;
	return *end != NULL ? at : NULL;
}

void
spans_headers(const struct job *j, const char *json, struct buf *out)
{
	struct spans *s = j->spans;
	char header[TRACE_HEADER_TEXT + 1];
	const char *end = NULL, *at;
	size_t from;

	if (s == NULL) {
		buf_str(out, json);
		return;
	}
	trace_child(s->t.span, ATTEMPT + 2 * (unsigned)(j->w.attempt + 1), s->run);
	trace_header(&s->t, s->run, header);
	buf_add(out, "[[\"traceparent\",\"", 17);
	buf_add(out, header, TRACE_HEADER_TEXT);
	buf_add(out, "\"]", 2);
	from = out->len;
	buf_char(out, ',');
	at = pair_of(json, &end);
	if (at != NULL) {
		buf_add(out, json + 1, (size_t)(at - json - 1));
		if (*end == ',')
			end++;
		else if (out->data[out->len - 1] == ',' && out->len > from + 1)
			out->len--;
		buf_str(out, end);
	} else {
		buf_str(out, json + 1);
	}
	/* There was no other. */
	if (out->data[from + 1] == ']') {
		out->len = from;
		buf_char(out, ']');
	}
}

void
spans_line(const struct job *j, const struct code *code, const char *level, const char *source, const char *text, size_t n)
{
	const struct spans *s = j != NULL ? j->spans : NULL;
	int number = log_level_parse(level);

	report_line(number < 0 ? LOG_INFO : number, clock_wall_us(), text, n, s != NULL ? &s->t : NULL, s != NULL ? s->run : NULL);
	report_text(ATTR_STREAM, source);
	if (j != NULL) {
		put_bundle(j);
		put_id(j);
	} else if (code != NULL) {
		report_text(ATTR_AUTHOR, code->did);
		report_text(ATTR_BUNDLE, code->name);
	}
	report_end();
}
