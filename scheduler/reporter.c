/*
 * One thread, which waits in one place (post_wait) for records and for transfers.  What comes is encoded at once and appended
 * to the batch of its signal; a batch that is full or old enough is sealed and waits for the lane, one request at a time.
 *
 *     records ─▶ filling ─▶ sealed ─▶ sealed ─▶ under way ─▶ collector
 *                  └────── at most so many items, so many bytes ───┘     more is dropped, and counted
 *
 * A request that was not taken but may be later is sent again after a while that grows, for some minutes; then it is given up.
 * Readings say what was counted since the start, so of them only the newest waits.
 */
#include "scheduler/reporter.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/otlp.h"
#include "lib/post.h"
#include "scheduler/meter.h"

#define READ_ROOM    (256 * 1024)
#define RECORD_MAX   (128 * 1024)
#define ATTRS_MAX    64
#define QUEUE_BYTES  (16 * 1024 * 1024) /* of a signal */
#define BATCH_BYTES  (2 * 1024 * 1024)  /* collectors take 4 MiB in one message */
#define BACKOFF_MS   1000
#define BACKOFF_MAX_MS 30000
#define GIVE_UP_MS   300000
#define STATE_MS     1000
#define FAREWELL_MS  1500

const char *const attr_names[ATTR_COUNT] = { [ATTR_FAAS_NAME] = "faas.name", [ATTR_FAAS_VERSION] = "faas.version",
	[ATTR_FAAS_INSTANCE] = "faas.instance", [ATTR_FAAS_COLDSTART] = "faas.coldstart", [ATTR_FAAS_TRIGGER] = "faas.trigger",
	[ATTR_FAAS_INVOCATION] = "faas.invocation_id", [ATTR_METHOD] = "http.request.method", [ATTR_ROUTE] = "http.route",
	[ATTR_STATUS] = "http.response.status_code", [ATTR_ERROR_TYPE] = "error.type", [ATTR_STREAM] = "log.iostream",
	[ATTR_AUTHOR] = "at_rund.author", [ATTR_BUNDLE] = "at_rund.bundle", [ATTR_ENDPOINT] = "at_rund.endpoint",
	[ATTR_CID] = "at_rund.cid", [ATTR_RUNTIME] = "at_rund.runtime", [ATTR_WALL] = "at_rund.wall",
	[ATTR_OUTCOME] = "at_rund.outcome", [ATTR_START] = "at_rund.start", [ATTR_MODE] = "at_rund.mode",
	[ATTR_ATTEMPT] = "at_rund.attempt", [ATTR_WHAT] = "at_rund.what", [ATTR_CALLER] = "at_rund.caller" };

struct batch {
	struct buf items;
	int64_t n;
	struct batch *next;
};

struct queue {
	struct batch *spare;        /* one that was sent, for the next: its pages are there already */
	enum telemetry_signal signal;
	const struct telemetry_target *to;
	struct telemetry_batch rules;
	struct post_lane *lane;
	struct batch *filling;      /* NULL: nothing is in it */
	int64_t since_ms;           /* when its first item came */
	struct batch *first, **last; /* sealed; the first may be under way */
	bool sends;
	struct buf request;         /* around the first, while it is sent */
	int tries;
	int64_t not_before_ms, first_try_ms;
	int64_t n, bytes;           /* of all batches */
};

static struct {
	const struct telemetry *t;
	struct post *post;
	struct queue queue[TELEMETRY_SIGNALS];
	struct buf in;
	struct record_state state, told;
	int64_t told_ms;
	bool said[TELEMETRY_SIGNALS]; /* to the log, that it fails */
} us;

/* --- queues --- */

static void
queue_open(struct queue *q, enum telemetry_signal s)
{
	static const struct telemetry_batch readings = { 0, 2, 1 };

	q->signal = s;
	q->to = &us.t->target[s];
	q->rules = s == TELEMETRY_TRACES ? us.t->spans : s == TELEMETRY_LOGS ? us.t->lines : readings;
	q->last = &q->first;
	if (q->to->on)
		q->lane = post_lane_new(us.post, q->to);
}

static void
batch_free(struct queue *q, struct batch *b)
{
	q->n -= b->n;
	q->bytes -= (int64_t)b->items.len;
	b->n = 0;
	b->next = NULL;
	buf_reset(&b->items);
	if (q->spare == NULL) {
		q->spare = b;
		return;
	}
	buf_clear(&b->items);
	free(b);
}

static void
seal(struct queue *q)
{
	if (q->filling == NULL)
		return;
	*q->last = q->filling;
	q->last = &q->filling->next;
	q->filling = NULL;
}

/* Where an item goes; NULL: there is no room, and it is counted. */
static struct buf *
room_for(struct queue *q)
{
	if (!q->to->on)
		return NULL;
	if (q->n >= q->rules.queue || q->bytes >= QUEUE_BYTES) {
		us.state.dropped[q->signal]++;
		return NULL;
	}
	if (q->filling == NULL) {
		q->filling = q->spare != NULL ? q->spare : mem_alloc(sizeof *q->filling);
		q->spare = NULL;
		q->since_ms = clock_mono_ms();
	}
	return &q->filling->items;
}

static void
added(struct queue *q, size_t before)
{
	struct batch *b = q->filling;

	b->n++;
	q->n++;
	q->bytes += (int64_t)(b->items.len - before);
	if (b->n >= q->rules.most || b->items.len >= BATCH_BYTES)
		seal(q);
}

/* The first sealed batch is done with. */
static void
drop_first(struct queue *q)
{
	struct batch *b = q->first;

	q->first = b->next;
	if (q->first == NULL)
		q->last = &q->first;
	q->tries = 0;
	batch_free(q, b);
}

/* --- records --- */

static bool
take_attrs(const char **at, const char *end, size_t n, struct otlp_attr out[ATTRS_MAX], char keys[ATTRS_MAX][64])
{
	size_t i;

	if (n > ATTRS_MAX)
		return false;
	for (i = 0; i < n; i++) {
		struct record_attr a;

		if ((size_t)(end - *at) < sizeof a)
			return false;
		memcpy(&a, *at, sizeof a);
		*at += sizeof a;
		if (a.key >= ATTR_COUNT || a.key_n >= 64 || (size_t)(end - *at) < (size_t)a.key_n + a.n)
			return false;
		out[i] = (struct otlp_attr){ .key = attr_names[a.key], .type = (enum otlp_type)a.type };
		if (a.key == ATTR_OTHER) {
			memcpy(keys[i], *at, a.key_n);
			keys[i][a.key_n] = '\0';
			out[i].key = keys[i];
		}
		*at += a.key_n;
		out[i].text = *at;
		out[i].n = a.n;
		if (a.type != OTLP_TEXT && a.n == sizeof out[i].number)
			memcpy(&out[i].number, *at, sizeof out[i].number);
		*at += a.n;
	}
	return *at == end;
}

static const uint8_t *
or_none(const uint8_t *id, size_t n)
{
	return trace_none(id, n) ? NULL : id;
}

static bool
take_span(const char *p, const char *end)
{
	struct queue *q = &us.queue[TELEMETRY_TRACES];
	struct otlp_attr attrs[ATTRS_MAX];
	char keys[ATTRS_MAX][64], name[256];
	struct record_span r;
	struct otlp_span s;
	struct buf *to;
	size_t before;

	if ((size_t)(end - p) < sizeof r)
		return false;
	memcpy(&r, p, sizeof r);
	p += sizeof r;
	if (r.name_n >= sizeof name || (size_t)(end - p) < (size_t)r.name_n + r.message_n)
		return false;
	memcpy(name, p, r.name_n);
	name[r.name_n] = '\0';
	p += r.name_n;
	s = (struct otlp_span){ .trace = r.trace, .span = r.span, .parent = or_none(r.parent, sizeof r.parent),
		.link_trace = or_none(r.link_trace, sizeof r.link_trace), .link_span = or_none(r.link_span, sizeof r.link_span),
		.name = name, .kind = (enum otlp_kind)r.kind, .start_us = r.start_us, .end_us = r.end_us, .flags = r.flags,
		.attrs = attrs, .attrs_n = r.head.attrs, .status = (enum otlp_status)r.status, .message = p,
		.message_n = r.message_n };
	p += r.message_n;
	if (!take_attrs(&p, end, r.head.attrs, attrs, keys))
		return false;
	if ((to = room_for(q)) == NULL)
		return true;
	before = to->len;
	otlp_add_span(to, q->to->protocol == TELEMETRY_JSON, &s);
	added(q, before);
	return true;
}

static bool
take_line(const char *p, const char *end)
{
	static const struct {
		int number;
		const char *word;
	} severity[LOG_LEVEL_COUNT] = { [LOG_ERROR] = { 17, "ERROR" }, [LOG_WARN] = { 13, "WARN" }, [LOG_INFO] = { 9, "INFO" },
		[LOG_DEBUG] = { 5, "DEBUG" } };
	struct queue *q = &us.queue[TELEMETRY_LOGS];
	struct otlp_attr attrs[ATTRS_MAX];
	char keys[ATTRS_MAX][64];
	struct record_line r;
	struct otlp_line l;
	struct buf *to;
	size_t before;

	if ((size_t)(end - p) < sizeof r)
		return false;
	memcpy(&r, p, sizeof r);
	p += sizeof r;
	if (r.level >= LOG_LEVEL_COUNT || (size_t)(end - p) < r.body_n)
		return false;
	l = (struct otlp_line){ .at_us = r.at_us, .severity = severity[r.level].number, .word = severity[r.level].word, .body = p,
		.body_n = r.body_n, .trace = or_none(r.trace, sizeof r.trace), .span = or_none(r.span, sizeof r.span), .flags = r.flags,
		.attrs = attrs, .attrs_n = r.head.attrs };
	p += r.body_n;
	if (!take_attrs(&p, end, r.head.attrs, attrs, keys))
		return false;
	if ((to = room_for(q)) == NULL)
		return true;
	before = to->len;
	otlp_add_line(to, q->to->protocol == TELEMETRY_JSON, &l);
	added(q, before);
	return true;
}

/* Newer ones say all that older ones do. */
static bool
take_reading(const char *p, const char *end)
{
	struct queue *q = &us.queue[TELEMETRY_METRICS];
	struct record_reading r;
	struct buf *to;
	size_t before;

	if ((size_t)(end - p) < sizeof r)
		return false;
	memcpy(&r, p, sizeof r);
	p += sizeof r;
	if ((size_t)(end - p) != meter_bytes())
		return false;
	while (q->first != NULL && (!q->sends || q->first->next != NULL)) {
		struct batch **old = q->sends ? &q->first->next : &q->first, *b = *old;

		*old = b->next;
		if (b->next == NULL)
			q->last = old;
		batch_free(q, b);
	}
	if ((to = room_for(q)) == NULL)
		return true;
	before = to->len;
	meter_encode(p, r.start_us, r.at_us, q->to->protocol == TELEMETRY_JSON, to);
	added(q, before);
	return true;
}

static int
take_records(void)
{
	static bool (*const take[])(const char *p, const char *end) = { [RECORD_SPAN] = take_span, [RECORD_LINE] = take_line,
		[RECORD_READING] = take_reading };
	struct record_head h;
	size_t at = 0;

	while (us.in.len - at >= sizeof h) {
		const char *p = us.in.data + at;

		memcpy(&h, p, sizeof h);
		if (h.bytes < sizeof h || h.bytes > RECORD_MAX || h.kind >= sizeof take / sizeof take[0])
			return -1;
		if (us.in.len - at < h.bytes)
			break;
		if (!take[h.kind](p, p + h.bytes))
			return -1;
		at += h.bytes;
	}
	buf_drop(&us.in, at);
	return 0;
}

/* --- requests --- */

static void
say_failure(const struct queue *q, const char *why, bool again)
{
	snprintf(us.state.why, sizeof us.state.why, "%s: %.140s", telemetry_signal_name(q->signal), why);
	us.state.failing = 1;
	if (!us.said[q->signal])
		log_warn("collector does not take it", "signal=%s protocol=%s again=%s why=%s", telemetry_signal_name(q->signal),
		    telemetry_protocol_name(q->to->protocol), again ? "yes" : "no", log_q(why));
	us.said[q->signal] = true;
}

static void
say_success(const struct queue *q)
{
	us.state.failing = 0;
	if (us.said[q->signal])
		log_info("collector takes it again", "signal=%s", telemetry_signal_name(q->signal));
	us.said[q->signal] = false;
}

static void
taken(struct queue *q, const struct post_answer *a)
{
	char message[160];
	int64_t rejected;

	if (!otlp_response(a->body->data, a->body->len, q->signal, q->to->protocol, &rejected, message)) {
		/* It said that it took them; what else it says is its own affair. */
		rejected = 0;
		message[0] = '\0';
	}
	if (rejected > q->first->n)
		rejected = q->first->n;
	us.state.failed[q->signal] += rejected;
	us.state.sent[q->signal] += q->first->n - rejected;
	if (rejected > 0)
		say_failure(q, message[0] != '\0' ? message : "it rejected a part", false);
	else
		say_success(q);
	drop_first(q);
}

/* Full jitter, so that many runners do not come back at once. */
static int64_t
pause_ms(int tries)
{
	int64_t most = (int64_t)BACKOFF_MS << (tries < 6 ? tries : 6);
	uint32_t x;

	trace_random((uint8_t *)&x, sizeof x);
	most = most < BACKOFF_MAX_MS ? most : BACKOFF_MAX_MS;
	return most / 2 + (int64_t)(x % (uint32_t)(most / 2 + 1));
}

static void
hear_answer(struct queue *q)
{
	struct post_answer a;
	int64_t now, pause;

	if (!q->sends || !post_ended(q->lane, &a))
		return;
	q->sends = false;
	buf_reset(&q->request);
	if (a.verdict == POST_TAKEN) {
		taken(q, &a);
		return;
	}
	now = clock_mono_ms();
	say_failure(q, a.why, a.verdict == POST_AGAIN);
	if (a.verdict == POST_REFUSED || now - q->first_try_ms > GIVE_UP_MS) {
		us.state.failed[q->signal] += q->first->n;
		drop_first(q);
		return;
	}
	pause = pause_ms(q->tries++);
	q->not_before_ms = now + (a.after_ms > pause ? a.after_ms : pause);
}

/* Sends what is due; how long until the next is. */
static int64_t
serve(struct queue *q, bool hurry)
{
	int64_t now = clock_mono_ms();

	if (!q->to->on)
		return STATE_MS;
	hear_answer(q);
	if (q->filling != NULL && q->first == NULL && (hurry || now - q->since_ms >= q->rules.delay_ms))
		seal(q);
	if (q->sends)
		return STATE_MS;
	if (q->first == NULL)
		return q->filling != NULL ? q->since_ms + q->rules.delay_ms - now : STATE_MS;
	if (q->not_before_ms > now && !hurry)
		return q->not_before_ms - now;
	if (q->tries == 0)
		q->first_try_ms = now;
	otlp_request(&q->request, q->signal, q->to->protocol, &us.t->resource, &q->first->items);
	q->sends = true;
	post_start(q->lane, &q->request);
	return 0;
}

/* --- the scheduler --- */

static void
tell_state(int fd)
{
	struct record_state s;
	int64_t now = clock_mono_ms();

	for (int i = 0; i < TELEMETRY_SIGNALS; i++)
		us.state.queued[i] = us.queue[i].n;
	if (now - us.told_ms < STATE_MS || memcmp(&us.state, &us.told, sizeof us.state) == 0)
		return;
	us.told_ms = now;
	us.told = s = us.state;
	s.head = (struct record_head){ sizeof s, RECORD_STATE, 0 };
	(void)send(fd, &s, sizeof s, MSG_NOSIGNAL | MSG_DONTWAIT); /* the next one says it too */
}

/* 0: nothing more will come. */
static int
hear(int fd)
{
	ssize_t n = recv(fd, buf_room(&us.in, READ_ROOM), READ_ROOM, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 1 : 0;
	if (n == 0)
		return 0;
	us.in.len += (size_t)n;
	if (take_records() == 0)
		return 1;
	log_error("a record is none", "bytes=%zu", us.in.len);
	return -1;
}

/* Once more for what is left, and not for long. */
static void
farewell(void)
{
	int64_t until = clock_mono_ms() + FAREWELL_MS, left;

	for (int i = 0; i < TELEMETRY_SIGNALS; i++)
		us.queue[i].tries = 0;
	while ((left = until - clock_mono_ms()) > 0) {
		bool open = false;

		for (int i = 0; i < TELEMETRY_SIGNALS; i++) {
			struct queue *q = &us.queue[i];

			if (q->tries == 0)
				serve(q, true);
			open = open || (q->tries == 0 && (q->sends || q->first != NULL || q->filling != NULL));
		}
		if (!open)
			return;
		post_wait(us.post, -1, left < 50 ? left : 50);
	}
}

int
reporter_main(int fd, const struct telemetry *t)
{
	int more = 1;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	/* Calls come first: what the machine has to spare is for telling of them. */
	setpriority(PRIO_PROCESS, 0, 5);
	us.t = t;
	us.post = post_new();
	for (int i = 0; i < TELEMETRY_SIGNALS; i++)
		queue_open(&us.queue[i], (enum telemetry_signal)i);
	while (more > 0) {
		int64_t pause = STATE_MS;

		for (int i = 0; i < TELEMETRY_SIGNALS; i++) {
			int64_t next = serve(&us.queue[i], false);

			pause = next < pause ? next : pause;
		}
		tell_state(fd);
		if (post_wait(us.post, fd, pause))
			more = hear(fd);
	}
	if (more == 0)
		farewell();
	return more == 0 ? EX_OK : EX_SOFTWARE;
}
