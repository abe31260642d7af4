/*
 * Time zones, read from the system's zoneinfo files (RFC 8536) without the process's own TZ being touched.
 */
#ifndef LIB_ZONE_H
#define LIB_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct zone;

/* Is it a name that a zone could have?  "Europe/Berlin", "UTC", "Etc/GMT+5"; no way out of the directory. */
bool zone_name_ok(const char *name);
/* NULL and "" are UTC.  ERR_INPUT when there is no zone of that name here. */
struct zone *zone_load(const char *name, struct err *e);
/* From the bytes of a file; pure. */
struct zone *zone_parse(const unsigned char *p, size_t n, struct err *e);
void zone_free(struct zone *z);
/* Seconds east of UTC at a moment, in unix seconds. */
int32_t zone_offset(const struct zone *z, int64_t t);

/* The Gregorian calendar, days since 1970-01-01. */
int64_t zone_days(int64_t year, int month, int day);
void zone_date(int64_t days, int64_t *year, int *month, int *day);

#endif
