/*
 * Counts requests and their times in this process, and tells the scheduler once a second (lib/knock.h).
 */
#ifndef FCGI_COUNT_H
#define FCGI_COUNT_H

#include <stdbool.h>
#include <stdint.h>

struct conf;

/* From any thread, when a request was answered. */
void count_request(const struct conf *c, int status, int64_t took_us);
/* Something was counted that the scheduler does not know. */
bool count_pending(void);
/* Tells what is not told yet. */
void count_tell(const struct conf *c);

#endif
