/*
 * Orders about jobs that are over: run one again, run all again that failed, drop what failed.
 */
#ifndef SCHEDULER_REDRIVE_H
#define SCHEDULER_REDRIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cJSON;

/* {"job":42} */
void redrive_one(const struct cJSON *args, char *note, size_t n);
/* {"author","bundle","outcome","since","before","poisoned"}: takes one stretch of the ledger; false: there is more, ask again in
 * the next turn.  verb: "redrive" or "purge". */
bool redrive_step(int64_t id, const char *verb, const struct cJSON *args, char *note, size_t n);

#endif
