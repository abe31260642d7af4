/* The command runs in a thread of its own (lib/child.h waits for it); this one draws. */
#include "cli/step.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "lib/buf.h"
#include "lib/child.h"
#include "lib/clock.h"
#include "lib/err.h"
#include "lib/mem.h"

#define DRAW_MS 250
#define TAIL    2048
#define WORDS   48

struct work {
	const char **argv;
	int timeout_ms, rc;
	struct err e;
};

static void *
work(void *arg)
{
	struct work *w = arg;
	struct buf out = BUF_INIT;

	w->rc = child_run(w->argv, w->timeout_ms, 4096, &out, &w->e);
	buf_clear(&out);
	return NULL;
}

/* The end of the log, NUL-terminated. */
static void
tail_of(const char *log, char text[TAIL + 1])
{
	int fd = open(log, O_RDONLY | O_CLOEXEC);
	off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;
	ssize_t n = fd >= 0 ? pread(fd, text, TAIL, size > TAIL ? size - TAIL : 0) : 0;

	if (fd >= 0)
		close(fd);
	while (n > 0 && text[n - 1] == '\n')
		n--;
	text[n > 0 ? n : 0] = '\0';
}

static void
draw(const struct cli *c, const char *what, int64_t began_ms, const char *log)
{
	char text[TAIL + 1];
	const char *line;
	struct buf b = BUF_INIT;

	if (c->json || !isatty(STDERR_FILENO))
		return;
	tail_of(log, text);
	line = strrchr(text, '\n');
	line = line != NULL ? line + 1 : text;
	cli_clean(&b, line);
	fprintf(stderr, "\r\033[K%s (%lld s) %.*s", what, (long long)((clock_mono_ms() - began_ms) / 1000), WORDS,
	    b.len > 0 ? b.data : "");
	fflush(stderr);
	buf_clear(&b);
}

/* The first line that a tool marks as an error, else the last of all. */
static void
explain(const char *log, struct err *e)
{
	static const char *const marks[] = { "\nE: ", "\nnpm ERR! ", "\nnpm error ", "\nError: ", "\nerror: " };
	char text[TAIL + 1];
	const char *at = NULL;
	size_t i;

	tail_of(log, text);
	for (i = 0; i < sizeof marks / sizeof marks[0] && at == NULL; i++)
		if (strncmp(text, marks[i] + 1, strlen(marks[i] + 1)) == 0)
			at = text;
		else if ((at = strstr(text, marks[i])) != NULL)
			at++;
	if (at == NULL)
		at = (at = strrchr(text, '\n')) != NULL ? at + 1 : text;
	if (*at != '\0')
		err_set(e, ERR_REMOTE, "%.*s (all of it: %s)", (int)strcspn(at, "\n"), at, log);
}

static bool
join_in(pthread_t thread, int ms)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += ms * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	return pthread_timedjoin_np(thread, NULL, &until) == 0;
}

int
step_run(const struct cli *c, const char *what, const char *const argv[], int timeout_ms, const char *log, struct err *e)
{
	static const char redirect[] = "exec \"$@\" >>\"$0\" 2>&1";
	struct work w = { .timeout_ms = timeout_ms, .e = ERR_INIT };
	int64_t began = clock_mono_ms();
	size_t n = 0, i;
	pthread_t thread;

	while (argv[n] != NULL)
		n++;
	w.argv = mem_array(n + 5, sizeof *w.argv);
	w.argv[0] = "/bin/sh";
	w.argv[1] = "-c";
	w.argv[2] = redirect;
	w.argv[3] = log;
	for (i = 0; i < n; i++)
		w.argv[4 + i] = argv[i];
	if (!isatty(STDERR_FILENO))
		cli_say(c, "%s", what);
	if (pthread_create(&thread, NULL, work, &w) != 0) {
		work(&w);
	} else {
		while (!join_in(thread, DRAW_MS))
			draw(c, what, began, log);
		if (!c->json && isatty(STDERR_FILENO))
			fputs("\r\033[K", stderr);
	}
	free(w.argv);
	if (w.rc == 0)
		return 0;
	if (e != NULL) {
		*e = w.e;
		if (w.e.kind == ERR_INPUT)
			explain(log, e);
	}
	return err_wrap(e, "%s", what);
}
