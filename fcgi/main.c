/*
 * at-rund.fcgi: the front door.  Keeps nothing between requests; kill it at any time.
 */
#include <getopt.h>
#include <malloc.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "fcgi/count.h"
#include "fcgi/gauge.h"
#include "fcgi/request.h"
#include "fcgi/route.h"
#include "fcgi/threads.h"
#include "fcgi/waiter.h"
#include "fcgi/writer.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/telemetry.h"

static const char usage[] =
    "Usage: at-rund.fcgi [--home DIR] [--config PATH] [--listen SOCKET] [--dev]\n"
    "Answers HTTP requests that a web server hands over by FastCGI (or as a CGI program).\n\n"
    "  --home DIR       directory of the ledger and the config (AT_RUND_HOME)\n"
    "  --config PATH    the config (default: in AT_RUND_HOME, ~/.at-rund, /etc/at-rund)\n"
    "  --listen SOCKET  make this socket; without it, take the one the parent gave\n"
    "  --dev            development: the author 'local', loopback names\n"
    "  --help, --version\n";

static int
options(int argc, char **argv, const char **config, const char **listen_path, bool *dev)
{
	static const struct option known[] = { { "config", required_argument, NULL, 'c' },
		{ "home", required_argument, NULL, 'H' }, { "listen", required_argument, NULL, 'l' },
		{ "dev", no_argument, NULL, 'd' }, { "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' }, { NULL, 0, NULL, 0 } };
	int o;

	while ((o = getopt_long(argc, argv, "c:l:h", known, NULL)) != -1) {
		switch (o) {
		case 'c':
			*config = optarg;
			break;
		case 'H':
			setenv("AT_RUND_HOME", optarg, 1);
			break;
		case 'l':
			*listen_path = optarg;
			break;
		case 'd':
			*dev = true;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(EX_OK);
		case 'V':
			puts("at-rund.fcgi " AT_RUND_VERSION "\nLicence: MIT");
			exit(EX_OK);
		default:
			fputs(usage, stderr);
			return -1;
		}
	}
	return 0;
}

/* suexec and mod_fcgid hand over an almost empty environment. */
static void
find_home(void)
{
	const struct passwd *pw;

	if (getenv("HOME") == NULL && (pw = getpwuid(getuid())) != NULL)
		setenv("HOME", pw->pw_dir, 0);
}

static int
fail(const struct err *e, int status)
{
	fprintf(stderr, "at-rund.fcgi: %s\n", e->text);
	return status;
}

static void
cgi(void *arg, struct request *r)
{
	const struct door *d = arg;
	struct waiter *w = waiter_new(d->conf, 0);

	route_serve(d, w, r);
	waiter_free(w);
}

static int
run(const struct conf *conf, const char *path, struct err *e)
{
	struct door door = { conf, NULL, NULL, NULL };
	struct telemetry telemetry;
	int status = EX_OK, fd = threads_listen(path, conf->web.listen_mode, e);

	if (fd == -1)
		return fail(e, EX_USAGE);
	if (request_start(e) != 0)
		return fail(e, EX_SOFTWARE);
	door.writer = writer_new(conf);
	door.gauge = gauge_new(conf);
	telemetry_load(&telemetry, conf);
	if (telemetry.target[TELEMETRY_TRACES].on)
		door.telemetry = &telemetry;
	if (fd == THREADS_CGI) {
		status = request_cgi(conf, cgi, &door);
	} else {
		waiter_sweep(conf);
		if (threads_run(&door, fd, e) != 0)
			status = fail(e, EX_OSERR);
		if (path != NULL)
			unlink(path);
	}
	count_tell(conf);
	telemetry_clear(&telemetry);
	gauge_free(door.gauge);
	writer_free(door.writer);
	return status;
}

int
main(int argc, char **argv)
{
	const char *config = NULL, *path = NULL;
	struct err e = ERR_INIT;
	struct conf *conf;
	bool dev = false;
	int level, status;

	if (options(argc, argv, &config, &path, &dev) != 0)
		return EX_USAGE;
	/* Few arenas, and large bodies given back: this process is to stay small. */
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	find_home();
	if ((conf = conf_load(config, false, NULL, &e)) == NULL)
		return fail(&e, EX_CONFIG);
	conf->dev = conf->dev || dev;
	level = conf->observability.level != NULL ? log_level_parse(conf->observability.level) : LOG_INFO;
	log_open("fcgi", level < 0 ? LOG_INFO : (enum log_level)level,
	    conf->observability.log_format != NULL && strcmp(conf->observability.log_format, "json") == 0);
	status = run(conf, path, &e);
	conf_free(conf);
	return status;
}
