/* Tokens in the ledger: where one stands that was used, so that the next scheduler knows it. */
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/job.h"
#include "lib/mem.h"
#include "lib/store.h"
#include "lib/store_front.h"
#include "lib/store_token.h"
#include "lib/store_work.h"
#include "tests/t.h"

static int64_t
enqueue(struct store *s, const char *caller, const char *token)
{
	struct front_job j = { .mode = JOB_SYNC, .author = "did:plc:a", .bundle = "b", .version = "latest", .endpoint = "e",
		.method = "GET", .url = "http://x/y", .path = "", .query = "", .headers_json = "[]", .client = "192.0.2.7",
		.timeout_ms = 1000, .created_at = 1, .created_mono = 1, .caller = caller, .token = token };
	struct err e = ERR_INIT;

	job_nonce(j.id.nonce);
	CHECK_INT(front_enqueue(s, &j, &e), 0);
	return j.id.row;
}

static void
drop(struct store *s, int64_t row)
{
	struct work_end end = { .outcome = OUTCOME_REFUSED, .error_kind = "denied" };
	struct err e = ERR_INIT;

	CHECK_INT(work_drop(s, row, &end, 2, &e), 1);
}

static void
list_taken(void *arg, int64_t row, const char *token)
{
	buf_fmt(arg, "%lld=%s ", (long long)row, token);
}

static void
list_spent(void *arg, int64_t row, const char *issuer, const char *nonce, int64_t until_at)
{
	buf_fmt(arg, "%lld %s %s %lld;", (long long)row, issuer, nonce, (long long)until_at);
}

TEST(a_token_comes_with_its_job)
{
	struct store *s = t_store();
	struct work_job w = { 0 };
	struct err e = ERR_INIT;
	int64_t row = enqueue(s, "did:plc:c", "a.b.c");

	CHECK_INT(work_job_load(s, row, &w, &e), 0);
	CHECK_STR(w.token, "a.b.c");
	work_job_clear(&w);
	CHECK_INT(front_token_same(s, row, "a.b.c", &e), 1);
	CHECK_INT(front_token_same(s, row, "a.b.d", &e), 0);
	CHECK_INT(front_token_same(s, row + 1, "a.b.c", &e), 0);
}

TEST(tokens_of_later_jobs_are_read_from_their_requests)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct buf b = BUF_INIT;
	int64_t first = enqueue(s, "did:plc:c", "t1"), forged = enqueue(s, "did:plc:c", "t2");

	enqueue(s, NULL, NULL);
	enqueue(s, "did:plc:c", "t4"); /* is queued still */
	drop(s, first);
	CHECK_INT(work_token_nobody(s, forged, &e), 0);
	drop(s, forged);
	CHECK_INT(work_spent_after(s, 0, list_taken, &b, &e), 0);
	CHECK_STR(b.data, "1=t1 ");
	buf_reset(&b);
	CHECK_INT(work_spent_after(s, first, list_taken, &b, &e), 0);
	CHECK_INT(b.len, 0);
	buf_clear(&b);
}

TEST(used_tokens_stand_until_they_could_be_used_no_more)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct buf b = BUF_INIT;
	int64_t to = -1;
	int i, gone = 0;

	CHECK_INT(work_spent_to(s, &to, &e), 0);
	CHECK_INT(to, 0);
	CHECK_INT(store_begin(s, false, &e), 0);
	CHECK_INT(work_spent_put(s, 7, "did:plc:c", "n1", 1000, &e), 0);
	CHECK_INT(work_spent_put(s, 8, "did:plc:d", "n2", 9000, &e), 0);
	CHECK_INT(work_spent_put(s, 9, "did:plc:d", "n3", 1000, &e), 0);
	CHECK_INT(work_spent_mark(s, 9, &e), 0);
	CHECK_INT(store_commit(s, &e), 0);
	CHECK_INT(work_spent_to(s, &to, &e), 0);
	CHECK_INT(to, 9);
	for (i = 0; i < 6; i++)
		gone += work_spent_prune(s, 5000, 1, &e);
	CHECK_INT(gone, 2);
	CHECK_INT(work_spent(s, 0, list_spent, &b, &e), 0);
	CHECK_STR(b.data, "8 did:plc:d n2 9000;");
	buf_reset(&b);
	CHECK_INT(work_spent(s, 9000, list_spent, &b, &e), 0);
	CHECK_INT(b.len, 0);
	buf_clear(&b);
}

static void
list_proofs(void *arg, int64_t id, const char *token, const char *caller, const char *bell)
{
	buf_fmt(arg, "%lld %s %s %s;", (long long)id, token, caller, bell);
}

TEST(a_question_is_answered_in_its_row)
{
	struct store *s = t_store();
	struct err e = ERR_INIT, no = ERR_INIT;
	struct buf b = BUF_INIT;
	int64_t one, two, three;

	CHECK_INT(front_proof_ask(s, "t1", "did:plc:c", "f1-1", 1000, 2, &one, &e), 0);
	CHECK_INT(front_proof_ask(s, "t2", "did:plc:d", "f1-2", 1000, 2, &two, &e), 0);
	CHECK_INT(front_proof_ask(s, "t3", "did:plc:d", "f1-2", 1000, 2, &three, &e), -1);
	CHECK_INT(e.kind, ERR_BUSY);
	CHECK_INT(work_proofs(s, 10, list_proofs, &b, &e), 0);
	CHECK_STR(b.data, "1 t1 did:plc:c f1-1;2 t2 did:plc:d f1-2;");
	CHECK_INT(front_proof_look(s, one, "t1", &e), 0);
	/* The number may have been another question's. */
	CHECK_INT(work_proof_done(s, one, "t2", NULL, 1001, &e), 0);
	CHECK_INT(front_proof_look(s, one, "t1", &e), 0);
	CHECK_INT(work_proof_done(s, one, "t1", NULL, 1001, &e), 0);
	CHECK_INT(front_proof_look(s, one, "t1", &e), 1);
	err_named(&no, ERR_DENIED, "JwtReplayed", "used before");
	CHECK_INT(work_proof_done(s, two, "t2", &no, 1001, &e), 0);
	e = (struct err)ERR_INIT;
	CHECK_INT(front_proof_look(s, two, "t2", &e), -1);
	CHECK_INT(e.kind, ERR_DENIED);
	CHECK_STR(e.name, "JwtReplayed");
	CHECK_STR(e.text, "used before");
	CHECK_INT(front_proof_drop(s, one, "t1", &e), 0);
	CHECK_INT(front_proof_look(s, one, "t1", &e), -1);
	/* Those that are answered count no more. */
	CHECK_INT(front_proof_ask(s, "t3", "did:plc:d", "f1-2", 1000, 2, &three, &e), 0);
	CHECK_INT(work_proof_prune(s, 1000 + 59000, &e), 0);
	CHECK_INT(front_proof_look(s, three, "t3", &e), 0);
	CHECK_INT(work_proof_prune(s, 1000 + 61000, &e), 0);
	CHECK_INT(front_proof_look(s, three, "t3", &e), -1);
	buf_clear(&b);
}

TEST(whose_a_call_was)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct job_id id = { .row = enqueue(s, "did:plc:c", "t") };
	struct work_job w = { 0 };
	char *caller = NULL;

	CHECK_INT(work_job_load(s, id.row, &w, &e), 0);
	id = w.id;
	work_job_clear(&w);
	CHECK_INT(front_job_caller(s, &id, &caller, &e), 0);
	CHECK_STR(caller, "did:plc:c");
	free(caller);
	id.nonce[0] = id.nonce[0] == 'a' ? 'b' : 'a';
	CHECK_INT(front_job_caller(s, &id, &caller, &e), -1);
	CHECK_INT(e.kind, ERR_NOTFOUND);
}
