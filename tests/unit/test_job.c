#include <string.h>

#include "lib/job.h"
#include "tests/t.h"

#define NONCE "0123456789abcdef0123456789abcdef"

TEST(job_words_read_back)
{
	int i;

	for (i = 0; i < JOB_STATE_COUNT; i++)
		CHECK_INT(job_state_parse(job_state_name((enum job_state)i)), i);
	for (i = 0; i < OUTCOME_COUNT; i++)
		CHECK_INT(job_outcome_parse(job_outcome_name((enum job_outcome)i)), i);
	for (i = 0; i < START_COUNT; i++)
		CHECK_INT(job_start_parse(job_start_name((enum job_start)i)), i);
	CHECK(job_outcome_name(OUTCOME_NONE) == NULL);
	CHECK_INT(job_outcome_parse("OK"), -1);
	CHECK_INT(job_state_parse(""), -1);
	CHECK_INT(job_state_parse(NULL), -1);
	CHECK_INT(job_start_parse("hot"), -1);
}

TEST(job_done_is_the_end)
{
	int i;

	for (i = 0; i < JOB_STATE_COUNT; i++) {
		CHECK(!job_may_follow(JOB_DONE, (enum job_state)i));
		CHECK(!job_may_follow((enum job_state)i, (enum job_state)i));
	}
	CHECK(!job_may_follow(JOB_QUEUED, JOB_RUNNING));
}

TEST(job_nonces_differ_and_are_hex)
{
	char a[JOB_NONCE_LEN + 1], b[JOB_NONCE_LEN + 1];

	job_nonce(a);
	job_nonce(b);
	CHECK(strcmp(a, b) != 0);
	CHECK_INT(strspn(a, "0123456789abcdef"), JOB_NONCE_LEN);
	CHECK_INT(strlen(a), JOB_NONCE_LEN);
}

TEST(job_id_reads_back)
{
	struct job_id a = { INT64_MAX, NONCE }, b;
	char text[JOB_ID_LEN + 1];

	job_id_print(&a, text);
	CHECK_STR(text, "9223372036854775807-" NONCE);
	CHECK(job_id_parse(text, &b));
	CHECK(b.row == a.row);
	CHECK_STR(b.nonce, a.nonce);
}

TEST(job_id_is_strict)
{
	static const char *const bad[] = { "", "-", "-" NONCE, "0-" NONCE, "01-" NONCE, "+1-" NONCE, "-1-" NONCE, " 1-" NONCE,
		"1" NONCE, "1-" NONCE "0", "1-0123456789abcdef0123456789abcde", "1-0123456789ABCDEF0123456789abcdef",
		"1-g123456789abcdef0123456789abcdef", "9223372036854775808-" NONCE, "99999999999999999999-" NONCE,
		"1--" NONCE, "1-" NONCE " ", "1x-" NONCE };
	const char *const *s;
	struct job_id id;

	for (T_EACH(s, bad)) {
		if (job_id_parse(*s, &id))
			t_note("read as an id: %s", *s);
		CHECK(!job_id_parse(*s, &id));
	}
	CHECK(job_id_parse("1-" NONCE, &id));
}
