#include "scheduler/checkpoint.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/store.h"
#include "lib/store_work.h"

/* While calls come without a gap, nobody finds a log that is moved whole and begins it anew, and it grows; looking pages up
 * in a long one takes longer.  One of this many times over its size is begun anew under the write lock, after most of the
 * work was done without it. */
#define RESTART_FACTOR 8

struct checkpoint {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t asked;
	struct store *store;
	int pages;
	/* Syncs the database before the write lock is taken.  Closed after every connection: closing any descriptor of the
	 * file drops the process's locks on it. */
	int fd;
	enum { IDLE, ASKED, DONE, STOP } state;
	int in_log, moved;
};

/* To PASSIVE, a log that grew meanwhile is complete, but no writer can begin it anew. */
static int
move(struct checkpoint *c, struct err *e)
{
	int longest = c->pages * RESTART_FACTOR;

	if (work_checkpoint_passive(c->store, &c->in_log, &c->moved, e) != 0)
		return -1;
	if (c->in_log < longest)
		return 0;
	/* Once more: what came meanwhile is little, and so is what is left to sync. */
	if (fdatasync(c->fd) != 0)
		return err_errno(e, "sync the database");
	if (c->moved < c->in_log && work_checkpoint_passive(c->store, &c->in_log, &c->moved, e) != 0)
		return -1;
	return work_checkpoint_restart(c->store, &c->in_log, &c->moved, e);
}

static void *
run(void *arg)
{
	struct checkpoint *c = arg;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		struct err e = ERR_INIT;

		while (c->state != ASKED && c->state != STOP)
			pthread_cond_wait(&c->asked, &c->lock);
		if (c->state == STOP)
			break;
		pthread_mutex_unlock(&c->lock);
		c->in_log = c->moved = -1;
		if (move(c, &e) != 0)
			log_warn("checkpoint", "why=%s", log_q(e.text));
		pthread_mutex_lock(&c->lock);
		if (c->state == ASKED)
			c->state = DONE;
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* The loop's signals are none of the thread's business. */
static int
start(struct checkpoint *c)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&c->thread, NULL, run, c);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}

struct checkpoint *
checkpoint_new(const char *path, int pages, struct err *e)
{
	struct checkpoint *c = mem_alloc(sizeof *c);

	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->asked, NULL);
	c->pages = pages;
	c->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (c->fd < 0) {
		err_errno(e, "open %s", path);
		goto fail;
	}
	/* The door's face has the smallest cache; nothing is read through it. */
	if ((c->store = store_open(path, STORE_FRONT, e)) == NULL)
		goto fail;
	if (start(c) != 0) {
		err_set(e, ERR_INTERNAL, "no thread for checkpoints");
		goto fail;
	}
	return c;
fail:
	store_close(c->store);
	free(c);
	return NULL;
}

void
checkpoint_free(struct checkpoint *c)
{
	if (c == NULL)
		return;
	pthread_mutex_lock(&c->lock);
	c->state = STOP;
	pthread_cond_signal(&c->asked);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	store_close(c->store);
	/* c->fd stays open until the process ends: the workshop's connection still has locks. */
	pthread_cond_destroy(&c->asked);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

void
checkpoint_turn(struct checkpoint *c, struct store *s)
{
	if (pthread_mutex_trylock(&c->lock) != 0)
		return;
	if (c->state == DONE) {
		work_checkpoint_took(s, c->in_log, c->moved);
		c->state = IDLE;
	}
	if (c->state == IDLE && work_checkpoint_due(s, c->pages)) {
		c->state = ASKED;
		pthread_cond_signal(&c->asked);
	}
	pthread_mutex_unlock(&c->lock);
}
