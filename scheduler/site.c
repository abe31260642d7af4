#include "scheduler/site.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/mem.h"

static int
write_file(const char *path, const char *text, struct err *e)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	size_t n = strlen(text);

	if (fd < 0)
		return err_errno(e, "create %s", path);
	if (write(fd, text, n) != (ssize_t)n) {
		close(fd);
		return err_errno(e, "write %s", path);
	}
	close(fd);
	return 0;
}

int
site_make(const char *dir, struct err *e)
{
	return mkdir(dir, 0700) == 0 ? 0 : err_errno(e, "make %s", dir);
}

int
site_furnish(const char *dir, struct err *e)
{
	char *tmp = mem_fmt("%s/tmp", dir), *package = mem_fmt("%s/package.json", dir);
	int rc;

	if (mkdir(tmp, 0700) != 0)
		rc = err_errno(e, "make %s", tmp);
	else /* Node looks for package.json upwards from the bundle: it stops here, whatever lies above. */
		rc = write_file(package, "{}\n", e);
	free(tmp);
	free(package);
	return rc;
}

int
site_listen(const char *dir, const char *name, int backlog, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rc = -1;
	int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || dir_fd < 0) {
		err_errno(e, "socket in %s", dir);
		goto out;
	}
	snprintf(a.sun_path, sizeof a.sun_path, "/proc/self/fd/%d/%s", dir_fd, name);
	unlink(a.sun_path);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, backlog) != 0) {
		err_errno(e, "listen on %s/%s", dir, name);
		goto out;
	}
	rc = fd;
out:
	if (dir_fd >= 0)
		close(dir_fd);
	if (rc < 0 && fd >= 0)
		close(fd);
	return rc;
}

int
site_open(const char *dir, bool gate, struct err *e)
{
	static const struct {
		const char *name;
		mode_t mode;
	} all[] = { { ".", 0755 }, { "sock", 0666 }, { "out", 0666 } };
	size_t i;

	for (i = 0; i < (gate ? 3 : 2); i++) {
		char *path = mem_fmt("%s/%s", dir, all[i].name);
		int rc = chmod(path, all[i].mode);

		if (rc != 0)
			err_errno(e, "open %s to its instance", path);
		free(path);
		if (rc != 0)
			return -1;
	}
	return 0;
}
