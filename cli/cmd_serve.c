/*
 * serve: the whole runner from one command.  It owns the FastCGI socket (so that a door that dies loses no connection),
 * writes a config for a private lighttpd, and keeps scheduler, doors and lighttpd running.  Each of them can also be
 * run by systemd or by a web server; nothing else depends on this file.
 */
#include "cli/cli.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "backends/runtime.h"
#include "cli/place.h"
#include "cli/supervise.h"
#include "lib/buf.h"
#include "lib/child.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/notify.h"
#include "lib/store.h"

enum { STOP_DOOR_MS = 5000, STOP_SLACK_MS = 10000, BACKLOG = 1024 };

struct serve {
	struct cli *cli;
	struct conf *conf;
	char *lighttpd_conf, *config; /* config: what the children read */
	char *systemd;                /* NOTIFY_SOCKET, or NULL */
	int lock, door;               /* door: the listening FastCGI socket */
	bool ours;                    /* the lock is held, so what lies in run/ is ours to remove */
};

/* ---- before anything starts ---- */

/* The options, as the environment that every child inherits. */
static int
export(struct cli *c, bool *dev)
{
	const char *port = cli_option(c, "port"), *bundles = cli_option(c, "bundles");
	char *real;
	int number;

	*dev = cli_option(c, "dev") != NULL;
	if (bundles != NULL && !*dev)
		return cli_usage(c, "--bundles needs --dev: a folder has no author whom a caller could trust");
	if (port != NULL && !cli_number(port, 0, 65535, &number))
		return cli_usage(c, "--port: expected a number from 0 to 65535, not %.40s", port);
	if (*dev)
		setenv("AT_RUND_DEV", "1", 1);
	else
		unsetenv("AT_RUND_DEV");
	if (port != NULL)
		setenv("AT_RUND_PORT", port, 1);
	if (bundles != NULL) {
		real = realpath(bundles, NULL);
		if (real == NULL)
			return cli_usage(c, "--bundles: %.200s: %s", bundles, strerror(errno));
		setenv("AT_RUND_DEV_BUNDLES", real, 1);
		free(real);
	}
	return 0;
}

/* The home and run/, for --dev without `at-rund init`; there is then no config, so the children read an empty one. */
static int
prepare(struct serve *s, struct err *e)
{
	struct conf *c = s->conf;
	char *dirs[] = { c->home, c->run_dir, c->bundles_dir };
	FILE *f;

	for (int i = 0; i < 3; i++) {
		if (mkdir(dirs[i], i == 1 ? 0770 : 0700) != 0 && errno != EEXIST)
			return err_errno(e, "make the directory %s", dirs[i]);
	}
	setenv("AT_RUND_HOME", c->home, 1);
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	s->config = c->file != NULL ? mem_str(c->file) : mem_fmt("%s/no-config.ini", c->run_dir);
	if (c->file == NULL && ((f = fopen(s->config, "we")) == NULL || fclose(f) != 0))
		return err_errno(e, "write %s", s->config);
	return 0;
}

/* One serve for a home; the file stays, only its lock goes. */
static int
lock_home(struct serve *s, struct err *e)
{
	char *path = mem_fmt("%s/serve.lock", s->conf->run_dir);
	int rc = 0;

	s->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock < 0)
		rc = err_errno(e, "open %s", path);
	else if (flock(s->lock, LOCK_EX | LOCK_NB) == 0)
		s->ours = true;
	else
		rc = err_named(e, ERR_BUSY, "AlreadyRunning", "at-rund serve is running already for %s", s->conf->home);
	free(path);
	return rc;
}

static int
open_door(struct serve *s, struct err *e)
{
	const char *path = s->conf->web.listen;
	mode_t mode = (mode_t)strtol(s->conf->web.listen_mode, NULL, 8) & 0777, old;
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = -1, rc;

	if (strlen(path) >= sizeof sa.sun_path)
		return err_set(e, ERR_INPUT, "web.listen: %s is longer than a socket's path may be, %zu bytes", path,
		    sizeof sa.sun_path - 1);
	memcpy(sa.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(e, "socket");
	if (connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0) {
		close(fd);
		return err_named(e, ERR_BUSY, "AlreadyRunning", "somebody listens on %s already (web.listen)", path);
	}
	unlink(path);
	/* The mode holds from the file's first moment; chmod alone would leave a gap. */
	old = umask(~mode & 0777);
	rc = bind(fd, (struct sockaddr *)&sa, sizeof sa);
	umask(old);
	if (rc != 0 || listen(fd, BACKLOG) != 0) {
		err_errno(e, "listen on %s (web.listen)", path);
		close(fd);
		return -1;
	}
	s->door = fd;
	return 0;
}

/* ---- the port ---- */

static socklen_t
port_address(const struct conf *c, bool connecting, struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof *out);
	if (inet_pton(AF_INET, c->web.bind, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)c->port);
		if (connecting && v4->sin_addr.s_addr == INADDR_ANY)
			v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return sizeof *v4;
	}
	inet_pton(AF_INET6, c->web.bind, &v6->sin6_addr);
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)c->port);
	if (connecting && memcmp(&v6->sin6_addr, &in6addr_any, sizeof in6addr_any) == 0)
		v6->sin6_addr = in6addr_loopback;
	return sizeof *v6;
}

/* Whether lighttpd will get the port, said before anything is started. */
static int
try_port(const struct conf *c, struct err *e)
{
	struct sockaddr_storage sa;
	socklen_t n = port_address(c, false, &sa);
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1, rc = 0;

	if (fd < 0)
		return err_errno(e, "socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	if (bind(fd, (struct sockaddr *)&sa, n) != 0 || listen(fd, 1) != 0) {
		int why = errno;

		err_named(e, why == EACCES ? ERR_DENIED : ERR_REMOTE, "PortUnavailable", "cannot listen on %s port %lld: %s; "
		    "choose another with --port or the key port", c->web.bind, (long long)c->port, strerror(why));
		rc = -1;
	}
	close(fd);
	return rc;
}

static void
base_url(const struct conf *c, struct buf *out)
{
	const char *host = strcmp(c->web.bind, "0.0.0.0") == 0 ? "127.0.0.1" : strcmp(c->web.bind, "::") == 0 ? "::1" :
	    c->web.bind;
	bool six = strchr(host, ':') != NULL;

	buf_fmt(out, "http://%s%s%s:%lld%s", six ? "[" : "", host, six ? "]" : "", (long long)c->port, c->web.base_path);
}

/* ---- lighttpd ---- */

/* A string of lighttpd's config; our paths hold neither, but a home might. */
static void
quoted(struct buf *out, const char *s)
{
	buf_char(out, '"');
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			buf_char(out, '\\');
		buf_char(out, *s);
	}
	buf_char(out, '"');
}

static void
lighttpd_text(const struct serve *s, struct buf *b)
{
	const struct conf *c = s->conf;
	bool six = strchr(c->web.bind, ':') != NULL;

	buf_str(b, "# Written by at-rund serve at each start.  For a lighttpd of your own see at-rund web-config.\n"
	    "server.modules = ( \"mod_fastcgi\" )\n"
	    "server.document-root = ");
	quoted(b, c->run_dir);
	buf_str(b, "\nserver.upload-dirs = ( ");
	quoted(b, c->run_dir);
	buf_fmt(b, " )\nserver.bind = \"%s%s%s\"\nserver.port = %lld\n", six ? "[" : "", c->web.bind, six ? "]" : "",
	    (long long)c->port);
	buf_str(b, "server.tag = \"at-rund\"\n"
	    "# A chunk goes out when it comes in, and none is taken that the client has no room for.\n"
	    "server.stream-response-body = 2\n");
	if (c->web.stream_requests)
		buf_str(b, "# web.stream_requests: bodies are passed on as they come, and none is taken that the handler has no room for.\n"
		    "server.stream-request-body = 2\n");
	buf_str(b, "fastcgi.server = ( \"\" => (( \"socket\" => ");
	quoted(b, c->web.listen);
	buf_str(b, ", \"check-local\" => \"disable\" )) )\n"
	    "# Larger than limits.request and limits.header: the door refuses in its own words, with the limit's name.\n");
	buf_fmt(b, "server.max-request-size = %lld\n", (long long)(c->limits.request / 1024 * 2 + 65536));
	buf_fmt(b, "server.max-request-field-size = %lld\n", (long long)((c->limits.header + c->limits.url) * 2));
	buf_fmt(b, "server.max-read-idle = %lld\n", (long long)((c->web.body_timeout + 999) / 1000));
	buf_str(b, "server.max-write-idle = 120\n"
	    "server.max-keep-alive-idle = 15\n"
	    "server.max-keep-alive-requests = 10000\n"
	    "server.max-connections = 2048\n"
	    "server.max-fds = 6144\n");
	buf_fmt(b, "server.feature-flags += ( \"server.graceful-shutdown-timeout\" => %lld )\n",
	    (long long)((c->scheduler.grace + 999) / 1000));
}

static int
write_lighttpd(struct serve *s, struct err *e)
{
	struct buf b = BUF_INIT;
	FILE *f;
	int rc = 0;

	s->lighttpd_conf = mem_fmt("%s/lighttpd.conf", s->conf->run_dir);
	lighttpd_text(s, &b);
	f = fopen(s->lighttpd_conf, "we");
	if (f == NULL || fwrite(b.data, 1, b.len, f) != b.len) {
		rc = err_errno(e, "write %s", s->lighttpd_conf);
		if (f != NULL)
			fclose(f);
	} else if (fclose(f) != 0) {
		rc = err_errno(e, "write %s", s->lighttpd_conf);
	}
	buf_clear(&b);
	return rc;
}

/* ---- programs ---- */

/* lighttpd lies in /usr/sbin, which is not in everybody's PATH. */
static char *
find_lighttpd(const struct conf *c, struct err *e)
{
	static const char *const places[] = { "/usr/sbin/lighttpd", "/usr/local/sbin/lighttpd", NULL };
	char *path = child_which(c->web.lighttpd);

	for (int i = 0; path == NULL && strcmp(c->web.lighttpd, "lighttpd") == 0 && places[i] != NULL; i++)
		path = child_which(places[i]);
	if (path == NULL)
		err_set(e, ERR_NOTFOUND, "port = %lld needs lighttpd, and %s (web.lighttpd) is not installed; with port = 0 "
		    "at-rund serves the FastCGI socket only", (long long)c->port, c->web.lighttpd);
	return path;
}

static void
enlist(struct crew *w, const char *name, int stage, char *const argv[], int stdin_fd, bool tells, int stop, int64_t stop_ms)
{
	struct conf_list list = { (char **)(uintptr_t)argv, 0 };

	while (argv[list.n] != NULL)
		list.n++;
	crew_add(w, name, stage, &list, stdin_fd, tells, stop, stop_ms);
}

static int
assemble(struct serve *s, struct crew *w, struct err *e)
{
	const struct conf *c = s->conf;
	char *scheduler = place_program("at-rund-scheduler", e), *door = scheduler != NULL ? place_program("at-rund.fcgi", e) : NULL;
	char *lighttpd = door != NULL && c->port != 0 ? find_lighttpd(c, e) : NULL;
	char *config = (char *)"--config";
	int rc = -1;

	if (scheduler == NULL || door == NULL || (c->port != 0 && lighttpd == NULL))
		goto out;
	enlist(w, "scheduler", 0, (char *[]){ scheduler, config, s->config, NULL }, -1, true, SIGTERM,
	    c->scheduler.grace + STOP_SLACK_MS);
	for (int i = 0; i < c->web.processes; i++)
		enlist(w, "fcgi", 1, (char *[]){ door, config, s->config, NULL }, s->door, false, SIGTERM,
		    c->port != 0 ? STOP_DOOR_MS : c->scheduler.grace + STOP_DOOR_MS);
	/* SIGINT lets lighttpd finish the answers under way. */
	if (c->port != 0)
		enlist(w, "lighttpd", 2, (char *[]){ lighttpd, (char *)"-D", (char *)"-f", s->lighttpd_conf, NULL }, -1, false,
		    SIGINT, c->scheduler.grace + STOP_DOOR_MS);
	rc = 0;
out:
	free(scheduler);
	free(door);
	free(lighttpd);
	return rc;
}

/* ---- readiness ---- */

/* GET /ready through the port, as a caller would; true for 200. */
static bool
all_up(void *arg)
{
	struct serve *s = arg;
	struct timeval second = { 1, 0 };
	struct sockaddr_storage sa;
	socklen_t n = port_address(s->conf, true, &sa);
	char head[64] = "";
	struct buf ask = BUF_INIT;
	bool ready = false;
	int fd;

	if (s->conf->port == 0)
		return true;
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof second);
	buf_fmt(&ask, "GET %s/ready HTTP/1.0\r\nHost: localhost\r\n\r\n", s->conf->web.base_path);
	if (connect(fd, (struct sockaddr *)&sa, n) == 0 && send(fd, ask.data, ask.len, MSG_NOSIGNAL) == (ssize_t)ask.len &&
	    recv(fd, head, sizeof head - 1, MSG_WAITALL) > 12)
		ready = strncmp(head, "HTTP/1.", 7) == 0 && strncmp(head + 8, " 200", 4) == 0;
	close(fd);
	buf_clear(&ask);
	return ready;
}

/* What the scheduler, which is up by now, has chosen; allocated. */
static char *
walls_taken(const struct conf *c)
{
	struct table *t = table_new();
	struct store *s = store_open(c->database, STORE_READER, NULL);
	char *walls = NULL;

	if (s != NULL && desk_query(s, "desk_runtimes", NULL, table_row, t, NULL) == 0)
		walls = cli_walls(t);
	store_close(s);
	table_free(t);
	return walls != NULL ? walls : mem_str("unknown");
}

static void
up(void *arg)
{
	struct serve *s = arg;
	struct buf b = BUF_INIT, url = BUF_INIT;
	char *wall = walls_taken(s->conf);

	if (s->conf->port != 0)
		base_url(s->conf, &url);
	else
		buf_fmt(&url, "FastCGI on %s", s->conf->web.listen);
	if (s->cli->json) {
		buf_str(&b, "{\"serves\":");
		buf_json_str(&b, url.data);
		buf_str(&b, ",\"wall\":");
		buf_json_str(&b, wall);
		buf_fmt(&b, ",\"pid\":%d}", (int)getpid());
	} else {
		buf_fmt(&b, "at-rund serves %s  (wall %s, home %s)", url.data, wall, s->conf->home);
		if (s->conf->dev && s->conf->dev_conf.bundles != NULL)
			buf_fmt(&b, "\nbundles of %s: %s/bundle/local/NAME/latest/ENDPOINT", s->conf->dev_conf.bundles, url.data);
	}
	puts(b.data);
	fflush(stdout);
	notify_send_to(s->systemd, "READY=1");
	free(wall);
	buf_clear(&b);
	buf_clear(&url);
}

/* At SIGHUP.  A config that is wrong is handed to nobody: who starts anew with it would not come up. */
static bool
config_is_good(void *arg)
{
	struct serve *s = arg;
	struct buf problems = BUF_INIT;
	struct err e = ERR_INIT;
	struct conf *c = conf_load(s->config, true, &problems, &e);

	if (c == NULL)
		log_error("config is wrong, the one before stays", "why=%s", log_q(e.text));
	else
		log_info("config is read again", "file=%s", log_q(s->config));
	conf_free(c);
	buf_clear(&problems);
	return c != NULL;
}

/* ---- all of it ---- */

static int
run(struct serve *s, struct err *e)
{
	struct crew *w = crew_new();
	int code = EX_UNAVAILABLE;

	if (assemble(s, w, e) == 0) {
		/* Readiness is ours to tell, not the scheduler's. */
		s->systemd = mem_str(getenv("NOTIFY_SOCKET"));
		unsetenv("NOTIFY_SOCKET");
		crew_on_hangup(w, config_is_good);
		code = crew_run(w, all_up, up, s, e);
	}
	crew_free(w);
	return code;
}

static int
begin(struct serve *s, struct err *e)
{
	struct conf *c = s->conf;
	int level = log_level_parse(c->observability.level);

	log_open("serve", level < 0 ? LOG_INFO : (enum log_level)level, strcmp(c->observability.log_format, "json") == 0);
	if (prepare(s, e) != 0)
		return EX_CANTCREAT;
	if (lock_home(s, e) != 0 || open_door(s, e) != 0)
		return EX_UNAVAILABLE;
	if (c->port != 0 && try_port(c, e) != 0)
		return e->kind == ERR_DENIED ? EX_NOPERM : EX_UNAVAILABLE;
	return c->port != 0 && write_lighttpd(s, e) != 0 ? EX_CANTCREAT : 0;
}

int
cmd_serve(struct cli *c)
{
	struct serve s = { .cli = c, .lock = -1, .door = -1 };
	struct err e = ERR_INIT;
	bool dev = false;
	int code = export(c, &dev);

	if (code != 0 || (s.conf = cli_conf(c, dev, &code)) == NULL)
		return code;
	code = begin(&s, &e);
	if (code == 0)
		code = run(&s, &e);
	if (code != 0)
		cli_fail_as(c, code, &e);
	if (s.door >= 0) {
		unlink(s.conf->web.listen);
		close(s.door);
	}
	if (s.lighttpd_conf != NULL)
		unlink(s.lighttpd_conf);
	if (s.conf->file == NULL && s.config != NULL && s.ours)
		unlink(s.config);
	if (s.lock >= 0)
		close(s.lock);
	free(s.lighttpd_conf);
	free(s.config);
	free(s.systemd);
	conf_free(s.conf);
	return code;
}
