/*
 * ensure: for machines without systemd.  Starts `at-rund serve` unless it runs, in the background, and waits until its socket
 * answers; with --crontab it puts itself into the user's crontab, which then calls it every five minutes and after a reboot.
 */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli/files.h"
#include "cli/place.h"
#include "cli/template.h"
#include "lib/buf.h"
#include "lib/child.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"

enum { START_MS = 60000, LOOK_MS = 100, LOG_MAX = 1024 * 1024, COMMAND_MS = 10000, CRONTAB_MAX = 262144 };

#define MARK " # at-rund ensure"

/* serve holds this lock as long as it lives. */
static bool
runs(const struct conf *c)
{
	char *path = mem_fmt("%s/serve.lock", c->run_dir);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	bool yes = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;

	if (fd >= 0)
		close(fd);
	free(path);
	return yes;
}

static bool
answers(const struct conf *c)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool yes;

	snprintf(sa.sun_path, sizeof sa.sun_path, "%s", c->web.listen);
	yes = fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0;
	if (fd >= 0)
		close(fd);
	return yes;
}

/* In the child: a session of its own, its talk in a file of at most twice LOG_MAX. */
static void
become(char *const argv[], const char *log)
{
	int in = open("/dev/null", O_RDONLY), out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);

	setsid();
	if (in < 0 || out < 0 || chdir("/") != 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(EX_OSERR);
	for (int fd = 3; fd < 256; fd++)
		close(fd);
	execv(argv[0], argv);
	_exit(EX_OSFILE);
}

static void
turn_log(const char *log)
{
	char *old = mem_fmt("%s.1", log);
	struct stat st;

	if (stat(log, &st) == 0 && st.st_size > LOG_MAX)
		rename(log, old);
	free(old);
}

static int
start(struct cli *c, const struct conf *conf, struct err *e)
{
	char *self = place_self(e), *log = mem_fmt("%s/serve.log", conf->run_dir);
	int64_t until = clock_mono_ms() + START_MS;
	int status = 0, rc = -1;
	pid_t pid;

	if (self == NULL || files_dirs(conf->run_dir, 0770, e) != 0)
		goto out;
	turn_log(log);
	pid = fork();
	if (pid == 0)
		become((char *[]){ self, (char *)"serve", conf->file != NULL ? (char *)"--config" : NULL, conf->file, NULL }, log);
	if (pid < 0) {
		err_errno(e, "fork");
		goto out;
	}
	while (clock_mono_ms() < until && waitpid(pid, &status, WNOHANG) == 0) {
		if (runs(conf) && answers(conf)) {
			cli_say(c, "started, pid %d, log %s", (int)pid, log);
			rc = 0;
			goto out;
		}
		poll(NULL, 0, LOOK_MS);
	}
	err_set(e, ERR_REMOTE, "at-rund serve does not come up; its reason stands at the end of %s", log);
out:
	free(self);
	free(log);
	return rc;
}

/* ---- cron ---- */

/* The user's crontab without our lines; an empty one when there is none. */
static int
others(struct buf *out, bool *ours, struct err *e)
{
	static const char *const list[] = { "crontab", "-l", NULL };
	struct buf text = BUF_INIT;
	struct err none = ERR_INIT;

	if (child_run(list, COMMAND_MS, CRONTAB_MAX, &text, &none) != 0 && none.kind == ERR_NOTFOUND) {
		buf_clear(&text);
		return err_set(e, ERR_REMOTE, "there is no crontab command here: apt install cron");
	}
	*ours = false;
	for (const char *p = text.len > 0 ? text.data : ""; *p != '\0';) {
		size_t n = strcspn(p, "\n");
		const char *mark = memmem(p, n, MARK, strlen(MARK));

		if (mark == NULL)
			buf_fmt(out, "%.*s\n", (int)n, p);
		*ours |= mark != NULL;
		p += n + (p[n] == '\n');
	}
	buf_str(out, "");
	buf_clear(&text);
	return 0;
}

static int
crontab(const struct conf *conf, bool add, bool *were, struct err *e)
{
	char *self = place_self(e), *file = mem_fmt("%s/crontab.new", conf->run_dir), *line = NULL;
	struct buf text = BUF_INIT, out = BUF_INIT;
	int rc = self != NULL ? others(&text, were, e) : -1;

	if (rc == 0 && add && (!template_plain(self) || (conf->file != NULL && !template_plain(conf->file))))
		rc = err_set(e, ERR_INPUT, "a crontab takes letters, digits and . _ - / in paths only: %s %s", self, conf->file != NULL ?
		    conf->file : "");
	if (rc == 0 && add) {
		line = mem_fmt("%s ensure%s%s >/dev/null 2>&1", self, conf->file != NULL ? " --config " : "", conf->file != NULL ?
		    conf->file : "");
		buf_fmt(&text, "@reboot %s%s\n*/5 * * * * %s%s\n", line, MARK, line, MARK);
	}
	if (rc == 0)
		rc = files_put(file, &text, 0600, e);
	if (rc == 0)
		rc = child_run((const char *[]){ "crontab", file, NULL }, COMMAND_MS, CRONTAB_MAX, &out, e);
	unlink(file);
	buf_clear(&text);
	buf_clear(&out);
	free(line);
	free(file);
	free(self);
	return rc;
}

int
cmd_ensure(struct cli *c)
{
	bool add = cli_option(c, "crontab") != NULL, drop = cli_option(c, "no-crontab") != NULL, were = false, started = false;
	struct err e = ERR_INIT;
	struct conf *conf;
	int code = 0;

	if (add && drop)
		return cli_usage(c, "--crontab or --no-crontab, not both");
	conf = cli_conf(c, false, &code);
	if (conf == NULL)
		return code;
	if ((add || drop) && (files_dirs(conf->run_dir, 0770, &e) != 0 || crontab(conf, add, &were, &e) != 0))
		code = cli_fail(c, &e);
	else if (add || drop)
		cli_say(c, add ? "cron keeps it running from now on" : were ? "cron no longer starts it" : "cron did not start it");
	if (code == 0 && !drop && !runs(conf)) {
		started = true;
		code = start(c, conf, &e) == 0 ? 0 : cli_fail(c, &e);
	}
	if (code == 0 && c->json)
		printf("{\"running\":%s,\"started\":%s}\n", drop && !runs(conf) ? "false" : "true", started ? "true" : "false");
	conf_free(conf);
	return code;
}
