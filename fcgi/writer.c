/*
 * Nothing here waits for the disk.  The commit is not durable by itself (synchronous=NORMAL), neither for calls that
 * somebody waits for, whose connection a power cut takes anyway, nor for asynchronous ones: their 202 goes out only after
 * admission, which the scheduler commits with durable=true.  That syncs the whole write-ahead log, and this row stands in
 * it before the row's admission.
 */
#include "fcgi/writer.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/bell.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/mem.h"
#include "lib/slip.h"
#include "lib/store.h"

/* More rows than this in one transaction would keep the scheduler's own commits waiting. */
#define BATCH_MAX 64

struct writer {
	const struct conf *conf;
	int ringer;
	pthread_mutex_t lock; /* of the queue */
	struct ticket *head, **tail;
	pthread_mutex_t seat; /* of what follows */
	struct bell_line line; /* to the scheduler */
	struct store *store;  /* opened by the first who sits down */
	struct buf slips;
};

struct writer *
writer_new(const struct conf *c)
{
	struct writer *w = mem_alloc(sizeof *w);

	w->conf = c;
	pthread_mutex_init(&w->lock, NULL);
	pthread_mutex_init(&w->seat, NULL);
	w->tail = &w->head;
	w->ringer = bell_ringer();
	return w;
}

void
writer_free(struct writer *w)
{
	if (w == NULL)
		return;
	store_close(w->store);
	buf_clear(&w->slips);
	bell_line_close(&w->line);
	if (w->ringer >= 0)
		close(w->ringer);
	pthread_mutex_destroy(&w->lock);
	pthread_mutex_destroy(&w->seat);
	free(w);
}

/* By whoever has the seat. */
static void
tell_scheduler(struct writer *w, const void *p, size_t n)
{
	(void)bell_line_tell(&w->line, w->conf->run_dir, BELL_SCHEDULER, p, n);
}

void
writer_ring(struct writer *w)
{
	bell_ring(w->ringer, w->conf->run_dir, BELL_SCHEDULER);
}

void
writer_ahead(struct writer *w, const char *token, bool soon)
{
	struct buf b = BUF_INIT;

	slip_ahead_print(&b, token, soon);
	/* The line is quicker, but not when it must be waited for. */
	if (pthread_mutex_trylock(&w->seat) == 0) {
		tell_scheduler(w, b.data, b.len);
		pthread_mutex_unlock(&w->seat);
	} else {
		(void)bell_tell(w->ringer, w->conf->run_dir, BELL_SCHEDULER, b.data, b.len);
	}
	buf_clear(&b);
}

void
writer_soon(struct writer *w)
{
	pthread_mutex_lock(&w->seat);
	tell_scheduler(w, SLIP_SOON, 1);
	pthread_mutex_unlock(&w->seat);
}

void
writer_question(struct writer *w)
{
	(void)bell_tell(w->ringer, w->conf->run_dir, BELL_SCHEDULER, SLIP_QUESTION, 1);
}

void
writer_warm(struct writer *w)
{
	if (pthread_mutex_trylock(&w->seat) != 0)
		return;
	if (w->store != NULL)
		store_warm(w->store);
	pthread_mutex_unlock(&w->seat);
}

static void
settle(struct ticket *t, const struct err *e)
{
	t->state = TICKET_FAILED;
	if (e != NULL)
		t->err = *e;
	else if (t->job.met == MET_OTHER)
		err_named(&t->err, ERR_INPUT, "IdempotencyKeyReused",
		    "this Idempotency-Key was sent with another request before: another version, endpoint, method, path, query, body "
		    "or callback");
	else if (t->job.met == MET_UNPROVEN)
		err_named(&t->err, ERR_INPUT, "IdempotencyKeyInUse",
		    "this Idempotency-Key was sent with another token before; ask again with that token, or for the job by its id");
	else
		t->state = TICKET_DONE;
}

static int
commit(struct writer *w, struct ticket *list, struct err *e)
{
	struct ticket *t;

	if (w->store == NULL && (w->store = store_open(w->conf->database, STORE_FRONT, e)) == NULL)
		return -1;
	if (store_begin(w->store, false, e) != 0)
		return -1;
	for (t = list; t != NULL; t = t->next)
		if (front_enqueue(w->store, &t->job, e) != 0)
			goto back;
	if (store_commit(w->store, e) == 0)
		return 0;
back:
	store_rollback(w->store);
	return -1;
}

/* A full queue means that the scheduler is behind: the next number it hears of shows it that some are missing, and it looks
 * once a second anyway. */
static void
send_slips(struct writer *w)
{
	if (w->slips.len > 0)
		tell_scheduler(w, w->slips.data, w->slips.len);
	buf_reset(&w->slips);
}

static void
tell(struct writer *w, const struct ticket *t)
{
	if (t->state != TICKET_DONE || t->job.met != MET_NOBODY || slip_print(&w->slips, &t->job))
		return;
	send_slips(w);
	if (!slip_print(&w->slips, &t->job))
		writer_ring(w);
}

/* The whole batch, or, when one of them cannot be stored, each by itself: a row that the ledger refuses is no reason to
 * fail its neighbours. */
static void
commit_all(struct writer *w, struct ticket *list)
{
	struct err e = ERR_INIT;
	struct ticket *t, *next;
	bool whole = commit(w, list, &e) == 0, alone = list->next == NULL;

	for (t = list; t != NULL; t = next) {
		next = t->next;
		t->next = NULL;
		if (whole || (!alone && commit(w, t, &e) == 0))
			settle(t, NULL);
		else
			settle(t, &e);
		tell(w, t);
	}
	send_slips(w);
}

static struct ticket *
take(struct writer *w)
{
	struct ticket *list, **at = &w->head;
	int n;

	pthread_mutex_lock(&w->lock);
	list = w->head;
	for (n = 0; *at != NULL && n < BATCH_MAX; n++)
		at = &(*at)->next;
	w->head = *at;
	*at = NULL;
	if (w->head == NULL)
		w->tail = &w->head;
	pthread_mutex_unlock(&w->lock);
	return list;
}

void
writer_submit(struct writer *w, struct ticket *list)
{
	struct ticket *last, *batch;

	if (list == NULL)
		return;
	for (last = list; last->next != NULL; last = last->next)
		last->state = TICKET_WAITING;
	last->state = TICKET_WAITING;
	pthread_mutex_lock(&w->lock);
	*w->tail = list;
	w->tail = &last->next;
	pthread_mutex_unlock(&w->lock);
	/* The queue is served in order: once the last is settled, all are. */
	pthread_mutex_lock(&w->seat);
	while (last->state == TICKET_WAITING && (batch = take(w)) != NULL)
		commit_all(w, batch);
	pthread_mutex_unlock(&w->seat);
}
