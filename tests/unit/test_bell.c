#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/bell.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "tests/t.h"

static bool
rings(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };

	return poll(&p, 1, 2000) == 1;
}

static void
try_in(const char *dir)
{
	struct err e = ERR_INIT;
	int fd = bell_listen(dir, "f1-2", &e), ringer = bell_ringer(), i;

	CHECK_STR(e.text, "");
	CHECK(fd >= 0 && ringer >= 0);
	CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 && (fcntl(ringer, F_GETFD) & FD_CLOEXEC) != 0);
	CHECK(!bell_hear(fd));
	for (i = 0; i < 3; i++)
		bell_ring(ringer, dir, "f1-2");
	CHECK(rings(fd));
	CHECK(bell_hear(fd));
	CHECK(!bell_hear(fd));
	bell_close(fd, dir, "f1-2");
	bell_ring(ringer, dir, "f1-2"); /* nobody there */
	close(ringer);
}

TEST(a_bell_is_heard_once_for_many_rings)
{
	try_in(t_tmpdir());
}

TEST(a_bell_rings_below_a_long_path)
{
	char *dir = mem_fmt("%s/%0100d/", t_tmpdir(), 1), *deep = mem_fmt("%s%0120d", dir, 2);

	CHECK(mkdir(dir, 0755) == 0 && mkdir(deep, 0755) == 0);
	try_in(deep);
	free(dir);
	free(deep);
}

TEST(a_line_finds_whoever_has_the_bell)
{
	const char *dir = t_tmpdir();
	struct err e = ERR_INIT;
	struct bell_line line = { 0 };
	int first = bell_listen(dir, "f1", &e), other = bell_listen(dir, "f2", &e), next;
	char got[8];

	CHECK(bell_line_tell(&line, dir, "f1", "one", 3));
	CHECK(bell_line_tell(&line, dir, "f1", "two", 3));
	CHECK_INT(bell_next(first, got, sizeof got), 3);
	CHECK(memcmp(got, "one", 3) == 0);
	CHECK_INT(bell_next(first, got, sizeof got), 3);
	CHECK(bell_line_tell(&line, dir, "f2", "three", 5));
	CHECK_INT(bell_next(other, got, sizeof got), 5);
	CHECK_INT(bell_next(first, got, sizeof got), -1);
	bell_close(other, dir, "f2");
	CHECK(bell_line_tell(&line, dir, "f2", "lost", 4)); /* nobody there */
	CHECK(bell_line_tell(&line, dir, "../f1", "lost", 4));
	CHECK_INT(bell_next(first, got, sizeof got), -1);
	/* The next who listens, after one who has gone, and, soon, after one who has not. */
	CHECK(bell_line_tell(&line, dir, "f1", "a", 1));
	close(first);
	first = bell_listen(dir, "f1", &e);
	CHECK(bell_line_tell(&line, dir, "f1", "b", 1));
	CHECK_INT(bell_next(first, got, sizeof got), 1);
	next = bell_listen(dir, "f1", &e);
	line.since_ms -= 1000;
	CHECK(bell_line_tell(&line, dir, "f1", "c", 1));
	CHECK_INT(bell_next(next, got, sizeof got), 1);
	CHECK_INT(bell_next(first, got, sizeof got), -1);
	while (bell_line_tell(&line, dir, "f1", "full", 4))
		;
	CHECK(bell_hear(next));
	CHECK(bell_line_tell(&line, dir, "f1", "d", 1));
	bell_line_close(&line);
	close(first);
	bell_close(next, dir, "f1");
}

TEST(a_bell_takes_over_what_a_dead_listener_left)
{
	const char *dir = t_tmpdir();
	char *path = mem_fmt("%s/%s.bell", dir, BELL_SCHEDULER);
	struct err e = ERR_INIT;
	int first = bell_listen(dir, BELL_SCHEDULER, &e), second = bell_listen(dir, BELL_SCHEDULER, &e);
	int ringer = bell_ringer();
	struct stat st;

	CHECK(first >= 0 && second >= 0);
	CHECK(stat(path, &st) == 0);
	CHECK_INT(st.st_mode & 0777, 0660);
	bell_ring(ringer, dir, BELL_SCHEDULER);
	CHECK(rings(second));
	CHECK(!bell_hear(first));
	close(first);
	bell_close(second, dir, BELL_SCHEDULER);
	CHECK(access(path, F_OK) != 0);
	close(ringer);
	free(path);
}

TEST(ringing_a_bell_nobody_empties_never_blocks)
{
	const char *dir = t_tmpdir();
	struct err e = ERR_INIT;
	int fd = bell_listen(dir, "full", &e), ringer = bell_ringer(), i;

	for (i = 0; i < 20000; i++)
		bell_ring(ringer, dir, "full");
	CHECK(bell_hear(fd));
	bell_close(fd, dir, "full");
	close(ringer);
}

/* Names come from rows: one must not reach a socket elsewhere. */
TEST(a_bell_stays_in_its_directory)
{
	static const char *const bad[] = { "", ".", "..", "../x", "a/b", "/tmp/x", ".hidden" };
	const char *const *name;
	const char *dir = t_tmpdir();
	int ringer = bell_ringer();

	for (T_EACH(name, bad)) {
		struct err e = ERR_INIT;
		CHECK_INT(bell_listen(dir, *name, &e), -1);
		CHECK(e.kind == ERR_INTERNAL);
		bell_ring(ringer, dir, *name);
	}
	close(ringer);
}

TEST(a_bell_without_its_directory_says_so)
{
	struct err e = ERR_INIT;

	CHECK_INT(bell_listen("/nonexistent/run", "x", &e), -1);
	CHECK(strstr(e.text, "/nonexistent/run") != NULL);
}
