/*
 * A commit with synchronous=NORMAL is in the log, whole and in order, but the disk may not have it; fdatasync of the log is all
 * that FULL does beyond.  So a 202 goes out when its admission is committed and the log was synced after that.  The loop goes
 * on meanwhile, and so do the doors, which FULL would keep from the write lock while the disk works.
 *
 * The log is a file of its own, and nobody has locks on it: closing a descriptor of it does no harm (lib/store.c).
 */
#include "scheduler/durable.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/bell.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "scheduler/loop.h"

struct durable {
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t wished;
	int64_t asked, done, count;
	struct words *first, **last;      /* to be said, in the order of their wishes */
	struct words *unsaid, **unsaid_last;
	bool stop;
	int log_fd, event_fd, ringer;
	const char *run_dir;
	durable_fn *fn;
	struct words *next, **next_last;  /* the loop's own: of the next wish */
};

struct words {
	struct words *next;
	int64_t wish;
	char bell[64];
	size_t n;
	char text[];
};

/* What was promised is not on the disk, and nobody knows what is: SQLite would not go on either. */
static void
sync_log(struct durable *d)
{
	struct err e = ERR_INIT;

	if (fdatasync(d->log_fd) == 0)
		return;
	err_errno(&e, "sync the ledger's log");
	log_error("sync", "why=%s", log_q(e.text));
	_exit(70);
}

/* With the lock held: those whose wish came true. */
static struct words *
take_due(struct durable *d)
{
	struct words *list = d->first, **p = &d->first;

	while (*p != NULL && (*p)->wish <= d->done)
		p = &(*p)->next;
	if (p == &d->first)
		return NULL;
	d->first = *p;
	*p = NULL;
	if (d->first == NULL)
		d->last = &d->first;
	return list;
}

/* Without it.  What is left is for the loop. */
static struct words *
say(const struct durable *d, struct words *list)
{
	struct words *left = NULL, **last = &left, *w;

	while ((w = list) != NULL) {
		list = w->next;
		w->next = NULL;
		if (bell_tell(d->ringer, d->run_dir, w->bell, w->text, w->n)) {
			free(w);
		} else {
			*last = w;
			last = &w->next;
		}
	}
	return left;
}

static void
say_due(struct durable *d)
{
	struct words *list = take_due(d), *w;
	uint64_t one = 1;

	if (list == NULL)
		return;
	pthread_mutex_unlock(&d->lock);
	list = say(d, list);
	pthread_mutex_lock(&d->lock);
	if (list == NULL)
		return;
	*d->unsaid_last = list;
	for (w = list; w->next != NULL; w = w->next)
		;
	d->unsaid_last = &w->next;
	(void)!write(d->event_fd, &one, sizeof one);
}

static void *
run(void *arg)
{
	struct durable *d = arg;

	pthread_mutex_lock(&d->lock);
	for (;;) {
		int64_t wish;

		while (d->asked == d->done && !d->stop)
			pthread_cond_wait(&d->wished, &d->lock);
		if (d->asked == d->done)
			break;
		wish = d->asked;
		pthread_mutex_unlock(&d->lock);
		sync_log(d);
		pthread_mutex_lock(&d->lock);
		d->done = wish;
		d->count++;
		say_due(d);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

static void
on_event(void *arg, uint32_t events)
{
	struct durable *d = arg;
	struct words *list, *w;
	uint64_t n;

	(void)events;
	(void)!read(d->event_fd, &n, sizeof n);
	pthread_mutex_lock(&d->lock);
	list = d->unsaid;
	d->unsaid = NULL;
	d->unsaid_last = &d->unsaid;
	pthread_mutex_unlock(&d->lock);
	while ((w = list) != NULL) {
		list = w->next;
		d->fn(w->bell, w->text, w->n);
		free(w);
	}
}

/* The loop's signals are none of the thread's business. */
static int
start(struct durable *d)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&d->thread, NULL, run, d);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}

struct durable *
durable_new(const char *path, const char *run_dir, durable_fn *fn, struct err *e)
{
	struct durable *d = mem_alloc(sizeof *d);
	char *log = mem_fmt("%s-wal", path);

	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->wished, NULL);
	d->fn = fn;
	d->run_dir = run_dir;
	d->last = &d->first;
	d->unsaid_last = &d->unsaid;
	d->next_last = &d->next;
	d->ringer = bell_ringer();
	d->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	d->log_fd = open(log, O_RDONLY | O_CLOEXEC);
	if (d->log_fd < 0 || d->event_fd < 0 || d->ringer < 0) {
		err_errno(e, "open %s", log);
		goto fail;
	}
	if (start(d) != 0) {
		err_set(e, ERR_INTERNAL, "no thread to sync %s", log);
		goto fail;
	}
	loop_watch(d->event_fd, EPOLLIN, on_event, d);
	free(log);
	return d;
fail:
	if (d->log_fd >= 0)
		close(d->log_fd);
	if (d->event_fd >= 0)
		close(d->event_fd);
	if (d->ringer >= 0)
		close(d->ringer);
	free(log);
	free(d);
	return NULL;
}

void
durable_free(struct durable *d)
{
	if (d == NULL)
		return;
	pthread_mutex_lock(&d->lock);
	d->stop = true;
	pthread_cond_signal(&d->wished);
	pthread_mutex_unlock(&d->lock);
	pthread_join(d->thread, NULL);
	loop_forget(d->event_fd);
	on_event(d, 0);
	close(d->event_fd);
	close(d->ringer);
	close(d->log_fd);
	pthread_cond_destroy(&d->wished);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

void
durable_tell(struct durable *d, const char *bell, const void *words, size_t n)
{
	struct words *w = mem_alloc(sizeof *w + n);

	snprintf(w->bell, sizeof w->bell, "%s", bell);
	memcpy(w->text, words, n);
	w->n = n;
	*d->next_last = w;
	d->next_last = &w->next;
}

int64_t
durable_ask(struct durable *d)
{
	struct words *w;
	int64_t wish;

	pthread_mutex_lock(&d->lock);
	wish = ++d->asked;
	for (w = d->next; w != NULL; w = w->next)
		w->wish = wish;
	if (d->next != NULL) {
		*d->last = d->next;
		d->last = d->next_last;
		d->next = NULL;
		d->next_last = &d->next;
	}
	pthread_cond_signal(&d->wished);
	pthread_mutex_unlock(&d->lock);
	return wish;
}

int64_t
durable_done(struct durable *d)
{
	int64_t n;

	pthread_mutex_lock(&d->lock);
	n = d->done;
	pthread_mutex_unlock(&d->lock);
	return n;
}

int64_t
durable_count(struct durable *d)
{
	int64_t n;

	pthread_mutex_lock(&d->lock);
	n = d->count;
	pthread_mutex_unlock(&d->lock);
	return n;
}
