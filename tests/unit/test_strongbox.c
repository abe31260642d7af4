#include "tests/t.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/pack.h"
#include "lib/strongbox.h"

#define BIG 200000

static int
scratch_fd(void)
{
	char path[] = "/tmp/at-rund-vault-XXXXXX";
	int fd = mkstemp(path);

	unlink(path);
	return fd;
}

static void
seal(int fd, const char *passphrase, const char *data, size_t n)
{
	struct err e = ERR_INIT;
	struct strongbox *v = strongbox_seal(fd, passphrase, &e);

	CHECK(v != NULL);
	for (size_t i = 0; i < n; i += 7777)
		CHECK_INT(strongbox_write(v, data + i, n - i < 7777 ? n - i : 7777, &e), 0);
	CHECK_INT(strongbox_finish(v, &e), 0);
	strongbox_free(v);
	lseek(fd, 0, SEEK_SET);
}

/* The whole text, or NULL with why. */
static int
opened(int fd, const char *passphrase, struct buf *out, struct err *e)
{
	struct strongbox *v;
	char block[5000];
	ssize_t n = 0;

	lseek(fd, 0, SEEK_SET);
	v = strongbox_open(fd, passphrase, e);
	while (v != NULL && (n = strongbox_read(v, block, sizeof block, e)) > 0)
		buf_add(out, block, (size_t)n);
	strongbox_free(v);
	return v != NULL && n == 0 ? 0 : -1;
}

static char *
pattern(void)
{
	char *p = mem_alloc(BIG);

	for (size_t i = 0; i < BIG; i++)
		p[i] = (char)(i * 31 + (i >> 9));
	return p;
}

TEST(a_strongbox_gives_back_what_went_in)
{
	static const size_t sizes[] = { 0, 1, 65535, 65536, 65537, 131072, BIG };
	char *p = pattern();

	for (size_t i = 0; i < 7; i++) {
		struct buf got = BUF_INIT;
		struct err e = ERR_INIT;
		int fd = scratch_fd();

		seal(fd, i % 2 == 0 ? "hunter2" : NULL, p, sizes[i]);
		CHECK_INT(strongbox_kind(fd), i % 2 == 0 ? STRONGBOX_PASSPHRASE : STRONGBOX_PLAIN);
		CHECK_INT(opened(fd, i % 2 == 0 ? "hunter2" : NULL, &got, &e), 0);
		CHECK_INT(got.len, sizes[i]);
		CHECK(got.len == 0 || memcmp(got.data, p, got.len) == 0);
		buf_clear(&got);
		close(fd);
	}
	free(p);
}

TEST(a_strongbox_opens_for_nothing_but_the_whole_file_and_its_passphrase)
{
	char *p = pattern();
	int fd = scratch_fd();
	struct err e = ERR_INIT;
	struct buf got = BUF_INIT;
	struct stat st;
	static const off_t at[] = { 3, 20, 33, 41, 60, 100, 70000, 150000 };

	seal(fd, "hunter2", p, BIG);
	CHECK(fstat(fd, &st) == 0);
	CHECK_INT(opened(fd, "hunter3", &got, &e), -1);
	CHECK_STR(e.name, "WrongPassphrase");
	for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
		char was, is;

		CHECK(pread(fd, &was, 1, at[i]) == 1);
		is = (char)(was ^ 4);
		CHECK(pwrite(fd, &is, 1, at[i]) == 1);
		e = (struct err)ERR_INIT;
		CHECK_INT(opened(fd, "hunter2", &got, &e), -1);
		CHECK(pwrite(fd, &was, 1, at[i]) == 1);
	}
	/* cut at the end of a piece, and lengthened */
	CHECK(ftruncate(fd, 72 + 2 * (65536 + 17)) == 0);
	CHECK_INT(opened(fd, "hunter2", &got, &e), -1);
	CHECK(ftruncate(fd, 0) == 0);
	lseek(fd, 0, SEEK_SET);
	seal(fd, "hunter2", p, 1000);
	CHECK(pwrite(fd, "x", 1, lseek(fd, 0, SEEK_END)) == 1);
	CHECK_INT(opened(fd, "hunter2", &got, &e), -1);
	buf_clear(&got);
	close(fd);
	free(p);
}

static bool
anything(const char *name)
{
	return strcmp(name, "unwanted") != 0;
}

TEST(a_pack_unpacks_only_what_is_wanted_and_never_elsewhere)
{
	static const struct { const char *name; int rc; } cases[] = { { "a", 0 }, { "d/e/f", 0 }, { "unwanted", -1 },
		{ "../at-rund-escaped", -1 },
		{ "/at-rund-escaped", -1 }, { "a/../../at-rund-escaped", -1 }, { "a//b", -1 }, { "./a", -1 } };

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char dir[] = "/tmp/at-rund-pack-XXXXXX", *path, *text;
		struct err e = ERR_INIT;
		int fd = scratch_fd();
		struct strongbox *v = strongbox_seal(fd, NULL, &e);
		struct pack *p = pack_new(v, &e);
		size_t n = 0;

		CHECK(mkdtemp(dir) != NULL);
		CHECK_INT(pack_bytes(p, cases[i].name, "text", 4, &e), 0);
		CHECK_INT(pack_finish(p, &e), 0);
		pack_free(p);
		strongbox_free(v);
		lseek(fd, 0, SEEK_SET);
		v = strongbox_open(fd, NULL, &e);
		CHECK_INT(pack_open(v, dir, anything, &e), cases[i].rc);
		strongbox_free(v);
		path = mem_fmt("%s/%s", dir, cases[i].name);
		if (cases[i].rc == 0) {
			text = t_read_file(path, &n);
			CHECK_INT(n, 4);
			free(text);
		} else {
			CHECK_INT(e.kind, ERR_INPUT);
			CHECK(access(path, F_OK) != 0);
		}
		if (cases[i].rc == 0)
			unlink(path);
		free(path);
		close(fd);
		path = mem_fmt("%s/d/e", dir);
		rmdir(path);
		path[strlen(path) - 2] = '\0';
		rmdir(path);
		free(path);
		CHECK(rmdir(dir) == 0);
	}
}
