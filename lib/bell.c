#include "lib/bell.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/err.h"

#define LINE_MS  1000 /* whoever took the bell over is rung from then on at the latest */
#define HEAR_MAX 4096 /* datagrams in one go: whoever rings without end does not keep us from working */

/* An address, and what must stay open while it is used. */
struct place {
	struct sockaddr_un sun;
	int dir;
};

/*
 * A socket's path has room for 107 bytes.  A longer one is reached through its directory's descriptor, which /proc
 * gives a short name.  -1 with errno; names come from rows too, so one that would leave the directory is refused.
 */
static int
place_open(struct place *p, const char *run_dir, const char *name)
{
	int n;

	p->dir = -1;
	if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL) {
		errno = EINVAL;
		return -1;
	}
	memset(&p->sun, 0, sizeof p->sun);
	p->sun.sun_family = AF_UNIX;
	n = snprintf(p->sun.sun_path, sizeof p->sun.sun_path, "%s/%s.bell", run_dir, name);
	if (n >= 0 && (size_t)n < sizeof p->sun.sun_path)
		return 0;
	p->dir = open(run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (p->dir < 0)
		return -1;
	n = snprintf(p->sun.sun_path, sizeof p->sun.sun_path, "/proc/self/fd/%d/%s.bell", p->dir, name);
	if (n >= 0 && (size_t)n < sizeof p->sun.sun_path)
		return 0;
	close(p->dir);
	p->dir = -1;
	errno = ENAMETOOLONG;
	return -1;
}

static void
place_close(struct place *p)
{
	if (p->dir >= 0)
		close(p->dir);
}

int
bell_listen(const char *run_dir, const char *name, struct err *e)
{
	struct place p;
	int fd = -1;

	if (place_open(&p, run_dir, name) != 0)
		return err_errno(e, "bell %s in %s", name, run_dir);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		err_errno(e, "bell %s", name);
		goto out;
	}
	if (unlink(p.sun.sun_path) != 0 && errno != ENOENT)
		goto fail;
	if (bind(fd, (struct sockaddr *)&p.sun, sizeof p.sun) != 0)
		goto fail;
	/* bind() obeys the umask, which belongs to the whole process: mend the mode afterwards. */
	if (chmod(p.sun.sun_path, 0660) != 0)
		goto fail;
	goto out;
fail:
	err_errno(e, "bell %s/%s.bell", run_dir, name);
	close(fd);
	fd = -1;
out:
	place_close(&p);
	return fd;
}

bool
bell_hear(int fd)
{
	char byte;
	int n = 0;

	while (n < HEAR_MAX && recv(fd, &byte, 1, MSG_DONTWAIT) >= 0)
		n++;
	return n > 0;
}

void
bell_close(int fd, const char *run_dir, const char *name)
{
	struct place p;

	if (fd < 0)
		return;
	close(fd);
	if (place_open(&p, run_dir, name) != 0)
		return;
	unlink(p.sun.sun_path);
	place_close(&p);
}

int
bell_ringer(void)
{
	return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

bool
bell_tell(int ringer, const char *run_dir, const char *name, const void *p, size_t n)
{
	int saved = errno;
	bool full = false;
	struct place at;

	if (place_open(&at, run_dir, name) == 0) {
		if (sendto(ringer, p, n, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&at.sun, sizeof at.sun) < 0)
			full = errno == EAGAIN || errno == ENOBUFS;
		place_close(&at);
	}
	errno = saved;
	return !full;
}

void
bell_ring(int ringer, const char *run_dir, const char *name)
{
	/* A full queue means that the bell rings already; nobody there, that nobody waits. */
	(void)bell_tell(ringer, run_dir, name, "!", 1);
}

long
bell_next(int fd, void *p, size_t room)
{
	return recv(fd, p, room, MSG_DONTWAIT);
}

static bool
line_connect(struct bell_line *l, const char *run_dir, const char *name)
{
	struct place at;
	int rc = -1;

	bell_line_close(l);
	if (strlen(name) >= sizeof l->name || place_open(&at, run_dir, name) != 0)
		return false;
	l->fd = bell_ringer();
	if (l->fd > 0)
		rc = connect(l->fd, (struct sockaddr *)&at.sun, sizeof at.sun);
	place_close(&at);
	if (rc != 0) {
		bell_line_close(l);
		return false;
	}
	memcpy(l->name, name, strlen(name) + 1);
	l->since_ms = clock_mono_ms();
	return true;
}

enum sent { SENT, SENT_FULL, SENT_NOBODY };

static enum sent
line_send(const struct bell_line *l, const void *p, size_t n)
{
	if (send(l->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return SENT;
	return errno == EAGAIN || errno == ENOBUFS ? SENT_FULL : SENT_NOBODY;
}

bool
bell_line_tell(struct bell_line *l, const char *run_dir, const char *name, const void *p, size_t n)
{
	bool stands = l->fd > 0 && clock_mono_ms() - l->since_ms < LINE_MS && strcmp(l->name, name) == 0;
	int saved = errno;
	enum sent sent = stands ? line_send(l, p, n) : SENT_NOBODY;

	if (sent == SENT_NOBODY && line_connect(l, run_dir, name))
		sent = line_send(l, p, n);
	errno = saved;
	return sent != SENT_FULL;
}

void
bell_line_close(struct bell_line *l)
{
	if (l->fd > 0)
		close(l->fd);
	l->fd = 0;
	l->name[0] = '\0';
}
