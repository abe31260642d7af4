/*
 * libfcgi behind guards (facts 1.2).  We accept ourselves and hand libfcgi a connected descriptor: its own accept would
 * hold a lock while a peer is slow, and leave descriptors open over exec.  FCGX_Accept_r takes a given ipcFd when
 * keepConnection is set; listen_sock -1 makes it return instead of accepting when the bytes on it are no request.
 *
 * libfcgi knows no timeouts: SO_RCVTIMEO and SO_SNDTIMEO on the connection do, and a body has a deadline that moves
 * with what has arrived, so that a slow line is served and a drip is not.
 *
 * A plain request that has come whole over a unix socket needs none of this: whole.c reads it, and libfcgi never hears of it.
 */
#include "fcgi/request.h"

#include <errno.h>
#include <fcgiapp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "fcgi/reply.h"
#include "fcgi/whole.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"

/* A web server that keeps the connection (nginx fastcgi_keep_conn, Apache enablereuse) pins a thread: for so long. */
#define KEPT_IDLE_MS 5000
#define KEPT_STEP_MS 500
/* Slower than this for the whole body is a drip. */
#define BODY_BYTES_PER_MS 16

#define RECORD_ABORT_REQUEST 2
#define RECORD_STDIN         5
#define RECORD_HEAD          8
#define ROLE_RESPONDER 1

#define BREAK_MS     10            /* a body of unknown length that does not come for so long comes in pieces */
#define FEED_LOOK_MS 50
#define FED_PIECE    (16 * 1024)   /* fits whenever the socket says that it has room */

struct wire {
	FCGX_Request *fcgi;  /* libfcgi serves it */
	struct whole *whole; /* or we do; neither: plain CGI */
	int fd;              /* where the answer goes */
	bool unix_socket;    /* POLLHUP is exact */
	bool watch_in, watch_rdhup;
	bool broken; /* a write failed; libfcgi says so only once */
	bool aborted;
	bool drained; /* nothing of the request is left to read */
	size_t got;   /* plain CGI: bytes of the body that were read */
	struct buf out; /* whole: records to be sent */
	bool ended;     /* whole: the answer's end is among what was sent */
	struct feed *feed; /* takes the body meanwhile; NULL: it was read before */
};

/* Answers larger than this, and streams, may have to wait for a slow reader. */
#define SEND_AT_ONCE 65536

static bool
is_cgi(const struct wire *w)
{
	return w->fcgi == NULL && w->whole == NULL;
}

extern char **environ;

int
request_start(struct err *e)
{
	/* Before FCGX_Init, which leaves handlers alone that are set. */
	signal(SIGPIPE, SIG_IGN);
	if (FCGX_Init() != 0)
		return err_set(e, ERR_INTERNAL, "libfcgi does not start");
	return 0;
}

/* The first of duplicates wins, as in FCGX_GetParam; nginx sends them (facts 1.2). */
static bool
take_known(struct request *r, const char *s, size_t n)
{
#define KNOWN(name) (name), sizeof(name) - 1
	const struct {
		const char *name;
		size_t len;
		const char **to;
	} known[] = {
		{ KNOWN("REQUEST_METHOD="), &r->method }, { KNOWN("REQUEST_URI="), &r->uri },
		{ KNOWN("REQUEST_SCHEME="), &r->scheme }, { KNOWN("REMOTE_ADDR="), &r->peer },
		{ KNOWN("CONTENT_TYPE="), &r->type }, { KNOWN("HTTP_HOST="), &r->host },
		{ KNOWN("HTTP_PREFER="), &r->prefer }, { KNOWN("HTTP_ACCEPT="), &r->accept },
		{ KNOWN("HTTP_IDEMPOTENCY_KEY="), &r->idempotency_key }, { KNOWN("HTTP_AUTHORIZATION="), &r->authorization },
		{ KNOWN("HTTP_TRACEPARENT="), &r->traceparent }, { KNOWN("HTTP_AT_RUN_CALLBACK="), &r->callback },
	};
#undef KNOWN
	size_t i;

	for (i = 0; i < sizeof known / sizeof *known; i++) {
		if (s[0] != known[i].name[0] || n < known[i].len || memcmp(s, known[i].name, known[i].len) != 0)
			continue;
		if (*known[i].to == NULL)
			*known[i].to = s + known[i].len;
		return true;
	}
	return false;
}

static void
fill_one(struct request *r, const char *s, size_t n)
{
	r->env_count++;
	r->env_bytes += n;
	if (memcmp(s, "HTTP_", n < 5 ? n : 5) == 0) {
		r->header_count++;
		r->header_bytes += n;
	}
	if (take_known(r, s, n))
		return;
	if (strncmp(s, "CONTENT_LENGTH=", 15) == 0) {
		/* Caddy says -1 for a chunked body, lighttpd says nothing for none. */
		if (s[15] >= '0' && s[15] <= '9' && strspn(s + 15, "0123456789") == n - 15 && n - 15 < 19)
			r->length = strtoll(s + 15, NULL, 10);
		else if (s[15] == '-')
			r->chunked = true;
	} else if (strncmp(s, "HTTP_TRANSFER_ENCODING=", 23) == 0) {
		r->chunked = true;
	} else if (strncmp(s, "SERVER_SOFTWARE=nginx/", 22) == 0 || strncmp(s, "SERVER_SOFTWARE=Caddy/", 22) == 0) {
		/* nginx sends no more of a body once it has sent the answer's head (ngx_http_upstream_send_request_handler); Caddy
		 * reads no answer before it has sent the whole body. */
		r->holds = true;
	} else if (strcmp(s, "HTTPS=on") == 0) {
		r->scheme = "https";
	}
}

static void
fill(struct request *r, char *const *env, const struct conf *conf, struct wire *w)
{
	char *const *p;

	*r = (struct request){ .length = -1, .env = env, .conf = conf, .wire = w };
	for (p = env; *p != NULL; p++)
		fill_one(r, *p, strlen(*p));
	if (r->method == NULL)
		r->method = "";
	if (r->uri == NULL)
		r->uri = "";
	if (r->scheme == NULL || strcmp(r->scheme, "https") != 0)
		r->scheme = "http";
	if (r->host == NULL)
		r->host = "";
	if (r->peer == NULL)
		r->peer = "";
	if (r->type == NULL)
		r->type = "";
}

static void
receive_timeout(int fd, int64_t body_timeout)
{
	struct timeval in = { body_timeout / 1000, body_timeout % 1000 * 1000 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &in, sizeof in);
}

static void
send_timeout(const struct request *r)
{
	struct timeval out = { r->conf->web.body_timeout / 1000 + 30, 0 };

	if (!is_cgi(r->wire))
		setsockopt(r->wire->fd, SOL_SOCKET, SO_SNDTIMEO, &out, sizeof out);
}

/* --- connections --- */

struct conn {
	int fd;
	const struct conf *conf;
	FCGX_Request fcgi;
	struct whole whole; /* env: it is one, and has been taken off the socket */
	struct wire wire;
	struct request request;
};

struct conn *
conn_new(int fd, bool unix_socket, const struct conf *conf)
{
	struct conn *c = mem_alloc(sizeof *c);

	c->fd = fd;
	c->conf = conf;
	c->wire.unix_socket = unix_socket;
	FCGX_InitRequest(&c->fcgi, -1, 0);
	c->fcgi.ipcFd = fd;
	return c;
}

int
conn_fd(const struct conn *c)
{
	return c->fd;
}

/* FastCGI records: version, type, id (2), length (2), padding, reserved.  An empty STDIN record ends a request. */
static bool
ends_request(const unsigned char *p, size_t n)
{
	while (n >= 8) {
		size_t body = (size_t)p[4] << 8 | p[5], bytes = 8 + body + p[6];

		if (p[0] != 1 || bytes > n)
			return false;
		if (p[1] == RECORD_STDIN && body == 0)
			return true;
		p += bytes;
		n -= bytes;
	}
	return false;
}

/* What was peeked at is read: the web server is not to find that we closed with bytes of it unread. */
static bool
take_off(int fd, char *room, size_t n)
{
	while (n > 0) {
		ssize_t got = recv(fd, room, n, MSG_DONTWAIT);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		n -= (size_t)got;
	}
	return true;
}

enum conn_has
conn_peek(struct conn *c, void *room, size_t bytes)
{
	ssize_t n = recv(c->fd, room, bytes, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return CONN_NOTHING;
	if (n > 0 && c->wire.unix_socket && whole_parse(&c->whole, room, (size_t)n)) {
		if (take_off(c->fd, room, (size_t)n))
			return CONN_WHOLE;
		whole_clear(&c->whole);
		return CONN_PART;
	}
	return n > 0 && ends_request(room, (size_t)n) ? CONN_WHOLE : CONN_PART;
}

struct request *
conn_read(struct conn *c)
{
	c->wire = (struct wire){ .fd = c->fd, .unix_socket = c->wire.unix_socket, .watch_in = true, .watch_rdhup = true };
	if (c->whole.env != NULL) {
		c->wire.whole = &c->whole;
		fill(&c->request, c->whole.env, c->conf, &c->wire);
		return &c->request;
	}
	c->wire.fcgi = &c->fcgi;
	c->fcgi.keepConnection = 1;
	if (FCGX_Accept_r(&c->fcgi) < 0)
		return NULL; /* libfcgi has closed it */
	/* libfcgi takes parameters that break off for the whole of them; the error stays in the stream. */
	if (c->fcgi.role != ROLE_RESPONDER || FCGX_GetError(c->fcgi.in) != 0) {
		FCGX_Finish_r(&c->fcgi);
		FCGX_Free(&c->fcgi, 1);
		return NULL;
	}
	fill(&c->request, c->fcgi.envp, c->conf, &c->wire);
	return &c->request;
}

static int end_answer(struct wire *w);

static bool
finish_whole(struct conn *c)
{
	bool keep;

	if (!c->wire.ended && !c->wire.aborted)
		end_answer(&c->wire);
	keep = c->whole.keep && !c->wire.aborted && !c->wire.broken;
	whole_clear(&c->whole);
	buf_clear(&c->wire.out);
	if (keep)
		return true;
	close(c->fd);
	c->fcgi.ipcFd = -1;
	return false;
}

bool
conn_finish(struct conn *c)
{
	if (c->wire.whole != NULL)
		return finish_whole(c);
	/* libfcgi half-closes and waits for the peer before it closes, against a TCP reset of unread data.  With
	 * everything read there is none: FCGX_Detach makes it a plain close, three system calls less. */
	if (c->wire.drained && c->wire.unix_socket && !c->fcgi.keepConnection && !c->wire.aborted)
		FCGX_Detach(&c->fcgi);
	FCGX_Finish_r(&c->fcgi);
	if (c->fcgi.ipcFd < 0)
		return false;
	if (!c->wire.aborted)
		return true;
	FCGX_Free(&c->fcgi, 1);
	return false;
}

void
conn_free(struct conn *c)
{
	if (c == NULL)
		return;
	if (c->fcgi.ipcFd >= 0)
		FCGX_Free(&c->fcgi, 1);
	whole_clear(&c->whole);
	buf_clear(&c->wire.out);
	free(c);
}

/* True when the next request arrives on a kept connection. */
static bool
another(int fd, const atomic_bool *stop)
{
	int waited;

	for (waited = 0; waited < KEPT_IDLE_MS && !atomic_load(stop); waited += KEPT_STEP_MS) {
		struct pollfd p = { fd, POLLIN, 0 };
		int n = poll(&p, 1, KEPT_STEP_MS);

		if (n > 0)
			return true;
		if (n < 0 && errno != EINTR)
			return false;
	}
	return false;
}

void
conn_serve(struct conn *c, bool kept, const atomic_bool *stop, request_fn *fn, void *arg)
{
	struct request *r;

	receive_timeout(c->fd, c->conf->web.body_timeout);
	while (!kept || (!atomic_load(stop) && another(c->fd, stop))) {
		if ((r = conn_read(c)) == NULL)
			break;
		fn(arg, r);
		if (!conn_finish(c))
			break;
		kept = true;
	}
	conn_free(c);
}

/* --- body --- */

/* Some bytes, 0 at the end, -1 with errno. */
static ssize_t
read_fcgi(FCGX_Request *f, char *to, size_t n)
{
	FCGX_Stream *in = f->in;
	int c, err;

	if (in->rdNext == in->stop) { /* one byte makes libfcgi read once; what came with it is then there */
		if ((c = FCGX_GetChar(in)) == EOF) {
			err = FCGX_GetError(in);
			errno = err > 0 ? err : EPROTO;
			return err == 0 ? 0 : -1;
		}
		*to = (char)c;
		return 1;
	}
	if (n > (size_t)(in->stop - in->rdNext))
		n = (size_t)(in->stop - in->rdNext);
	return FCGX_GetStr(to, (int)n, in);
}

static ssize_t
read_cgi(const struct request *r, char *to, size_t n, int64_t timeout_ms)
{
	struct pollfd p = { STDIN_FILENO, POLLIN, 0 };
	size_t got = r->wire->got;
	ssize_t did;

	/* A CGI program must not read past the length: the server may never close the pipe. */
	if (r->length >= 0 && (int64_t)got >= r->length)
		return 0;
	if (r->length < 0 && !r->chunked)
		return 0;
	if (r->length >= 0 && (int64_t)(got + n) > r->length)
		n = (size_t)(r->length - (int64_t)got);
	if (poll(&p, 1, timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms) == 0) {
		errno = EAGAIN;
		return -1;
	}
	did = read(STDIN_FILENO, to, n);
	r->wire->got += did > 0 ? (size_t)did : 0;
	return did;
}

static int
too_large(size_t cap, struct err *e)
{
	char size[32];

	conf_size_print((int64_t)cap, size);
	return err_named(e, ERR_INPUT, "PayloadTooLarge", "the request body is larger than limits.request = %s", size);
}

static int
too_slow(const struct request *r, size_t got, struct err *e)
{
	char time[32];

	conf_duration_print(r->conf->web.body_timeout, time);
	return err_named(e, ERR_TIMEOUT, "RequestTimeout",
	    "the request body came too slowly: %zu bytes so far, web.body_timeout = %s", got, time);
}

static int
read_body(struct request *r, size_t cap, struct buf *out, struct err *e)
{
	int64_t start = clock_mono_ms(), patience = r->conf->web.body_timeout;

	if (r->length > 0)
		buf_room(out, (size_t)r->length);
	for (;;) {
		char *to = buf_room(out, 8192);
		ssize_t n = r->wire->fcgi != NULL ? read_fcgi(r->wire->fcgi, to, 8192) :
						    read_cgi(r, to, 8192, patience);

		if (n == 0)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return too_slow(r, out->len, e);
		if (n < 0)
			return err_set(e, ERR_INPUT, "the request body broke off after %zu bytes", out->len);
		out->len += (size_t)n;
		if (out->len > cap)
			return too_large(cap, e);
		if (clock_mono_ms() - start > patience + (int64_t)out->len / BODY_BYTES_PER_MS)
			return too_slow(r, out->len, e);
	}
	r->wire->drained = true;
	return 0;
}

/*
 * What nobody wanted of a body is read all the same.  Apache's mod_cgid makes standard input and output one socket: were we to
 * end with bytes of it unread, the kernel would reset the connection, and what Apache had not yet read of the answer were lost.
 */
static void
drain_cgi(const struct request *r)
{
	int64_t start = clock_mono_ms(), patience = r->conf->web.body_timeout;
	char block[65536];
	ssize_t n;

	do
		n = read_cgi(r, block, sizeof block, patience);
	while ((n > 0 || (n < 0 && errno == EINTR)) &&
	    clock_mono_ms() - start <= patience + (int64_t)r->wire->got / BODY_BYTES_PER_MS);
}

int
request_cgi(const struct conf *conf, request_fn *fn, void *arg)
{
	struct wire w = { .fd = STDOUT_FILENO };
	struct request r;

	fill(&r, environ, conf, &w);
	fn(arg, &r);
	if (!w.drained && !w.aborted)
		drain_cgi(&r);
	return w.aborted ? 1 : 0;
}

int
request_body(struct request *r, size_t cap, struct buf *out, bool *has_body, struct err *e)
{
	const struct whole *whole = r->wire->whole;

	if (r->length > (int64_t)cap || (whole != NULL && whole->body_bytes > cap))
		return too_large(cap, e);
	if (whole != NULL && whole->body_bytes > 0)
		buf_add(out, whole->body, whole->body_bytes);
	else if (whole == NULL && read_body(r, cap, out, e) != 0)
		return -1;
	if (out->data != NULL)
		out->data[out->len] = '\0';
	/* Fewer bytes than announced is a cut body; more would be the next request of somebody else. */
	if (r->length >= 0 && (int64_t)out->len != r->length)
		return err_set(e, ERR_INPUT, "the request body has %zu bytes, but Content-Length says %lld", out->len,
		    (long long)r->length);
	/* lighttpd says CONTENT_LENGTH=0 for every GET. */
	*has_body = out->len > 0 || (r->length == 0 && (strcmp(r->method, "POST") == 0 ||
	    strcmp(r->method, "PUT") == 0 || strcmp(r->method, "PATCH") == 0));
	return 0;
}

/* --- a body bit by bit --- */

/*
 * libfcgi does not say whether it holds bytes back that it has read but not handed on, and to ask it for them may wait for
 * others.  Its own struct has begun like this since 1996; where it looks otherwise no body is taken bit by bit.
 */
struct held_back {
	const unsigned char *buff;
	int bufflen;
	const unsigned char *mbuff, *stop;
};

/* Bytes that it holds back; -1: that is not known. */
static long
held_back(const FCGX_Stream *in)
{
	const struct held_back *h = in->data;

	if (h == NULL || h->buff == NULL || h->bufflen < 64 || h->bufflen > 1 << 20 || in->rdNext < h->buff || in->stop < in->rdNext ||
	    h->stop < in->stop || h->stop > h->buff + h->bufflen)
		return -1;
	return h->stop - in->stop;
}

static int
input_fd(const struct request *r)
{
	return r->wire->fcgi != NULL ? r->wire->fcgi->ipcFd : STDIN_FILENO;
}

bool
request_has_more(const struct request *r)
{
	struct pollfd p = { input_fd(r), POLLIN, 0 };
	const FCGX_Stream *in;

	if (r->wire->drained)
		return false;
	if (r->wire->fcgi != NULL) {
		in = r->wire->fcgi->in;
		/* With the head of a record comes its content. */
		if (in->rdNext < in->stop || in->isClosed || held_back(in) >= RECORD_HEAD)
			return true;
	}
	return poll(&p, 1, 0) > 0;
}

bool
request_may_stream(const struct request *r, size_t bytes)
{
	if (r->wire->whole != NULL || (r->wire->fcgi != NULL && held_back(r->wire->fcgi->in) < 0))
		return false;
	return r->length > (int64_t)bytes || (r->length < 0 && r->chunked);
}

/* All of it has come: is it as long as it was said to be? */
static int
check_length(struct request *r, size_t total, struct err *e)
{
	r->wire->drained = true;
	if (r->length >= 0 && (int64_t)total != r->length)
		return err_set(e, ERR_INPUT, "the request body has %zu bytes, but Content-Length says %lld", total,
		    (long long)r->length);
	return 1;
}

int
request_body_more(struct request *r, size_t cap, size_t total, size_t max, struct buf *out, struct err *e)
{
	size_t was = out->len, room;

	while ((room = max - (out->len - was)) > 0 && request_has_more(r)) {
		size_t some = room < 65536 ? room : 65536, got = total + out->len - was;
		char *to = buf_room(out, some);
		ssize_t n = r->wire->fcgi != NULL ? read_fcgi(r->wire->fcgi, to, some) : read_cgi(r, to, some, 0);

		if (n == 0)
			return check_length(r, got, e);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(e, ERR_INPUT, "the request body broke off after %zu bytes", got);
		out->len += (size_t)n;
		if (got + (size_t)n > cap)
			return too_large(cap, e);
		/* More than was announced would be the next request of somebody else. */
		if (r->length >= 0 && (int64_t)(got + (size_t)n) > r->length)
			return check_length(r, got + (size_t)n, e);
	}
	return 0;
}

int
request_body_first(struct request *r, size_t cap, size_t bytes, struct buf *out, bool *has_body, struct err *e)
{
	int rc;

	*has_body = true;
	if (r->length >= 0)
		return r->length > (int64_t)cap ? too_large(cap, e) : 0;
	do {
		struct pollfd p = { input_fd(r), POLLIN, 0 };

		rc = request_body_more(r, cap, out->len, bytes - out->len, out, e);
		if (rc == 0 && !request_has_more(r) && poll(&p, 1, BREAK_MS) == 0)
			break;
	} while (rc == 0 && out->len < bytes);
	*has_body = rc != 1 || out->len > 0;
	return rc;
}

void
request_feed(struct request *r, struct feed *f)
{
	r->wire->feed = f;
}

struct feed *
request_fed(const struct request *r)
{
	return r->wire->feed;
}

/* --- answer --- */

/* While the body comes nobody may be kept waiting for ever by the other: the web server that does not read an answer before it has
 * sent its request, we who do not take it before we have sent our answer. */
static void
feed_until_room(struct wire *w)
{
	struct pollfd p = { w->fcgi->ipcFd, 0, 0 };
	struct timeval most = { 0, 0 };
	socklen_t n = sizeof most;
	int64_t until;

	getsockopt(p.fd, SOL_SOCKET, SO_SNDTIMEO, &most, &n);
	until = clock_mono_ms() + (most.tv_sec > 0 ? most.tv_sec * 1000 : 60000);
	for (;;) {
		p.events = (short)(POLLOUT | (w->feed->hungry ? POLLIN : 0));
		if (poll(&p, 1, FEED_LOOK_MS) < 0 && errno != EINTR)
			break;
		if (p.revents & (POLLOUT | POLLERR | POLLHUP))
			return;
		w->feed->fn(w->feed, true);
		if (w->feed->broken || clock_mono_ms() > until)
			break;
	}
	w->broken = true;
}

static int
put_fcgi(struct wire *w, const char *p, size_t n)
{
	while (n > 0) {
		int piece = n > 1 << 20 ? 1 << 20 : (int)n;

		if (FCGX_PutStr(p, piece, w->fcgi->out) < 0 || FCGX_GetError(w->fcgi->out) != 0)
			return -1;
		p += piece;
		n -= (size_t)piece;
	}
	return 0;
}

static int
write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t did = write(fd, p, n);

		if (did < 0 && errno == EINTR)
			continue;
		if (did < 0)
			return -1;
		p += did;
		n -= (size_t)did;
	}
	return 0;
}

static int
send_out(struct wire *w)
{
	int rc = write_all(w->fd, w->out.data, w->out.len);

	buf_reset(&w->out);
	return rc;
}

static int
put_whole(struct wire *w, const char *p, size_t n)
{
	while (n > 0) {
		size_t piece = n > SEND_AT_ONCE ? SEND_AT_ONCE : n;

		whole_put(w->whole, &w->out, p, piece);
		p += piece;
		n -= piece;
		if (w->out.len > SEND_AT_ONCE && send_out(w) != 0)
			return -1;
	}
	return 0;
}

static int
put(struct wire *w, const char *p, size_t n)
{
	int (*how)(struct wire *, const char *, size_t) = w->whole != NULL ? put_whole : put_fcgi;

	while (n > 0 && !w->broken) {
		bool fed = w->feed != NULL && !w->drained && w->fcgi != NULL;
		size_t piece = fed && n > FED_PIECE ? FED_PIECE : n;

		if (fed)
			feed_until_room(w);
		if (!w->broken && (is_cgi(w) ? write_all(w->fd, p, piece) : how(w, p, piece)) != 0)
			w->broken = true;
		p += piece;
		n -= piece;
	}
	return w->broken ? -1 : 0;
}

static int
flush(struct wire *w)
{
	if (w->whole != NULL && !w->broken && send_out(w) != 0)
		w->broken = true;
	/* FCGX_FFlush tells of EPIPE once and then says 0 again; the stream's error stays. */
	if (w->fcgi != NULL && !w->broken && (FCGX_FFlush(w->fcgi->out) != 0 || FCGX_GetError(w->fcgi->out) != 0))
		w->broken = true;
	return w->broken ? -1 : 0;
}

/* All that there is of the answer, and its end, before anything else is done. */
static int
end_answer(struct wire *w)
{
	if (w->whole != NULL) {
		whole_end(w->whole, &w->out);
		w->ended = true;
		return flush(w);
	}
	FCGX_FClose(w->fcgi->err);
	return FCGX_FClose(w->fcgi->out) != 0 ? -1 : 0;
}

int
request_send(struct request *r, const struct reply *reply)
{
	struct buf head = BUF_INIT;
	bool head_only = strcmp(r->method, "HEAD") == 0;
	size_t n = reply_print(reply, head_only, &head);
	int rc;

	if (reply->stream || n > SEND_AT_ONCE)
		send_timeout(r);
	/* One write, or one record, for what fits. */
	if (r->wire->fcgi == NULL && n > 0 && n <= SEND_AT_ONCE) {
		buf_add(&head, reply->borrowed != NULL ? reply->borrowed : reply->body.data, n);
		n = 0;
	}
	rc = put(r->wire, head.data, head.len);
	if (rc == 0 && n > 0)
		rc = put(r->wire, reply->borrowed != NULL ? reply->borrowed : reply->body.data, n);
	if (rc == 0 && reply->stream)
		rc = flush(r->wire);
	if (rc == 0 && !reply->stream && !is_cgi(r->wire))
		rc = end_answer(r->wire);
	buf_clear(&head);
	return rc;
}

int
request_write(struct request *r, const void *p, size_t n)
{
	if (put(r->wire, p, n) != 0)
		return -1;
	return flush(r->wire);
}

void
request_abort(struct request *r)
{
	flush(r->wire);
	r->wire->aborted = true;
	/* No end record: every server then breaks off its answer too, so a cut stream is not taken for a whole one. */
	if (!is_cgi(r->wire))
		shutdown(r->wire->fd, SHUT_RDWR);
}

/* --- is the caller still there? --- */

void
request_watch(const struct request *r, struct pollfd *p)
{
	const struct wire *w = r->wire;
	bool fed = w->feed != NULL && !w->drained;

	p->fd = w->fd;
	p->events = (short)(((fed ? w->feed->hungry : w->watch_in) ? POLLIN : 0) | (w->watch_rdhup ? POLLRDHUP : 0));
	p->revents = 0;
	/* A pipe whose body has ended hangs up, and goes on saying so. */
	if (fed && is_cgi(w))
		p->fd = w->feed->hungry ? STDIN_FILENO : -1;
}

bool
request_gone(struct request *r, short revents)
{
	struct wire *w = r->wire;
	unsigned char head[8];

	if (is_cgi(w) && w->feed != NULL && !w->drained)
		return w->broken; /* it is the body that was looked at */
	if (revents & (POLLERR | POLLNVAL))
		return true;
	/* A unix socket hangs up when the peer closed; half a close is only the end of its request. */
	if (revents & POLLHUP)
		return true;
	if (revents & POLLRDHUP) {
		if (!w->unix_socket)
			return true;
		w->watch_rdhup = w->watch_in = false;
	}
	if ((revents & POLLIN) && !is_cgi(w) && w->watch_in && (w->feed == NULL || w->drained)) {
		/* Only an abort is of interest; anything else (the next request of a kept connection) waits. */
		w->watch_in = false;
		if (recv(w->fd, head, sizeof head, MSG_PEEK | MSG_DONTWAIT) == 8 && head[0] == 1 &&
		    head[1] == RECORD_ABORT_REQUEST)
			return true;
	}
	return w->broken;
}
