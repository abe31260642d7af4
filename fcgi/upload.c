/*
 * The row of an upload says how much of the body may have come in all (nothing before the handler runs), or that it is wanted
 * whole; then it is collected here as any small body is, and the job goes on as if it had come so.  When the row is gone, the job
 * is over, and what still comes is read and forgotten: a web server that is still sending may not read our answer before.
 */
#include "fcgi/upload.h"

#include <stdlib.h>

#include "fcgi/request.h"
#include "fcgi/route.h"
#include "fcgi/waiter.h"
#include "fcgi/writer.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/store.h"
#include "lib/store_front.h"
#include "lib/store_upload.h"

#define PIECE_BYTES (256u * 1024u)
#define LOOK_MS     250 /* a bell that got lost costs no more */

struct upload {
	struct feed feed; /* first: it is what the feed's fn is given */
	struct call *call;
	struct job_id id;
	size_t cap, put;
	int64_t allowed, seq, looked_ms;
	bool over, ended, was_whole;
	struct buf piece;
	struct err err;
};

/* The caller's half ended badly, or the ledger fails: the job ends. */
static void
give_up(struct upload *u)
{
	struct err e = ERR_INIT;
	struct store *s = waiter_store(u->call->waiter, &e);

	u->feed.broken = true;
	if (s == NULL || store_begin(s, false, &e) != 0)
		goto bad;
	if (front_upload_fault(s, u->id.row, &u->err, &e) < 0 || front_cancel(s, &u->id, &e) != 0 || store_commit(s, &e) != 0) {
		store_rollback(s);
		goto bad;
	}
	writer_ring(u->call->door->writer);
	return;
bad:
	log_warn("cancel failed", "job=%s why=%s", u->call->job, log_q(e.text));
}

static void
look(struct upload *u, struct store *s)
{
	bool whole = false, has_body;
	int n = front_upload_look(s, u->id.row, &u->allowed, &whole, &u->err);

	u->looked_ms = clock_mono_ms();
	u->over = n == 0;
	if (n < 0) {
		give_up(u);
		return;
	}
	if (!whole)
		return;
	u->was_whole = u->ended = u->over = true;
	if (request_body(u->call->request, u->cap, &u->piece, &has_body, &u->err) != 0 ||
	    front_upload_body(s, u->id.row, u->piece.data, u->piece.len, &u->err) < 0)
		give_up(u);
	buf_clear(&u->piece);
	writer_ring(u->call->door->writer);
}

/* How much more of it may be read now. */
static size_t
room(const struct upload *u)
{
	size_t most = PIECE_BYTES - u->piece.len;
	int64_t may = u->allowed - (int64_t)(u->put + u->piece.len);

	return u->over || may > (int64_t)most ? most : may > 0 ? (size_t)may : 0;
}

static bool
may_put(const struct upload *u)
{
	return !u->ended && !u->feed.broken && (u->over || u->allowed > (int64_t)u->put);
}

static void
put(struct upload *u, struct store *s)
{
	int n;

	if (!u->over && (u->piece.len > 0 || u->ended)) {
		if ((n = front_piece(s, u->id.row, u->seq++, u->ended, u->piece.data, u->piece.len, &u->err)) < 0) {
			give_up(u);
			return;
		}
		u->over = n == 0;
		writer_ring(u->call->door->writer);
	}
	u->put += u->piece.len;
	buf_reset(&u->piece);
}

static void
on_feed(struct feed *f, bool rang)
{
	struct upload *u = (struct upload *)f;
	struct store *s = waiter_store(u->call->waiter, &u->err);
	int rc;

	if (u->ended || f->broken)
		return;
	if (s == NULL) {
		give_up(u);
		return;
	}
	if (!u->over && (rang || clock_mono_ms() - u->looked_ms >= LOOK_MS))
		look(u, s);
	while (may_put(u)) {
		rc = request_body_more(u->call->request, u->cap, u->put + u->piece.len, room(u), &u->piece, &u->err);
		u->ended = rc == 1 || (rc < 0 && u->over); /* then nobody wants to know */
		if (rc < 0 && !u->over)
			give_up(u);
		else if (u->piece.len > 0 || u->ended)
			put(u, s);
		else
			break;
	}
	f->hungry = may_put(u);
}

struct upload *
upload_new(struct call *c, const struct job_id *id, struct buf *first)
{
	struct upload *u = mem_alloc(sizeof *u);

	u->feed.fn = on_feed;
	u->call = c;
	u->id = *id;
	u->cap = (size_t)c->door->conf->limits.request;
	u->piece = *first;
	*first = (struct buf)BUF_INIT;
	request_feed(c->request, &u->feed);
	return u;
}

void
upload_free(struct upload *u)
{
	struct err e = ERR_INIT;
	struct store *s;

	if (u == NULL)
		return;
	request_feed(u->call->request, NULL);
	/* A fault stays until the scheduler has read it. */
	if (!u->over && !u->feed.broken && (s = waiter_store(u->call->waiter, &e)) != NULL && front_upload_drop(s, u->id.row, &e) != 0)
		log_warn("request body", "job=%s why=%s", u->call->job, log_q(e.text));
	buf_clear(&u->piece);
	free(u);
}

bool
upload_broken(const struct upload *u, struct err *e)
{
	if (u == NULL || !u->feed.broken)
		return false;
	*e = u->err;
	return true;
}

bool
upload_comes(const struct upload *u)
{
	return u != NULL && !u->ended && !u->feed.broken;
}

bool
upload_was_whole(struct upload *u)
{
	bool yes = u != NULL && u->was_whole;

	if (yes)
		u->was_whole = false;
	return yes;
}
