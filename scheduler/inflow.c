#include "scheduler/inflow.h"

#include "lib/buf.h"
#include "lib/bundle.h"
#include "lib/frame.h"
#include "lib/log.h"
#include "lib/store.h"
#include "lib/store_upload.h"
#include "scheduler/catalog.h"
#include "scheduler/collect.h"
#include "scheduler/events.h"
#include "scheduler/instance.h"
#include "scheduler/receipts.h"
#include "scheduler/settle.h"
#include "scheduler/shop.h"

/* What is not written now is tried again when somebody rings, once a second at the latest. */
static void
failed(const struct job *j, const struct err *e)
{
	log_warn("request body", "job=%lld why=%s", (long long)j->w.id.row, log_q(e->text));
}

/* The door has held limits.request; a bundle may want less. */
static bool
is_too_large(const struct job *j, struct err *e)
{
	int64_t own = j->code->bundle->limits.request_bytes;
	char limit[96];

	if (own == 0 || j->up_taken <= own)
		return false;
	collect_limit_bytes("the bundle's limits.requestBytes", own, limit, sizeof limit);
	err_named(e, ERR_INPUT, "PayloadTooLarge", "the request body is larger than %s", limit);
	return true;
}

/* Pieces, and the word that others may follow, in one transaction.  As work_pieces. */
static int
take_pieces(struct job *j, size_t room, struct buf *b, bool *last, struct err *e)
{
	int64_t seq = j->up_seq;
	int n;

	if (store_begin(shop.s.store, false, e) != 0)
		return -1;
	n = work_pieces(shop.s.store, j->w.id.row, room, &seq, b, last, e);
	if (n == 1 && !*last && work_upload_allow(shop.s.store, j->w.id.row, j->up_taken + (int64_t)b->len + FRAME_WINDOW, e) != 0)
		n = -1;
	if (n != 1 || store_commit(shop.s.store, e) != 0) {
		store_rollback(shop.s.store);
		return n == 0 ? 0 : -1;
	}
	j->up_seq = seq;
	shop.wrote = true;
	return 1;
}

static void
ended(struct job *j)
{
	j->up_ended = true;
	shop.uploads--;
}

static void
allow(struct job *j)
{
	struct err e = ERR_INIT;

	if (work_upload_allow(shop.s.store, j->w.id.row, FRAME_WINDOW, &e) != 0) {
		failed(j, &e);
		return;
	}
	j->up_told = true;
	settle_tell(j);
}

static void
take(struct job *j)
{
	static struct buf b; /* kept from piece to piece */
	struct err e = ERR_INIT;
	bool last = false;
	size_t room;
	int n;

	if (!j->w.upload)
		return;
	if (!j->up_told)
		allow(j);
	if (j->up_ended || j->outcome != OUTCOME_NONE || j->instance == NULL ||
	    (room = instance_room(j->instance, j)) == 0)
		return;
	buf_reset(&b);
	if ((n = take_pieces(j, room, &b, &last, &e)) < 0)
		failed(j, &e);
	if (n != 1)
		return;
	j->up_taken += (int64_t)b.len;
	if (is_too_large(j, &e)) {
		events_stop(j, OUTCOME_CANCELLED, &e, EVENTS_GRACE_MS);
		return;
	}
	receipts_request(j, b.data, b.len, last);
	instance_data(j->instance, j, b.data, b.len, last);
	if (last)
		ended(j);
	else
		settle_tell(j);
}

void
inflow_begin(struct job *j)
{
	if (!j->w.upload)
		return;
	shop.uploads++;
	allow(j);
}

void
inflow_more(struct job *j)
{
	take(j);
}

void
inflow_look(void)
{
	size_t i;

	if (!shop.knocked)
		return;
	shop.knocked = false;
	for (i = 0; i < shop.running.n && shop.uploads > 0; i++)
		take(shop.running.item[i]);
}

void
inflow_end(struct job *j)
{
	struct err e = ERR_INIT;

	if (!j->w.upload)
		return;
	if (j->started && !j->up_ended)
		ended(j);
	if (work_upload_drop(shop.s.store, j->w.id.row, &e) != 0)
		failed(j, &e);
}

bool
inflow_fault(const struct job *j, struct err *why)
{
	struct err e = ERR_INIT;
	int n = j->w.upload ? work_upload_fault(shop.s.store, j->w.id.row, why, &e) : 0;

	if (n < 0)
		failed(j, &e);
	return n == 1;
}

void
inflow_whole(struct job *j)
{
	struct err e = ERR_INIT;

	if (work_upload_whole(shop.s.store, j->w.id.row, &e) != 0)
		failed(j, &e);
	settle_tell(j);
}
