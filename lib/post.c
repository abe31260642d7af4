#include "lib/post.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/mem.h"

#ifndef AT_RUND_VERSION
#define AT_RUND_VERSION "0.1.0"
#endif

#define ANSWER_MAX  (64 * 1024) /* an answer says a few words */
#define HEADERS_MAX (64 * 1024)
#define CONNECT_MS  5000
#define AFTER_MAX_S 3600

struct post {
	CURLM *multi;
	int lanes;
};

struct post_lane {
	struct post *post;
	const struct telemetry_target *to;
	CURL *easy;
	struct curl_slist *headers;
	struct buf body;
	char error[CURL_ERROR_SIZE], message[160];
	int grpc;
	int64_t after_ms;
	size_t header_bytes;
	bool too_much, busy, ended;
	CURLcode rc;
};

struct post *
post_new(void)
{
	struct post *p = mem_alloc(sizeof *p);

	curl_global_init(CURL_GLOBAL_DEFAULT);
	p->multi = curl_multi_init();
	if (p->multi == NULL)
		abort(); /* out of memory */
	curl_multi_setopt(p->multi, CURLMOPT_MAXCONNECTS, 6L);
	return p;
}

void
post_free(struct post *p)
{
	if (p == NULL)
		return;
	curl_multi_cleanup(p->multi);
	free(p);
}

/* --- what comes back --- */

static size_t
on_body(char *data, size_t size, size_t n, void *arg)
{
	struct post_lane *l = arg;

	n *= size;
	if (l->body.len + n > ANSWER_MAX) {
		l->too_much = true;
		return 0;
	}
	buf_add(&l->body, data, n);
	return n;
}

static bool
named(const char *line, size_t n, const char *name, const char **value, size_t *value_n)
{
	size_t len = strlen(name);

	if (n <= len || line[len] != ':' || strncasecmp(line, name, len) != 0)
		return false;
	line += len + 1;
	n -= len + 1;
	while (n > 0 && (*line == ' ' || *line == '\t'))
		line++, n--;
	while (n > 0 && (unsigned char)line[n - 1] <= ' ')
		n--;
	*value = line;
	*value_n = n;
	return true;
}

static long
small(const char *s, size_t n, long most)
{
	char text[16];

	if (n == 0 || n >= sizeof text)
		return -1;
	memcpy(text, s, n);
	text[n] = '\0';
	if (strspn(text, "0123456789") != n)
		return -1;
	return strtol(text, NULL, 10) <= most ? strtol(text, NULL, 10) : most;
}

/* Plain text for a log. */
static void
copy_text(char *out, size_t room, const char *s, size_t n)
{
	size_t i, to = 0;

	for (i = 0; i < n && to + 1 < room; i++)
		if ((unsigned char)s[i] >= ' ' && (unsigned char)s[i] < 0x7f)
			out[to++] = s[i];
	out[to] = '\0';
}

/* Trailers come this way too. */
static size_t
on_header(char *line, size_t size, size_t n, void *arg)
{
	struct post_lane *l = arg;
	const char *value;
	size_t value_n;

	n *= size;
	l->header_bytes += n;
	if (l->header_bytes > HEADERS_MAX) {
		l->too_much = true;
		return 0;
	}
	if (named(line, n, "grpc-status", &value, &value_n))
		l->grpc = (int)small(value, value_n, 1000);
	else if (named(line, n, "grpc-message", &value, &value_n))
		copy_text(l->message, sizeof l->message, value, value_n);
	else if (named(line, n, "retry-after", &value, &value_n) && small(value, value_n, AFTER_MAX_S) > 0)
		l->after_ms = small(value, value_n, AFTER_MAX_S) * 1000;
	return n;
}

/* --- lanes --- */

static void
add_header(struct post_lane *l, const char *line)
{
	l->headers = curl_slist_append(l->headers, line);
	if (l->headers == NULL)
		abort(); /* out of memory */
}

static void
set_up(struct post_lane *l)
{
	const struct telemetry_target *to = l->to;
	bool grpc = to->protocol == TELEMETRY_GRPC, tls = strncasecmp(to->url, "https:", 6) == 0;
	long connect_ms = to->timeout_ms < CONNECT_MS ? (long)to->timeout_ms : CONNECT_MS;
	CURL *c = l->easy;

	add_header(l, grpc ? "content-type: application/grpc" : to->protocol == TELEMETRY_JSON ? "content-type: application/json" :
		"content-type: application/x-protobuf");
	add_header(l, "user-agent: at-rund/" AT_RUND_VERSION);
	add_header(l, "expect:");
	add_header(l, grpc ? "te: trailers" : "accept-encoding: identity");
	for (size_t i = 0; i < to->headers.n; i++)
		add_header(l, to->headers.item[i]);
	curl_easy_setopt(c, CURLOPT_URL, to->url);
	curl_easy_setopt(c, CURLOPT_POST, 1L);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, l->headers);
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION,
	    grpc ? (tls ? (long)CURL_HTTP_VERSION_2TLS : (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE) : (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)to->timeout_ms);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, l->error);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, l);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, l);
	curl_easy_setopt(c, CURLOPT_PRIVATE, l);
	/* Before 8.0 libcurl cannot use such a connection twice (curl/curl#10634). */
	if (grpc && !tls && curl_version_info(CURLVERSION_NOW)->version_num < 0x080000) {
		curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L);
		curl_easy_setopt(c, CURLOPT_FORBID_REUSE, 1L);
	}
	if (to->ca != NULL)
		curl_easy_setopt(c, CURLOPT_CAINFO, to->ca);
	if (to->certificate != NULL)
		curl_easy_setopt(c, CURLOPT_SSLCERT, to->certificate);
	if (to->key != NULL)
		curl_easy_setopt(c, CURLOPT_SSLKEY, to->key);
}

struct post_lane *
post_lane_new(struct post *p, const struct telemetry_target *to)
{
	struct post_lane *l = mem_alloc(sizeof *l);

	l->post = p;
	l->to = to;
	l->easy = curl_easy_init();
	if (l->easy == NULL)
		abort(); /* out of memory */
	set_up(l);
	return l;
}

void
post_lane_free(struct post_lane *l)
{
	if (l == NULL)
		return;
	if (l->busy)
		curl_multi_remove_handle(l->post->multi, l->easy);
	curl_easy_cleanup(l->easy);
	curl_slist_free_all(l->headers);
	buf_clear(&l->body);
	free(l);
}

void
post_start(struct post_lane *l, const struct buf *body)
{
	buf_reset(&l->body);
	l->error[0] = l->message[0] = '\0';
	l->grpc = -1;
	l->after_ms = 0;
	l->header_bytes = 0;
	l->too_much = l->ended = false;
	l->busy = true;
	curl_easy_setopt(l->easy, CURLOPT_POSTFIELDS, body->data);
	curl_easy_setopt(l->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
	curl_multi_add_handle(l->post->multi, l->easy);
}

static int
take_ends(struct post *p)
{
	CURLMsg *m;
	int left, n = 0;

	while ((m = curl_multi_info_read(p->multi, &left)) != NULL) {
		struct post_lane *l = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&l);
		l->rc = m->data.result;
		l->ended = true;
		l->busy = false;
		curl_multi_remove_handle(p->multi, l->easy);
		n++;
	}
	return n;
}

bool
post_wait(struct post *p, int fd, int64_t ms)
{
	struct curl_waitfd extra = { .fd = fd, .events = CURL_WAIT_POLLIN };
	int running = 0;

	curl_multi_perform(p->multi, &running);
	if (take_ends(p) > 0)
		ms = 0;
	if (fd >= 0)
		curl_multi_poll(p->multi, &extra, 1, ms > 0 ? (int)ms : 0, NULL);
	else
		curl_multi_poll(p->multi, NULL, 0, ms > 0 ? (int)ms : 0, NULL);
	curl_multi_perform(p->multi, &running);
	take_ends(p);
	return fd >= 0 && extra.revents != 0;
}

/* --- verdicts --- */

static bool
busy_status(int status)
{
	return status == 429 || status == 502 || status == 503 || status == 504;
}

/* What the protocol calls worth another try: cancelled, deadline, exhausted, aborted, out of range, unavailable, data loss. */
static bool
busy_grpc(int code)
{
	return code == 1 || code == 4 || code == 8 || code == 10 || code == 11 || code == 14 || code == 15;
}

static enum post_verdict
judge_grpc(const struct post_lane *l, struct post_answer *a)
{
	if (a->grpc == 0)
		return POST_TAKEN;
	if (a->grpc > 0)
		snprintf(a->why, sizeof a->why, "grpc-status %d %.150s", a->grpc, l->message);
	else
		snprintf(a->why, sizeof a->why, "no grpc-status, HTTP status %d: is this a gRPC port?", a->status);
	return (a->grpc > 0 ? busy_grpc(a->grpc) : busy_status(a->status)) ? POST_AGAIN : POST_REFUSED;
}

static enum post_verdict
judge_http(struct post_answer *a)
{
	if (a->status >= 200 && a->status < 300)
		return POST_TAKEN;
	snprintf(a->why, sizeof a->why, "HTTP status %d", a->status);
	return busy_status(a->status) ? POST_AGAIN : POST_REFUSED;
}

bool
post_ended(struct post_lane *l, struct post_answer *a)
{
	long status = 0;

	if (!l->ended)
		return false;
	l->ended = false;
	memset(a, 0, sizeof *a);
	curl_easy_getinfo(l->easy, CURLINFO_RESPONSE_CODE, &status);
	a->status = (int)status;
	a->grpc = l->grpc;
	a->after_ms = l->after_ms;
	a->body = &l->body;
	if (l->too_much) {
		/* Whether it was taken nobody knows: to send it again could count it twice. */
		snprintf(a->why, sizeof a->why, "the answer is larger than %d bytes", ANSWER_MAX);
		a->verdict = POST_REFUSED;
	} else if (l->rc != CURLE_OK) {
		copy_text(a->why, sizeof a->why, l->error[0] != '\0' ? l->error : curl_easy_strerror(l->rc),
		    strlen(l->error[0] != '\0' ? l->error : curl_easy_strerror(l->rc)));
		a->verdict = POST_AGAIN;
	} else {
		a->verdict = l->to->protocol == TELEMETRY_GRPC ? judge_grpc(l, a) : judge_http(a);
	}
	return true;
}
