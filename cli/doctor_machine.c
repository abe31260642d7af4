/* The machine: its kernel, its clock, and who starts the runner again. */
#include "cli/doctor.h"

#include <errno.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/cgroup.h"
#include "lib/child.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"

enum { FILES_LEAST = 1024, COMMAND_MS = 5000, ANSWER_MAX = 65536 };

void
doctor_kernel(const struct conf *c, struct report *r)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct buf groups = BUF_INIT;
	struct rlimit files;
	struct utsname u;

	if (uname(&u) == 0)
		doctor_say(r, DOCTOR_OK, "kernel", NULL, "%s %s", u.sysname, u.release);
	if (abi > 0)
		doctor_say(r, DOCTOR_OK, "landlock", NULL, "version %ld", abi);
	else
		doctor_say(r, DOCTOR_WARNING, "landlock", NULL, "not in this kernel (%s): the wall none has one rule less, the others "
		    "do without", strerror(errno));
	cgroup_open(c->home, false, &groups);
	doctor_say(r, DOCTOR_OK, "cgroups", NULL, "%s", groups.data);
	cgroup_close();
	buf_clear(&groups);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
		doctor_say(r, files.rlim_max < FILES_LEAST ? DOCTOR_WARNING : DOCTOR_OK, "open files", NULL, "at most %llu a process%s",
		    (unsigned long long)files.rlim_max, files.rlim_max < FILES_LEAST ? ", which is few (ulimit -n)" : "");
}

/* Tokens, proofs and records carry times: a clock that is wrong refuses what is right. */
void
doctor_clock(const struct conf *c, struct report *r)
{
	struct timex t = { 0 };
	int state = adjtimex(&t);

	(void)c;
	if (state < 0)
		doctor_say(r, DOCTOR_WARNING, "clock", NULL, "the kernel does not tell whether it is kept: %s", strerror(errno));
	else if (state == TIME_ERROR || (t.status & STA_UNSYNC) != 0)
		doctor_say(r, DOCTOR_WARNING, "clock", access("/run/systemd/system", F_OK) == 0 ? "timedatectl set-ntp true" : NULL,
		    "nobody keeps it: tokens and proofs are refused when it is some minutes wrong");
	else
		doctor_say(r, DOCTOR_OK, "clock", NULL, "kept, within %ld ms", t.maxerror / 1000);
}

static bool
says(const char *const argv[], const char *word)
{
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	bool yes;

	child_run(argv, COMMAND_MS, ANSWER_MAX, &out, &e);
	yes = out.len > 0 && strstr(out.data, word) != NULL;
	buf_clear(&out);
	return yes;
}

/* Of this user's own manager, whose services end with his last session unless he lingers. */
static bool
tell_user_manager(struct report *r)
{
	char runtime[64];
	const char *const enabled[] = { "env", runtime, "systemctl", "--user", "is-enabled", "at-rund.target", NULL };
	const struct passwd *pw = getpwuid(geteuid());
	char *linger = pw != NULL ? mem_fmt("/var/lib/systemd/linger/%s", pw->pw_name) : NULL;
	bool is;

	snprintf(runtime, sizeof runtime, "XDG_RUNTIME_DIR=/run/user/%lu", (unsigned long)geteuid());
	is = access(runtime + strlen("XDG_RUNTIME_DIR="), F_OK) == 0 && says(enabled, "enabled");
	if (is && linger != NULL && access(linger, F_OK) == 0)
		doctor_say(r, DOCTOR_OK, "service", NULL, "your own systemd starts it, and goes on without you (at-rund systemd status --user)");
	else if (is)
		doctor_say(r, DOCTOR_WARNING, "service", "loginctl enable-linger", "your own systemd starts it, and ends it when you log out");
	free(linger);
	return is;
}

/* After a reboot somebody has to start it. */
void
doctor_service(const struct conf *c, struct report *r)
{
	static const char *const enabled[] = { "systemctl", "is-enabled", "at-rund.target", NULL };
	static const char *const crontab[] = { "crontab", "-l", NULL };
	bool systemd = access("/run/systemd/system", F_OK) == 0;

	(void)c;
	if (systemd && says(enabled, "enabled"))
		doctor_say(r, DOCTOR_OK, "service", NULL, "systemd starts it (at-rund systemd status)");
	else if (systemd && tell_user_manager(r))
		return;
	else if (says(crontab, "at-rund ensure") || says(crontab, "at-rund serve"))
		doctor_say(r, DOCTOR_OK, "service", NULL, "cron starts it");
	else
		doctor_say(r, DOCTOR_WARNING, "service", systemd ? "at-rund systemd install" : "at-rund ensure --crontab",
		    "nothing starts it after a reboot");
}
