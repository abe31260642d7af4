#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/http.h"
#include "tests/t.h"

/* One connection, one canned answer; tests/e2e/hostile.py has the servers that misbehave at length. */
struct server {
	int fd, port;
	const char *answer;
	char request[2048];
	pthread_t thread;
};

static void *
serve(void *arg)
{
	struct server *s = arg;
	int c = accept(s->fd, NULL, NULL);
	ssize_t n = c >= 0 ? read(c, s->request, sizeof s->request - 1) : 0;

	if (n > 0 && send(c, s->answer, strlen(s->answer), MSG_NOSIGNAL) < 0)
		n = 0;
	if (c >= 0)
		close(c);
	return NULL;
}

static void
server_start(struct server *s, const char *answer)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof a;

	memset(s, 0, sizeof *s);
	s->answer = answer;
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(s->fd >= 0 && bind(s->fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(s->fd, 4) == 0);
	getsockname(s->fd, (struct sockaddr *)&a, &n);
	s->port = ntohs(a.sin_port);
	CHECK_INT(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void
server_stop(struct server *s)
{
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->fd);
}

static const struct http_limits limits = { .bytes = 100, .bytes_key = "atproto.record", .connect_ms = 1000,
	.first_byte_ms = 2000, .total_ms = 3000, .connect_key = "atproto.connect_timeout",
	.first_byte_key = "atproto.first_byte_timeout", .total_key = "atproto.fetch_timeout" };
static const struct http_policy developer = { true, NULL, 0 };

struct outcome {
	int rc;
	struct err e;
	struct http_reply reply;
	struct buf body;
	char request[2048];
};

static void
ask(const char *answer, const struct http_limits *l, struct outcome *o)
{
	struct http *h = http_new();
	struct server s;
	char url[64];

	memset(o, 0, sizeof *o);
	server_start(&s, answer);
	snprintf(url, sizeof url, "http://127.0.0.1:%d/x", s.port);
	o->rc = http_get_buf(h, &developer, url, "application/json", l, &o->body, &o->reply, &o->e);
	server_stop(&s);
	memcpy(o->request, s.request, sizeof o->request);
	http_free(h);
}

static void
outcome_clear(struct outcome *o)
{
	buf_clear(&o->body);
	buf_clear(&o->reply.refusal);
}

TEST(http_url_only_to_public_https)
{
	static const int more[] = { 8443 };
	static const struct http_policy strict = { false, more, 1 };
	static const struct {
		const char *url;
		int strict, dev;
	} cases[] = {
		{ "https://pds.example.com/xrpc/x?y=z", 0, 0 },
		{ "https://pds.example.com:443/", 0, 0 },
		{ "https://pds.example.com:8443/", 0, 0 },
		{ "https://pds.example.com:8444/", -1, 0 },
		{ "http://pds.example.com/", -1, 0 },
		{ "https://u:p@pds.example.com/", -1, -1 },
		{ "https://127.0.0.1/", -1, 0 },
		{ "https://2130706433/", -1, 0 },
		{ "https://0x7f.1/", -1, 0 },
		{ "https://10.0.0.1/", -1, -1 },
		{ "https://8.8.8.8/", -1, -1 },
		{ "https://[::1]/", -1, 0 },
		{ "https://[fe80::1]/", -1, -1 },
		{ "https://[::ffff:127.0.0.1]/", -1, -1 },
		{ "https://localhost/", -1, 0 },
		{ "https://intranet/", -1, -1 },
		{ "https://host.internal/", -1, -1 },
		{ "https://host.local/", -1, -1 },
		{ "file:///etc/passwd", -1, -1 },
		{ "gopher://pds.example.com/", -1, -1 },
		{ "ftp://pds.example.com/", -1, -1 },
		{ "https://", -1, -1 },
		{ "pds.example.com", -1, -1 },
		{ "", -1, -1 },
	};
	char host[256];
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct err e = ERR_INIT;

		if (http_url_check(&strict, cases[i].url, host, &e) != cases[i].strict ||
		    (cases[i].strict != 0 && e.text[0] == '\0'))
			t_check(false, cases[i].url, __FILE__, __LINE__);
		if (http_url_check(&developer, cases[i].url, host, &e) != cases[i].dev)
			t_check(false, cases[i].url, "dev", __LINE__);
	}
}

TEST(http_get_brings_the_body)
{
	struct outcome o;

	ask("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", &limits, &o);
	CHECK_INT(o.rc, 0);
	CHECK_INT(o.reply.status, 200);
	CHECK_STR(o.reply.type, "application/json");
	CHECK_STR(o.body.data, "{}");
	CHECK(strstr(o.request, "User-Agent: at-rund/") != NULL);
	CHECK(strstr(o.request, "Accept: application/json\r\n") != NULL);
	CHECK(strstr(o.request, "Accept-Encoding") == NULL);
	outcome_clear(&o);
}

TEST(http_refusal_is_an_answer)
{
	struct outcome o;

	ask("HTTP/1.1 400 Bad\r\nContent-Length: 5\r\n\r\nwrong", &limits, &o);
	CHECK_INT(o.rc, 0);
	CHECK_INT(o.reply.status, 400);
	CHECK_STR(o.reply.refusal.data, "wrong");
	CHECK_INT(o.body.len, 0);
	outcome_clear(&o);
}

static void
fails(const char *answer, enum err_kind kind, const char *why)
{
	struct outcome o;

	ask(answer, &limits, &o);
	CHECK_INT(o.rc, -1);
	CHECK_INT(o.e.kind, kind);
	if (strstr(o.e.text, why) == NULL)
		CHECK_STR(o.e.text, why);
	outcome_clear(&o);
}

TEST(http_answers_that_are_no_good)
{
	fails("HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\nx", ERR_REMOTE, "larger than 100 bytes (atproto.record)");
	fails("HTTP/1.1 200 OK\r\n\r\n"
	      "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789X",
	    ERR_REMOTE, "larger than 100 bytes (atproto.record)");
	fails("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort", ERR_REMOTE, "127.0.0.1: ");
	fails("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", ERR_REMOTE,
	    "redirects to http://127.0.0.1:1/; that is not followed");
	fails("garbage\r\n\r\n", ERR_REMOTE, "127.0.0.1: ");
	fails("", ERR_REMOTE, "127.0.0.1: ");
}

TEST(http_redirects_are_checked_again)
{
	struct http_limits three = limits;
	struct outcome o;

	three.redirects = 3;
	ask("HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n", &three, &o);
	CHECK_INT(o.rc, -1);
	CHECK_INT(o.e.kind, ERR_DENIED);
	CHECK_STR(o.e.text, "redirected to http://169.254.169.254/latest: 169.254.169.254 is not the name of a public host");
	outcome_clear(&o);
}

TEST(http_silence_has_an_end)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct http_limits quick = limits;
	struct http_reply reply = HTTP_REPLY_INIT;
	struct http *h = http_new();
	struct buf body = BUF_INIT;
	struct err e = ERR_INIT;
	socklen_t n = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char url[64];

	/* Accepted by the kernel, answered by nobody. */
	CHECK(bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 1) == 0);
	getsockname(fd, (struct sockaddr *)&a, &n);
	snprintf(url, sizeof url, "http://localhost:%d/", ntohs(a.sin_port));
	quick.first_byte_ms = 50;
	CHECK_INT(http_get_buf(h, &developer, url, "*/*", &quick, &body, &reply, &e), -1);
	CHECK_INT(e.kind, ERR_TIMEOUT);
	CHECK_STR(e.text, "localhost: no answer within 50 ms (atproto.first_byte_timeout)");
	quick.total_ms = 40;
	CHECK_INT(http_get_buf(h, &developer, url, "*/*", &quick, &body, &reply, &e), -1);
	CHECK_STR(e.text, "localhost: not done within 40 ms (atproto.fetch_timeout)");
	close(fd);
	CHECK_INT(http_get_buf(h, &developer, url, "*/*", &limits, &body, &reply, &e), -1);
	CHECK_INT(e.kind, ERR_REMOTE);
	buf_clear(&body);
	http_free(h);
}

TEST(http_escape_leaves_nothing_to_guess)
{
	struct buf b = BUF_INIT;

	http_escape(&b, "did:plc:a/b?c=d&e #\xc3\xa9~-._");
	CHECK_STR(b.data, "did%3Aplc%3Aa%2Fb%3Fc%3Dd%26e%20%23%C3%A9~-._");
	buf_clear(&b);
}
