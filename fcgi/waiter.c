#include "fcgi/waiter.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fcgi/request.h"
#include "lib/bell.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/news.h"
#include "lib/store.h"

#define LOOK_FIRST_MS 250
#define LOOK_MAX_MS   1000

struct waiter {
	const struct conf *conf;
	struct store *store;
	int bell;
	char name[48];
	char heard[NEWS_MAX]; /* the last news; pages that are never touched cost nothing */
};

struct waiter *
waiter_new(const struct conf *c, int number)
{
	struct waiter *w = mem_alloc(sizeof *w);

	w->conf = c;
	w->bell = -1;
	snprintf(w->name, sizeof w->name, "f%ld-%d", (long)getpid(), number);
	return w;
}

void
waiter_free(struct waiter *w)
{
	if (w == NULL)
		return;
	if (w->bell >= 0)
		bell_close(w->bell, w->conf->run_dir, w->name);
	store_close(w->store);
	free(w);
}

struct store *
waiter_store(struct waiter *w, struct err *e)
{
	if (w->store == NULL)
		w->store = store_open(w->conf->database, STORE_FRONT, e);
	/* Before the first start of a scheduler there is no ledger; where it would lie is nobody's business. */
	if (w->store == NULL && e->kind == ERR_NOTFOUND)
		err_named(e, ERR_BUSY, "RunnerUnavailable", "the scheduler has not run yet; jobs cannot be accepted");
	return w->store;
}

const char *
waiter_bell(struct waiter *w, struct err *e)
{
	if (w->bell < 0 && (w->bell = bell_listen(w->conf->run_dir, w->name, e)) < 0)
		return NULL;
	/* What still rings for the job before costs one look too many, once in a while; asking each time would cost more. */
	return w->name;
}

int
waiter_bell_fd(const struct waiter *w)
{
	return w->bell;
}

void
waiter_poke(const struct waiter *w, int ringer)
{
	bell_ring(ringer, w->conf->run_dir, w->name);
}

/* Empties the bell.  True when one of the datagrams says more of the job with this nonce than to look. */
static bool
hear(struct waiter *w, const char *nonce, struct news *news)
{
	bool found = false;
	long n;

	while (!found && (n = bell_next(w->bell, w->heard, sizeof w->heard)) >= 0) {
		const char *p = w->heard;
		size_t left = (size_t)n;

		while (!found && news_next(&p, &left, news))
			found = news->kind != NEWS_LOOK && memcmp(news->id.nonce, nonce, JOB_NONCE_LEN) == 0;
	}
	return found;
}

/* nonce: of whom the bell may carry news, NULL: nobody's.  told: it did. */
static bool
sleep_on(struct waiter *w, struct request *r, int64_t ms, bool *rang, const char *nonce, struct news *news, bool *told)
{
	struct pollfd p[2] = { { w->bell, POLLIN, 0 }, { -1, 0, 0 } };
	struct feed *feed = r != NULL ? request_fed(r) : NULL;
	int n;

	if (r != NULL)
		request_watch(r, &p[1]);
	if (feed != NULL && feed->hungry && request_has_more(r))
		ms = 0;
	n = poll(p, 2, ms < 0 ? 0 : ms > LOOK_MAX_MS ? LOOK_MAX_MS : (int)ms);
	*rang = n > 0 && p[0].revents != 0;
	if (*rang && nonce == NULL)
		bell_hear(w->bell); /* what was heard before stays as it is */
	else if (*rang && hear(w, nonce, news))
		*told = true;
	if (feed != NULL) {
		feed->fn(feed, *rang);
		if (feed->broken)
			return false;
	}
	return r == NULL || n <= 0 || p[1].revents == 0 || !request_gone(r, p[1].revents);
}

bool
waiter_sleep(struct waiter *w, struct request *r, int64_t ms)
{
	bool rang;

	return sleep_on(w, r, ms, &rang, NULL, NULL, NULL);
}

static enum waited
look(struct waiter *w, const struct job_id *id, bool light, bool (*enough)(const struct front_view *),
    struct front_view *v, struct err *e)
{
	struct store *s = waiter_store(w, e);

	if (s == NULL)
		return WAITED_FAILED;
	front_view_clear(v);
	if (front_look(s, id, light, v, e) != 0)
		return WAITED_FAILED;
	return enough(v) ? WAITED_ENOUGH : WAITED_TIME;
}

void
waiter_view(const struct news *n, struct front_view *v)
{
	front_view_clear(v);
	v->id = n->id;
	v->told = true;
	v->created_at = n->created_at;
	v->admitted_at = n->admitted_at;
	if (n->kind == NEWS_ADMITTED) {
		v->state = JOB_ADMITTED;
		v->task = n->status == 202;
		return;
	}
	v->streamed = n->kind == NEWS_BEGUN;
	v->state = v->streamed ? JOB_RUNNING : JOB_DONE;
	v->outcome = v->streamed ? OUTCOME_NONE : OUTCOME_OK;
	v->start = n->start;
	v->started_at = n->started_at;
	v->done_at = n->done_at;
	v->cid = mem_str(n->cid);
	v->has_result = true;
	v->status = n->status;
	v->headers_json = mem_str(n->headers_json);
	if (v->streamed)
		return; /* what it begins with stands in the ledger, too */
	v->body = mem_dup(n->body, n->body_bytes);
	v->body_bytes = n->body_bytes;
}

enum waited
waiter_until(struct waiter *w, struct request *r, const struct job_id *id, int64_t deadline, bool light, bool look_first,
    bool (*enough)(const struct front_view *), struct front_view *v, struct err *e)
{
	int64_t step = look_first ? LOOK_FIRST_MS / 5 : LOOK_FIRST_MS, left;
	bool rang = false, told = false, look_now = look_first;
	struct news news;

	for (;;) {
		if (told) {
			waiter_view(&news, v);
			if (enough(v))
				return WAITED_ENOUGH;
			told = false;
		}
		if (look_now) {
			enum waited found = look(w, id, light, enough, v, e);

			if (found != WAITED_TIME)
				return found;
		}
		if ((left = deadline - clock_mono_ms()) <= 0)
			return WAITED_TIME;
		if (!sleep_on(w, r, left < step ? left : step, &rang, id->nonce, &news, &told))
			return WAITED_GONE;
		if (!rang && step < LOOK_MAX_MS)
			step += step / 2;
		look_now = true;
	}
}

/* A socket file nobody is bound to refuses a connection; asking that way is right across pid namespaces too. */
static bool
abandoned(const struct conf *c, const char *file)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd, rc;

	if ((size_t)snprintf(sa.sun_path, sizeof sa.sun_path, "%s/%s", c->run_dir, file) >= sizeof sa.sun_path)
		return false;
	if ((fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) < 0)
		return false;
	rc = connect(fd, (struct sockaddr *)&sa, sizeof sa);
	rc = rc != 0 && errno == ECONNREFUSED;
	if (rc)
		unlink(sa.sun_path);
	close(fd);
	return rc;
}

void
waiter_sweep(const struct conf *c)
{
	DIR *d = opendir(c->run_dir);
	struct dirent *f;

	while (d != NULL && (f = readdir(d)) != NULL) {
		size_t n = strspn(f->d_name + (f->d_name[0] == 'f'), "0123456789") + 1;

		if (f->d_name[0] == 'f' && n > 1 && f->d_name[n] == '-' && strstr(f->d_name, ".bell") != NULL)
			abandoned(c, f->d_name);
	}
	if (d != NULL)
		closedir(d);
}
