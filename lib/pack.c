#include "lib/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/mem.h"
#include "lib/strongbox.h"

enum { BLOCK = 65536, DEPTH_MAX = 40 };

struct pack {
	struct archive *a;
	struct strongbox *v;
	struct err why;      /* of the strongbox, inside libarchive's callbacks */
	char block[BLOCK];
};

/* libarchive knows only that a callback failed; why is ours. */
static int
fail(const struct pack *p, struct err *e, const char *what)
{
	if (p->why.kind != ERR_NONE) {
		*e = p->why;
		return -1;
	}
	return err_set(e, ERR_INTERNAL, "%s: %s", what, archive_error_string(p->a) != NULL ? archive_error_string(p->a) : "failed");
}

static la_ssize_t
put(struct archive *a, void *arg, const void *data, size_t n)
{
	struct pack *p = arg;

	(void)a;
	return strongbox_write(p->v, data, n, &p->why) == 0 ? (la_ssize_t)n : -1;
}

struct pack *
pack_new(struct strongbox *v, struct err *e)
{
	struct pack *p = mem_alloc(sizeof *p);

	p->v = v;
	p->a = archive_write_new();
	if (p->a == NULL)
		abort();
	archive_write_add_filter_gzip(p->a);
	archive_write_set_format_pax_restricted(p->a);
	if (archive_write_open(p->a, p, NULL, put, NULL) == ARCHIVE_OK)
		return p;
	fail(p, e, "begin the archive");
	pack_free(p);
	return NULL;
}

static int
head(struct pack *p, const char *name, int64_t size, mode_t mode, time_t mtime, struct err *e)
{
	struct archive_entry *x = archive_entry_new();
	int rc;

	archive_entry_set_pathname(x, name);
	archive_entry_set_size(x, size);
	archive_entry_set_filetype(x, AE_IFREG);
	archive_entry_set_perm(x, mode & 0777);
	archive_entry_set_mtime(x, mtime, 0);
	rc = archive_write_header(p->a, x) == ARCHIVE_OK ? 0 : fail(p, e, name);
	archive_entry_free(x);
	return rc;
}

int
pack_bytes(struct pack *p, const char *name, const void *data, size_t n, struct err *e)
{
	if (head(p, name, (int64_t)n, 0600, time(NULL), e) != 0)
		return -1;
	return archive_write_data(p->a, data, n) == (la_ssize_t)n ? 0 : fail(p, e, name);
}

int
pack_file(struct pack *p, const char *name, const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), rc = -1;
	struct stat st;
	int64_t left;

	if (fd < 0 || fstat(fd, &st) != 0) {
		err_errno(e, "read %s", path);
		goto out;
	}
	if (head(p, name, st.st_size, st.st_mode, st.st_mtime, e) != 0)
		goto out;
	for (left = st.st_size; left > 0;) {
		ssize_t n = read(fd, p->block, left < BLOCK ? (size_t)left : BLOCK);

		if (n <= 0) {
			err_set(e, ERR_INTERNAL, "%s changed while it was read", path);
			goto out;
		}
		if (archive_write_data(p->a, p->block, (size_t)n) != n) {
			fail(p, e, name);
			goto out;
		}
		left -= n;
	}
	rc = 0;
out:
	if (fd >= 0)
		close(fd);
	return rc;
}

static int
tree(struct pack *p, const char *name, const char *dir, int depth, struct err *e)
{
	DIR *d = opendir(dir);
	struct dirent *f;
	int rc = 0;

	if (d == NULL)
		return errno == ENOENT && depth == 0 ? 0 : err_errno(e, "read %s", dir);
	while (rc == 0 && (f = readdir(d)) != NULL) {
		char *path, *inside;
		struct stat st;

		if (strcmp(f->d_name, ".") == 0 || strcmp(f->d_name, "..") == 0)
			continue;
		path = mem_fmt("%s/%s", dir, f->d_name);
		inside = mem_fmt("%s/%s", name, f->d_name);
		if (lstat(path, &st) != 0)
			rc = errno == ENOENT ? 0 : err_errno(e, "read %s", path);
		else if (S_ISREG(st.st_mode))
			rc = pack_file(p, inside, path, e);
		else if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
			rc = tree(p, inside, path, depth + 1, e);
		free(path);
		free(inside);
	}
	closedir(d);
	return rc;
}

int
pack_tree(struct pack *p, const char *name, const char *dir, struct err *e)
{
	return tree(p, name, dir, 0, e);
}

int
pack_finish(struct pack *p, struct err *e)
{
	return archive_write_close(p->a) == ARCHIVE_OK ? 0 : fail(p, e, "end the archive");
}

void
pack_free(struct pack *p)
{
	if (p == NULL)
		return;
	archive_free(p->a);
	free(p);
}

/* ---- reading ---- */

static la_ssize_t
get(struct archive *a, void *arg, const void **data)
{
	struct pack *p = arg;

	(void)a;
	*data = p->block;
	return strongbox_read(p->v, p->block, BLOCK, &p->why);
}

/* No way out of the directory, whatever the archive says. */
static bool
safe(const char *name)
{
	if (name == NULL || name[0] == '\0' || name[0] == '/' || strlen(name) > 1000)
		return false;
	for (const char *s = name; s != NULL; s = strchr(s, '/')) {
		size_t n;

		s += *s == '/';
		n = strcspn(s, "/");
		if (n == 0 || (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
			return false;
	}
	return true;
}

static int
make_above(const char *path, size_t from, struct err *e)
{
	char *copy = mem_str(path);
	int rc = 0;

	for (char *s = strchr(copy + from, '/'); s != NULL && rc == 0; s = strchr(s + 1, '/')) {
		*s = '\0';
		if (mkdir(copy, 0700) != 0 && errno != EEXIST)
			rc = err_errno(e, "make %s", copy);
		*s = '/';
	}
	free(copy);
	return rc;
}

static int
take(struct pack *p, struct archive_entry *x, const char *dir, struct err *e)
{
	char *path = mem_fmt("%s/%s", dir, archive_entry_pathname(x)), block[16384];
	int fd = -1, rc = make_above(path, strlen(dir) + 1, e);
	la_ssize_t n = 0;

	if (rc == 0 && (fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, archive_entry_perm(x) & 0777)) < 0)
		rc = err_errno(e, "write %s", path);
	while (rc == 0 && (n = archive_read_data(p->a, block, sizeof block)) > 0) {
		if (write(fd, block, (size_t)n) != n)
			rc = err_errno(e, "write %s", path);
	}
	if (rc == 0 && n < 0)
		rc = fail(p, e, "read the archive");
	if (rc == 0 && fsync(fd) != 0)
		rc = err_errno(e, "write %s", path);
	if (fd >= 0)
		close(fd);
	free(path);
	return rc;
}

int
pack_open(struct strongbox *v, const char *dir, bool (*wanted)(const char *name), struct err *e)
{
	struct pack *p = mem_alloc(sizeof *p);
	struct archive_entry *x;
	int rc = 0, got = ARCHIVE_OK;

	p->v = v;
	p->a = archive_read_new();
	if (p->a == NULL)
		abort();
	archive_read_support_filter_gzip(p->a);
	archive_read_support_format_tar(p->a);
	if (archive_read_open(p->a, p, NULL, get, NULL) != ARCHIVE_OK)
		rc = p->why.kind != ERR_NONE ? fail(p, e, "") : err_set(e, ERR_INPUT, "this is no backup of at-rund");
	while (rc == 0 && (got = archive_read_next_header(p->a, &x)) == ARCHIVE_OK) {
		const char *name = archive_entry_pathname(x);

		if (!safe(name) || archive_entry_filetype(x) != AE_IFREG || archive_entry_hardlink(x) != NULL || !wanted(name))
			rc = err_set(e, ERR_INPUT, "the backup holds %.200s, which no backup of ours does", name != NULL ? name : "?");
		else
			rc = take(p, x, dir, e);
	}
	if (rc == 0 && got != ARCHIVE_EOF)
		rc = fail(p, e, "read the archive");
	pack_free(p);
	return rc;
}
