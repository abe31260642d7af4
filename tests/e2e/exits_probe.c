/*
 * The scheduler's side of the way out, and nothing else: starts the real egress process and does what standard input says.
 *
 *     exits_probe SCHEDULER HOME CONFIG
 *
 *     add N PATH | allow N BUNDLE BYTES [RULE...] | job N JOB | drop N | kill      one a line
 *
 * Prints a line of JSON for each event.  Ends with standard input.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "scheduler/exits.h"
#include "scheduler/loop.h"
#include "scheduler/spawn.h"

static struct exits *exits;

static void
print(struct buf *b)
{
	buf_char(b, '\n');
	fwrite(b->data, 1, b->len, stdout);
	fflush(stdout);
	buf_clear(b);
}

static void
on_ready(void *arg, int64_t instance)
{
	struct buf b = BUF_INIT;

	(void)arg;
	buf_fmt(&b, "{\"event\":\"ready\",\"instance\":%lld}", (long long)instance);
	print(&b);
}

static void
on_over(void *arg, int64_t instance, const char *job, const struct err *why)
{
	struct buf b = BUF_INIT;

	(void)arg;
	buf_fmt(&b, "{\"event\":\"over\",\"instance\":%lld,\"job\":", (long long)instance);
	buf_json_str(&b, job);
	buf_str(&b, ",\"why\":");
	buf_json_str(&b, why->text);
	buf_char(&b, '}');
	print(&b);
}

static void
on_connection(void *arg, const struct exits_line *l)
{
	struct buf b = BUF_INIT;
	const struct {
		const char *key, *value;
	} text[] = { { "bundle", l->bundle }, { "job", l->job }, { "host", l->host }, { "address", l->address },
		{ "verdict", l->verdict }, { "why", l->why }, { "end", l->end } };
	size_t i;

	(void)arg;
	buf_fmt(&b, "{\"event\":\"connection\",\"instance\":%lld,\"port\":%d,\"sent\":%lld,\"received\":%lld,\"ms\":%lld",
	    (long long)l->instance, l->port, (long long)l->sent, (long long)l->received, (long long)l->ms);
	for (i = 0; i < sizeof text / sizeof text[0]; i++) {
		buf_fmt(&b, ",\"%s\":", text[i].key);
		buf_json_str(&b, text[i].value);
	}
	buf_char(&b, '}');
	print(&b);
}

static void
command(char *line)
{
	char *word[64], *p;
	struct conf_list net = { NULL, 0 };
	struct err e = ERR_INIT;
	size_t n = 0;
	int64_t instance;
	int rc = 0;

	while (n < 64 && (p = strsep(&line, " ")) != NULL)
		word[n++] = p;
	if (n < 2)
		return;
	instance = strtoll(word[1], NULL, 10);
	if (strcmp(word[0], "add") == 0 && n == 3) {
		rc = exits_add(exits, instance, word[2], &e);
	} else if (strcmp(word[0], "allow") == 0 && n >= 4) {
		net.item = word + 4;
		net.n = n - 4;
		rc = exits_allow(exits, instance, word[2], &net, strtoll(word[3], NULL, 10), "limits.egress", &e);
	} else if (strcmp(word[0], "job") == 0 && n == 3) {
		exits_job(exits, instance, word[2], true);
	} else if (strcmp(word[0], "drop") == 0) {
		exits_drop(exits, instance);
	}
	if (rc != 0) {
		struct buf b = BUF_INIT;

		buf_str(&b, "{\"event\":\"error\",\"why\":");
		buf_json_str(&b, e.text);
		buf_char(&b, '}');
		print(&b);
	}
}

static void
on_input(void *arg, uint32_t events)
{
	static struct buf in;
	char *end;
	ssize_t n = read(0, buf_room(&in, 65536), 65536);

	(void)arg;
	(void)events;
	if (n <= 0) {
		buf_clear(&in);
		exits_free(exits);
		loop_forget(0);
		loop_end();
		return;
	}
	in.len += (size_t)n;
	in.data[in.len] = '\0';
	while (in.len > 0 && (end = memchr(in.data, '\n', in.len)) != NULL) {
		*end = '\0';
		command(in.data);
		buf_drop(&in, (size_t)(end - in.data) + 1);
	}
}

static bool
turn(void *arg)
{
	(void)arg;
	return false;
}

int
main(int argc, char **argv)
{
	struct exits_events events = { on_ready, on_connection, on_over };
	struct err e = ERR_INIT;
	struct conf *c;

	if (argc != 4)
		return 64;
	signal(SIGPIPE, SIG_IGN);
	setenv("AT_RUND_HOME", argv[2], 1);
	log_open("probe", LOG_DEBUG, false);
	c = conf_load(argv[3], true, NULL, &e);
	if (c == NULL || loop_open(&e) != 0 || spawn_open(&e) != 0)
		goto fail;
	exits = exits_new(c, argv[1], &events, NULL);
	if (exits_start(exits, &e) != 0)
		goto fail;
	loop_watch(0, EPOLLIN, on_input, NULL);
	if (loop_run(turn, NULL, &e) != 0)
		goto fail;
	spawn_close();
	loop_close();
	conf_free(c);
	return 0;
fail:
	fprintf(stderr, "exits_probe: %s\n", e.text);
	return 1;
}
