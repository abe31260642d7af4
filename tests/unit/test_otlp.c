/* Both forms of a batch, and what collectors answer.  That others read them is for tests/e2e/test_otel.py. */
#include "tests/t.h"

#include <string.h>

#include "lib/otlp.h"

static const uint8_t trace[16] = { 0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36 },
		     span[8] = { 0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7 };

static void
sample(struct buf *batch, bool json)
{
	const struct otlp_attr attrs[] = { { .key = "a", .type = OTLP_TEXT, .text = "x\"y", .n = 3 },
		{ .key = "n", .type = OTLP_INT, .number = -3 },
		{ .key = "b", .type = OTLP_BOOL, .number = 1 } };
	const struct otlp_span s = { .trace = trace, .span = span, .name = "s", .kind = OTLP_SERVER, .start_us = 1, .end_us = 2,
		.flags = 1, .attrs = attrs, .attrs_n = 3, .status = OTLP_ERROR, .message = "bad", .message_n = 3, .link_trace = trace,
		.link_span = span };

	otlp_add_span(batch, json, &s);
}

TEST(a_span_in_json_is_as_otlp_wants_it)
{
	static char key[] = "k", value[] = "v";
	struct conf_pair pair = { key, value };
	const struct conf_pairs resource = { &pair, 1 };
	struct buf batch = BUF_INIT, out = BUF_INIT;

	sample(&batch, true);
	sample(&batch, true);
	otlp_request(&out, TELEMETRY_TRACES, TELEMETRY_JSON, &resource, &batch);
#define SPAN "{\"traceId\":\"4bf92f3577b34da6a3ce929d0e0e4736\",\"spanId\":\"00f067aa0ba902b7\",\"name\":\"s\",\"kind\":2," \
	"\"startTimeUnixNano\":\"1000\",\"endTimeUnixNano\":\"2000\"," \
	"\"attributes\":[{\"key\":\"a\",\"value\":{\"stringValue\":\"x\\\"y\"}}," \
	"{\"key\":\"n\",\"value\":{\"intValue\":\"-3\"}},{\"key\":\"b\",\"value\":{\"boolValue\":true}}],\"links\":[{\"traceId\":" \
	"\"4bf92f3577b34da6a3ce929d0e0e4736\",\"spanId\":\"00f067aa0ba902b7\"}],\"status\":{\"message\":\"bad\",\"code\":2},\"flags\":1}"
	CHECK_STR(out.data, "{\"resourceSpans\":"
	    "[{\"resource\":{\"attributes\":[{\"key\":\"k\",\"value\":{\"stringValue\":\"v\"}}]},\"scopeSpans\":"
	    "[{\"scope\":{\"name\":\"at-rund\",\"version\":\"" AT_RUND_VERSION "\"},\"spans\":[" SPAN "," SPAN "]}]}]}");
	buf_clear(&batch);
	buf_clear(&out);
}

TEST(lengths_of_any_size_stand_before_their_messages)
{
	const struct conf_pairs none = { NULL, 0 };

	for (size_t n = 1; n < 4000000; n *= 5) {
		struct buf batch = BUF_INIT, out = BUF_INIT, text = BUF_INIT;
		struct otlp_line l = { .at_us = 1, .severity = 9, .word = "INFO" };
		const uint8_t *p, *end;
		uint64_t len = 0;
		int shift = 0;

		memset(buf_room(&text, n), 'x', n);
		l.body = text.data;
		l.body_n = n;
		otlp_add_line(&batch, false, &l);
		otlp_request(&out, TELEMETRY_LOGS, TELEMETRY_GRPC, &none, &batch);
		p = (const uint8_t *)out.data;
		end = p + out.len;
		CHECK(p[0] == 0 && ((size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4]) == out.len - 5);
		p += 5;
		/* resource_logs: its length is that of all the rest */
		CHECK_INT(*p++, 1 << 3 | 2);
		do {
			len |= (uint64_t)(*p & 0x7f) << shift;
			shift += 7;
		} while (*p++ & 0x80);
		CHECK_INT(len, end - p);
		buf_clear(&batch);
		buf_clear(&out);
		buf_clear(&text);
	}
}

TEST(answers_say_what_was_rejected)
{
	static const uint8_t nothing[] = { 0, 0, 0, 0, 0 }, some[] = { 0, 0, 0, 0, 9, 0x0a, 7, 8, 5, 0x12, 3, 'w', 'h', 'y' },
			     cut[] = { 0, 0, 0, 0, 9, 0x0a, 7, 8, 5, 0x12, 3, 'w' }, packed[] = { 1, 0, 0, 0, 0 };
	static const char json[] = "{\"partialSuccess\":{\"rejectedLogRecords\":\"7\",\"errorMessage\":\"too old\"}}";
	char why[160];
	int64_t n;

	CHECK(otlp_response(nothing, 5, TELEMETRY_TRACES, TELEMETRY_GRPC, &n, why) && n == 0 && why[0] == '\0');
	CHECK(otlp_response(some, sizeof some, TELEMETRY_TRACES, TELEMETRY_GRPC, &n, why) && n == 5);
	CHECK_STR(why, "why");
	CHECK(otlp_response(some + 5, sizeof some - 5, TELEMETRY_TRACES, TELEMETRY_PROTOBUF, &n, why) && n == 5);
	CHECK(otlp_response("", 0, TELEMETRY_TRACES, TELEMETRY_PROTOBUF, &n, why) && n == 0);
	CHECK(!otlp_response(cut, sizeof cut, TELEMETRY_TRACES, TELEMETRY_GRPC, &n, why));
	CHECK(!otlp_response(cut + 5, sizeof cut - 5, TELEMETRY_TRACES, TELEMETRY_PROTOBUF, &n, why));
	CHECK(!otlp_response(packed, sizeof packed, TELEMETRY_TRACES, TELEMETRY_GRPC, &n, why));
	CHECK(otlp_response(json, sizeof json - 1, TELEMETRY_LOGS, TELEMETRY_JSON, &n, why) && n == 7);
	CHECK_STR(why, "too old");
	CHECK(otlp_response("{}", 2, TELEMETRY_LOGS, TELEMETRY_JSON, &n, why) && n == 0);
	CHECK(!otlp_response("<html>", 6, TELEMETRY_LOGS, TELEMETRY_JSON, &n, why));
}
