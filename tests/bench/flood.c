/*
 * flood: as many calls as go through the door, without a web server between: a client of the FastCGI socket that keeps some
 * connections busy, one request each, and counts answers.
 *
 *     flood --socket run/fcgi.sock --uri /bundle/local/bench/latest/hello --clients 64 --seconds 3 --status 202
 *
 * prints calls a second and the median and 99th percentile in milliseconds.  An answer of another status ends it.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/mem.h"

#define LATE_MS 2 /* then others are looked at, too */

struct client {
	int fd;
	int64_t since_us;
	size_t got;
	char head[64]; /* the first bytes of the answer */
};

static struct sockaddr_un at = { .sun_family = AF_UNIX };
static struct buf request = BUF_INIT;
static int status = 202;
static int64_t *took_us;
static size_t done, room;

static void
fail(const char *what)
{
	perror(what);
	exit(1);
}

static void
record(int type, const char *p, size_t n)
{
	unsigned char head[8] = { 1, (unsigned char)type, 0, 1, (unsigned char)(n >> 8), (unsigned char)n, 0, 0 };

	buf_add(&request, head, sizeof head);
	buf_add(&request, p, n);
}

static void
param(struct buf *b, const char *name, const char *value)
{
	buf_char(b, (char)strlen(name));
	buf_char(b, (char)strlen(value)); /* both are short */
	buf_str(b, name);
	buf_str(b, value);
}

/* What lighttpd sends for a POST of {} with "Prefer: respond-async". */
static void
make_request(const char *uri)
{
	struct buf b = BUF_INIT;

	record(1, "\0\1\0\0\0\0\0\0", 8);
	param(&b, "CONTENT_LENGTH", "2");
	param(&b, "REQUEST_URI", uri);
	param(&b, "REQUEST_METHOD", "POST");
	param(&b, "REQUEST_SCHEME", "http");
	param(&b, "SERVER_PROTOCOL", "HTTP/1.1");
	param(&b, "SERVER_SOFTWARE", "flood");
	param(&b, "SERVER_ADDR", "127.0.0.1");
	param(&b, "SERVER_PORT", "80");
	param(&b, "SERVER_NAME", "127.0.0.1");
	param(&b, "REMOTE_ADDR", "127.0.0.1");
	param(&b, "REMOTE_PORT", "10000");
	param(&b, "QUERY_STRING", "");
	param(&b, "DOCUMENT_ROOT", "/");
	param(&b, "SCRIPT_NAME", uri);
	param(&b, "HTTP_HOST", "127.0.0.1");
	if (status == 202)
		param(&b, "HTTP_PREFER", "respond-async");
	record(4, b.data, b.len);
	record(4, "", 0);
	record(5, "{}", 2);
	record(5, "", 0);
	buf_clear(&b);
}

static void
ask(struct client *c)
{
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	c->since_us = clock_mono_us();
	c->got = 0;
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&at, sizeof at) != 0)
		fail(at.sun_path);
	if (write(c->fd, request.data, request.len) != (ssize_t)request.len)
		fail("write");
}

static void
count(const struct client *c)
{
	char want[32];
	int n = snprintf(want, sizeof want, "Status: %d ", status);

	/* After the eight bytes of the record's head. */
	if (c->got < 8 + (size_t)n || memcmp(c->head + 8, want, (size_t)n) != 0) {
		fprintf(stderr, "flood: not %d: %.*s\n", status, c->got > 8 ? (int)sizeof c->head - 8 : 0, c->head + 8);
		exit(1);
	}
	if (done == room)
		took_us = mem_grow(took_us, (room = room * 2 + 4096) * sizeof *took_us);
	took_us[done++] = clock_mono_us() - c->since_us;
}

/* True when the answer is complete: the door closes. */
static bool
hear(struct client *c)
{
	char bytes[4096];
	ssize_t n = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n < 0)
		fail("read");
	if (n > 0 && c->got < sizeof c->head)
		memcpy(c->head + c->got, bytes,
		    (size_t)n < sizeof c->head - c->got ? (size_t)n : sizeof c->head - c->got);
	c->got += (size_t)n;
	/* An end record stands last. */
	if (n >= 16 && bytes[n - 16] == 1 && bytes[n - 15] == 3)
		n = 0;
	if (n > 0)
		return false;
	close(c->fd);
	return true;
}

static int
by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Answers come in the order of the calls, nearly always: who has waited longest is looked at first, and slept on.  So a call
 * costs no more system calls than its bytes need. */
static size_t
hear_all(struct client **line, size_t n, bool all)
{
	size_t i = 0, heard = 0;
	struct client *c;

	while (i < n - heard) {
		c = line[i];
		if (!hear(c)) {
			if (!all)
				break;
			i++;
			continue;
		}
		count(c);
		ask(c);
		memmove(line + i, line + i + 1, (n - i - 1) * sizeof(struct client *));
		line[n - 1] = c;
		heard++;
	}
	return heard;
}

static void
run(int clients, double seconds)
{
	size_t n = (size_t)clients, i;
	struct client *c = mem_array(n, sizeof *c), **line = mem_array(n, sizeof(struct client *));
	int64_t begin = clock_mono_us(), end = begin + (int64_t)(seconds * 1e6);
	bool late = false;

	for (i = 0; i < n; i++)
		ask(line[i] = &c[i]);
	while (clock_mono_us() < end) {
		struct pollfd p = { line[0]->fd, POLLIN, 0 };

		if (hear_all(line, n, late) == 0)
			late = poll(&p, 1, LATE_MS) == 0;
	}
	end = clock_mono_us();
	if (done == 0)
		fail("nobody answered");
	qsort(took_us, done, sizeof *took_us, by_size);
	printf("%.0f %.3f %.3f\n", (double)done * 1e6 / (double)(end - begin), (double)took_us[done / 2] / 1e3,
	    (double)took_us[done * 99 / 100] / 1e3);
	free(line);
	free(c);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = { { "socket", 1, NULL, 's' }, { "uri", 1, NULL, 'u' },
		{ "clients", 1, NULL, 'c' }, { "seconds", 1, NULL, 't' }, { "status", 1, NULL, 'S' }, { NULL, 0, NULL, 0 } };
	const char *uri = "/";
	double seconds = 1;
	int clients = 64, o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (o) {
		case 's': snprintf(at.sun_path, sizeof at.sun_path, "%s", optarg); break;
		case 'u': uri = optarg; break;
		case 'c': clients = (int)strtol(optarg, NULL, 10); break;
		case 't': seconds = strtod(optarg, NULL); break;
		case 'S': status = (int)strtol(optarg, NULL, 10); break;
		default: return 64;
		}
	}
	if (strlen(uri) > 120 || clients < 1)
		return 64;
	make_request(uri);
	run(clients, seconds);
	return 0;
}
