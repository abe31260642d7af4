/*
 * libarchive reads, we write: its own extraction code knows too many kinds of files.  Everything goes into a fresh
 * directory that nobody else knows, and only plain files and directories are made there, so no path can lead outside.
 */
#include "lib/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/bundle.h"
#include "lib/err.h"
#include "lib/mem.h"

#define DEPTH_MAX 16

struct unpack {
	int dir;          /* where it goes */
	const struct archive_limits *limits;
	int64_t bytes, entries;
	struct err *e;
};

static int
invalid(struct unpack *u, const char *path, const char *what)
{
	return err_named(u->e, ERR_INPUT, "InvalidBundle", "the archive: %.200s: %s", path, what);
}

/* A tar header carries the sum of its own bytes: text that happens to say "ustar" does not. */
static bool
tar_header(const unsigned char *p)
{
	unsigned long sum = 0, stated = 0;
	int i;

	if (memcmp(p + 257, "ustar", 5) != 0)
		return false;
	for (i = 0; i < 512; i++)
		sum += i >= 148 && i < 156 ? ' ' : p[i];
	for (i = 148; i < 156 && p[i] == ' '; i++)
		;
	for (; i < 156 && p[i] >= '0' && p[i] <= '7'; i++)
		stated = stated * 8 + (unsigned long)(p[i] - '0');
	return sum == stated;
}

bool
archive_magic(const char *p, size_t n)
{
	if (n >= 3 && memcmp(p, "\x1f\x8b\x08", 3) == 0)
		return true;
	if (n >= 4 && (memcmp(p, "PK\x03\x04", 4) == 0 || memcmp(p, "PK\x05\x06", 4) == 0))
		return true;
	return n >= 512 && tar_header((const unsigned char *)p);
}

/* Makes the directories above the last part of path. */
static int
make_parents(struct unpack *u, const char *path)
{
	char part[BUNDLE_PATH_MAX + 1];
	const char *slash;
	int depth = 0;

	for (slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
		if (++depth > DEPTH_MAX)
			return invalid(u, path, "directories nested too deeply");
		if (mkdirat(u->dir, part, 0755) == 0) {
			/* Whatever the umask says: walls read this as another user. */
			if (fchmodat(u->dir, part, 0755, 0) != 0)
				return err_errno(u->e, "chmod %s", part);
		} else if (errno != EEXIST) {
			return errno == ENOTDIR ? invalid(u, path, "lies below a file") :
						  err_errno(u->e, "make %s", part);
		}
	}
	return 0;
}

static int
create_file(struct unpack *u, const char *path)
{
	int fd;

	if (make_parents(u, path) != 0)
		return -1;
	fd = openat(u->dir, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
	if (fd < 0 && errno == EEXIST)
		return invalid(u, path, "stands there twice");
	if (fd < 0 && errno == ENOTDIR)
		return invalid(u, path, "lies below a file");
	if (fd < 0)
		return err_errno(u->e, "create %s", path);
	if (fchmod(fd, 0444) != 0) {
		err_errno(u->e, "chmod %s", path);
		close(fd);
		return -1;
	}
	return fd;
}

static int
write_all(struct unpack *u, int fd, const char *p, size_t n)
{
	u->bytes += (int64_t)n;
	if (u->bytes > u->limits->bytes)
		return err_named(u->e, ERR_INPUT, "InvalidBundle", "the bundle unpacks to more than %lld bytes (%s)",
		    (long long)u->limits->bytes, u->limits->bytes_key);
	while (n > 0) {
		ssize_t done = write(fd, p, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return err_errno(u->e, "write a file of the bundle");
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

static int
take_file(struct unpack *u, struct archive *a, const char *path)
{
	char piece[32768];
	int fd = create_file(u, path), rc = -1;

	if (fd < 0)
		return -1;
	for (;;) {
		la_ssize_t n = archive_read_data(a, piece, sizeof piece);

		if (n == 0)
			break;
		if (n < 0) {
			const char *why = archive_error_string(a);
			invalid(u, path, why != NULL ? why : "cannot be read");
			goto out;
		}
		if (write_all(u, fd, piece, (size_t)n) != 0)
			goto out;
	}
	rc = 0;
out:
	if (close(fd) != 0 && rc == 0)
		rc = err_errno(u->e, "close %s", path);
	return rc;
}

/* The path without "./" before and '/' behind it; "" for the root itself.  -1: not one we take. */
static int
clean_path(struct unpack *u, struct archive_entry *entry, char out[BUNDLE_PATH_MAX + 1])
{
	const char *raw = archive_entry_pathname(entry);
	size_t n;

	/* Names that the C locale cannot say still have their UTF-8. */
	if (raw == NULL)
		raw = archive_entry_pathname_utf8(entry);
	if (raw == NULL)
		return invalid(u, "an entry", "has no name");
	while (raw[0] == '.' && raw[1] == '/')
		raw += 2;
	if (strcmp(raw, ".") == 0)
		raw++;
	n = strlen(raw);
	if (n > 1 && raw[n - 1] == '/')
		n--;
	out[0] = '\0';
	if (n == 0)
		return 0;
	if (!bundle_path_ok(raw, n))
		return err_named(u->e, ERR_INPUT, "InvalidBundle",
		    "the archive has an entry whose path is absolute, has . or .. in it, is longer than %d bytes or not "
		    "plain UTF-8", BUNDLE_PATH_MAX);
	memcpy(out, raw, n);
	out[n] = '\0';
	return 0;
}

static int
take_entry(struct unpack *u, struct archive *a, struct archive_entry *entry)
{
	char path[BUNDLE_PATH_MAX + 2];

	if (++u->entries > u->limits->entries)
		return err_named(u->e, ERR_INPUT, "InvalidBundle", "the archive has more than %lld entries (%s)",
		    (long long)u->limits->entries, u->limits->entries_key);
	if (clean_path(u, entry, path) != 0)
		return -1;
	if (archive_entry_hardlink(entry) != NULL || archive_entry_symlink(entry) != NULL)
		return invalid(u, path, "is a link");
	switch (archive_entry_filetype(entry)) {
	case AE_IFDIR:
		if (path[0] == '\0')
			return 0;
		memcpy(path + strlen(path), "/", 2);
		return make_parents(u, path);
	case AE_IFREG:
		if (path[0] == '\0')
			return invalid(u, ".", "is not a directory");
		return take_file(u, a, path);
	default:
		return invalid(u, path, "is neither a file nor a directory");
	}
}

static int
unpack_archive(struct unpack *u, int blob_fd)
{
	struct archive *a = archive_read_new();
	struct archive_entry *entry;
	const char *why;
	int r, rc = -1;

	if (a == NULL)
		abort(); /* out of memory */
	archive_read_support_filter_gzip(a);
	archive_read_support_format_tar(a);
	/* By its directory at the end, as every other unzip reads it, not by what streams past. */
	archive_read_support_format_zip_seekable(a);
	if (archive_read_open_fd(a, blob_fd, 65536) != ARCHIVE_OK)
		goto broken;
	while ((r = archive_read_next_header(a, &entry)) != ARCHIVE_EOF) {
		/* A warning is about what we do not use: owners, times, a name outside the C locale. */
		if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
			goto broken;
		if (take_entry(u, a, entry) != 0)
			goto out;
	}
	if (u->entries == 0) {
		err_named(u->e, ERR_INPUT, "InvalidBundle", "the archive is empty");
		goto out;
	}
	rc = 0;
	goto out;
broken:
	why = archive_error_string(a);
	err_named(u->e, ERR_INPUT, "InvalidBundle", "the archive is broken: %.200s", why != NULL ? why : "no reason");
out:
	archive_read_free(a);
	return rc;
}

static int
unpack_single(struct unpack *u, int blob_fd, const char *name)
{
	char piece[32768];
	off_t at = 0;
	int fd, rc = -1;

	if (!bundle_path_ok(name, strlen(name)))
		return invalid(u, "entry", "is not a path");
	fd = create_file(u, name);
	if (fd < 0)
		return -1;
	for (;;) {
		ssize_t n = pread(blob_fd, piece, sizeof piece, at);

		if (n == 0)
			break;
		if (n < 0) {
			err_errno(u->e, "read the blob");
			goto out;
		}
		if (write_all(u, fd, piece, (size_t)n) != 0)
			goto out;
		at += n;
	}
	rc = 0;
out:
	if (close(fd) != 0 && rc == 0)
		rc = err_errno(u->e, "close %s", name);
	return rc;
}

/* All bytes on the disk, then the name: after a power cut the name never stands for half a bundle. */
static int
publish(int dir, const char *tmp, const char *final, struct err *e)
{
	if (fchmod(dir, 0755) != 0 || syncfs(dir) != 0)
		return err_errno(e, "write %s", tmp);
	if (rename(tmp, final) == 0)
		return 0;
	if (errno != EEXIST && errno != ENOTEMPTY)
		return err_errno(e, "rename to %s", final);
	/* Somebody unpacked the same bytes at the same time. */
	return bundle_remove(tmp, e);
}

int
archive_unpack(int blob_fd, const char *parent, const char *name, const char *single,
    const struct archive_limits *limits, struct err *e)
{
	struct unpack u = { .dir = -1, .limits = limits, .e = e };
	char *final = mem_fmt("%s/%s", parent, name), *tmp = mem_fmt("%s/%s.tmp-XXXXXX", parent, name);
	char head[512];
	bool made = false;
	ssize_t n;
	int rc = -1;

	if (access(final, F_OK) == 0) {
		rc = 0;
		goto out;
	}
	n = pread(blob_fd, head, sizeof head, 0);
	if (n < 0 || lseek(blob_fd, 0, SEEK_SET) != 0 || mkdtemp(tmp) == NULL) {
		err_errno(e, "unpack into %s", parent);
		goto out;
	}
	made = true;
	u.dir = open(tmp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (u.dir < 0) {
		err_errno(e, "open %s", tmp);
		goto out;
	}
	if (archive_magic(head, (size_t)n))
		rc = unpack_archive(&u, blob_fd);
	else
		rc = unpack_single(&u, blob_fd, single);
	if (rc == 0)
		rc = publish(u.dir, tmp, final, e);
out:
	if (u.dir >= 0)
		close(u.dir);
	if (rc != 0 && made)
		bundle_remove(tmp, NULL);
	free(final);
	free(tmp);
	return rc;
}
