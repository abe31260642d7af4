/*
 * at-rund-scheduler: takes jobs out of the ledger, runs them behind a wall, writes their results back.
 * Options, config, lock, store, recover, loop, farewell.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "backends/backend.h"
#include "backends/runtime.h"
#include "backends/walls.h"
#include "lib/buf.h"
#include "lib/cgroup.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/notify.h"
#include "lib/store.h"
#include "lib/store_work.h"
#include "lib/telemetry.h"
#include "scheduler/dispatch.h"
#include "scheduler/egress.h"
#include "scheduler/egress_conf.h"
#include "scheduler/fetcher.h"
#include "scheduler/keeper.h"
#include "scheduler/loop.h"
#include "scheduler/recover.h"
#include "scheduler/reporter.h"
#include "scheduler/spawn.h"

static const char usage[] =
    "Examples:\n"
    "  at-rund-scheduler                       the home in ~/.at-rund or /etc/at-rund\n"
    "  at-rund-scheduler --home /srv/runner    another home\n"
    "  at-rund-scheduler --dev                 loopback, http and isolation none are allowed\n"
    "\n"
    "at-rund-scheduler takes jobs out of the ledger and runs them.  `at-rund serve` starts it for you.\n"
    "\n"
    "  --home DIR     directory of the ledger, bundles, keys (AT_RUND_HOME)\n"
    "  --config FILE  config.ini or config.toml\n"
    "  --dev          developer's rules (AT_RUND_DEV=1)\n"
    "  --role ROLE    run a part of it: fetcher, egress, keeper, telemetry (the scheduler starts its parts itself)\n"
    "  --help, --version\n";

struct options {
	const char *home, *config, *role;
	bool dev;
};

static int signal_fd = -1, drains;

/* For SIGHUP. */
static struct {
	const struct options *options;
	struct conf *conf;
	const struct walls *walls;
} running;

/* Parts of the scheduler that run as processes of their own: the same program, started anew with less. */
typedef int role_fn(const struct conf *c);
static role_fn *role_find(const char *name);

static int
usage_error(void)
{
	fprintf(stderr, "Try at-rund-scheduler --help\n");
	exit(EX_USAGE);
}

static void
parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = { { "home", required_argument, NULL, 'H' },
		{ "config", required_argument, NULL, 'c' }, { "dev", no_argument, NULL, 'd' },
		{ "role", required_argument, NULL, 'r' }, { "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' }, { NULL, 0, NULL, 0 } };
	const char *dev = getenv("AT_RUND_DEV");
	int c;

	o->home = getenv("AT_RUND_HOME");
	o->dev = dev != NULL && strcmp(dev, "1") == 0;
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (c) {
		case 'H':
			o->home = optarg;
			break;
		case 'c':
			o->config = optarg;
			break;
		case 'd':
			o->dev = true;
			break;
		case 'r':
			o->role = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(EX_OK);
		case 'V':
			printf("at-rund-scheduler %s\nSQLite %s\nMIT licence\n", AT_RUND_VERSION, store_library_version());
			exit(EX_OK);
		default:
			usage_error();
		}
	}
	if (optind != argc || (o->role != NULL && role_find(o->role) == NULL))
		usage_error();
}

static struct conf *
load_conf(const struct options *o, struct buf *problems, struct err *e)
{
	struct conf *c;

	if (o->home != NULL)
		setenv("AT_RUND_HOME", o->home, 1);
	c = conf_load(o->config, true, problems, e);
	if (c != NULL)
		c->dev |= o->dev;
	return c;
}

static struct conf *
first_conf(const struct options *o)
{
	struct buf problems = BUF_INIT;
	struct err e = ERR_INIT;
	struct conf *c = load_conf(o, &problems, &e);

	if (c == NULL) {
		fprintf(stderr, "at-rund-scheduler: %s\n%s", e.text, problems.len > 0 ? problems.data : "");
		exit(EX_CONFIG);
	}
	buf_clear(&problems);
	return c;
}

static void
open_log(const struct conf *c, const char *name)
{
	int level = c->observability.level != NULL ? log_level_parse(c->observability.level) : LOG_INFO;
	const char *format = c->observability.log_format;

	log_open(name, level < 0 ? LOG_INFO : (enum log_level)level, format != NULL && strcmp(format, "json") == 0);
}

/* --- telling whoever started us --- */

static void
alive(void)
{
	if (notify_watchdog_ms() > 0)
		notify_send("WATCHDOG=1");
}

static void
ready(void)
{
	const char *fd = getenv("AT_RUND_READY_FD");
	int n;

	notify_send("READY=1\nSTATUS=takes jobs");
	if (fd == NULL)
		return;
	n = (int)strtol(fd, NULL, 10);
	if (write(n, "", 1) != 1)
		log_warn("ready", "why=%s", log_q(strerror(errno)));
	close(n);
	unsetenv("AT_RUND_READY_FD");
}

/* --- signals --- */

/* Another reading of the config, for what is looked up anew at each use; a config that is wrong changes nothing. */
static void
reload(void)
{
	struct buf taken = BUF_INIT, left = BUF_INIT;
	struct err e = ERR_INIT;
	struct conf *c = load_conf(running.options, NULL, &e);

	if (c == NULL || (walls_uses(running.walls, backend_named("none")) && backend_none_allowed(c, &e) != 0)) {
		log_error("config is wrong, the one before stays", "why=%s", log_q(e.text));
	} else {
		conf_take(running.conf, c, &taken, &left);
		open_log(running.conf, "scheduler");
		if (taken.len > 0 && strstr(taken.data, "pool.warm") != NULL)
			dispatch_warm_again();
		log_info("config read again", "changed=%s", log_q(taken.len > 0 ? taken.data : "nothing"));
		if (left.len > 0)
			log_warn("these keys need a new start", "keys=%s", log_q(left.data));
	}
	conf_free(c);
	buf_clear(&taken);
	buf_clear(&left);
}

/* The first asks for a drain, the second for an end now. */
static void
on_signal(void *arg, uint32_t events)
{
	struct signalfd_siginfo si;

	(void)arg;
	(void)events;
	while (read(signal_fd, &si, sizeof si) == sizeof si) {
		if (si.ssi_signo == SIGHUP) {
			reload();
			continue;
		}
		notify_send("STOPPING=1\nSTATUS=drains");
		dispatch_drain(drains++ == 0 ? running.conf->scheduler.grace : 0);
	}
}

static int
watch_signals(struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signal_fd < 0)
		return err_errno(e, "signalfd");
	loop_watch(signal_fd, EPOLLIN, on_signal, NULL);
	return 0;
}

/* --- the start --- */

static int
make_dirs(const struct conf *c, struct err *e)
{
	const char *dirs[] = { c->home, c->run_dir, c->bundles_dir };
	size_t i;

	for (i = 0; i < 3; i++)
		if (mkdir(dirs[i], 0700) != 0 && errno != EEXIST)
			return err_errno(e, "make %s", dirs[i]);
	return 0;
}

/* /proc/self/exe, so that the role is the very program that runs, also when the file was replaced meanwhile. */
static char *
own_program(void)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);

	return n > 0 ? mem_strn(path, (size_t)n) : NULL;
}

static void
put_mime(const struct runtime *r, struct buf *out)
{
	size_t i;

	buf_char(out, '[');
	for (i = 0; i < r->mime.n; i++) {
		if (i > 0)
			buf_char(out, ',');
		buf_json_str(out, r->mime.item[i]);
	}
	buf_char(out, ']');
}

static int
write_runtimes(struct store *s, const struct runtimes *rs, const struct walls *walls, struct err *e)
{
	struct buf mime = BUF_INIT;
	size_t i;
	int rc;

	if (store_begin(s, false, e) != 0)
		return -1;
	rc = work_runtimes_clear(s, e);
	for (i = 0; i < rs->n && rc == 0; i++) {
		const struct runtime *r = &rs->item[i];
		const struct backend *wall;
		struct err why = ERR_INIT;

		buf_reset(&mime);
		put_mime(r, &mime);
		wall = r->missing == NULL ? walls_of(walls, r, NULL, NULL, &why) : NULL;
		rc = work_runtime_put(s, r->name, mime.data, r->version, wall != NULL ? wall->name : NULL, r->missing,
		    r->concurrency, e);
		if (r->missing != NULL)
			log_warn("runtime is missing", "name=%s why=%s", r->name, log_q(r->missing));
	}
	buf_clear(&mime);
	if (rc != 0 || store_commit(s, e) != 0) {
		store_rollback(s);
		return -1;
	}
	return 0;
}

static struct walls *
choose_walls(const struct conf *c, struct runtimes *rs, struct err *e)
{
	struct buf why = BUF_INIT;
	struct walls *walls = walls_new(c, rs, e);
	char *line, *rest;

	if (walls == NULL)
		return NULL;
	walls_passed(walls, &why);
	rest = why.data;
	while (rest != NULL && (line = strsep(&rest, "\n")) != NULL)
		if (*line != '\0')
			log_info("wall passed over", "why=%s", log_q(line));
	buf_clear(&why);
	return walls;
}

/* "container, sandbox" */
static void
put_walls(const struct walls *w, struct buf *out)
{
	const struct backend *b;
	size_t i;

	for (i = 0; (b = backend_at(i)) != NULL; i++)
		if (walls_uses(w, b))
			buf_fmt(out, "%s%s", out->len > 0 ? "," : "", b->name);
	buf_str(out, "");
}

static int
fail(const struct err *e, int status)
{
	log_error("cannot run", "why=%s", log_q(e->text));
	return status;
}

static int
run_fetcher(const struct conf *c)
{
	struct fetcher_conf f;
	struct err e = ERR_INIT;

	open_log(c, "fetcher");
	memset(&f, 0, sizeof f);
	if (fetcher_conf_fill(&f, c, &e) != 0)
		return fail(&e, EX_CONFIG);
	return fetcher_main(3, &f);
}

static int
run_egress(const struct conf *c)
{
	struct egress_conf x;
	struct err e = ERR_INIT;

	open_log(c, "egress");
	return egress_conf_fill(&x, c, &e) == 0 ? egress_main(3, &x) : fail(&e, EX_CONFIG);
}

static int
run_keeper(const struct conf *c)
{
	open_log(c, "keeper");
	return keeper_main(3, c->keys_dir, getenv("CREDENTIALS_DIRECTORY"));
}

static int
run_telemetry(const struct conf *c)
{
	struct telemetry t;

	open_log(c, "telemetry");
	telemetry_load(&t, c);
	return reporter_main(3, &t);
}

static role_fn *
role_find(const char *name)
{
	static const struct {
		const char *name;
		role_fn *run;
	} roles[] = { { "fetcher", run_fetcher }, { "egress", run_egress }, { "keeper", run_keeper },
		{ "telemetry", run_telemetry } };
	size_t i;

	for (i = 0; i < sizeof roles / sizeof roles[0]; i++)
		if (strcmp(roles[i].name, name) == 0)
			return roles[i].run;
	return NULL;
}

static int
farewell(struct store *s, int64_t run)
{
	struct err e = ERR_INIT;

	if (work_run_end(s, run, &e) != 0 || work_checkpoint(s, 0, true, &e) != 0)
		return fail(&e, EX_SOFTWARE);
	log_info("stopped", "run=%lld", (long long)run);
	return EX_OK;
}

/* Only the sandbox has use for them: engines make their own, and behind none there is nothing to bound. */
static void
open_groups(const struct conf *c, const struct walls *walls)
{
	struct buf how = BUF_INIT;

	if (walls_uses(walls, backend_named("sandbox"))) {
		if (cgroup_open(c->home, true, &how))
			log_info("control groups", "how=%s", log_q(how.data));
		else
			log_warn("no control groups", "why=%s", log_q(how.data));
	}
	buf_clear(&how);
}

static int
work(const struct conf *c, struct store *s, const struct runtimes *rs, const struct walls *walls, const char *program)
{
	struct dispatch_setup setup = { .conf = c, .runtimes = rs, .walls = walls, .store = s, .program = program,
		.alive = alive };
	struct buf names = BUF_INIT;
	struct err e = ERR_INIT;
	int rc = EX_SOFTWARE;

	running.walls = walls;
	open_groups(c, walls);
	if (work_run_start(s, &setup.run, &e) != 0 || recover_kill(c, walls, s, setup.run, &e) != 0 ||
	    recover_jobs(s, setup.run, &e) != 0 || write_runtimes(s, rs, walls, &e) != 0)
		return fail(&e, rc);
	if (loop_open(&e) != 0 || spawn_open(&e) != 0 || watch_signals(&e) != 0)
		return fail(&e, EX_OSERR);
	if (dispatch_open(&setup, &e) != 0) {
		fail(&e, rc);
	} else {
		put_walls(walls, &names);
		log_info("started", "run=%lld wall=%s sqlite=%s landlock=%d dev=%d", (long long)setup.run, names.data,
		    store_library_version(), spawn_landlock_abi(), c->dev);
		ready();
		rc = loop_run(dispatch_turn, NULL, &e) == 0 ? EX_OK : fail(&e, EX_OSERR);
	}
	buf_clear(&names);
	dispatch_close();
	spawn_close();
	loop_forget(signal_fd);
	close(signal_fd);
	loop_close();
	cgroup_close();
	return rc == EX_OK ? farewell(s, setup.run) : rc;
}

int
main(int argc, char **argv)
{
	struct options o = { NULL, NULL, NULL, false };
	struct walls *walls = NULL;
	struct runtimes rs = { NULL, 0 };
	struct store *s = NULL;
	struct err e = ERR_INIT;
	struct conf *c;
	char *program;
	int lock = -1, rc;

	umask(0007); /* the ledger and the bells are shared with the front door by group */
	parse_options(argc, argv, &o);
	c = first_conf(&o);
	if (o.role != NULL) {
		rc = role_find(o.role)(c);
		conf_free(c);
		return rc;
	}
	running.options = &o;
	running.conf = c;
	open_log(c, "scheduler");
	program = own_program();
	if (runtimes_load(&rs, c, true, &e) != 0 || (walls = choose_walls(c, &rs, &e)) == NULL)
		rc = fail(&e, EX_CONFIG);
	else if (program == NULL || make_dirs(c, &e) != 0)
		rc = fail(&e, EX_CANTCREAT);
	else if (recover_lock(c, &lock, &e) != 0)
		rc = fail(&e, e.kind == ERR_BUSY ? EX_TEMPFAIL : EX_CANTCREAT);
	else if ((s = store_open(c->database, STORE_WORK, &e)) == NULL)
		rc = fail(&e, strcmp(e.name, STORE_UNUSABLE) == 0 ? EX_DATAERR : EX_SOFTWARE);
	else
		rc = work(c, s, &rs, walls, program);
	if (s != NULL)
		store_close(s);
	walls_free(walls);
	runtimes_clear(&rs);
	conf_free(c);
	free(program);
	if (lock >= 0)
		close(lock);
	return rc;
}
