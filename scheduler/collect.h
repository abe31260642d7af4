/*
 * What executors say, read into plain values; and the one table that makes kinds of errors outcomes of jobs.
 * The far end is hostile: everything is bounded and checked here.
 */
#ifndef SCHEDULER_COLLECT_H
#define SCHEDULER_COLLECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/job.h"

struct buf;

#define COLLECT_HEADERS_MAX 128

/*
 * The payload of HEAD: *status 200..599, *headers_json the canonical [["name","value"],...] with names in lower case
 * (allocated).  ERR_INPUT says what is wrong; max is limits.header.
 */
int collect_head(const char *json, size_t n, int64_t max, int *status, char **headers_json, struct err *e);
/* The payload of ERROR as the job's error: name and "message (where)". */
int collect_error(const char *json, size_t n, struct err *why, struct err *e);
/* The payload of LOG: level is static, text is allocated. */
int collect_log(const char *json, size_t n, const char **level, char **text, struct err *e);
/* HELLO: the protocol number is ours; version (allocated, may be NULL) is what the runtime says of itself. */
int collect_hello(const char *json, size_t n, char **version, struct err *e);

/* What becomes of a job that the runner cannot or will not start. */
enum job_outcome collect_outcome(enum err_kind kind);
/*
 * What is told of a call whose process ended while it ran: out of memory_bytes (0: it did not say so), stopped by us (stopped says
 * why), or by itself (how: "exit status 3").
 */
enum job_outcome collect_death(int64_t memory_bytes, const char *stopped, const char *how, struct err *why);
/* "limits.timeout = 30s" and the like, for messages: the value that was hit and the key that sets it. */
void collect_limit_ms(const char *key, int64_t ms, char *out, size_t n);
void collect_limit_bytes(const char *key, int64_t bytes, char *out, size_t n);

#endif
