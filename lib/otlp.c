/*
 * Everything is written once: a message's length stands before it, so a byte is left for it and, when it does not fit, what
 * follows is moved.  nanopb's own encoder would go through each message twice for each level above it, and there are five.
 *
 * JSON is protobuf's JSON as OTLP wants it: names in lowerCamelCase, ids in hex, 64-bit numbers as strings, enums as numbers.
 */
#include "lib/otlp.h"

#include <endian.h>
#include <pb_decode.h>
#include <pb_encode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "lib/json.h"
#include "lib/otlp.pb.h"
#include "lib/trace.h"

#ifndef AT_RUND_VERSION
#define AT_RUND_VERSION "0.1.0"
#endif

#define CUMULATIVE 2
#define GRPC_HEAD  5

struct out {
	struct buf *b;
	bool json;
};

/* A field by its number in protobuf and its name in JSON. */
#define AS(message, field, name) otlp_##message##_##field##_tag, name

/* --- nanopb's pieces --- */

static bool
put_bytes(pb_ostream_t *s, const pb_byte_t *p, size_t n)
{
	buf_add(s->state, p, n);
	return true;
}

static pb_ostream_t
stream(const struct out *o)
{
	pb_ostream_t s = { .callback = put_bytes, .state = o->b, .max_size = SIZE_MAX };

	return s;
}

static void
put_tag(const struct out *o, pb_wire_type_t type, uint32_t tag)
{
	pb_ostream_t s = stream(o);

	pb_encode_tag(&s, type, tag);
}

static void
put_varint(const struct out *o, uint64_t v)
{
	pb_ostream_t s = stream(o);

	pb_encode_varint(&s, v);
}

/* --- fields --- */

static void
comma(const struct out *o)
{
	char last = o->b->len > 0 ? o->b->data[o->b->len - 1] : '{';

	if (last != '{' && last != '[')
		buf_char(o->b, ',');
}

static void
put_name(const struct out *o, const char *name)
{
	comma(o);
	buf_char(o->b, '"');
	buf_str(o->b, name);
	buf_add(o->b, "\":", 2);
}

static void
put_text(const struct out *o, uint32_t tag, const char *name, const char *p, size_t n)
{
	if (o->json) {
		put_name(o, name);
		buf_json(o->b, p, n);
		return;
	}
	put_tag(o, PB_WT_STRING, tag);
	put_varint(o, n);
	buf_add(o->b, p, n);
}

static void
put_id(const struct out *o, uint32_t tag, const char *name, const uint8_t *p, size_t n)
{
	char hex[2 * TRACE_ID_BYTES + 1];

	if (p == NULL)
		return;
	if (o->json) {
		trace_hex(p, n, hex);
		put_text(o, tag, name, hex, 2 * n);
		return;
	}
	put_tag(o, PB_WT_STRING, tag);
	put_varint(o, n);
	buf_add(o->b, p, n);
}

/* Small numbers and enums. */
static void
put_small(const struct out *o, uint32_t tag, const char *name, unsigned v)
{
	if (o->json) {
		put_name(o, name);
		buf_fmt(o->b, "%u", v);
		return;
	}
	put_tag(o, PB_WT_VARINT, tag);
	put_varint(o, v);
}

static void
put_bool(const struct out *o, uint32_t tag, const char *name, bool v)
{
	if (o->json) {
		put_name(o, name);
		buf_str(o->b, v ? "true" : "false");
		return;
	}
	put_tag(o, PB_WT_VARINT, tag);
	put_varint(o, v);
}

static void
put_int(const struct out *o, uint32_t tag, const char *name, int64_t v)
{
	if (o->json) {
		put_name(o, name);
		buf_fmt(o->b, "\"%lld\"", (long long)v);
		return;
	}
	put_tag(o, PB_WT_VARINT, tag);
	put_varint(o, (uint64_t)v);
}

static void
put_fixed64(const struct out *o, uint32_t tag, const char *name, uint64_t v)
{
	pb_ostream_t s = stream(o);

	if (o->json) {
		put_name(o, name);
		buf_fmt(o->b, "\"%llu\"", (unsigned long long)v);
		return;
	}
	pb_encode_tag(&s, PB_WT_64BIT, tag);
	pb_encode_fixed64(&s, &v);
}

static void
put_time(const struct out *o, uint32_t tag, const char *name, int64_t us)
{
	put_fixed64(o, tag, name, (uint64_t)us * 1000);
}

static void
put_flags(const struct out *o, uint32_t tag, uint8_t flags)
{
	pb_ostream_t s = stream(o);
	uint32_t v = flags;

	if (o->json) {
		put_small(o, tag, "flags", flags);
		return;
	}
	pb_encode_tag(&s, PB_WT_32BIT, tag);
	pb_encode_fixed32(&s, &v);
}

static void
print_double(const struct out *o, double v)
{
	buf_fmt(o->b, "%.17g", v);
}

static void
put_double(const struct out *o, uint32_t tag, const char *name, double v)
{
	pb_ostream_t s = stream(o);

	if (o->json) {
		put_name(o, name);
		print_double(o, v);
		return;
	}
	pb_encode_tag(&s, PB_WT_64BIT, tag);
	pb_encode_fixed64(&s, &v);
}

/* --- messages --- */

static size_t
reserve(const struct out *o, uint32_t tag)
{
	put_tag(o, PB_WT_STRING, tag);
	buf_char(o->b, '\0');
	return o->b->len;
}

static size_t
begin(const struct out *o, uint32_t tag, const char *name)
{
	if (!o->json)
		return reserve(o, tag);
	put_name(o, name);
	buf_char(o->b, '{');
	return 0;
}

static void
end(const struct out *o, size_t from)
{
	size_t n = o->b->len - from, more = 0;
	uint8_t head[10];
	int i = 0;

	if (o->json) {
		buf_char(o->b, '}');
		return;
	}
	if (n < 0x80) {
		o->b->data[from - 1] = (char)n;
		return;
	}
	for (size_t left = n; left > 0; left >>= 7)
		head[i++] = (uint8_t)((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
	more = (size_t)i - 1;
	buf_room(o->b, more);
	memmove(o->b->data + from + more, o->b->data + from, n);
	memcpy(o->b->data + from - 1, head, (size_t)i);
	o->b->len += more;
	o->b->data[o->b->len] = '\0';
}

static void
list(const struct out *o, const char *name)
{
	if (o->json) {
		put_name(o, name);
		buf_char(o->b, '[');
	}
}

static void
list_end(const struct out *o)
{
	if (o->json)
		buf_char(o->b, ']');
}

static size_t
item(const struct out *o, uint32_t tag)
{
	if (!o->json)
		return reserve(o, tag);
	comma(o);
	buf_char(o->b, '{');
	return 0;
}

static void
put_value(const struct out *o, const struct otlp_attr *a)
{
	switch (a->type) {
	case OTLP_TEXT:
		put_text(o, AS(AnyValue, string_value, "stringValue"), a->text != NULL ? a->text : "", a->n);
		break;
	case OTLP_INT:
		put_int(o, AS(AnyValue, int_value, "intValue"), a->number);
		break;
	case OTLP_DOUBLE:
		put_double(o, AS(AnyValue, double_value, "doubleValue"), a->real);
		break;
	case OTLP_BOOL:
		put_bool(o, AS(AnyValue, bool_value, "boolValue"), a->number != 0);
	}
}

/* --- what most of a batch is: texts with a key, written without a look at the buffer for each byte --- */

static size_t
varint_bytes(size_t n)
{
	size_t bytes = 1;

	for (; n > 0x7f; n >>= 7)
		bytes++;
	return bytes;
}

static uint8_t *
write_varint(uint8_t *p, size_t n)
{
	for (; n > 0x7f; n >>= 7)
		*p++ = (uint8_t)(n | 0x80);
	*p++ = (uint8_t)n;
	return p;
}

static uint8_t *
write_bytes(uint8_t *p, uint32_t tag, const void *from, size_t n)
{
	*p++ = (uint8_t)(tag << 3 | PB_WT_STRING);
	p = write_varint(p, n);
	memcpy(p, from, n);
	return p + n;
}

/* tag is less than 16, as all of these are. */
static void
put_text_attr(const struct out *o, uint32_t tag, const struct otlp_attr *a)
{
	size_t key_n = strlen(a->key), value_n = 1 + varint_bytes(a->n) + a->n,
	       pair_n = 1 + varint_bytes(key_n) + key_n + 1 + varint_bytes(value_n) + value_n;
	uint8_t *from = (uint8_t *)buf_room(o->b, 1 + varint_bytes(pair_n) + pair_n), *p = from;

	*p++ = (uint8_t)(tag << 3 | PB_WT_STRING);
	p = write_varint(p, pair_n);
	p = write_bytes(p, otlp_KeyValue_key_tag, a->key, key_n);
	*p++ = otlp_KeyValue_value_tag << 3 | PB_WT_STRING;
	p = write_varint(p, value_n);
	p = write_bytes(p, otlp_AnyValue_string_value_tag, a->text, a->n);
	o->b->len += (size_t)(p - from);
	*p = '\0';
}

static uint8_t *
write_id(uint8_t *p, uint32_t tag, const uint8_t *id, size_t n)
{
	return id != NULL ? write_bytes(p, tag, id, n) : p;
}

static uint8_t *
write_time(uint8_t *p, uint32_t tag, int64_t us)
{
	uint64_t ns = htole64((uint64_t)us * 1000);

	*p++ = (uint8_t)(tag << 3 | PB_WT_64BIT);
	memcpy(p, &ns, sizeof ns);
	return p + sizeof ns;
}

/* What every span has. */
static void
put_span_head(const struct out *o, const struct otlp_span *s, int64_t end_us)
{
	size_t name_n = strlen(s->name);
	uint8_t *from = (uint8_t *)buf_room(o->b, 96 + name_n), *p = from;

	p = write_id(p, otlp_Span_trace_id_tag, s->trace, TRACE_ID_BYTES);
	p = write_id(p, otlp_Span_span_id_tag, s->span, TRACE_SPAN_BYTES);
	p = write_id(p, otlp_Span_parent_span_id_tag, s->parent, TRACE_SPAN_BYTES);
	p = write_bytes(p, otlp_Span_name_tag, s->name, name_n);
	*p++ = otlp_Span_kind_tag << 3 | PB_WT_VARINT;
	*p++ = (uint8_t)s->kind;
	p = write_time(p, otlp_Span_start_time_unix_nano_tag, s->start_us);
	p = write_time(p, otlp_Span_end_time_unix_nano_tag, end_us);
	o->b->len += (size_t)(p - from);
	*p = '\0';
}

static void
put_attrs(const struct out *o, uint32_t tag, const struct otlp_attr *attrs, size_t n)
{
	size_t i, pair, value;

	if (n == 0)
		return;
	list(o, "attributes");
	for (i = 0; i < n; i++) {
		if (!o->json && attrs[i].type == OTLP_TEXT) {
			put_text_attr(o, tag, &attrs[i]);
			continue;
		}
		pair = item(o, tag);
		put_text(o, AS(KeyValue, key, "key"), attrs[i].key, strlen(attrs[i].key));
		value = begin(o, AS(KeyValue, value, "value"));
		put_value(o, &attrs[i]);
		end(o, value);
		end(o, pair);
	}
	list_end(o);
}

/* --- items --- */

void
otlp_add_span(struct buf *batch, bool json, const struct otlp_span *s)
{
	const struct out o = { batch, json };
	size_t span = item(&o, otlp_ScopeGroup_item_tag), part;
	int64_t end_us = s->end_us > s->start_us ? s->end_us : s->start_us;

	if (json) {
		put_id(&o, AS(Span, trace_id, "traceId"), s->trace, TRACE_ID_BYTES);
		put_id(&o, AS(Span, span_id, "spanId"), s->span, TRACE_SPAN_BYTES);
		put_id(&o, AS(Span, parent_span_id, "parentSpanId"), s->parent, TRACE_SPAN_BYTES);
		put_text(&o, AS(Span, name, "name"), s->name, strlen(s->name));
		put_small(&o, AS(Span, kind, "kind"), s->kind);
		put_time(&o, AS(Span, start_time_unix_nano, "startTimeUnixNano"), s->start_us);
		put_time(&o, AS(Span, end_time_unix_nano, "endTimeUnixNano"), end_us);
	} else {
		put_span_head(&o, s, end_us);
	}
	put_attrs(&o, otlp_Span_attributes_tag, s->attrs, s->attrs_n);
	if (s->link_span != NULL) {
		list(&o, "links");
		part = item(&o, otlp_Span_links_tag);
		put_id(&o, AS(Link, trace_id, "traceId"), s->link_trace, TRACE_ID_BYTES);
		put_id(&o, AS(Link, span_id, "spanId"), s->link_span, TRACE_SPAN_BYTES);
		end(&o, part);
		list_end(&o);
	}
	if (s->status != OTLP_UNSET) {
		part = begin(&o, AS(Span, status, "status"));
		if (s->message_n > 0)
			put_text(&o, AS(Status, message, "message"), s->message, s->message_n);
		put_small(&o, AS(Status, code, "code"), s->status);
		end(&o, part);
	}
	put_flags(&o, otlp_Span_flags_tag, s->flags);
	end(&o, span);
}

void
otlp_add_line(struct buf *batch, bool json, const struct otlp_line *l)
{
	const struct out o = { batch, json };
	size_t line = item(&o, otlp_ScopeGroup_item_tag), body;

	put_time(&o, AS(LogRecord, time_unix_nano, "timeUnixNano"), l->at_us);
	put_time(&o, AS(LogRecord, observed_time_unix_nano, "observedTimeUnixNano"), l->at_us);
	put_small(&o, AS(LogRecord, severity_number, "severityNumber"), (unsigned)l->severity);
	put_text(&o, AS(LogRecord, severity_text, "severityText"), l->word, strlen(l->word));
	body = begin(&o, AS(LogRecord, body, "body"));
	put_text(&o, AS(AnyValue, string_value, "stringValue"), l->body, l->body_n);
	end(&o, body);
	put_attrs(&o, otlp_LogRecord_attributes_tag, l->attrs, l->attrs_n);
	if (l->trace != NULL)
		put_flags(&o, otlp_LogRecord_flags_tag, l->flags);
	put_id(&o, AS(LogRecord, trace_id, "traceId"), l->trace, TRACE_ID_BYTES);
	put_id(&o, AS(LogRecord, span_id, "spanId"), l->span, TRACE_SPAN_BYTES);
	end(&o, line);
}

static void
put_number_points(const struct out *o, const struct otlp_metric *m)
{
	size_t i, point;

	list(o, "dataPoints");
	for (i = 0; i < m->points_n; i++) {
		const struct otlp_point *p = &m->points[i];

		point = item(o, otlp_Gauge_data_points_tag);
		put_time(o, AS(NumberDataPoint, start_time_unix_nano, "startTimeUnixNano"), m->start_us);
		put_time(o, AS(NumberDataPoint, time_unix_nano, "timeUnixNano"), m->at_us);
		if (p->is_real)
			put_double(o, AS(NumberDataPoint, as_double, "asDouble"), p->real);
		else if (o->json)
			put_int(o, AS(NumberDataPoint, as_int, "asInt"), p->number);
		else
			put_fixed64(o, AS(NumberDataPoint, as_int, "asInt"), (uint64_t)p->number);
		put_attrs(o, otlp_NumberDataPoint_attributes_tag, p->attrs, p->attrs_n);
		end(o, point);
	}
	list_end(o);
}

static void
put_buckets(const struct out *o, const int64_t *n, size_t count)
{
	pb_ostream_t s = stream(o);
	size_t i;

	if (o->json) {
		put_name(o, "bucketCounts");
		for (i = 0; i < count; i++)
			buf_fmt(o->b, "%s\"%lld\"", i > 0 ? "," : "[", (long long)n[i]);
		buf_char(o->b, ']');
		return;
	}
	put_tag(o, PB_WT_STRING, otlp_HistogramDataPoint_bucket_counts_tag);
	put_varint(o, count * 8);
	for (i = 0; i < count; i++)
		pb_encode_fixed64(&s, &n[i]);
}

static void
put_bounds(const struct out *o, const double *bound, size_t count)
{
	pb_ostream_t s = stream(o);
	size_t i;

	if (o->json) {
		put_name(o, "explicitBounds");
		for (i = 0; i < count; i++) {
			buf_char(o->b, i > 0 ? ',' : '[');
			print_double(o, bound[i]);
		}
		buf_char(o->b, ']');
		return;
	}
	put_tag(o, PB_WT_STRING, otlp_HistogramDataPoint_explicit_bounds_tag);
	put_varint(o, count * 8);
	for (i = 0; i < count; i++)
		pb_encode_fixed64(&s, &bound[i]);
}

static void
put_histogram_points(const struct out *o, const struct otlp_metric *m)
{
	size_t i, k, point;

	list(o, "dataPoints");
	for (i = 0; i < m->points_n; i++) {
		const struct otlp_point *p = &m->points[i];
		uint64_t n = 0;

		for (k = 0; k <= m->bounds_n; k++)
			n += (uint64_t)p->buckets[k];
		point = item(o, otlp_Histogram_data_points_tag);
		put_time(o, AS(HistogramDataPoint, start_time_unix_nano, "startTimeUnixNano"), m->start_us);
		put_time(o, AS(HistogramDataPoint, time_unix_nano, "timeUnixNano"), m->at_us);
		put_fixed64(o, AS(HistogramDataPoint, count, "count"), n);
		put_double(o, AS(HistogramDataPoint, sum, "sum"), p->sum);
		put_buckets(o, p->buckets, m->bounds_n + 1);
		put_bounds(o, m->bounds, m->bounds_n);
		put_attrs(o, otlp_HistogramDataPoint_attributes_tag, p->attrs, p->attrs_n);
		end(o, point);
	}
	list_end(o);
}

void
otlp_add_metric(struct buf *batch, bool json, const struct otlp_metric *m)
{
	const struct out o = { batch, json };
	size_t metric = item(&o, otlp_ScopeGroup_item_tag), data;

	put_text(&o, AS(Metric, name, "name"), m->name, strlen(m->name));
	put_text(&o, AS(Metric, description, "description"), m->help, strlen(m->help));
	put_text(&o, AS(Metric, unit, "unit"), m->unit, strlen(m->unit));
	switch (m->type) {
	case OTLP_GAUGE:
		data = begin(&o, AS(Metric, gauge, "gauge"));
		put_number_points(&o, m);
		break;
	case OTLP_HISTOGRAM:
		data = begin(&o, AS(Metric, histogram, "histogram"));
		put_histogram_points(&o, m);
		put_small(&o, AS(Histogram, aggregation_temporality, "aggregationTemporality"), CUMULATIVE);
		break;
	default:
		data = begin(&o, AS(Metric, sum, "sum"));
		put_number_points(&o, m);
		put_small(&o, AS(Sum, aggregation_temporality, "aggregationTemporality"), CUMULATIVE);
		if (m->type == OTLP_COUNTER)
			put_bool(&o, AS(Sum, is_monotonic, "isMonotonic"), true);
	}
	end(&o, data);
	end(&o, metric);
}

/* --- around a batch --- */

static void
put_resource(const struct out *o, const struct conf_pairs *r)
{
	size_t i, pair, value, resource = begin(o, AS(ResourceGroup, resource, "resource"));

	list(o, "attributes");
	for (i = 0; i < r->n; i++) {
		const struct otlp_attr a = { .type = OTLP_TEXT, .text = r->item[i].value, .n = strlen(r->item[i].value) };

		pair = item(o, otlp_Resource_attributes_tag);
		put_text(o, AS(KeyValue, key, "key"), r->item[i].key, strlen(r->item[i].key));
		value = begin(o, AS(KeyValue, value, "value"));
		put_value(o, &a);
		end(o, value);
		end(o, pair);
	}
	list_end(o);
	end(o, resource);
}

void
otlp_request(struct buf *out, enum telemetry_signal s, enum telemetry_protocol p, const struct conf_pairs *resource,
    const struct buf *batch)
{
	static const char *const groups[] = { "resourceSpans", "resourceMetrics", "resourceLogs" },
				*const scopes[] = { "scopeSpans", "scopeMetrics", "scopeLogs" },
				*const items[] = { "spans", "metrics", "logRecords" };
	const struct out o = { out, p == TELEMETRY_JSON };
	size_t at = out->len, group, scope_group, scope, n;

	if (p == TELEMETRY_GRPC)
		buf_add(out, "\0\0\0\0\0", GRPC_HEAD);
	if (o.json)
		buf_char(out, '{');
	list(&o, groups[s]);
	group = item(&o, otlp_Request_resource_group_tag);
	put_resource(&o, resource);
	list(&o, scopes[s]);
	scope_group = item(&o, otlp_ResourceGroup_scope_group_tag);
	scope = begin(&o, AS(ScopeGroup, scope, "scope"));
	put_text(&o, AS(Scope, name, "name"), "at-rund", 7);
	put_text(&o, AS(Scope, version, "version"), AT_RUND_VERSION, strlen(AT_RUND_VERSION));
	end(&o, scope);
	list(&o, items[s]);
	buf_add(out, batch->data, batch->len);
	list_end(&o);
	end(&o, scope_group);
	list_end(&o);
	end(&o, group);
	list_end(&o);
	if (o.json)
		buf_char(out, '}');
	if (p != TELEMETRY_GRPC)
		return;
	n = out->len - at - GRPC_HEAD;
	for (int i = 0; i < 4; i++)
		out->data[at + 1 + (size_t)i] = (char)(n >> (8 * (3 - i)));
}

/* --- answers --- */

static bool
read_text(pb_istream_t *s, const pb_field_t *field, void **arg)
{
	char *message = *arg, text[160];
	size_t n = s->bytes_left, taken = n < sizeof text - 1 ? n : sizeof text - 1;

	(void)field;
	if (!pb_read(s, (pb_byte_t *)text, taken) || !pb_read(s, NULL, n - taken))
		return false;
	memcpy(message, text, taken);
	message[taken] = '\0';
	return true;
}

static bool
read_protobuf(const void *p, size_t n, int64_t *rejected, char message[160])
{
	otlp_Response r = otlp_Response_init_zero;
	pb_istream_t s = pb_istream_from_buffer(p, n);

	r.partial_success.error_message.funcs.decode = read_text;
	r.partial_success.error_message.arg = message;
	if (!pb_decode(&s, otlp_Response_fields, &r))
		return false;
	*rejected = r.has_partial_success ? r.partial_success.rejected : 0;
	return true;
}

/* Numbers may come as strings or as numbers. */
static bool
read_json(const char *p, size_t n, enum telemetry_signal s, int64_t *rejected, char message[160])
{
	static const char *const names[] = { "rejectedSpans", "rejectedDataPoints", "rejectedLogRecords" };
	cJSON *tree = json_parse(p, n, 8, NULL);
	const cJSON *partial = tree != NULL ? json_object(tree, "partialSuccess") : NULL;
	const char *text = partial != NULL ? json_string(partial, names[s]) : NULL, *why = NULL;

	if (text != NULL)
		*rejected = strtoll(text, NULL, 10);
	else if (partial != NULL)
		(void)json_int(partial, names[s], 0, INT64_C(9007199254740991), rejected, NULL);
	if (partial != NULL)
		why = json_string(partial, "errorMessage");
	if (why != NULL)
		snprintf(message, 160, "%s", why);
	cJSON_Delete(tree);
	return tree != NULL;
}

bool
otlp_response(const void *p, size_t n, enum telemetry_signal s, enum telemetry_protocol as, int64_t *rejected, char message[160])
{
	const uint8_t *head = p;
	bool fine = true;

	*rejected = 0;
	message[0] = '\0';
	if (as == TELEMETRY_GRPC) {
		/* One message, not compressed. */
		if (n < GRPC_HEAD || head[0] != 0 ||
		    ((size_t)head[1] << 24 | (size_t)head[2] << 16 | (size_t)head[3] << 8 | head[4]) != n - GRPC_HEAD)
			return false;
		fine = read_protobuf(head + GRPC_HEAD, n - GRPC_HEAD, rejected, message);
	} else if (n > 0 && as == TELEMETRY_JSON) {
		fine = read_json(p, n, s, rejected, message);
	} else if (n > 0) {
		fine = read_protobuf(p, n, rejected, message);
	}
	if (*rejected < 0)
		*rejected = 0;
	return fine;
}
