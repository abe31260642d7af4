/*
 * The trees that blobs become: placed before an instance, and removed, without ever following a symbolic link.
 */
#include "lib/bundle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/mem.h"

#define DEPTH_MAX 32

static void
list_clear(struct conf_list *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		free(l->item[i]);
	free(l->item);
	*l = (struct conf_list){ NULL, 0 };
}

static int
copy_bytes(int from, int to, const char *name, struct err *e)
{
	char piece[32768];

	for (;;) {
		ssize_t n = read(from, piece, sizeof piece), at = 0;

		if (n == 0)
			return 0;
		if (n < 0)
			return err_errno(e, "read %s", name);
		while (at < n) {
			ssize_t done = write(to, piece + at, (size_t)(n - at));
			if (done < 0)
				return err_errno(e, "write %s", name);
			at += done;
		}
	}
}

static int
copy_file(int from_dir, int to_dir, const char *name, struct err *e)
{
	int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), to = -1, rc = -1;

	if (from < 0) {
		err_errno(e, "open %s", name);
		goto out;
	}
	to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (to < 0)
		err_errno(e, "create %s", name);
	else
		rc = copy_bytes(from, to, name, e);
out:
	if (from >= 0)
		close(from);
	if (to >= 0 && close(to) != 0 && rc == 0)
		rc = err_errno(e, "close %s", name);
	return rc;
}

static int
place_file(int from, int to, const char *name, bool copy, struct err *e)
{
	if (!copy) {
		if (linkat(from, name, to, name, 0) == 0)
			return 0;
		/* Another file system, one that has no links, or a file with all the links it can have. */
		if (errno != EXDEV && errno != EPERM && errno != EMLINK && errno != EOPNOTSUPP)
			return err_errno(e, "link %s", name);
	}
	return copy_file(from, to, name, e);
}

/* Names of a directory, "." and ".." left out.  The descriptor stays the caller's. */
static int
list_names(int fd, struct conf_list *out, struct err *e)
{
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = own >= 0 ? fdopendir(own) : NULL;
	size_t room = 0;
	struct dirent *entry;

	if (d == NULL) {
		err_errno(e, "read a directory");
		if (own >= 0)
			close(own);
		return -1;
	}
	while ((entry = readdir(d)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (out->n == room) {
			room = room == 0 ? 16 : room * 2;
			out->item = mem_grow(out->item, room * sizeof *out->item);
		}
		out->item[out->n++] = mem_str(entry->d_name);
	}
	closedir(d);
	return 0;
}

static int
place_tree(int from, int to, bool copy, int depth, struct err *e)
{
	struct conf_list names = { NULL, 0 };
	size_t i;
	int rc = -1;

	if (depth > DEPTH_MAX)
		return err_set(e, ERR_INPUT, "directories more than %d deep", DEPTH_MAX);
	if (list_names(from, &names, e) != 0)
		goto out;
	for (i = 0; i < names.n; i++) {
		const char *name = names.item[i];
		int sub_from = -1, sub_to = -1, failed;
		struct stat st;

		if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
			err_errno(e, "stat %s", name);
			goto out;
		}
		if (S_ISREG(st.st_mode)) {
			if (place_file(from, to, name, copy, e) != 0)
				goto out;
			continue;
		}
		if (!S_ISDIR(st.st_mode)) {
			err_set(e, ERR_INPUT, "%s is neither a file nor a directory", name);
			goto out;
		}
		if (mkdirat(to, name, 0755) == 0) {
			sub_from = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			sub_to = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		}
		if (sub_from < 0 || sub_to < 0)
			failed = err_errno(e, "directory %s", name);
		else
			failed = place_tree(sub_from, sub_to, copy, depth + 1, e);
		if (sub_from >= 0)
			close(sub_from);
		if (sub_to >= 0)
			close(sub_to);
		if (failed != 0)
			goto out;
	}
	rc = 0;
out:
	list_clear(&names);
	return rc;
}

int
bundle_place(const char *from_dir, const char *to_dir, bool copy, struct err *e)
{
	int from = -1, to = -1, rc = -1;
	bool made = false;

	from = open(from_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (from < 0) {
		err_errno(e, "open %s", from_dir);
		goto out;
	}
	if (mkdir(to_dir, 0755) != 0) {
		err_errno(e, "make %s", to_dir);
		goto out;
	}
	made = true;
	to = open(to_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (to < 0)
		err_errno(e, "open %s", to_dir);
	else
		rc = place_tree(from, to, copy, 0, e);
out:
	if (from >= 0)
		close(from);
	if (to >= 0)
		close(to);
	if (rc != 0 && made)
		bundle_remove(to_dir, NULL);
	return rc;
}

/* A directory that is to go, whatever its mode: its owner may always give himself the right back. */
static int
open_doomed(int at, const char *name)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(at, name, flags);

	if (fd < 0 && errno == EACCES && fchmodat(at, name, 0700, 0) == 0)
		fd = openat(at, name, flags);
	if (fd >= 0)
		fchmod(fd, 0700);
	return fd;
}

/*
 * Empties one directory.  What lies too deep is moved up to the root and met there on the next round, so that a tree
 * made to exhaust us (descriptors, stack) only takes longer.
 */
static int
remove_below(int root, int fd, int depth, unsigned *moved, struct err *e)
{
	struct conf_list names = { NULL, 0 };
	size_t i;
	int rc = -1;

	if (list_names(fd, &names, e) != 0)
		goto out;
	for (i = 0; i < names.n; i++) {
		const char *name = names.item[i];
		char up[40];
		int sub, failed;

		if (unlinkat(fd, name, 0) == 0 || errno == ENOENT)
			continue;
		if (errno != EISDIR && errno != EPERM) {
			err_errno(e, "remove %s", name);
			goto out;
		}
		if (unlinkat(fd, name, AT_REMOVEDIR) == 0)
			continue;
		sub = open_doomed(fd, name);
		if (sub < 0) {
			err_errno(e, "open %s", name);
			goto out;
		}
		/* Only now: a directory that may not be written cannot be moved either. */
		snprintf(up, sizeof up, ".removed-%d-%u", (int)getpid(), *moved);
		if (depth >= DEPTH_MAX && renameat(fd, name, root, up) == 0) {
			++*moved;
			close(sub);
			continue;
		}
		failed = remove_below(root, sub, depth + 1, moved, e);
		close(sub);
		if (failed != 0)
			goto out;
		if (unlinkat(fd, name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
			err_errno(e, "remove %s", name);
			goto out;
		}
	}
	rc = 0;
out:
	list_clear(&names);
	return rc;
}

int
bundle_remove(const char *dir, struct err *e)
{
	unsigned moved = 0, before;
	int fd, rc = 0;

	fd = open_doomed(AT_FDCWD, dir);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_errno(e, "open %s", dir);
	do {
		before = moved;
		rc = remove_below(fd, fd, 0, &moved, e);
	} while (rc == 0 && moved != before);
	close(fd);
	if (rc == 0 && rmdir(dir) != 0 && errno != ENOENT)
		rc = err_errno(e, "remove %s", dir);
	return rc;
}
