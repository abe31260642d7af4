#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/archive.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "tests/t.h"

static const struct archive_limits limits = { 1 << 20, 20, "atproto.unpacked", "atproto.entries" };

enum form { TAR, TARGZ, ZIP };

struct item {
	const char *path, *text; /* text NULL: a directory */
	unsigned type;           /* AE_IF*, 0: by text */
	const char *link;
};

/* Writes an archive and returns it open for reading. */
static int
make(enum form form, const struct item *items, size_t n)
{
	char *path = mem_fmt("%s/a", t_tmpdir());
	struct archive *a = archive_write_new();
	size_t i;
	int fd;

	if (form == ZIP)
		archive_write_set_format_zip(a);
	else
		archive_write_set_format_ustar(a);
	if (form == TARGZ)
		archive_write_add_filter_gzip(a);
	CHECK_INT(archive_write_open_filename(a, path), ARCHIVE_OK);
	for (i = 0; i < n; i++) {
		struct archive_entry *e = archive_entry_new();
		size_t len = items[i].text != NULL ? strlen(items[i].text) : 0;

		archive_entry_set_pathname(e, items[i].path);
		archive_entry_set_perm(e, 06777);
		archive_entry_set_filetype(e, items[i].type != 0 ? items[i].type : items[i].text != NULL ? AE_IFREG : AE_IFDIR);
		archive_entry_set_size(e, (la_int64_t)len);
		if (items[i].link != NULL && items[i].type == AE_IFLNK)
			archive_entry_set_symlink(e, items[i].link);
		else if (items[i].link != NULL)
			archive_entry_set_hardlink(e, items[i].link);
		archive_write_header(a, e);
		if (len > 0)
			archive_write_data(a, items[i].text, len);
		archive_entry_free(e);
	}
	archive_write_close(a);
	archive_write_free(a);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	free(path);
	return fd;
}

static bool
holds(const char *dir, const char *path, const char *text)
{
	char *full = mem_fmt("%s/%s", dir, path), *got = t_read_file(full, NULL);
	struct stat st;
	bool same = got != NULL && strcmp(got, text) == 0 && stat(full, &st) == 0 && (st.st_mode & 07777) == 0444;

	free(full);
	free(got);
	return same;
}

TEST(archive_of_every_form_unpacks)
{
	static const struct item items[] = { { "./", NULL, 0, NULL }, { "./lib/", NULL, 0, NULL }, { "./lib/x.js", "x", 0, NULL },
		{ "main.js", "m", 0, NULL }, { "deep/er/y.js", "y", 0, NULL } };
	enum form form;

	for (form = TAR; form <= ZIP; form++) {
		const char *root = t_tmpdir();
		char *dir = mem_fmt("%s/code", root);
		int fd = make(form, items, 5);
		struct err e = ERR_INIT;
		struct stat st;

		CHECK_INT(archive_unpack(fd, root, "code", "main.js", &limits, &e), 0);
		CHECK(holds(dir, "main.js", "m"));
		CHECK(holds(dir, "lib/x.js", "x"));
		CHECK(holds(dir, "deep/er/y.js", "y"));
		CHECK_INT(stat(dir, &st), 0);
		CHECK_INT(st.st_mode & 07777, 0755);
		CHECK_INT(archive_unpack(fd, root, "code", "main.js", &limits, &e), 0); /* again: there already */
		close(fd);
		free(dir);
	}
}

TEST(archive_of_one_file_is_that_file)
{
	const char *root = t_tmpdir();
	char *path = mem_fmt("%s/blob", root), *dir = mem_fmt("%s/code", root);
	FILE *f = fopen(path, "w");
	int fd;

	fputs("export default () => 1\n", f);
	fclose(f);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK_INT(archive_unpack(fd, root, "code", "src/main.js", &limits, NULL), 0);
	CHECK(holds(dir, "src/main.js", "export default () => 1\n"));
	CHECK_INT(archive_unpack(fd, root, "code2", "../main.js", &limits, NULL), -1);
	close(fd);
	free(path);
	free(dir);
}

static void
refuse(enum form form, const struct item *items, size_t n, const char *why)
{
	const char *root = t_tmpdir();
	char *dir = mem_fmt("%s/code", root);
	int fd = make(form, items, n);
	struct err e = ERR_INIT;

	if (archive_unpack(fd, root, "code", "main.js", &limits, &e) != -1)
		CHECK_STR("unpacked", why);
	CHECK_INT(e.kind, ERR_INPUT);
	CHECK_STR(e.name, "InvalidBundle");
	if (strstr(e.text, why) == NULL)
		CHECK_STR(e.text, why);
	CHECK(access(dir, F_OK) != 0);
	CHECK_INT(rmdir(root), 0); /* nothing half-made is left */
	CHECK_INT(mkdir(root, 0700), 0);
	close(fd);
	free(dir);
}

TEST(archive_with_anything_but_plain_files_is_refused)
{
	static const struct {
		enum form form;
		struct item item;
		const char *why;
	} bad[] = {
		{ TAR, { "/etc/x", "x", 0, NULL }, "whose path is absolute" },
		{ TAR, { "../x", "x", 0, NULL }, "has . or .." },
		{ TAR, { "a/../../x", "x", 0, NULL }, "has . or .." },
		{ ZIP, { "../x", "x", 0, NULL }, "has . or .." },
		{ TAR, { "a\\b", "x", 0, NULL }, "plain UTF-8" },
		{ TAR, { "a\nb", "x", 0, NULL }, "plain UTF-8" },
		{ TAR, { "a\xff", "x", 0, NULL }, "plain UTF-8" },
		{ TAR, { "a//b", "x", 0, NULL }, "whose path" },
		{ TAR, { "x", NULL, AE_IFLNK, "/etc/passwd" }, "is a link" },
		{ ZIP, { "x", NULL, AE_IFLNK, "/etc/passwd" }, "is " },
		{ TARGZ, { "x", NULL, AE_IFREG, "main.js" }, "is a link" },
		{ TAR, { "x", NULL, AE_IFIFO, NULL }, "neither a file" },
		{ TAR, { "x", NULL, AE_IFCHR, NULL }, "neither a file" },
		{ TAR, { "x", NULL, AE_IFBLK, NULL }, "neither a file" },
		{ TAR, { "1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/x", "x", 0, NULL }, "nested too deeply" },
	};
	size_t i;

	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct item items[2] = { { "main.js", "m", 0, NULL }, bad[i].item };
		refuse(bad[i].form, items, 2, bad[i].why);
	}
}

TEST(archive_that_names_a_file_twice_is_refused)
{
	static const struct item twice[] = { { "a", "1", 0, NULL }, { "a", "2", 0, NULL } };
	static const struct item below[] = { { "a", "1", 0, NULL }, { "a/b", "2", 0, NULL } };

	refuse(TAR, twice, 2, "twice");
	refuse(TAR, below, 2, "below a file");
}

TEST(archive_over_a_limit_is_refused_with_its_key)
{
	struct item many[21];
	char names[21][16];
	char *big = mem_alloc((1 << 20) + 2);
	struct item one = { "big", big, 0, NULL };
	int i;

	for (i = 0; i < 21; i++) {
		snprintf(names[i], sizeof names[i], "f%d", i);
		many[i] = (struct item){ names[i], "x", 0, NULL };
	}
	refuse(TARGZ, many, 21, "more than 20 entries (atproto.entries)");
	memset(big, 'x', (1 << 20) + 1);
	refuse(TARGZ, &one, 1, "more than 1048576 bytes (atproto.unpacked)"); /* a bomb: 1 KiB packed */
	refuse(ZIP, &one, 1, "more than 1048576 bytes (atproto.unpacked)");
	free(big);
}

TEST(archive_that_is_broken_is_refused)
{
	static const struct item items[] = { { "main.js", "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm", 0, NULL } };
	enum form form;

	for (form = TARGZ; form <= ZIP; form++) {
		const char *root = t_tmpdir();
		int fd = make(form, items, 1), cut;
		char *path = mem_fmt("%s/cut", root);
		char bytes[4096];
		ssize_t n = read(fd, bytes, sizeof bytes);
		struct err e = ERR_INIT;

		cut = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		CHECK(write(cut, bytes, (size_t)n / 2) == n / 2);
		if (archive_unpack(cut, root, "code", "main.js", &limits, &e) != -1)
			CHECK_INT(form, -1);
		CHECK_STR(e.name, "InvalidBundle");
		close(cut);
		close(fd);
		free(path);
	}
}

TEST(archive_is_known_by_its_first_bytes)
{
	char text[512];

	memset(text, ' ', sizeof text);
	CHECK(archive_magic("\x1f\x8b\x08", 3));
	CHECK(archive_magic("PK\x03\x04", 4));
	CHECK(!archive_magic("PK", 2));
	CHECK(!archive_magic("export", 6));
	memcpy(text + 257, "ustar", 5);
	CHECK(!archive_magic(text, sizeof text)); /* text that says so, with no sum */
}
