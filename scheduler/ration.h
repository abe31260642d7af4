/*
 * What an author's handlers may print in an hour, all together: limits.log_author.  Counted in memory; a new scheduler begins
 * a new hour.
 */
#ifndef SCHEDULER_RATION_H
#define SCHEDULER_RATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ration;
struct ration *ration_new(int64_t most);
void ration_free(struct ration *r);

enum ration_said { RATION_GIVEN, RATION_OVER /* for the first time in this hour */, RATION_NONE };
enum ration_said ration_take(struct ration *r, const char *did, size_t bytes, int64_t now_ms);

#endif
