#include "cli/files.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

/* It need not be there yet, so realpath cannot help. */
char *
files_home(void)
{
	const char *given = getenv("AT_RUND_HOME"), *home = getenv("HOME");
	const struct passwd *pw;
	char *cwd, *dir;

	if (given == NULL || given[0] == '\0') {
		if (home == NULL && (pw = getpwuid(getuid())) != NULL)
			home = pw->pw_dir;
		return mem_fmt("%s/.at-rund", home != NULL ? home : "");
	}
	if (given[0] == '/')
		return mem_str(given);
	cwd = getcwd(NULL, 0);
	dir = mem_fmt("%s/%s", cwd != NULL ? cwd : "", given);
	free(cwd);
	return dir;
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

int
files_move(const char *from, const char *to, struct err *e)
{
	struct buf text = BUF_INIT;
	char block[4096];
	size_t n;
	FILE *f;
	int rc;

	if (rename(from, to) == 0)
		return 0;
	if (errno != EXDEV || (f = fopen(from, "re")) == NULL)
		return err_errno(e, "move %s to %s", from, to);
	while ((n = fread(block, 1, sizeof block, f)) > 0)
		buf_add(&text, block, n);
	rc = ferror(f) != 0 ? err_errno(e, "read %s", from) : files_new(to, &text, 0600, e);
	fclose(f);
	if (rc == 0)
		unlink(from);
	buf_clear(&text);
	return rc;
}
