/*
 * Nothing here waits for the disk.  The commit is not durable by itself (synchronous=NORMAL), neither for calls that
 * somebody waits for, whose connection a power cut takes anyway, nor for asynchronous ones: their 202 goes out only after
 * admission, which the scheduler commits with durable=true.  That syncs the whole write-ahead log, and this row stands in
 * it before the row's admission.
 */
#include "fcgi/writer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/bell.h"
#include "lib/conf.h"
#include "lib/mem.h"
#include "lib/store.h"

/* More rows than this in one transaction would keep the scheduler's own commits waiting. */
#define BATCH_MAX 64

/* While this many calls wait, a transaction is put off for a moment, so that more rows share it.  Nobody loses by it: the jobs
 * queue for the instances anyway, and the processor that commits less calls more. */
#define LINGER_CALLS  8
#define LINGER_US     16  /* for each call that waits */
#define LINGER_MAX_US 800

/* What a leader's own caller may wait longer for the sake of others. */
#define ROUNDS 4

struct writer {
	const struct conf *conf;
	atomic_int calls; /* submitted and not left yet */
	pthread_mutex_t lock;
	struct ticket *head, **tail;
	bool seated;         /* somebody commits, or has been told to */
	struct store *store; /* of whoever is seated; opened by the first */
	int ringer;
};

struct writer *
writer_new(const struct conf *c)
{
	struct writer *w = mem_alloc(sizeof *w);

	w->conf = c;
	pthread_mutex_init(&w->lock, NULL);
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
	if (w->ringer >= 0)
		close(w->ringer);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

void
writer_ring(struct writer *w)
{
	bell_ring(w->ringer, w->conf->run_dir, BELL_SCHEDULER);
}

/* After the last store nothing of the ticket may be touched: its owner may be gone. */
static void
settle(struct writer *w, struct ticket *t, const struct err *e)
{
	char bell[64];
	struct err clash = ERR_INIT;

	if (e == NULL && t->job.met == MET_OTHER) {
		err_named(&clash, ERR_INPUT, "IdempotencyKeyReused",
		    "this Idempotency-Key was sent with another request before: another version, endpoint, method, path, query or body");
		e = &clash;
	}
	if (e == NULL && t->job.met == MET_UNPROVEN) {
		err_named(&clash, ERR_INPUT, "IdempotencyKeyInUse",
		    "this Idempotency-Key was sent with another token before; ask again with that token, or for the job by its id");
		e = &clash;
	}
	if (e == NULL) {
		atomic_store(&t->state, TICKET_DONE);
		return;
	}
	bell[0] = '\0';
	if (t->job.bell != NULL && strlen(t->job.bell) < sizeof bell)
		memcpy(bell, t->job.bell, strlen(t->job.bell) + 1);
	t->err = *e;
	atomic_store(&t->state, TICKET_FAILED);
	if (bell[0] != '\0')
		bell_ring(w->ringer, w->conf->run_dir, bell);
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
			settle(w, t, NULL);
		else
			settle(w, t, &e);
	}
	writer_ring(w);
}

static struct ticket *
take(struct writer *w)
{
	struct ticket *list = w->head, **at = &w->head;
	int n;

	for (n = 0; *at != NULL && n < BATCH_MAX; n++)
		at = &(*at)->next;
	w->head = *at;
	*at = NULL;
	if (w->head == NULL)
		w->tail = &w->head;
	return list;
}

static void
linger(struct writer *w)
{
	int calls = atomic_load_explicit(&w->calls, memory_order_relaxed);
	struct timespec t = { 0, 1000L * (calls * LINGER_US < LINGER_MAX_US ? calls * LINGER_US : LINGER_MAX_US) };

	if (calls >= LINGER_CALLS)
		nanosleep(&t, NULL);
}

void
writer_leave(struct writer *w)
{
	atomic_fetch_sub_explicit(&w->calls, 1, memory_order_relaxed);
}

/* Commits what waits.  To hand the seat over costs a wake-up, so whoever has it keeps it for a few rounds. */
void
writer_lead(struct writer *w)
{
	char bell[64];
	int round;

	bell[0] = '\0';
	for (round = 1;; round++) {
		struct ticket *list;

		linger(w);
		pthread_mutex_lock(&w->lock);
		list = take(w);
		pthread_mutex_unlock(&w->lock);
		commit_all(w, list);

		pthread_mutex_lock(&w->lock);
		if (w->head == NULL)
			w->seated = false;
		if (w->head == NULL || round >= ROUNDS)
			break;
		pthread_mutex_unlock(&w->lock);
	}
	if (w->head != NULL) {
		/* Its owner sleeps on its bell.  Under the lock it cannot go away: only a leader settles tickets. */
		if (strlen(w->head->job.bell) < sizeof bell)
			memcpy(bell, w->head->job.bell, strlen(w->head->job.bell) + 1);
		atomic_store(&w->head->state, TICKET_LEAD);
	}
	pthread_mutex_unlock(&w->lock);
	if (bell[0] != '\0')
		bell_ring(w->ringer, w->conf->run_dir, bell);
}

void
writer_submit(struct writer *w, struct ticket *t)
{
	bool mine;

	t->next = NULL;
	atomic_fetch_add_explicit(&w->calls, 1, memory_order_relaxed);
	atomic_store(&t->state, TICKET_WAITING);
	pthread_mutex_lock(&w->lock);
	*w->tail = t;
	w->tail = &t->next;
	mine = !w->seated;
	w->seated = true;
	pthread_mutex_unlock(&w->lock);
	if (mine)
		writer_lead(w);
}
