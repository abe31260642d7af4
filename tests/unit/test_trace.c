#include "tests/t.h"

#include <string.h>

#include "lib/trace.h"

#define ID   "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"

TEST(traceparent_is_taken_as_the_recommendation_says)
{
	static const struct { const char *text; bool ok; unsigned flags; } cases[] = {
		{ "00-" ID "-" SPAN "-01", true, 1 },
		{ "00-" ID "-" SPAN "-00", true, 0 },
		{ "00-" ID "-" SPAN "-ff", true, 255 },
		{ "cc-" ID "-" SPAN "-01", true, 1 },
		{ "cc-" ID "-" SPAN "-01-what-comes-later", true, 1 },
		{ "cc-" ID "-" SPAN "-01.what", false, 0 },
		{ "00-" ID "-" SPAN "-01-more", false, 0 },
		{ "ff-" ID "-" SPAN "-01", false, 0 },
		{ "00-" ID "-" SPAN "-0", false, 0 },
		{ "00-" ID "-" SPAN "-0g", false, 0 },
		{ "cc-" ID "-" SPAN "-0g-x", false, 0 },
		{ "00-" ID "-" SPAN, false, 0 },
		{ "00-" ID "-" SPAN "-01, 00-" ID "-" SPAN "-01", false, 0 },
		{ "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01", false, 0 },
		{ "00-00000000000000000000000000000000-" SPAN "-01", false, 0 },
		{ "00-" ID "-0000000000000000-01", false, 0 },
		{ "0-" ID "-" SPAN "-01xx", false, 0 },
		{ "00_" ID "-" SPAN "-01", false, 0 },
		{ "", false, 0 },
		{ "-", false, 0 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct trace t;

		CHECK(trace_parse(cases[i].text, &t) == cases[i].ok);
		if (cases[i].ok)
			CHECK(t.flags == cases[i].flags && !trace_none(t.id, sizeof t.id) && t.id[0] == 0x4b && t.parent[7] == 0xb7);
	}
}

TEST(a_trace_goes_on_below_its_sender)
{
	char header[TRACE_HEADER_TEXT + 1], row[TRACE_ROW_TEXT];
	struct trace sent, t, again;

	CHECK(trace_parse("00-" ID "-" SPAN "-01", &sent));
	trace_begin(&t, &sent, 1, 1795455470277123);
	CHECK(memcmp(t.id, sent.id, sizeof t.id) == 0);
	CHECK(memcmp(t.parent, sent.parent, sizeof t.parent) == 0);
	CHECK(!trace_none(t.span, sizeof t.span) && memcmp(t.span, t.parent, sizeof t.span) != 0);
	trace_header(&t, sent.parent, header);
	CHECK_STR(header, "00-" ID "-" SPAN "-01");
	trace_row(&t, 1795455470278000, row);
	CHECK(strncmp(row, ID "-", 33) == 0);
	CHECK(trace_row_parse(row, 1795455470278000, &again));
	CHECK(memcmp(&again, &t, sizeof t) == 0);
}

TEST(a_row_that_says_no_trace_is_none)
{
	struct trace t;

	CHECK(!trace_row_parse("", 0, &t));
	CHECK(!trace_row_parse(ID, 0, &t));
	CHECK(!trace_row_parse(ID "-" SPAN, 0, &t));
	CHECK(!trace_row_parse(ID "-" SPAN "-01-", 0, &t));
	CHECK(!trace_row_parse(ID "-" SPAN "-01-" SPAN "-", 0, &t));
	CHECK(!trace_row_parse(ID "-" SPAN "-01-" SPAN "+", 0, &t));
	CHECK(!trace_row_parse(ID "-" SPAN "-01+12x", 0, &t));
	CHECK(!trace_row_parse(ID "-0000000000000000-01+12", 0, &t));
	CHECK(trace_row_parse(ID "-" SPAN "-01", 100, &t) && t.start_us == 0 && trace_none(t.parent, sizeof t.parent));
	CHECK(trace_row_parse(ID "-" SPAN "-01+12", 100, &t) && t.start_us == 88);
	CHECK(trace_row_parse(ID "-" SPAN "-00-" SPAN "+0", 100, &t) && t.start_us == 100 && t.parent[7] == 0xb7 && t.flags == 0);
}

TEST(spans_below_one_are_the_same_each_time_and_never_two_the_same)
{
	uint8_t span[8], a[8], b[8], other[8];

	trace_random(span, sizeof span);
	trace_child(span, 1, a);
	trace_child(span, 1, b);
	CHECK(memcmp(a, b, sizeof a) == 0);
	for (unsigned n = 2; n < 100; n++) {
		trace_child(span, n, other);
		CHECK(memcmp(a, other, sizeof a) != 0);
	}
	trace_random(a, sizeof a);
	trace_random(b, sizeof b);
	CHECK(memcmp(a, b, sizeof a) != 0);
}
