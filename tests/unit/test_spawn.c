/* Processes that are started, and the control group of version 2 that they are born in. */
#include "tests/t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/backend.h"
#include "backends/parts.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "scheduler/spawn.h"

static struct spawned one;

/* What the plan's process said, allocated; it was waited for. */
static char *
said_by(const struct plan *p, struct err *e)
{
	char text[4096];
	size_t n = 0;
	ssize_t got;
	int status;

	if (spawn_start(p, -1, true, NULL, NULL, &one, e) != 0)
		return NULL;
	CHECK_INT(waitpid(one.pid, &status, 0), one.pid);
	CHECK_INT(status, 0);
	while (n < sizeof text - 1 && (got = read(one.out_fd, text + n, sizeof text - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	close(one.out_fd);
	close(one.err_fd);
	return mem_str(text);
}

/* A new group of version 2 for us, allocated; without one the case is skipped. */
static char *
new_group(void)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[4096], point[1024], *dir = NULL;

	while (f != NULL && dir == NULL && fgets(line, sizeof line, f) != NULL)
		if (strstr(line, " - cgroup2 ") != NULL && sscanf(line, "%*s %*s %*s %*s %1023s", point) == 1)
			dir = mem_fmt("%s/at-rund-test.%d", point, (int)getpid());
	if (f != NULL)
		fclose(f);
	if (dir == NULL || mkdir(dir, 0755) != 0) {
		free(dir);
		SKIP("no control groups of version 2 that we may make some in");
	}
	return dir;
}

TEST(a_process_is_born_in_its_control_group)
{
	struct plan p = { .cradle = new_group() };
	struct err e = ERR_INIT;
	char *said, *dir = mem_str(p.cradle);

	parts_add(&p.argv, mem_str("/bin/cat"));
	parts_add(&p.argv, mem_str("/proc/self/cgroup"));
	said = said_by(&p, &e);
	CHECK_STR(e.text, "");
	CHECK(said != NULL && strstr(said, "0::/") != NULL && strstr(said, strrchr(dir, '/')) != NULL);
	free(said);
	/* What it could not do is known here too, though it has no memory of ours. */
	free(p.argv.item[0]);
	p.argv.item[0] = mem_str("/nowhere/at-all");
	CHECK(said_by(&p, &e) == NULL);
	CHECK_STR(e.text, "start /nowhere/at-all: execute: No such file or directory");
	plan_clear(&p);
	CHECK_INT(rmdir(dir), 0);
	free(dir);
}

TEST(what_a_process_could_not_do_is_named)
{
	struct plan p = { .cwd = mem_str("/nowhere") };
	struct err e = ERR_INIT;

	parts_add(&p.argv, mem_str("/bin/true"));
	CHECK(said_by(&p, &e) == NULL);
	CHECK_STR(e.text, "start /bin/true: chdir: No such file or directory");
	free(p.cwd);
	p.cwd = NULL;
	e = (struct err)ERR_INIT;
	free(said_by(&p, &e));
	CHECK_STR(e.text, "");
	plan_clear(&p);
}
