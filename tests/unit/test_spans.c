#include "tests/t.h"

#include <string.h>

#include "lib/buf.h"
#include "lib/mem.h"
#include "scheduler/spans.h"
#include "scheduler/turn.h"

#define OLD "[\"traceparent\",\"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\"]"
#define ROW "4bf92f3577b34da6a3ce929d0e0e4736-b7ad6b7169203331-01-00f067aa0ba902b7+5"

/* What the handler is told in place of these headers: ours, and then `rest`. */
static void
told(const char *json, const char *rest)
{
	struct work_job w = { .trace = mem_str(ROW), .bundle = mem_str("b"), .endpoint = mem_str("e"), .created_at = 1000 };
	struct job *j = turn_job_new(&w);
	struct buf b = BUF_INIT;

	spans_seen(j);
	spans_headers(j, json, &b);
	CHECK(strncmp(b.data, "[[\"traceparent\",\"00-4bf92f3577b34da6a3ce929d0e0e4736-", 53) == 0);
	CHECK(strncmp(b.data + 53, "00f067aa0ba902b7", 16) != 0);
	CHECK(strncmp(b.data + 69, "-01\"]", 5) == 0);
	CHECK_STR(b.data + 74, rest);
	buf_clear(&b);
	turn_job_free(j);
}

TEST(the_handler_is_told_of_its_own_span_and_no_other)
{
	told("[]", "]");
	told("[" OLD "]", "]");
	told("[[\"a\",\"b\"]]", ",[\"a\",\"b\"]]");
	told("[" OLD ",[\"a\",\"b\"]]", ",[\"a\",\"b\"]]");
	told("[[\"a\",\"b\"]," OLD "]", ",[\"a\",\"b\"]]");
	told("[[\"a\",\"b\"]," OLD ",[\"c\",\"d\"]]", ",[\"a\",\"b\"],[\"c\",\"d\"]]");
	/* A later version may say more, also what has to be escaped; and a value may look like the header. */
	told("[[\"traceparent\",\"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-\\\"]\"],[\"c\",\"d\"]]", ",[\"c\",\"d\"]]");
	told("[[\"a\",\"[\\\"traceparent\\\",\\\"x\\\"]\"]]", ",[\"a\",\"[\\\"traceparent\\\",\\\"x\\\"]\"]]");
}

TEST(without_spans_headers_stay_as_they_are)
{
	struct work_job w = { .created_at = 1000 };
	struct job *j = turn_job_new(&w);
	struct buf b = BUF_INIT;

	spans_headers(j, "[" OLD "]", &b);
	CHECK_STR(b.data, "[" OLD "]");
	buf_clear(&b);
	turn_job_free(j);
}
