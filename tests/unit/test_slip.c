#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/slip.h"
#include "lib/store_front.h"
#include "lib/store_work.h"
#include "tests/t.h"

/* Every field that the ledger keeps of a new job, each of its own. */
static struct front_job
sample(void)
{
	struct front_job j = { .mode = JOB_ASYNC, .author = "did:plc:a", .bundle = "b", .version = "1.0.0", .endpoint = "e",
		.method = "PUT", .url = "http://x/y", .path = "/p", .query = "q=1", .headers_json = "[[\"a\",\"b\"]]",
		.body = "bo\0dy", .body_bytes = 5, .caller = "did:plc:c", .client = "192.0.2.7", .bell = "f1-0",
		.callback = "https://hooks.example.com/x",
		.timeout_ms = 1234, .created_at = 5678, .token = "to.k.en",
		.created_mono = 91011, .upload = true, .upload_bytes = 1213, .upload_holds = true,
		.trace = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-0000000000000000-12" };

	job_nonce(j.id.nonce);
	return j;
}

static void
take(void *arg, struct work_job *w)
{
	*(struct work_job *)arg = *w;
}

TEST(a_slip_says_what_the_ledger_says)
{
	struct store *s = t_store();
	struct front_job j = sample();
	struct work_job read = { 0 }, told = { 0 };
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	const char *p;
	size_t n;

	CHECK_INT(front_enqueue(s, &j, &e), 0);
	CHECK_INT(work_queued(s, 0, 1, take, &read, &e), 1);
	CHECK(slip_print(&b, &j));
	CHECK_INT(slip_row(b.data, b.len), j.id.row);
	p = b.data;
	n = b.len;
	CHECK(slip_next(&p, &n, &told));
	CHECK_INT(n, 0);

	CHECK_INT(told.id.row, read.id.row);
	CHECK_STR(told.id.nonce, read.id.nonce);
	CHECK_INT(told.mode, read.mode);
	CHECK_INT(told.state, read.state);
	CHECK_STR(told.author, read.author);
	CHECK_STR(told.bundle, read.bundle);
	CHECK_STR(told.version, read.version);
	CHECK_STR(told.endpoint, read.endpoint);
	CHECK_STR(told.method, read.method);
	CHECK_STR(told.caller, read.caller);
	CHECK_STR(told.callback, read.callback);
	CHECK_STR(told.callback, "https://hooks.example.com/x");
	CHECK_STR(told.client, read.client);
	CHECK_STR(told.bell, read.bell);
	CHECK_STR(told.token, read.token);
	CHECK(told.did == NULL && read.did == NULL && told.cid == NULL && read.cid == NULL);
	CHECK_INT(told.timeout_ms, read.timeout_ms);
	CHECK_INT(told.created_at, read.created_at);
	CHECK_INT(told.created_mono, read.created_mono);
	CHECK_INT(told.attempt, read.attempt);
	CHECK_INT(told.lease, read.lease);
	CHECK(told.idempotent == read.idempotent && told.cancel == read.cancel);
	CHECK(told.upload && read.upload && told.upload_holds && read.upload_holds);
	CHECK(told.upload_bytes == 1213 && read.upload_bytes == 1213);
	CHECK_STR(told.url, read.url);
	CHECK_STR(told.path, read.path);
	CHECK_STR(told.query, read.query);
	CHECK_STR(told.headers_json, read.headers_json);
	CHECK(read.trace != NULL && strcmp(read.trace, j.trace) == 0);
	CHECK_STR(told.trace, read.trace);
	CHECK(told.body_bytes == read.body_bytes && memcmp(told.body, read.body, read.body_bytes) == 0);
	work_job_clear(&told);
	work_job_clear(&read);
	buf_clear(&b);
}

TEST(slips_share_a_bell_and_keep_what_is_not_there)
{
	struct front_job j = sample();
	struct work_job w;
	struct buf b = BUF_INIT;
	const char *p;
	size_t n;
	int i;

	j.caller = j.bell = j.token = NULL;
	j.body = NULL;
	j.body_bytes = 0;
	for (i = 1; i <= 3; i++) {
		j.id.row = i;
		CHECK(slip_print(&b, &j));
	}
	p = b.data;
	n = b.len;
	for (i = 1; slip_next(&p, &n, &w); i++) {
		CHECK_INT(w.id.row, i);
		CHECK(w.caller == NULL && w.bell == NULL && w.body == NULL && w.body_bytes == 0);
		work_job_clear(&w);
	}
	CHECK_INT(i, 4);
	CHECK_INT(n, 0);
	buf_clear(&b);
}

TEST(a_token_that_is_said_ahead_is_no_slip)
{
	struct buf b = BUF_INIT;
	const char *token;
	size_t n = 0, i, soon;
	bool said;

	for (soon = 0; soon < 2; soon++) {
		buf_reset(&b);
		slip_ahead_print(&b, "to.k.en", soon == 1);
		token = slip_ahead(b.data, b.len, &n, &said);
		CHECK(token != NULL && n == 7 && memcmp(token, "to.k.en", n) == 0);
		CHECK_INT(said, soon);
		CHECK_INT(slip_row(b.data, b.len), 0);
		CHECK(!slip_soon(b.data, b.len));
		for (i = 0; i <= sizeof(uint32_t) + soon; i++)
			CHECK(slip_ahead(b.data, i, &n, &said) == NULL);
		b.data[0] ^= 1;
		CHECK(slip_ahead(b.data, b.len, &n, &said) == NULL);
	}
	buf_clear(&b);
}

TEST(a_long_request_stays_in_the_ledger)
{
	struct front_job j = sample();
	struct buf b = BUF_INIT;
	char *big = mem_alloc(SLIP_MAX);

	j.id.row = 1;
	j.body = big;
	j.body_bytes = SLIP_MAX;
	CHECK(!slip_print(&b, &j));
	CHECK_INT(b.len, 0);
	free(big);
	buf_clear(&b);
}

TEST(slips_that_were_cut_or_changed_are_none)
{
	struct front_job j = sample();
	struct work_job w;
	struct buf b = BUF_INIT;
	size_t i, n;

	j.id.row = 1;
	slip_print(&b, &j);
	for (i = 0; i < b.len; i++)
		CHECK_INT(slip_row(b.data, i), 0);
	CHECK_INT(slip_row("!", 1), 0);
	/* Lengths that lie, one byte after the other: refused or harmless (the sanitizers watch). */
	for (i = 0; i < 64; i++) {
		const char *p = b.data;
		char old = b.data[i];

		b.data[i] = (char)0xff;
		n = b.len;
		if (slip_next(&p, &n, &w))
			work_job_clear(&w);
		b.data[i] = old;
	}
	buf_clear(&b);
}

TEST(a_word_of_one_byte_is_its_own_and_no_other)
{
	CHECK(slip_soon(SLIP_SOON, 1));
	CHECK(slip_question(SLIP_QUESTION, 1));
	CHECK(!slip_soon(SLIP_QUESTION, 1) && !slip_question(SLIP_SOON, 1));
	CHECK(!slip_soon("!", 1)); /* a bare ring */
	CHECK(!slip_soon(SLIP_SOON SLIP_SOON, 2) && !slip_soon("", 0));
	CHECK_INT(slip_row(SLIP_SOON, 1), 0);
}
