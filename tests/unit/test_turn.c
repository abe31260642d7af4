/* What a turn writes: the ledger's side of many decisions at once. */
#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "lib/mem.h"
#include "lib/store.h"
#include "lib/store_front.h"
#include "scheduler/catalog.h"
#include "scheduler/turn.h"
#include "tests/t.h"

#define DID "did:plc:abcdefghijklmnopqrstuvwx"

static struct job *
enqueued(struct store *s, struct code *code, const char *author)
{
	struct err e = ERR_INIT;
	struct front_job f = { .mode = JOB_ASYNC, .author = author, .bundle = "hello", .version = "latest", .endpoint = "ep",
		.method = "GET", .url = "http://h/", .path = "", .query = "", .headers_json = "[]", .client = "::1", .timeout_ms = 1000,
		.created_at = 1700000000123 };
	struct work_job w = { 0 };
	struct job *j;

	job_nonce(f.id.nonce);
	CHECK_INT(front_enqueue(s, &f, &e), 0);
	CHECK_INT(work_job_load(s, f.id.row, &w, &e), 0);
	j = turn_job_new(&w);
	j->code = code_ref(code);
	j->timeout_ms = 500;
	return j;
}

static bool
is_admitted(struct store *s, const struct job *j)
{
	struct work_job w = { 0 };
	bool is;

	CHECK_INT(work_job_load(s, j->w.id.row, &w, NULL), 0);
	is = w.state == JOB_ADMITTED && strcmp(w.author, DID) == 0 && strcmp(w.cid, "cid") == 0 && w.timeout_ms == j->timeout_ms;
	work_job_clear(&w);
	return is;
}

TEST(neighbours_are_admitted_together_and_each_hears_its_own)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct code code = { .refs = 1, .cid = "cid", .did = DID };
	struct turn t = { 0 };
	struct job *j[12];
	size_t i;

	/* One is cancelled, one is nobody's business here, one has another budget, two say the author's name; then none is left. */
	for (i = 0; i < 12; i++)
		j[i] = enqueued(s, &code, i == 7 || i == 8 ? "alice.test" : DID);
	j[5]->timeout_ms = 400;
	CHECK_INT(front_cancel(s, &j[1]->w.id, &e), 0);
	for (i = 9; i < 12; i++)
		CHECK_INT(front_cancel(s, &j[i]->w.id, &e), 0);
	for (i = 0; i < 12; i++)
		if (i != 3)
			turn_admit(&t, j[i]);
	CHECK_INT(turn_write(&t, s, false, &e), 0);
	for (i = 0; i < 12; i++) {
		bool gone = i == 1 || i >= 9;

		CHECK_INT(j[i]->void_, gone);
		CHECK_INT(is_admitted(s, j[i]), !gone && i != 3);
	}
	/* A turn that is written again finds them as they are. */
	CHECK_INT(turn_write(&t, s, false, &e), 0);
	CHECK(j[0]->void_);
	for (i = 0; i < 12; i++)
		turn_job_free(j[i]);
	turn_clear(&t);
	CHECK_INT(code.refs, 1);
}
