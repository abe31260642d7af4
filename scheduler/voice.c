#include "scheduler/voice.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "scheduler/loop.h"

#define ROOM         16384
#define DRAIN_ROUNDS 16

static void
say_line(struct voice *v)
{
	if (v->line.len > 0)
		v->fn(v->arg, v, v->line.data, v->line.len);
	buf_reset(&v->line);
}

static void
take_text(struct voice *v, const char *s, size_t n)
{
	while (n > 0) {
		const char *nl = memchr(s, '\n', n);
		size_t part = nl != NULL ? (size_t)(nl - s) : n;

		if (!v->skips) {
			size_t room = v->line_max - v->line.len;

			buf_add(&v->line, s, part < room ? part : room);
			if (part >= room) {
				say_line(v);
				v->skips = true;
			}
		}
		if (nl == NULL)
			return;
		if (!v->skips)
			say_line(v);
		v->skips = false;
		n -= part + 1;
		s = nl + 1;
	}
}

static void
on_text(void *arg, uint32_t events)
{
	struct voice *v = arg;
	char text[ROOM];
	ssize_t n = read(v->fd, text, sizeof text);

	(void)events;
	if (n > 0)
		take_text(v, text, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		voice_close(v);
}

void
voice_open(struct voice *v, const char *source, int fd, size_t line_max, voice_line_fn *fn, void *arg)
{
	*v = (struct voice){ source, fd, line_max, fn, arg, BUF_INIT, false };
	loop_watch(fd, EPOLLIN, on_text, v);
}

void
voice_drain(struct voice *v)
{
	int rounds;

	for (rounds = 0; rounds < DRAIN_ROUNDS && v->fd >= 0; rounds++) {
		char text[ROOM];
		ssize_t n = read(v->fd, text, sizeof text);

		if (n <= 0)
			return;
		take_text(v, text, (size_t)n);
	}
}

void
voice_close(struct voice *v)
{
	if (v->fd < 0)
		return;
	say_line(v);
	loop_forget(v->fd);
	close(v->fd);
	v->fd = -1;
	buf_clear(&v->line);
}
