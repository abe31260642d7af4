#include "lib/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/clock.h"

static const char *const words[LOG_LEVEL_COUNT] = { "error", "warn", "info", "debug" };
static const char *program = "at-rund";
static enum log_level wanted = LOG_INFO;
static bool as_json;
static void (*tap)(enum log_level level, const char *what, const char *pairs);

void
log_open(const char *name, enum log_level level, bool json)
{
	program = name;
	wanted = level;
	as_json = json;
}

void
log_tap(void (*fn)(enum log_level level, const char *what, const char *pairs))
{
	tap = fn;
}

bool
log_wants(enum log_level level)
{
	return level <= wanted;
}

int
log_level_parse(const char *word)
{
	int i;

	for (i = 0; i < LOG_LEVEL_COUNT; i++)
		if (strcmp(word, words[i]) == 0)
			return i;
	return -1;
}

const char *
log_q(const char *value)
{
	static _Thread_local char ring[4][1024];
	static _Thread_local unsigned turn;
	char *out = ring[turn++ % 4];
	size_t n = 0;
	bool plain = true;
	const char *p;

	if (value == NULL)
		return "-";
	for (p = value; *p != '\0'; p++)
		if ((unsigned char)*p <= ' ' || *p == '"' || *p == '\\' || *p == 0x7f)
			plain = false;
	if (plain && *value != '\0' && (size_t)(p - value) < sizeof ring[0]) {
		memcpy(out, value, (size_t)(p - value) + 1);
		return out;
	}
	out[n++] = '"';
	for (p = value; *p != '\0' && n < sizeof ring[0] - 8; p++) {
		if (*p == '"' || *p == '\\') {
			out[n++] = '\\';
			out[n++] = *p;
		} else if ((unsigned char)*p < ' ' || *p == 0x7f) {
			n += (size_t)snprintf(out + n, 7, "\\u%04x", (unsigned char)*p);
		} else {
			out[n++] = *p;
		}
	}
	out[n++] = '"';
	out[n] = '\0';
	return out;
}

/* Splits "key=value key2=\"quoted value\"" into JSON members. */
static void
pairs_to_json(struct buf *b, const char *p)
{
	while (*p != '\0') {
		const char *eq = strchr(p, '='), *end;

		if (eq == NULL)
			return;
		buf_char(b, ',');
		buf_json(b, p, (size_t)(eq - p));
		buf_char(b, ':');
		if (eq[1] == '"') {
			for (end = eq + 2; *end != '\0' && *end != '"'; end++)
				if (*end == '\\' && end[1] != '\0')
					end++;
			/* log_q's escapes are JSON's own. */
			buf_add(b, eq + 1, (size_t)(end - eq - 1));
			buf_char(b, '"');
			end += *end == '"';
		} else {
			end = eq + 1 + strcspn(eq + 1, " ");
			buf_json(b, eq + 1, (size_t)(end - eq - 1));
		}
		p = end + (*end == ' ');
	}
}

void
log_at(enum log_level level, const char *what, const char *fmt, ...)
{
	int saved = errno;
	char pairs[2048], stamp[40];
	struct buf line = BUF_INIT;
	int64_t now = clock_wall_ms();
	time_t sec = (time_t)(now / 1000);
	struct tm tm;
	va_list ap;
	size_t n;

	if (!log_wants(level))
		return;
	va_start(ap, fmt);
	vsnprintf(pairs, sizeof pairs, fmt, ap);
	va_end(ap);
	gmtime_r(&sec, &tm);
	n = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(stamp + n, sizeof stamp - n, ".%03dZ", (int)(now % 1000));
	if (as_json) {
		buf_fmt(&line, "{\"time\":\"%s\",\"level\":\"%s\",\"program\":\"%s\",\"message\":", stamp,
		    words[level], program);
		buf_json_str(&line, what);
		pairs_to_json(&line, pairs);
		buf_str(&line, "}\n");
	} else {
		buf_fmt(&line, "%s %s %s: %s%s%s\n", stamp, words[level], program, what,
		    pairs[0] != '\0' ? " " : "", pairs);
	}
	/* One write a line, so that lines of several programs on one descriptor do not mix. */
	if (write(STDERR_FILENO, line.data, line.len) < 0)
		errno = 0;
	buf_clear(&line);
	if (tap != NULL)
		tap(level, what, pairs);
	errno = saved;
}
