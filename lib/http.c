/*
 * The only file that knows CURL.  One transfer at a time runs through a multi handle of its own: that keeps connections
 * between calls and lets us wait with deadlines of our own, to the millisecond.  The address check sits in the open
 * socket callback: it sees the address that is really used, so neither names that change their mind, nor redirects, nor
 * odd spellings of an address get past it.
 */
#include "lib/http.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/netaddr.h"
#include "lib/syntax.h"

#ifndef AT_RUND_VERSION
#define AT_RUND_VERSION "0.1.0"
#endif

#define HEADER_BYTES_MAX  (64 * 1024)
#define REFUSAL_BYTES_MAX (8 * 1024)

struct http {
	CURLM *multi;
	CURL *easy;
};

/* One transfer. */
struct call {
	CURL *easy;
	const struct http_policy *policy;
	const struct http_limits *limits;
	const char *host;
	const char *json, *bearer; /* NULL: a GET, nobody's */
	const char *const *more;   /* further headers, NULL: none */
	int64_t retry_after_s;
	http_sink *sink;
	void *arg;
	struct http_reply *reply;
	struct err *e;
	size_t header_bytes;
	bool begun;    /* the first byte of the answer is here */
	bool failed;   /* e says why */
	bool tells;    /* only the answer's status matters */
	bool enough;   /* the rest does not matter */
	char denied[64]; /* the address we would not connect to */
};

void
http_setup(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct http *
http_new(void)
{
	struct http *h = mem_alloc(sizeof *h);

	h->multi = curl_multi_init();
	h->easy = curl_easy_init();
	if (h->multi == NULL || h->easy == NULL)
		abort(); /* out of memory */
	curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, 8L);
	return h;
}

void
http_free(struct http *h)
{
	if (h == NULL)
		return;
	curl_easy_cleanup(h->easy);
	curl_multi_cleanup(h->multi);
	free(h);
}

static bool
port_allowed(const struct http_policy *policy, long port)
{
	size_t i;

	if (port == 443 || policy->dev)
		return true;
	for (i = 0; i < policy->n_ports; i++)
		if (policy->ports[i] == port)
			return true;
	return false;
}

/* Loopback by name or number: only developers fetch from there. */
static bool
host_is_local(const char *host)
{
	struct sockaddr_in four = { .sin_family = AF_INET };

	if (strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
		return true;
	return inet_pton(AF_INET, host, &four.sin_addr) == 1 && netaddr_is_loopback((struct sockaddr *)&four);
}

static int
check_parts(const struct http_policy *policy, const char *scheme, const char *host, const char *port, bool user,
    struct err *e)
{
	if (user)
		return err_set(e, ERR_DENIED, "%s: a URL with a user name is not fetched", host);
	if (strcmp(scheme, "https") != 0 && !(policy->dev && strcmp(scheme, "http") == 0))
		return err_set(e, ERR_DENIED, "%s: only https is fetched, not %s", host, scheme);
	if (!port_allowed(policy, strtol(port, NULL, 10)))
		return err_set(e, ERR_DENIED, "%s: port %s is neither 443 nor listed in atproto.ports", host, port);
	if (policy->dev && host_is_local(host))
		return 0;
	/* Also keeps out addresses in every spelling, and names without a dot. */
	if (!syntax_handle_public(host, strlen(host), policy->dev))
		return err_set(e, ERR_DENIED, "%s is not the name of a public host", host);
	return 0;
}

int
http_url_check(const struct http_policy *policy, const char *url, char host[256], struct err *e)
{
	CURLU *u = curl_url();
	char *scheme = NULL, *name = NULL, *port = NULL, *user = NULL;
	int rc = -1;

	host[0] = '\0';
	if (u == NULL)
		abort();
	if (strlen(url) > SYNTAX_URI_MAX ||
	    curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME | CURLU_DISALLOW_USER) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_HOST, &name, 0) != CURLUE_OK || strlen(name) > 255) {
		err_set(e, ERR_INPUT, "not a URL that can be fetched: %.100s", url);
		goto out;
	}
	curl_url_get(u, CURLUPART_USER, &user, 0);
	if (curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK) {
		err_set(e, ERR_DENIED, "%s: only https is fetched, not %s", name, scheme);
		goto out;
	}
	snprintf(host, 256, "%s", name);
	rc = check_parts(policy, scheme, host, port, user != NULL, e);
out:
	curl_free(scheme);
	curl_free(name);
	curl_free(port);
	curl_free(user);
	curl_url_cleanup(u);
	return rc;
}

static curl_socket_t
open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct call *c = arg;
	bool fine = netaddr_is_public(&a->addr) || (c->policy->dev && netaddr_is_loopback(&a->addr));

	(void)purpose;
	/* One bad address among the answers and none is used: an honest name does not point inside. */
	if (!fine && c->denied[0] == '\0')
		netaddr_print(&a->addr, c->denied);
	if (c->denied[0] != '\0')
		return CURL_SOCKET_BAD;
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static size_t
take_header(char *p, size_t size, size_t n, void *arg)
{
	struct call *c = arg;

	(void)p;
	c->begun = true;
	c->header_bytes += size * n;
	if (c->header_bytes > HEADER_BYTES_MAX) {
		c->failed = true;
		err_set(c->e, ERR_REMOTE, "%s: more than %d bytes of headers", c->host, HEADER_BYTES_MAX);
		return 0;
	}
	return size * n;
}

static size_t
too_large(struct call *c)
{
	c->failed = true;
	err_set(c->e, ERR_REMOTE, "%s: the answer is larger than %lld bytes (%s)", c->host,
	    (long long)c->limits->bytes, c->limits->bytes_key);
	return 0;
}

/* The head is complete when the first byte of the body comes. */
static int
read_head(struct call *c)
{
	long status = 0;
	const char *type = NULL;

	if (c->reply->status != 0)
		return c->reply->status;
	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(c->easy, CURLINFO_CONTENT_TYPE, &type);
	c->reply->status = (int)status;
	snprintf(c->reply->type, sizeof c->reply->type, "%s", type != NULL ? type : "");
	return c->reply->status;
}

static size_t
take_body(char *p, size_t size, size_t n, void *arg)
{
	struct call *c = arg;
	int status = read_head(c);
	curl_off_t announced = -1;

	n *= size;
	if (c->tells) {
		c->reply->bytes += (int64_t)n;
		c->enough = c->reply->bytes > c->limits->bytes;
		return c->enough ? 0 : n;
	}
	if (status < 200 || status > 299) {
		size_t room = REFUSAL_BYTES_MAX - c->reply->refusal.len;
		buf_add(&c->reply->refusal, p, n < room ? n : room);
		c->enough = n >= room;
		return c->enough ? 0 : n;
	}
	curl_easy_getinfo(c->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
	if (announced > c->limits->bytes || (int64_t)n > c->limits->bytes - c->reply->bytes)
		return too_large(c);
	c->reply->bytes += (int64_t)n;
	if (c->sink(c->arg, p, n, c->e) != 0) {
		c->failed = true;
		return 0;
	}
	return n;
}

static void
set_options(struct call *c, const char *url, struct curl_slist *headers, char *why)
{
	CURL *u = c->easy;

	curl_easy_reset(u);
	curl_easy_setopt(u, CURLOPT_URL, url);
	curl_easy_setopt(u, CURLOPT_PROTOCOLS_STR, c->policy->dev ? "https,http" : "https");
	curl_easy_setopt(u, CURLOPT_REDIR_PROTOCOLS_STR, "https");
	curl_easy_setopt(u, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(u, CURLOPT_PROXY, ""); /* whatever the environment says */
	curl_easy_setopt(u, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(u, CURLOPT_NOPROGRESS, 1L);
	curl_easy_setopt(u, CURLOPT_USERAGENT, "at-rund/" AT_RUND_VERSION);
	curl_easy_setopt(u, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(u, CURLOPT_CONNECTTIMEOUT_MS, (long)c->limits->connect_ms);
	/* A name server that does not answer holds a thread; it shall not hold us. */
	curl_easy_setopt(u, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(u, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(u, CURLOPT_OPENSOCKETDATA, c);
	curl_easy_setopt(u, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(u, CURLOPT_HEADERDATA, c);
	curl_easy_setopt(u, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(u, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(u, CURLOPT_ERRORBUFFER, why);
	if (c->json != NULL)
		curl_easy_setopt(u, CURLOPT_POSTFIELDS, c->json);
}

static int
too_late(struct call *c, const char *what, int64_t ms, const char *key)
{
	c->failed = true;
	return err_set(c->e, ERR_TIMEOUT, "%s: %s within %lld ms (%s)", c->host, what, (long long)ms, key);
}

/* Runs the transfer to its end or to a deadline.  0: *code is curl's word; -1: e is set. */
static int
run(struct http *h, struct call *c, int64_t start, int64_t whole_end, CURLcode *code)
{
	int64_t first_end = start + c->limits->first_byte_ms;

	for (;;) {
		int running = 0, left = 0;
		int64_t now, wait;
		CURLMsg *m;

		if (curl_multi_perform(h->multi, &running) != CURLM_OK)
			return err_set(c->e, ERR_INTERNAL, "%s: curl failed", c->host);
		while ((m = curl_multi_info_read(h->multi, &left)) != NULL)
			if (m->msg == CURLMSG_DONE) {
				*code = m->data.result;
				return 0;
			}
		now = clock_mono_ms();
		if (now >= whole_end)
			return too_late(c, "not done", c->limits->total_ms, c->limits->total_key);
		if (!c->begun && now >= first_end)
			return too_late(c, "no answer", c->limits->first_byte_ms, c->limits->first_byte_key);
		wait = whole_end - now;
		if (!c->begun && first_end - now < wait)
			wait = first_end - now;
		curl_multi_poll(h->multi, NULL, 0, wait < 1000 ? (int)wait : 1000, NULL);
	}
}

static int
explain(const struct call *c, CURLcode code, const char *why)
{
	if (c->failed)
		return -1; /* e is set */
	if (code == CURLE_OK || (code == CURLE_WRITE_ERROR && c->enough))
		return 0;
	if (c->denied[0] != '\0')
		return err_set(c->e, ERR_DENIED, "%s: its address %s is not on the public internet", c->host,
		    c->denied);
	if (code == CURLE_OPERATION_TIMEDOUT)
		return err_set(c->e, ERR_TIMEOUT, "%s: no connection within %lld ms (%s)", c->host,
		    (long long)c->limits->connect_ms, c->limits->connect_key);
	return err_set(c->e, ERR_REMOTE, "%s: %s", c->host, why[0] != '\0' ? why : curl_easy_strerror(code));
}

/* Whoever has said what became of it may take as long as they like with the rest. */
static bool
has_answered(const struct call *c)
{
	long status = 0;

	return c->tells && c->denied[0] == '\0' && curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK &&
	    status >= 200;
}

static bool
is_redirect(int status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static struct curl_slist *
add_more(const struct call *c, struct curl_slist *headers)
{
	const char *const *p;

	for (p = c->more; p != NULL && *p != NULL; p++)
		headers = curl_slist_append(headers, *p);
	/* "Expect: 100-continue" would cost a round, or a second where nobody knows it. */
	return c->tells ? curl_slist_append(headers, "Expect:") : headers;
}

static struct curl_slist *
add_bearer(const struct call *c, struct curl_slist *headers)
{
	char *line;

	if (c->bearer == NULL)
		return headers;
	line = mem_fmt("Authorization: Bearer %s", c->bearer);
	headers = curl_slist_append(headers, line);
	free(line);
	return headers;
}

/* One request.  *next: where it redirects to, allocated, or NULL. */
static int
once(struct http *h, struct call *c, const char *url, const char *accept, int64_t whole_end, char **next)
{
	char host[256], why[CURL_ERROR_SIZE] = "", line[200];
	struct curl_slist *headers = NULL;
	CURLcode code = CURLE_OK;
	const char *to = NULL;
	int rc = -1;

	*next = NULL;
	if (http_url_check(c->policy, url, host, c->e) != 0)
		return -1;
	c->host = host;
	snprintf(line, sizeof line, "Accept: %s", accept);
	headers = curl_slist_append(NULL, line);
	if (c->json != NULL)
		headers = curl_slist_append(headers, "Content-Type: application/json");
	headers = add_more(c, add_bearer(c, headers));
	set_options(c, url, headers, why);
	curl_multi_add_handle(h->multi, c->easy);
	if ((run(h, c, clock_mono_ms(), whole_end, &code) != 0 || explain(c, code, why) != 0) && !has_answered(c))
		goto out;
	read_head(c);
	if (c->tells) {
		curl_off_t wait = 0;

		curl_easy_getinfo(c->easy, CURLINFO_RETRY_AFTER, &wait);
		c->retry_after_s = wait > 0 ? (int64_t)wait : 0;
	} else if (is_redirect(c->reply->status)) {
		curl_easy_getinfo(c->easy, CURLINFO_REDIRECT_URL, &to);
		if (to == NULL || c->limits->redirects == 0) {
			err_set(c->e, ERR_REMOTE, "%s: answers %d and redirects to %.100s; that is not followed",
			    host, c->reply->status, to != NULL ? to : "nowhere");
			goto out;
		}
		*next = mem_str(to);
	}
	rc = 0;
out:
	curl_multi_remove_handle(h->multi, c->easy);
	/* Pointers to this stack frame must not outlive it. */
	curl_easy_reset(c->easy);
	curl_slist_free_all(headers);
	c->host = NULL;
	return rc;
}

int
http_get(struct http *h, const struct http_policy *policy, const char *url, const char *accept,
    const struct http_limits *limits, http_sink *sink, void *arg, struct http_reply *reply, struct err *e)
{
	int64_t whole_end = clock_mono_ms() + limits->total_ms;
	char *from = mem_str(url), *next = NULL;
	struct err own = ERR_INIT;
	int hop, rc = -1;

	if (e == NULL)
		e = &own;
	for (hop = 0; hop <= limits->redirects; hop++) {
		struct call c = { .easy = h->easy, .policy = policy, .limits = limits, .sink = sink, .arg = arg,
			.reply = reply, .e = e };

		reply->status = 0;
		reply->bytes = 0;
		buf_reset(&reply->refusal);
		if (once(h, &c, from, accept, whole_end, &next) != 0) {
			if (hop > 0) {
				/* Whoever asked did not choose this URL. */
				if (e->kind == ERR_INPUT)
					e->kind = ERR_REMOTE;
				err_wrap(e, "redirected to %.100s", from);
			}
			goto out;
		}
		if (next == NULL) {
			rc = 0;
			goto out;
		}
		free(from);
		from = next;
		next = NULL;
	}
	err_set(e, ERR_REMOTE, "more than %d redirects, the last to %.100s", limits->redirects, from);
out:
	free(from);
	free(next);
	return rc;
}

static int
to_buf(void *arg, const char *p, size_t n, struct err *e)
{
	(void)e;
	buf_add(arg, p, n);
	return 0;
}

int
http_get_buf(struct http *h, const struct http_policy *policy, const char *url, const char *accept,
    const struct http_limits *limits, struct buf *body, struct http_reply *reply, struct err *e)
{
	buf_room(body, 0);
	buf_reset(body);
	return http_get(h, policy, url, accept, limits, to_buf, body, reply, e);
}

int
http_post_json(struct http *h, const struct http_policy *policy, const char *url, const char *bearer, const char *json,
    const struct http_limits *limits, struct buf *body, struct http_reply *reply, struct err *e)
{
	struct http_limits own = *limits;
	struct err none = ERR_INIT;
	struct call c = { .easy = h->easy, .policy = policy, .limits = &own, .json = json, .bearer = bearer, .sink = to_buf,
		.arg = body, .reply = reply, .e = e != NULL ? e : &none };
	char *next = NULL;

	own.redirects = 0; /* what is sent is for this server alone */
	buf_room(body, 0);
	buf_reset(body);
	reply->status = 0;
	reply->bytes = 0;
	buf_reset(&reply->refusal);
	return once(h, &c, url, "application/json", clock_mono_ms() + limits->total_ms, &next);
}

int
http_tell(struct http *h, const struct http_policy *policy, const char *url, const char *const *headers, const char *json,
    const struct http_limits *limits, int *status, int64_t *retry_after_s, struct err *e)
{
	struct http_reply reply = HTTP_REPLY_INIT;
	struct err none = ERR_INIT;
	struct call c = { .easy = h->easy, .policy = policy, .limits = limits, .json = json, .more = headers, .tells = true,
		.reply = &reply, .e = e != NULL ? e : &none };
	char *next = NULL;
	int rc = once(h, &c, url, "*/*", clock_mono_ms() + limits->total_ms, &next);

	*status = rc == 0 ? reply.status : 0;
	*retry_after_s = c.retry_after_s;
	buf_clear(&reply.refusal);
	return rc;
}

void
http_escape(struct buf *out, const char *s)
{
	for (; *s != '\0'; s++) {
		char c = *s;
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    strchr("-._~", c) != NULL;

		if (plain)
			buf_char(out, c);
		else
			buf_fmt(out, "%%%02X", (unsigned char)c);
	}
}
