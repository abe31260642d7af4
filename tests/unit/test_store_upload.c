/* Request bodies that come in pieces, from both sides of the ledger. */
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/store.h"
#include "lib/store_front.h"
#include "lib/store_upload.h"
#include "lib/store_work.h"
#include "tests/t.h"

static struct job_id
enqueue(struct store *s, int64_t bytes)
{
	struct front_job j = { .mode = JOB_SYNC, .author = "did:plc:a", .bundle = "b", .version = "v", .endpoint = "e", .method = "POST",
		.url = "u", .path = "", .query = "", .headers_json = "[]", .client = "192.0.2.1", .timeout_ms = 1000, .created_at = 1,
		.upload = true, .upload_bytes = bytes, .upload_holds = bytes < 0 };
	struct err e = ERR_INIT;

	job_nonce(j.id.nonce);
	CHECK_INT(front_enqueue(s, &j, &e), 0);
	return j.id;
}

TEST(a_job_knows_that_its_body_is_to_come)
{
	struct store *s = t_store();
	struct work_job w;
	struct err e = ERR_INIT;
	struct job_id known = enqueue(s, 5000000), unknown = enqueue(s, -1);

	CHECK_INT(work_job_load(s, known.row, &w, &e), 0);
	CHECK(w.upload && !w.upload_holds && w.upload_bytes == 5000000 && w.body == NULL);
	work_job_clear(&w);
	CHECK_INT(work_job_load(s, unknown.row, &w, &e), 0);
	CHECK(w.upload && w.upload_holds && w.upload_bytes == -1);
	work_job_clear(&w);
}

TEST(pieces_are_taken_in_order_and_go)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct job_id id = enqueue(s, -1);
	struct buf b = BUF_INIT;
	int64_t allowed = 9, seq = 0;
	bool whole = true, last = false;

	CHECK_INT(front_upload_look(s, id.row, &allowed, &whole, &e), 1);
	CHECK(allowed == 0 && !whole);
	CHECK_INT(work_upload_allow(s, id.row, 100, &e), 0);
	CHECK_INT(front_upload_look(s, id.row, &allowed, &whole, &e), 1);
	CHECK_INT(allowed, 100);
	CHECK_INT(work_pieces(s, id.row, 100, &seq, &b, &last, &e), 0);
	CHECK_INT(front_piece(s, id.row, 0, false, "0123456789", 10, &e), 1);
	CHECK_INT(front_piece(s, id.row, 1, false, "abcdefghij", 10, &e), 1);
	CHECK_INT(front_piece(s, id.row, 2, true, NULL, 0, &e), 1);
	/* A piece is taken whole or not at all. */
	CHECK_INT(work_pieces(s, id.row, 9, &seq, &b, &last, &e), 0);
	CHECK_INT(work_pieces(s, id.row, 19, &seq, &b, &last, &e), 1);
	CHECK(seq == 1 && !last && b.len == 10 && memcmp(b.data, "0123456789", 10) == 0);
	CHECK_INT(work_pieces(s, id.row, 100, &seq, &b, &last, &e), 1);
	CHECK(seq == 3 && last && b.len == 20 && memcmp(b.data + 10, "abcdefghij", 10) == 0);
	CHECK_INT(work_pieces(s, id.row, 100, &seq, &b, &last, &e), 0);
	CHECK_INT(work_upload_drop(s, id.row, &e), 0);
	CHECK_INT(front_upload_look(s, id.row, &allowed, &whole, &e), 0);
	/* Who has not heard of it yet puts nothing any more. */
	CHECK_INT(front_piece(s, id.row, 3, false, "x", 1, &e), 0);
	buf_clear(&b);
}

TEST(a_body_that_is_wanted_whole_makes_a_job_like_any_other)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	struct job_id id = enqueue(s, 3);
	struct work_job w;
	int64_t allowed;
	bool whole = false;

	CHECK_INT(work_upload_whole(s, id.row, &e), 0);
	CHECK_INT(front_upload_look(s, id.row, &allowed, &whole, &e), 1);
	CHECK(whole && allowed == 0);
	CHECK_INT(front_upload_body(s, id.row, "a\0b", 3, &e), 1);
	CHECK_INT(work_job_load(s, id.row, &w, &e), 0);
	CHECK(!w.upload && w.body_bytes == 3 && memcmp(w.body, "a\0b", 3) == 0);
	work_job_clear(&w);
	CHECK_INT(front_upload_body(s, id.row, "again", 5, &e), 0);
}

TEST(a_fault_is_told_and_what_a_dead_run_left_goes)
{
	struct store *s = t_store();
	struct err e = ERR_INIT, why = ERR_INIT, told = ERR_INIT;
	struct job_id open = enqueue(s, -1), over = enqueue(s, -1);
	struct work_end end = { .outcome = OUTCOME_LOST };
	int64_t allowed, seq = 0, n, again;
	bool whole, last;
	struct buf b = BUF_INIT;

	CHECK_INT(work_upload_fault(s, over.row, &told, &e), 0);
	err_named(&why, ERR_INPUT, "PayloadTooLarge", "too large");
	CHECK_INT(front_upload_fault(s, over.row, &why, &e), 1);
	CHECK_INT(work_upload_fault(s, over.row, &told, &e), 1);
	CHECK_STR(err_name(&told), "PayloadTooLarge");
	CHECK_STR(told.text, "too large");
	CHECK_INT(front_piece(s, open.row, 0, false, "x", 1, &e), 1);
	CHECK_INT(front_piece(s, over.row, 0, false, "x", 1, &e), 1);
	CHECK_INT(work_drop(s, over.row, &end, 2, &e), 1);
	CHECK_INT(work_recover(s, 1, 3, &n, &again, &e), 0);
	CHECK_INT(front_upload_look(s, over.row, &allowed, &whole, &e), 0);
	CHECK_INT(work_pieces(s, over.row, 9, &seq, &b, &last, &e), 0);
	CHECK_INT(front_upload_look(s, open.row, &allowed, &whole, &e), 1);
	CHECK_INT(work_pieces(s, open.row, 9, &seq, &b, &last, &e), 1);
	CHECK_INT(front_upload_drop(s, open.row, &e), 0);
	CHECK_INT(front_upload_look(s, open.row, &allowed, &whole, &e), 0);
	buf_clear(&b);
}
