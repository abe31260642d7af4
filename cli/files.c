#include "cli/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/mem.h"

static int
one_dir(const char *path, mode_t mode, struct err *e)
{
	struct stat st;

	if (mkdir(path, mode) == 0 || (errno == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode)))
		return 0;
	return err_errno(e, "make the directory %s", path);
}

int
files_dirs(const char *path, mode_t mode, struct err *e)
{
	char *copy = mem_str(path);
	int rc = 0;

	for (char *p = strchr(copy + 1, '/'); p != NULL && rc == 0; p = strchr(p + 1, '/')) {
		*p = '\0';
		rc = one_dir(copy, 0755, e);
		*p = '/';
	}
	free(copy);
	return rc == 0 ? one_dir(path, mode, e) : -1;
}

int
files_new(const char *path, const struct buf *text, mode_t mode, struct err *e)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	ssize_t n;

	if (fd < 0)
		return err_errno(e, "write %s", path);
	n = write(fd, text->data, text->len);
	if (n != (ssize_t)text->len || fchmod(fd, mode) != 0 || fsync(fd) != 0) {
		err_errno(e, "write %s", path);
		close(fd);
		unlink(path);
		return -1;
	}
	close(fd);
	return 0;
}

int
files_put(const char *path, const struct buf *text, mode_t mode, struct err *e)
{
	char *dir = mem_strn(path, (size_t)(strrchr(path, '/') - path)), *next = mem_fmt("%s.new", path);
	int rc = files_dirs(dir, 0755, e);

	if (rc == 0) {
		unlink(next);
		rc = files_new(next, text, mode, e);
	}
	if (rc == 0 && rename(next, path) != 0) {
		rc = err_errno(e, "replace %s", path);
		unlink(next);
	}
	free(next);
	free(dir);
	return rc;
}
