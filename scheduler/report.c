#include "scheduler/report.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/backend.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "scheduler/meter.h"
#include "scheduler/role.h"
#include "scheduler/survey.h"

#define PENDING_MAX (1024 * 1024) /* bytes that the role has not taken */
#define FLUSH_BYTES (64 * 1024)
#define FLUSH_MS    200
#define MESSAGE_MAX 400
#define BODY_MAX    16384
#define TEXT_MAX    2048

bool report_on[TELEMETRY_SIGNALS];

static struct {
	bool any;
	struct telemetry t;
	struct role role;
	struct loop_timer flush;
	size_t from;           /* where the record under way begins in role.out */
	bool under_way, over;
	uint16_t attrs;        /* of it, so far */
	enum telemetry_signal signal;
	int64_t lost[TELEMETRY_SIGNALS]; /* here, before the role heard of them */
	struct record_state state, base; /* base: of processes before this one */
	int64_t start_us, next_reading_ms;
} rep;

/* --- the process --- */

static void
add_limits(const struct role *r, struct plan *p)
{
#ifndef __SANITIZE_ADDRESS__
	p->limit[p->limits++] = (struct plan_limit){ RLIMIT_AS, (uint64_t)512 * 1024 * 1024 };
#endif
	role_close_files(r, p);
	for (int s = 0; s < TELEMETRY_SIGNALS; s++) {
		const struct telemetry_target *to = &rep.t.target[s];

		if (to->ca != NULL)
			role_list_add(&p->read_only, to->ca);
		if (to->certificate != NULL)
			role_list_add(&p->read_only, to->certificate);
		if (to->key != NULL)
			role_list_add(&p->read_only, to->key);
	}
}

static void
show_state(void)
{
	for (int s = 0; s < TELEMETRY_SIGNALS; s++) {
		meter_set(METER_TOLD, s, rep.base.sent[s] + rep.state.sent[s]);
		meter_set(METER_DROPPED, s, rep.base.dropped[s] + rep.state.dropped[s] + rep.lost[s]);
		meter_set(METER_FAILED, s, rep.base.failed[s] + rep.state.failed[s]);
		meter_set(METER_TELLING, s, report_on[s]);
		meter_set(METER_UNTOLD, s, rep.state.queued[s]);
	}
	meter_set(METER_TELEMETRY_FAILING, 0, rep.state.failing);
}

static int
on_heard(void *arg, struct err *e)
{
	struct buf *in = &rep.role.in;

	(void)arg;
	while (in->len >= sizeof rep.state) {
		memcpy(&rep.state, in->data, sizeof rep.state);
		if (rep.state.head.bytes != sizeof rep.state || rep.state.head.kind != RECORD_STATE)
			return err_set(e, ERR_INTERNAL, "its message is none");
		buf_drop(in, sizeof rep.state);
	}
	show_state();
	return 0;
}

/* What it had not sent is lost with it. */
static void
on_ended(void *arg, int status)
{
	(void)arg;
	(void)status;
	for (int s = 0; s < TELEMETRY_SIGNALS; s++) {
		rep.base.sent[s] += rep.state.sent[s];
		rep.base.dropped[s] += rep.state.dropped[s] + rep.state.queued[s];
		rep.base.failed[s] += rep.state.failed[s];
	}
	memset(&rep.state, 0, sizeof rep.state);
	show_state();
}

static void take_line(enum log_level level, const char *what, const char *pairs);

int
report_open(const struct conf *c, const char *program, struct err *e)
{
	static const char *const env[] = { "OTEL_*", NULL };
	static const struct role_kind kind = { .name = "telemetry", .stays = true, .env = env, .plan = add_limits, .heard = on_heard,
		.ended = on_ended };
	char *line, *rest;

	memset(&rep, 0, sizeof rep);
	telemetry_load(&rep.t, c);
	for (rest = rep.t.problems.data; rest != NULL && (line = strsep(&rest, "\n")) != NULL;)
		if (*line != '\0')
			log_warn("telemetry", "why=%s", log_q(line));
	if (!rep.t.on)
		return 0;
	rep.start_us = clock_wall_us();
	rep.next_reading_ms = clock_mono_ms() + rep.t.metrics_ms;
	role_init(&rep.role, &kind, c, program, NULL);
	if (role_start(&rep.role, e) != 0)
		return -1;
	rep.any = true;
	for (int s = 0; s < TELEMETRY_SIGNALS; s++) {
		report_on[s] = rep.t.target[s].on;
		if (report_on[s])
			log_info("telemetry goes out", "signal=%s protocol=%s", telemetry_signal_name((enum telemetry_signal)s),
			    telemetry_protocol_name(rep.t.target[s].protocol));
	}
	show_state();
	if (report_on[TELEMETRY_LOGS])
		log_tap(take_line);
	return 0;
}

static void
flush(void *arg)
{
	(void)arg;
	loop_stop(&rep.flush);
	role_flush(&rep.role);
}

/* --- readings --- */

static int64_t
file_size(const char *path, const char *tail)
{
	char *whole = mem_fmt("%s%s", path, tail);
	struct stat st;
	int64_t n = stat(whole, &st) == 0 ? st.st_size : 0;

	free(whole);
	return n;
}

static void
begin(enum telemetry_signal s)
{
	rep.signal = s;
	rep.from = rep.role.out.len;
	rep.over = rep.role.fd < 0 || rep.role.out.len > PENDING_MAX;
	rep.under_way = true;
	rep.attrs = 0;
}

static void
read_meters(void)
{
	struct record_reading r = { .head = { (uint32_t)(sizeof r + meter_bytes()), RECORD_READING, 0 }, .start_us = rep.start_us,
		.at_us = clock_wall_us() };

	survey();
	meter_set(METER_DATABASE, METER_MAIN, file_size(rep.role.conf->database, ""));
	meter_set(METER_DATABASE, METER_LOG, file_size(rep.role.conf->database, "-wal"));
	begin(TELEMETRY_METRICS);
	if (!rep.over) {
		buf_add(&rep.role.out, &r, sizeof r);
		meter_values(&rep.role.out);
	}
	report_end();
}

void
report_tick(void)
{
	int64_t now = clock_mono_ms();

	if (!rep.any)
		return;
	show_state();
	if (!report_on[TELEMETRY_METRICS] || now < rep.next_reading_ms)
		return;
	rep.next_reading_ms = now + rep.t.metrics_ms;
	read_meters();
}

void
report_stop(void)
{
	if (!rep.any)
		return;
	log_tap(NULL);
	loop_stop(&rep.flush);
	if (report_on[TELEMETRY_METRICS])
		read_meters();
	memset(report_on, 0, sizeof report_on);
	role_farewell(&rep.role);
}

bool
report_gone(void)
{
	return !rep.any || role_gone(&rep.role);
}

void
report_close(void)
{
	if (rep.any)
		role_stop(&rep.role);
	loop_stop(&rep.flush);
	log_tap(NULL);
	memset(report_on, 0, sizeof report_on);
	telemetry_clear(&rep.t);
	rep.any = false;
}

void
report_trace(struct trace *t, const struct trace *parent, int64_t start_us)
{
	trace_begin(t, parent, 0, start_us);
	t->flags = telemetry_sample(&rep.t, parent, t->id);
}

/* --- records --- */

static void
put_attr(enum attr key, const char *other, size_t other_n, enum otlp_type type, const void *value, size_t n)
{
	struct record_attr a = { .key = (uint8_t)key, .type = (uint8_t)type, .key_n = (uint8_t)other_n, .n = (uint32_t)n };
	char *to;

	if (rep.over)
		return;
	to = buf_room(&rep.role.out, sizeof a + other_n + n);
	memcpy(to, &a, sizeof a);
	memcpy(to + sizeof a, other, other_n);
	memcpy(to + sizeof a + other_n, value, n);
	rep.role.out.len += sizeof a + other_n + n;
	rep.attrs++;
}

static void
put_number(enum attr key, enum otlp_type type, int64_t n)
{
	put_attr(key, "", 0, type, &n, sizeof n);
}

void
report_text_n(enum attr key, const char *text, size_t n)
{
	put_attr(key, "", 0, OTLP_TEXT, text, n < TEXT_MAX ? n : TEXT_MAX);
}

void
report_text(enum attr key, const char *text)
{
	if (text != NULL)
		report_text_n(key, text, strlen(text));
}

void
report_other(const char *key, size_t key_n, const char *text, size_t n)
{
	if (key_n < 64)
		put_attr(ATTR_OTHER, key, key_n, OTLP_TEXT, text, n < TEXT_MAX ? n : TEXT_MAX);
}

void
report_int(enum attr key, int64_t n)
{
	put_number(key, OTLP_INT, n);
}

void
report_bool(enum attr key, bool yes)
{
	put_number(key, OTLP_BOOL, yes);
}

void
report_span(const struct report_span *s)
{
	size_t message_n = s->message != NULL ? strnlen(s->message, MESSAGE_MAX) : 0, name_n = strnlen(s->name, 200);
	struct record_span r = { .head = { 0, RECORD_SPAN, 0 }, .kind = (uint8_t)s->kind, .status = (uint8_t)s->status,
		.flags = s->trace->flags, .name_n = (uint16_t)name_n, .message_n = (uint16_t)message_n, .start_us = s->start_us,
		.end_us = s->end_us };

	begin(TELEMETRY_TRACES);
	if (rep.over)
		return;
	memcpy(r.trace, s->trace->id, sizeof r.trace);
	memcpy(r.span, s->span, sizeof r.span);
	if (s->parent != NULL)
		memcpy(r.parent, s->parent, sizeof r.parent);
	if (s->link != NULL) {
		memcpy(r.link_trace, s->trace->id, sizeof r.link_trace);
		memcpy(r.link_span, s->link, sizeof r.link_span);
	}
	buf_add(&rep.role.out, &r, sizeof r);
	buf_add(&rep.role.out, s->name, name_n);
	buf_add(&rep.role.out, s->message, message_n);
}

void
report_line(int level, int64_t at_us, const char *body, size_t n, const struct trace *t, const uint8_t *span)
{
	struct record_line r = { .head = { 0, RECORD_LINE, 0 }, .level = (uint8_t)level, .at_us = at_us };

	begin(TELEMETRY_LOGS);
	if (rep.over)
		return;
	r.body_n = (uint32_t)(n < BODY_MAX ? n : BODY_MAX);
	if (t != NULL) {
		memcpy(r.trace, t->id, sizeof r.trace);
		r.flags = t->flags;
	}
	if (span != NULL)
		memcpy(r.span, span, sizeof r.span);
	buf_add(&rep.role.out, &r, sizeof r);
	buf_add(&rep.role.out, body, r.body_n);
}

void
report_end(void)
{
	struct record_head h;

	rep.under_way = false;
	if (rep.over) {
		rep.lost[rep.signal]++;
		return;
	}
	memcpy(&h, rep.role.out.data + rep.from, sizeof h);
	h.bytes = (uint32_t)(rep.role.out.len - rep.from);
	h.attrs = rep.attrs;
	memcpy(rep.role.out.data + rep.from, &h, sizeof h);
	if (rep.role.out.len >= FLUSH_BYTES && !rep.role.writes)
		role_flush(&rep.role);
	else if (rep.flush.at == 0 && !rep.role.writes)
		loop_after(&rep.flush, FLUSH_MS, flush, NULL);
}

/* --- the daemon's own lines --- */

static bool
hex_of(const char *s, size_t n, uint8_t *out)
{
	for (size_t i = 0; i < n; i++) {
		const char *digits = "0123456789abcdef", *at = s[i] != '\0' ? strchr(digits, s[i]) : NULL;

		if (at == NULL)
			return false;
		out[i / 2] = (uint8_t)(i % 2 == 0 ? (at - digits) << 4 : out[i / 2] | (at - digits));
	}
	return true;
}

/* "key=value key2=\"quoted value\"" as log.c knows them. */
static void
put_pairs(const char *p)
{
	while (*p != '\0') {
		const char *eq = strchr(p, '='), *end;
		size_t key_n;

		if (eq == NULL)
			return;
		key_n = (size_t)(eq - p);
		if (eq[1] == '"') {
			for (end = eq + 2; *end != '\0' && *end != '"'; end++)
				if (*end == '\\' && end[1] != '\0')
					end++;
			report_other(p, key_n, eq + 2, (size_t)(end - eq - 2));
			end += *end == '"';
		} else {
			end = eq + 1 + strcspn(eq + 1, " ");
			if (key_n == 3 && memcmp(p, "job", 3) == 0)
				report_text_n(ATTR_FAAS_INVOCATION, eq + 1, (size_t)(end - eq - 1));
			else if (key_n != 5 || memcmp(p, "trace", 5) != 0)
				report_other(p, key_n, eq + 1, (size_t)(end - eq - 1));
		}
		p = end + (*end == ' ');
	}
}

/* A line about a record that is being made would lie within it. */
static void
take_line(enum log_level level, const char *what, const char *pairs)
{
	const char *at = strstr(pairs, "trace=");
	struct trace t = { .flags = TRACE_SAMPLED };

	if (rep.under_way)
		return;
	if (at != NULL && (at == pairs || at[-1] == ' ') && hex_of(at + 6, 2 * sizeof t.id, t.id))
		report_line((int)level, clock_wall_us(), what, strlen(what), &t, NULL);
	else
		report_line((int)level, clock_wall_us(), what, strlen(what), NULL, NULL);
	put_pairs(pairs);
	report_end();
}
