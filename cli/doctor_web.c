/*
 * The way in: the FastCGI socket is there, the front door behind it answers, a web server may reach it; and, where the config
 * tells the address, a call through the web server arrives with its Authorization.
 */
#include "cli/doctor.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/world.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"

enum { ANSWER_S = 10, APART_MS = 500 };

/* ---- a FastCGI request by hand: begin (responder), parameters, no body ---- */

static void
record(struct buf *b, int type, const void *data, size_t n)
{
	const unsigned char head[8] = { 1, (unsigned char)type, 0, 1, (unsigned char)(n >> 8), (unsigned char)n, 0, 0 };

	buf_add(b, head, sizeof head);
	buf_add(b, data, n);
}

static void
parameter(struct buf *b, const char *name, const char *value)
{
	buf_char(b, (char)strlen(name));
	buf_char(b, (char)strlen(value));
	buf_str(b, name);
	buf_str(b, value);
}

static void
health_request(const struct conf *c, struct buf *out)
{
	static const unsigned char begin[8] = { 0, 1 };
	char *uri = mem_fmt("%.100s/health", c->web.base_path);
	struct buf p = BUF_INIT;

	parameter(&p, "REQUEST_METHOD", "GET");
	parameter(&p, "REQUEST_URI", uri);
	parameter(&p, "SERVER_PROTOCOL", "HTTP/1.1");
	parameter(&p, "REMOTE_ADDR", "127.0.0.1");
	parameter(&p, "HTTP_HOST", "localhost");
	record(out, 1, begin, sizeof begin);
	record(out, 4, p.data, p.len);
	record(out, 4, "", 0);
	record(out, 5, "", 0);
	buf_clear(&p);
	free(uri);
}

/* What the front door answers to GET /health; false with errno. */
static bool
ask_door(const struct conf *c, struct buf *answer)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct timeval limit = { ANSWER_S, 0 };
	struct buf ask = BUF_INIT;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char block[4096];
	ssize_t n = -1;
	bool ok;

	snprintf(sa.sun_path, sizeof sa.sun_path, "%s", c->web.listen);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	health_request(c, &ask);
	ok = fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0 &&
	    send(fd, ask.data, ask.len, MSG_NOSIGNAL) == (ssize_t)ask.len;
	while (ok && answer->len < sizeof block && (n = recv(fd, block, sizeof block, 0)) > 0)
		buf_add(answer, block, (size_t)n);
	if (fd >= 0)
		close(fd);
	buf_clear(&ask);
	return ok && answer->len > 0;
}

/* ---- who may connect ---- */

static bool
may_write(const struct stat *st, const struct passwd *pw)
{
	gid_t groups[64];
	int n = 64;

	if (st->st_uid == pw->pw_uid)
		return (st->st_mode & 0200) != 0;
	if (getgrouplist(pw->pw_name, pw->pw_gid, groups, &n) < 0)
		n = 0;
	for (int i = 0; i < n; i++) {
		if (groups[i] == st->st_gid)
			return (st->st_mode & 0020) != 0;
	}
	return (st->st_mode & 0002) != 0;
}

/* The first directory above the socket that this user may not pass; allocated, or NULL. */
static char *
shut(const char *path, const struct passwd *pw)
{
	char *copy = mem_str(path);
	struct stat st;

	for (char *p = strchr(copy + 1, '/'); p != NULL; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (stat(copy, &st) == 0 && (st.st_mode & 0001) == 0 && st.st_uid != pw->pw_uid) {
			st.st_mode = (st.st_mode & 0010) << 1 | (st.st_mode & 0001) << 1; /* as if entering were writing */
			if (!may_write(&st, pw))
				return copy;
		}
		*p = '/';
	}
	free(copy);
	return NULL;
}

static void
tell_servers(const struct conf *c, struct report *r)
{
	static const char *const users[] = { "www-data", "caddy", "nginx", "apache", NULL };
	struct stat st;

	if (c->port != 0 || stat(c->web.listen, &st) != 0)
		return; /* the lighttpd of at-rund serve runs as we do */
	for (int i = 0; users[i] != NULL; i++) {
		const struct passwd *pw = getpwnam(users[i]);
		char *dir = pw != NULL ? shut(c->web.listen, pw) : NULL;
		const struct group *g = getgrgid(st.st_gid);
		char mend[256];

		if (pw == NULL)
			continue;
		snprintf(mend, sizeof mend, "usermod -aG %s %s", g != NULL ? g->gr_name : "GROUP", users[i]);
		if (dir != NULL)
			doctor_say(r, DOCTOR_WARNING, "web server", NULL, "the user %s may not enter %s, on the way to the socket", users[i], dir);
		else if (!may_write(&st, pw))
			doctor_say(r, DOCTOR_WARNING, "web server", (st.st_mode & 0020) != 0 ? mend : NULL,
			    "the user %s may not use the socket (mode %03o)", users[i], (unsigned)(st.st_mode & 0777));
		else
			doctor_say(r, DOCTOR_OK, "web server", NULL, "the user %s may use the socket", users[i]);
		free(dir);
	}
}

/* ---- through the web server ---- */

struct drip {
	int64_t first_ms; /* 0: nothing came yet */
};

static int
on_drip(void *arg, const char *p, size_t n, struct err *e)
{
	struct drip *d = arg;

	(void)p;
	(void)e;
	if (d->first_ms == 0 && n > 0)
		d->first_ms = clock_mono_ms();
	return 0;
}

/* The front door sends two lines, a second apart. */
static void
tell_streams(struct world *w, const char *base, const struct conf *c, struct report *r)
{
	char *url = mem_fmt("%s%s/health/stream", base, c->web.base_path);
	struct http_reply reply = HTTP_REPLY_INIT;
	struct drip d = { 0 };
	struct err e = ERR_INIT;

	if (http_get(w->http, &w->policy, url, NULL, &w->limits, on_drip, &d, &reply, &e) != 0 || reply.status != 200 || d.first_ms == 0)
		doctor_say(r, DOCTOR_WARNING, "streams", NULL, "whether answers go out as they come could not be told: %s",
		    e.kind != ERR_NONE ? e.text : "the front door gave no stream");
	else if (clock_mono_ms() - d.first_ms >= APART_MS)
		doctor_say(r, DOCTOR_OK, "streams", NULL, "answers go out as they come");
	else
		doctor_say(r, DOCTOR_WARNING, "streams", NULL, "the web server keeps an answer until its end: streams and server-sent events "
		    "come all at once (at-rund web-config prints what lets them through, where that is possible)");
	buf_clear(&reply.refusal);
	free(url);
}

static void
tell_url(const struct conf *c, struct report *r)
{
	const char *here = strcmp(c->web.bind, "0.0.0.0") == 0 || strchr(c->web.bind, ':') != NULL ? "127.0.0.1" : c->web.bind;
	char *base = c->web.public_url != NULL ? mem_str(c->web.public_url) : c->port != 0 ?
	    mem_fmt("http://%s:%lld", here, (long long)c->port) : NULL;
	struct http_reply reply = HTTP_REPLY_INIT;
	struct buf body = BUF_INIT;
	struct err e = ERR_INIT;
	struct world w;
	char *url;

	if (base == NULL)
		return;
	world_open(&w, c);
	w.policy.dev = true; /* an address of our own, from our own config */
	w.limits.total_ms = w.limits.first_byte_ms = ANSWER_S * 1000;
	url = mem_fmt("%s%s/health", base, c->web.base_path);
	if (world_get(&w, url, &body, &e) != 0) {
		doctor_say(r, DOCTOR_WARNING, "address", NULL, "%s", e.text);
		goto out;
	}
	doctor_say(r, DOCTOR_OK, "address", NULL, "%s answers", url);
	free(url);
	tell_streams(&w, base, c, r);
	url = mem_fmt("%s%s/xrpc/dev.at-run.invoke?author=did:plc:aaaaaaaaaaaaaaaaaaaaaaaa&bundle=doctor&version=latest&endpoint=probe",
	    base, c->web.base_path);
	/* A token that is none: whoever sees it says so, and without it nobody would. */
	if (http_post_json(w.http, &w.policy, url, "at-rund.doctor.probe", "{}", &w.limits, &body, &reply, &e) != 0)
		doctor_say(r, DOCTOR_WARNING, "authorization", NULL, "whether it is passed on could not be told: %s", e.text);
	else if (reply.status == 401)
		doctor_say(r, DOCTOR_OK, "authorization", NULL, "the web server passes it on");
	else
		doctor_say(r, DOCTOR_FAILURE, "authorization", NULL, "the web server keeps it to itself (Apache: CGIPassAuth On, see "
		    "at-rund web-config): callers are anonymous; a call with a token that is none was answered with %d", reply.status);
	buf_clear(&reply.refusal);
out:
	free(url);
	free(base);
	buf_clear(&body);
	world_close(&w);
}

void
doctor_web(const struct conf *c, struct report *r)
{
	struct buf answer = BUF_INIT;

	if (!ask_door(c, &answer)) {
		doctor_say(r, DOCTOR_WARNING, "front door", "at-rund serve", "nothing answers on %s: %s", c->web.listen, strerror(errno));
	} else {
		if (memmem(answer.data, answer.len, "Status: 200", 11) != NULL)
			doctor_say(r, DOCTOR_OK, "front door", NULL, "answers on %s", c->web.listen);
		else
			doctor_say(r, DOCTOR_FAILURE, "front door", NULL, "answers on %s, but not well", c->web.listen);
		tell_servers(c, r);
		tell_url(c, r);
	}
	buf_clear(&answer);
}
