/* What a control group uses, read from files as both versions have them. */
#include "tests/t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mem.h"
#include "scheduler/group_usage.h"

static void
put(const char *top, const char *path, const char *text)
{
	char *whole = mem_fmt("%s/%s", top, path), *slash;
	FILE *f;

	for (slash = whole + strlen(top) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
		*slash = '\0';
		mkdir(whole, 0755);
		*slash = '/';
	}
	f = fopen(whole, "we");
	CHECK(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
	free(whole);
}

/* As cgroup-v2.rst and cgroup-v1/ of the kernel's documentation show them. */
#define OURS "0::/system.slice/at-rund.service\n"
#define ITS  "0::/machine.slice/libpod-0c4e.scope/container\n"
#define AT   "machine.slice/libpod-0c4e.scope/container/"

TEST(a_control_group_of_version_2_is_read)
{
	const char *top = t_tmpdir();
	struct group_usage g;
	char text[64] = "";
	int fd;

	put(top, AT "memory.current", "52428800\n");
	put(top, AT "pids.current", "31\n");
	put(top, AT "cpu.stat", "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nnr_periods 0\nnr_throttled 0\n");
	put(top, AT "memory.events", "low 0\nhigh 0\nmax 17\noom 1\noom_kill 1\noom_group_kill 1\n");
	group_usage_open(&g, top, ITS, OURS);
	CHECK_INT(group_usage_memory(&g), 52428800);
	CHECK_INT(group_usage_tasks(&g), 31);
	CHECK_INT(group_usage_cpu_ns(&g), 2500000000LL);
	group_usage_close(&g);
	fd = group_memory_file(top, ITS, OURS, "memory.oom_control", "memory.events");
	CHECK(fd >= 0 && read(fd, text, sizeof text - 1) > 0 && strstr(text, "oom_kill 1") != NULL);
	close(fd);
	/* What counts us as well says nothing of it. */
	group_usage_open(&g, top, OURS, OURS);
	CHECK_INT(g.memory_fd, -1);
	CHECK_INT(group_usage_memory(&g), 0);
	group_usage_close(&g);
}

TEST(control_groups_of_version_1_are_read_each_in_its_hierarchy)
{
	static const char ours[] = "5:cpu,cpuacct:/\n4:memory:/\n3:pids:/\n1:name=systemd:/\n0::/\n";
	static const char its[] = "5:cpu,cpuacct:/libpod_parent/a1\n4:memory:/libpod_parent/a1\n3:pids:/libpod_parent/a1\n0::/\n";
	const char *top = t_tmpdir();
	struct group_usage g;

	put(top, "memory/libpod_parent/a1/memory.usage_in_bytes", "4096\n");
	put(top, "pids/libpod_parent/a1/pids.current", "2\n");
	put(top, "cpuacct/libpod_parent/a1/cpuacct.usage", "123456789\n");
	group_usage_open(&g, top, its, ours);
	CHECK_INT(group_usage_memory(&g), 4096);
	CHECK_INT(group_usage_tasks(&g), 2);
	CHECK_INT(group_usage_cpu_ns(&g), 123456789);
	group_usage_close(&g);
}

/* A group that is told by a path out of what we see is nobody's. */
TEST(a_control_group_above_the_top_is_none)
{
	const char *top = t_tmpdir();
	struct group_usage g;

	group_usage_open(&g, top, "0::/../other\n", OURS);
	CHECK_INT(g.memory_fd, -1);
	CHECK_INT(g.tasks_fd, -1);
	group_usage_close(&g);
	group_usage_open(&g, top, "", "");
	CHECK_INT(g.cpu_fd, -1);
	group_usage_close(&g);
}
