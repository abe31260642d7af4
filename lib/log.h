/*
 * One line an event, "what key=value ...", on standard error: text for people or JSON for machines.
 * Programs log; lib/ and backends/ return errors and do not.
 *
 *     log_info("job done", "job=%s outcome=%s ms=%lld", id, outcome, ms);
 *
 * The second argument is a format that yields key=value pairs separated by single spaces; a value
 * with spaces in it goes through %s wrapped by log_q(): log_warn("fetch failed", "why=%s", log_q(e.text)).
 * In text the line is "12:00:01.234 info scheduler: job done job=... outcome=ok", in JSON an object with
 * time, level, program, message and the pairs.
 */
#ifndef LIB_LOG_H
#define LIB_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_LEVEL_COUNT };

/* program: a static string such as "scheduler".  Call once, before threads start. */
void log_open(const char *program, enum log_level level, bool json);
bool log_wants(enum log_level level);
/* Is told of each line that is written, with its pairs as they stand in text; NULL: nobody is.  For a program of one thread. */
void log_tap(void (*fn)(enum log_level level, const char *what, const char *pairs));
/* Level by its word, or -1. */
int log_level_parse(const char *word);

void log_at(enum log_level level, const char *what, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#define log_error(what, ...) log_at(LOG_ERROR, what, __VA_ARGS__)
#define log_warn(what, ...)  log_at(LOG_WARN, what, __VA_ARGS__)
#define log_info(what, ...)  (log_wants(LOG_INFO) ? log_at(LOG_INFO, what, __VA_ARGS__) : (void)0)
#define log_debug(what, ...) (log_wants(LOG_DEBUG) ? log_at(LOG_DEBUG, what, __VA_ARGS__) : (void)0)

/* Quotes a value when it needs it and makes control bytes harmless.  The result lives in one of a
 * few per-thread buffers: good for the arguments of one call. */
const char *log_q(const char *value);

#endif
