/* Control groups, on a host that lets us have some. */
#include "tests/t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/cgroup.h"
#include "lib/conf.h"
#include "lib/mem.h"

static void
open_groups(const char *home)
{
	struct buf how = BUF_INIT;
	bool there = cgroup_open(home, false, &how);
	char why[300];

	snprintf(why, sizeof why, "%s", how.data);
	buf_clear(&how);
	if (!there)
		SKIP("%s", why);
}

static void
clear(struct conf_list *l)
{
	while (l->n > 0)
		free(l->item[--l->n]);
	free(l->item);
	*l = (struct conf_list){ NULL, 0 };
}

/* Where a process is put in, whichever version it is. */
static void
ways_into(const struct cgroup *g, struct conf_list *out)
{
	cgroup_join(g, out);
	if (cgroup_cradle(g) == NULL)
		return;
	out->item = mem_grow(out->item, (out->n + 1) * sizeof *out->item);
	out->item[out->n++] = mem_fmt("%s/cgroup.procs", cgroup_cradle(g));
}

static pid_t
start_in(const struct conf_list *join)
{
	pid_t pid = fork();
	size_t i;

	if (pid != 0)
		return pid;
	for (i = 0; i < join->n; i++) {
		FILE *f = fopen(join->item[i], "we");

		if (f == NULL || fputs("0", f) < 0 || fclose(f) != 0)
			_exit(1);
	}
	pause();
	_exit(0);
}

static bool
has_members(const char *file)
{
	FILE *f = fopen(file, "re"); /* whose size is said to be 0 */
	bool some = f != NULL && fgetc(f) != EOF;

	if (f != NULL)
		fclose(f);
	return some;
}

/* A child that ends instead has not joined. */
static bool
joins(const char *file, pid_t pid)
{
	while (!has_members(file))
		if (waitpid(pid, NULL, WNOHANG) != 0)
			return false;
	return true;
}

TEST(a_control_group_goes_with_its_instance)
{
	struct conf_list join = { NULL, 0 };
	struct cgroup *g;
	char *file;
	int status;
	pid_t pid;

	open_groups(t_tmpdir());
	g = cgroup_new(7, 64 << 20, 20);
	CHECK(g != NULL);
	ways_into(g, &join);
	CHECK(join.n > 0);
	file = join.item[0];
	pid = start_in(&join);
	CHECK(joins(file, pid));
	cgroup_free(g); /* kills it, and cannot be rid of the group before it is dead */
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status));
	while (access(file, F_OK) == 0)
		cgroup_tidy();
	clear(&join);
	cgroup_close();
}

TEST(what_a_dead_scheduler_left_in_control_groups_is_swept_and_no_other)
{
	struct conf_list mine = { NULL, 0 }, theirs = { NULL, 0 };
	struct cgroup *other, *lost;
	pid_t pid;

	open_groups("/srv/somebody-else");
	other = cgroup_new(1, 64 << 20, 20);
	ways_into(other, &theirs);
	open_groups(t_tmpdir());
	lost = cgroup_new(1, 64 << 20, 20); /* as with a scheduler that was killed */
	ways_into(lost, &mine);
	pid = start_in(&mine);
	CHECK(joins(mine.item[0], pid));
	CHECK(cgroup_sweep() >= 1);
	CHECK_INT(waitpid(pid, NULL, 0), pid);
	CHECK(access(mine.item[0], F_OK) != 0);
	CHECK(access(theirs.item[0], F_OK) == 0);
	cgroup_free(lost);
	cgroup_free(other);
	clear(&mine);
	clear(&theirs);
	cgroup_close();
}
