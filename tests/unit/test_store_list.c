/* Lists for whoever proves who it is. */
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/job.h"
#include "lib/mem.h"
#include "lib/store.h"
#include "lib/store_front.h"
#include "lib/store_list.h"
#include "lib/store_work.h"
#include "tests/t.h"

#define ALICE "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
#define BOB   "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb"

static struct job_id
enqueue(struct store *s, const char *author, const char *caller)
{
	struct front_job j = { .mode = JOB_SYNC, .author = author, .bundle = "hello", .version = "latest", .endpoint = "ep",
		.method = "GET", .url = "http://x/y", .path = "", .query = "", .headers_json = "[]", .client = "192.0.2.7",
		.timeout_ms = 1000, .created_at = 1700000000123, .created_mono = 1, .caller = caller };
	struct err e = ERR_INIT;

	job_nonce(j.id.nonce);
	CHECK_INT(front_enqueue(s, &j, &e), 0);
	return j.id;
}

static void
say(struct store *s, int64_t row, const char *level, const char *text)
{
	struct err e = ERR_INIT;

	CHECK_INT(work_log(s, row, 3, 1700000000000 + row, level, "console", text, strlen(text), &e), 0);
}

/* "text text ... >cursor" of what a list holds. */
static char *
texts(struct store *s, struct front_list l)
{
	struct buf json = BUF_INIT, out = BUF_INIT;
	struct err e = ERR_INIT;
	int64_t cursor = -1;
	const char *p;

	if (l.limit == 0)
		l.limit = 10;
	CHECK_INT(front_logs(s, &l, &json, &cursor, &e), 0);
	buf_str(&out, "");
	for (p = json.data; (p = strstr(p, "\"text\":\"")) != NULL;) {
		p += strlen("\"text\":\"");
		buf_add(&out, p, strcspn(p, "\""));
		buf_char(&out, ' ');
	}
	buf_fmt(&out, ">%lld", (long long)cursor);
	buf_clear(&json);
	return buf_take(&out);
}

static void
lists(struct store *s, struct front_list l, const char *want)
{
	char *got = texts(s, l);

	CHECK_STR(got, want);
	free(got);
}

TEST(jobs_are_listed_for_their_author_and_their_caller)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct buf b = BUF_INIT;
	int64_t cursor = -1;
	struct front_list l = { .limit = 1 };
	struct job_id id;
	char *want;

	enqueue(s, ALICE, NULL);
	enqueue(s, ALICE, BOB);
	id = enqueue(s, BOB, NULL);
	CHECK_INT(front_jobs_of(s, &l, &b, &cursor, &e), 0);
	want = mem_fmt("[{\"id\":\"3-%s\",\"mode\":\"sync\",\"state\":\"queued\",\"author\":\"" BOB "\",\"bundle\":\"hello\","
		       "\"version\":\"latest\",\"endpoint\":\"ep\",\"createdAt\":\"2023-11-14T22:13:20.123Z\"}]", id.nonce);
	CHECK_STR(b.data, want);
	CHECK_INT(cursor, 3);
	free(want);

	buf_reset(&b);
	l = (struct front_list){ .limit = 10, .who = BOB };
	CHECK_INT(front_jobs_of(s, &l, &b, &cursor, &e), 0);
	CHECK(strstr(b.data, "\"id\":\"3-") != NULL && strstr(b.data, "\"id\":\"2-") != NULL && strstr(b.data, "\"id\":\"1-") == NULL);
	CHECK_INT(cursor, 0);

	buf_reset(&b);
	l.before = 2;
	CHECK_INT(front_jobs_of(s, &l, &b, &cursor, &e), 0);
	CHECK_STR(b.data, "[]");
	buf_reset(&b);
	l = (struct front_list){ .limit = 10, .bundle = "other" };
	CHECK_INT(front_jobs_of(s, &l, &b, &cursor, &e), 0);
	CHECK_STR(b.data, "[]");
	buf_clear(&b);
}

TEST(lines_are_the_authors)
{
	struct store *s = t_store();
	struct job_id a = enqueue(s, ALICE, BOB), b = enqueue(s, BOB, NULL), wrong = a;

	say(s, a.row, "info", "a1");
	say(s, b.row, "error", "b1");
	say(s, a.row, "warn", "a2");
	lists(s, (struct front_list){ .who = NULL }, "a2 b1 a1 >0");
	lists(s, (struct front_list){ .who = ALICE }, "a2 a1 >0");
	lists(s, (struct front_list){ .who = BOB }, "b1 >0"); /* to call is not to have written */
	lists(s, (struct front_list){ .who = ALICE, .limit = 1 }, "a2 >3");
	lists(s, (struct front_list){ .who = ALICE, .limit = 1, .before = 3 }, "a1 >1");
	lists(s, (struct front_list){ .who = ALICE, .level = "warn" }, "a2 >0");
	lists(s, (struct front_list){ .who = ALICE, .bundle = "other" }, ">0");
	lists(s, (struct front_list){ .since = 1700000000002 }, "b1 >0");
	lists(s, (struct front_list){ .who = ALICE, .job = &a }, "a2 a1 >0");
	lists(s, (struct front_list){ .who = BOB, .job = &a }, ">0");
	wrong.nonce[0] = wrong.nonce[0] == 'f' ? 'e' : 'f';
	lists(s, (struct front_list){ .who = ALICE, .job = &wrong }, ">0");
}

TEST(one_question_looks_at_a_stretch_of_lines)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct job_id a = enqueue(s, ALICE, NULL), b = enqueue(s, BOB, NULL);
	int i;

	CHECK_INT(store_begin(s, false, &e), 0);
	say(s, a.row, "info", "early");
	for (i = 0; i < 20000; i++)
		say(s, b.row, "info", "x");
	CHECK_INT(store_commit(s, &e), 0);
	lists(s, (struct front_list){ .who = ALICE }, ">2");
	lists(s, (struct front_list){ .who = ALICE, .before = 2 }, "early >0");
	/* What is older than asked for needs no other question. */
	lists(s, (struct front_list){ .who = ALICE, .since = 1700000000003 }, ">0");
}
