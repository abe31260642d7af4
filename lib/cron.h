/*
 * Cron expressions: minute, hour, day of the month, month, day of the week.
 *
 * Numbers, names of months and days (jan, mon), ranges 1-5, lists 1,3, steps 0-59/10 and (for all) "*" followed by /10; 7 is Sunday too.  When both days
 * are restricted (neither field begins with *) one of them is enough, as in every cron.  @hourly, @daily, @midnight, @weekly,
 * @monthly, @yearly and @annually stand for what they say.
 *
 * Daylight saving: with an hour that begins with * (every hour, every third) the clock on the wall counts as it is, so an hour
 * that comes twice counts twice and one that is left out does not count.  With hours that are named the job is for the day: a
 * time that comes twice counts once, the first time, and a time that is left out counts at the moment the clock is set on.
 */
#ifndef LIB_CRON_H
#define LIB_CRON_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct zone;

struct cron {
	uint64_t minute; /* bits */
	uint32_t hour, dom, month, dow;
	bool any_dom, any_dow; /* the field begins with * */
	bool by_clock;         /* the hour begins with * */
};

/* ERR_INPUT that says which field is wrong and why; also when the date never comes. */
int cron_parse(struct cron *c, const char *text, struct err *e);
/* The first moment after this one (unix seconds), -1: none within forty years. */
int64_t cron_next(const struct cron *c, const struct zone *z, int64_t after);

#endif
