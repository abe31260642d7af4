#include "scheduler/keep.h"

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/secret.h"
#include "scheduler/keeper.h"
#include "scheduler/loop.h"
#include "scheduler/role.h"

#define IDLE_MS     5000  /* without a question: the process goes, and the keys with it */
#define LATE_MS     5000  /* it answers within a millisecond; this is for one that hangs */
#define ASKS_MAX    2     /* a question that killed the keeper once is asked once more */
#define REFUSED_MS  2000  /* keys that cannot be read are not tried again earlier */

struct question {
	uint64_t id;
	int64_t who, late_ms;
	enum { OPENS, SIGNS_RECEIPT, SIGNS_CALLBACK } kind;
	struct buf message;
	int asked;
	struct question *next;
};

struct keep {
	struct role role;
	const struct keep_events *events;
	void *arg;
	bool again;
	struct question *open;
	uint64_t last_id;
	int64_t refused_until_ms;
	struct err refusal; /* why it has no keys */
	struct loop_timer tick;
};

/* --- questions --- */

static void
question_free(struct question *q)
{
	buf_clear(&q->message);
	free(q);
}

static struct question *
question_take(struct keep *k, uint64_t id)
{
	struct question **p = &k->open, *q;

	while (*p != NULL && (*p)->id != id)
		p = &(*p)->next;
	if ((q = *p) != NULL)
		*p = q->next;
	return q;
}

static bool
has_gift(const struct question *q, const struct keeper_answer *a)
{
	return q->kind == SIGNS_RECEIPT ? a->receipt != NULL : q->kind == SIGNS_CALLBACK ? a->callback != NULL : a->env != NULL;
}

static void
answer(struct keep *k, struct question *q, const struct keeper_answer *a, const struct err *why)
{
	struct err none = ERR_INIT;

	/* An answer of another kind is none. */
	if (why == NULL && (a == NULL || !has_gift(q, a))) {
		err_set(&none, ERR_INTERNAL, "the keeper answered another question");
		why = &none;
	}
	if (q->kind == SIGNS_RECEIPT)
		k->events->signed_(k->arg, q->who, why == NULL ? a->receipt : NULL, why);
	else if (q->kind == SIGNS_CALLBACK)
		k->events->notice(k->arg, q->who, why == NULL ? a->callback : NULL, why);
	else
		k->events->opened(k->arg, q->who, why == NULL ? a->env : NULL, why);
	question_free(q);
}

static void
answer_all(struct keep *k, const struct err *why)
{
	while (k->open != NULL)
		answer(k, question_take(k, k->open->id), NULL, why);
}

/* --- the process --- */

static void
refuse(struct keep *k, const struct err *why)
{
	k->refusal = *why;
	k->refused_until_ms = loop_now_ms() + REFUSED_MS;
	answer_all(k, why);
}

static void
take_hello(struct keep *k, const struct keeper_answer *a)
{
	struct err why = a->error;

	if (why.kind == ERR_NONE) {
		k->events->keys(k->arg, a->keys, a->n_keys);
		return;
	}
	log_error("keeper cannot read the keys", "why=%s", log_q(why.text));
	why.kind = ERR_BUSY; /* the operator's to mend, not the author's */
	err_wrap(&why, "the runner's keys cannot be read");
	refuse(k, &why);
}

static void
go_dark(void)
{
	struct rlimit none = { 0, 0 };

	prctl(PR_SET_DUMPABLE, 0);
	setrlimit(RLIMIT_CORE, &none);
}

static int
take_answer(struct keep *k, const char *message, size_t n)
{
	struct keeper_answer a;
	struct question *q;
	struct err e = ERR_INIT;

	if (keeper_answer_parse(message, n, &a, &e) != 0) {
		log_warn("keeper's answer is none", "why=%s", log_q(e.text));
		return -1;
	}
	/* From here on this process holds what somebody sealed: no core of it, and nobody of our user looks in. */
	if (a.env != NULL)
		go_dark();
	if (a.id == 0)
		take_hello(k, &a);
	else if ((q = question_take(k, a.id)) != NULL)
		answer(k, q, &a, a.error.kind != ERR_NONE ? &a.error : NULL);
	keeper_answer_clear(&a);
	return 0;
}

static int
on_heard(void *arg, struct err *e)
{
	struct keep *k = arg;
	struct buf *in = &k->role.in;
	const char *message;
	size_t at = 0, message_n;
	long n = 0;

	while (k->role.fd >= 0 && (n = keeper_message_next(in->data + at, in->len - at, &message, &message_n, e)) > 0) {
		if (take_answer(k, message, message_n) != 0)
			return err_set(e, ERR_INTERNAL, "its answer is none");
		if (k->role.fd < 0)
			return 0;
		secret_wipe(in->data + at, (size_t)n);
		at += (size_t)n;
	}
	if (n == 0 && k->role.fd >= 0)
		buf_drop(in, at);
	return n < 0 ? -1 : 0;
}

static void
on_leaves(void *arg)
{
	struct keep *k = arg;

	secret_wipe(k->role.in.data, k->role.in.room);
}

static void
start_again(struct keep *k)
{
	struct err e = ERR_INIT;

	k->again = false;
	if (role_start(&k->role, &e) == 0)
		return;
	log_error("keeper does not start", "why=%s", log_q(e.text));
	refuse(k, &e);
}

static void
on_ended(void *arg, int status)
{
	struct keep *k = arg;
	char how[80];

	log_debug("keeper ended", "how=%s", log_q(spawn_status(status, how, sizeof how)));
	if (k->open != NULL || k->again)
		start_again(k);
}

static void watch(struct keep *k);

/* Once a second while a question is open: what is overdue is given up. */
static void
on_tick(void *arg)
{
	struct keep *k = arg;
	struct question *q;
	struct err why = ERR_INIT;
	int64_t now = loop_now_ms();

	for (q = k->open; q != NULL && q->late_ms > now; q = q->next)
		;
	if (q != NULL) {
		err_named(&why, ERR_INTERNAL, "KeeperTimeout", "the keeper of the keys did not answer within %d s", LATE_MS / 1000);
		role_hang_up(&k->role, NULL);
		answer_all(k, &why);
	}
	if (!role_gone(&k->role))
		watch(k);
}

static void
on_idle(void *arg)
{
	struct keep *k = arg;

	if (k->open == NULL)
		role_hang_up(&k->role, NULL);
	else
		watch(k);
}

static void
watch(struct keep *k)
{
	loop_stop(&k->tick);
	if (k->open != NULL)
		loop_after(&k->tick, 1000, on_tick, k);
	else
		loop_after(&k->tick, IDLE_MS, on_idle, k);
}

static void
ask(struct keep *k, struct question *q)
{
	q->asked++;
	buf_add(&k->role.out, q->message.data, q->message.len);
}

static void
on_began(void *arg)
{
	struct keep *k = arg;
	struct err why = ERR_INIT;
	struct question **p, *q;

	for (p = &k->open; *p != NULL;) {
		q = *p;
		if (q->asked < ASKS_MAX) {
			ask(k, q);
			p = &q->next;
			continue;
		}
		*p = q->next;
		err_named(&why, ERR_INTERNAL, "KeeperDied", "the keeper of the keys died over this question");
		answer(k, q, NULL, &why);
		p = &k->open; /* whoever was told may have asked again */
	}
	role_flush(&k->role);
	watch(k);
}

struct keep *
keep_new(const struct conf *c, const char *program, const struct keep_events *events, void *arg)
{
	static const char *const env[] = { "CREDENTIALS_DIRECTORY", NULL };
	static const struct role_kind kind = { .name = "keeper", .env = env, .began = on_began, .heard = on_heard,
		.leaves = on_leaves, .ended = on_ended };
	struct keep *k = mem_alloc(sizeof *k);

	role_init(&k->role, &kind, c, program, k);
	k->events = events;
	k->arg = arg;
	return k;
}

/* A process that is ending is started again when it was reaped. */
static void
wake(struct keep *k)
{
	if (role_gone(&k->role))
		start_again(k);
	else if (k->role.fd < 0)
		k->again = true;
	else
		watch(k);
}

void
keep_look(struct keep *k)
{
	wake(k);
}

void
keep_forget(struct keep *k)
{
	k->refused_until_ms = 0;
	k->again = true;
	if (role_gone(&k->role))
		start_again(k);
	else
		role_hang_up(&k->role, NULL);
}

static void
put(struct keep *k, struct question *q)
{
	if (loop_now_ms() < k->refused_until_ms) {
		struct err why = k->refusal;

		answer(k, q, NULL, &why);
		return;
	}
	q->next = k->open;
	k->open = q;
	if (k->role.fd >= 0) {
		ask(k, q);
		role_flush(&k->role);
	}
	wake(k);
}

static struct question *
question_new(struct keep *k, int64_t who, int kind)
{
	struct question *q = mem_alloc(sizeof *q);

	q->id = ++k->last_id;
	q->who = who;
	q->kind = kind;
	q->late_ms = loop_now_ms() + LATE_MS;
	return q;
}

void
keep_open(struct keep *k, int64_t who, const struct secret_context *c, const void *box, size_t n)
{
	struct question *q = question_new(k, who, OPENS);

	keeper_ask_open(&q->message, q->id, c, box, n);
	put(k, q);
}

void
keep_sign(struct keep *k, int64_t who, const struct receipt *r)
{
	struct question *q = question_new(k, who, SIGNS_RECEIPT);

	keeper_ask_receipt(&q->message, q->id, r);
	put(k, q);
}

void
keep_sign_notice(struct keep *k, int64_t who, const struct notice *n)
{
	struct question *q = question_new(k, who, SIGNS_CALLBACK);

	keeper_ask_callback(&q->message, q->id, n);
	put(k, q);
}

void
keep_stop(struct keep *k)
{
	loop_stop(&k->tick);
	role_stop(&k->role);
	while (k->open != NULL)
		question_free(question_take(k, k->open->id));
}

bool
keep_gone(const struct keep *k)
{
	return role_gone(&k->role);
}

void
keep_free(struct keep *k)
{
	if (k == NULL)
		return;
	keep_stop(k);
	free(k);
}
