#include "lib/cron.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "lib/err.h"
#include "lib/zone.h"

#define DAY        86400
#define DAYS_AHEAD (40 * 366)

static const char months[] = "jan feb mar apr may jun jul aug sep oct nov dec ";
static const char days[] = "sun mon tue wed thu fri sat ";

static const struct field {
	const char *what;
	int min, max;
	const char *names; /* of min and what follows; four bytes each */
} fields[] = {
	{ "minute", 0, 59, NULL },
	{ "hour", 0, 23, NULL },
	{ "day of the month", 1, 31, NULL },
	{ "month", 1, 12, months },
	{ "day of the week", 0, 7, days },
};

static const struct {
	const char *name, *text;
} aliases[] = {
	{ "@hourly", "0 * * * *" },
	{ "@daily", "0 0 * * *" },
	{ "@midnight", "0 0 * * *" },
	{ "@weekly", "0 0 * * 0" },
	{ "@monthly", "0 0 1 * *" },
	{ "@yearly", "0 0 1 1 *" },
	{ "@annually", "0 0 1 1 *" },
};

/* --- reading --- */

static bool
take_value(const struct field *f, const char **p, int *out)
{
	const char *s = *p, *name;
	int n = 0;

	if (isdigit((unsigned char)*s)) {
		for (; isdigit((unsigned char)*s); s++)
			if ((n = n * 10 + (*s - '0')) > 99)
				return false;
		*p = s;
		*out = n;
		return n >= f->min && n <= f->max;
	}
	for (name = f->names; name != NULL && *name != '\0'; name += 4, n++) {
		if (strncasecmp(name, s, 3) == 0 && !isalnum((unsigned char)s[3])) {
			*p = s + 3;
			*out = f->min + n;
			return true;
		}
	}
	return false;
}

/* One of a list: *, n, a-b, each perhaps with /step (n/step: from n on). */
static bool
take_part(const struct field *f, const char **p, uint64_t *bits)
{
	int from = f->min, to = f->max, step = 1, i;
	bool one = false;

	if (**p == '*') {
		(*p)++;
		to = f->max == 7 ? 6 : f->max;
	} else {
		if (!take_value(f, p, &from))
			return false;
		one = **p != '-';
		to = from;
		if (!one && ((*p)++, !take_value(f, p, &to)))
			return false;
	}
	if (**p == '/') {
		struct field steps = { NULL, 1, f->max > 1 ? f->max : 1, NULL };

		(*p)++;
		if (!take_value(&steps, p, &step))
			return false;
		to = one ? f->max : to;
	}
	if (to < from)
		return false;
	for (i = from; i <= to; i += step)
		*bits |= UINT64_C(1) << i;
	return true;
}

static int
take_field(const struct field *f, const char **p, uint64_t *bits, bool *any, struct err *e)
{
	const char *begin = *p;
	bool fine;

	*bits = 0;
	*any = **p == '*';
	while ((fine = take_part(f, p, bits)) && **p == ',')
		(*p)++;
	if (!fine || (**p != ' ' && **p != '\t' && **p != '\0'))
		return err_set(e, ERR_INPUT, "the %s of the schedule cannot be read at \"%.20s\": numbers from %d to %d%s, ranges, "
		    "lists, steps", f->what, **p != '\0' ? *p : begin, f->min, f->max, f->names != NULL ? ", names" : "");
	*p += strspn(*p, " \t");
	return 0;
}

/* Is there such a day in any of the months?  The 29th of February comes now and then. */
static bool
ever(const struct cron *c)
{
	static const int last[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int m, d;

	if (!c->any_dom && !c->any_dow)
		return true;
	for (m = 1; m <= 12; m++)
		for (d = 1; d <= last[m - 1]; d++)
			if ((c->month >> m & 1) != 0 && (c->dom >> d & 1) != 0)
				return true;
	return false;
}

int
cron_parse(struct cron *c, const char *text, struct err *e)
{
	uint64_t bits[5];
	bool any[5];
	size_t i;

	text += strspn(text, " \t");
	for (i = 0; i < sizeof aliases / sizeof *aliases; i++)
		if (strcasecmp(text, aliases[i].name) == 0)
			text = aliases[i].text;
	if (*text == '@')
		return err_set(e, ERR_INPUT, "%.20s is no schedule; there are @hourly, @daily, @weekly, @monthly, @yearly", text);
	for (i = 0; i < 5; i++) {
		if (*text == '\0')
			return err_set(e, ERR_INPUT, "a schedule has five cron fields, this one has %zu", i);
		if (take_field(&fields[i], &text, &bits[i], &any[i], e) != 0)
			return -1;
	}
	if (*text != '\0')
		return err_set(e, ERR_INPUT, "a schedule has five cron fields, this one has more: \"%.20s\"", text);
	*c = (struct cron){ bits[0], (uint32_t)bits[1], (uint32_t)bits[2], (uint32_t)bits[3], (uint32_t)bits[4], any[2], any[4],
		any[1] };
	c->dow = (c->dow | c->dow >> 7) & 0x7f;
	return ever(c) ? 0 : err_set(e, ERR_INPUT, "the schedule names a date that never comes");
}

/* --- finding --- */

static bool
is_day(const struct cron *c, int64_t day)
{
	int64_t year;
	int month, dom, dow = (int)(((day + 4) % 7 + 7) % 7);
	bool by_dom, by_dow;

	zone_date(day, &year, &month, &dom);
	if ((c->month >> month & 1) == 0)
		return false;
	by_dom = (c->dom >> dom & 1) != 0;
	by_dow = (c->dow >> dow & 1) != 0;
	return c->any_dom || c->any_dow ? by_dom && by_dow : by_dom || by_dow;
}

/* When the clock is set on between two moments with different offsets: the first moment with the later one. */
static int64_t
change_between(const struct zone *z, int64_t low, int64_t high)
{
	int32_t after = zone_offset(z, high);

	while (high - low > 1) {
		int64_t middle = low + (high - low) / 2;

		if (zone_offset(z, middle) == after)
			high = middle;
		else
			low = middle;
	}
	return high;
}

/* The first moment after `after` at which the local clock shows this; -1: none. */
static int64_t
moment_of(const struct cron *c, const struct zone *z, int64_t local, int64_t after)
{
	int64_t a = local - zone_offset(z, local - 2 * DAY), b = local - zone_offset(z, local + 2 * DAY);
	int64_t first = a < b ? a : b, second = a < b ? b : a, t;
	bool one = first + zone_offset(z, first) == local, two = second + zone_offset(z, second) == local;

	if (!one && !two) { /* left out */
		if (c->by_clock)
			return -1;
		t = change_between(z, local - 2 * DAY, local + 2 * DAY);
		return t > after ? t : -1;
	}
	if (one && first > after)
		return first;
	if (two && second > after && (!one || c->by_clock || first == second))
		return second;
	return -1;
}

/* The first moment of a day. */
static int64_t
moment_in(const struct cron *c, const struct zone *z, int64_t day, int64_t after)
{
	int32_t before = zone_offset(z, day * DAY - 2 * DAY), behind = zone_offset(z, day * DAY + 3 * DAY);
	int64_t best = -1, t;
	int h, m;

	for (h = 0; h < 24; h++) {
		if ((c->hour >> h & 1) == 0)
			continue;
		for (m = 0; m < 60; m++) {
			int64_t local = day * DAY + h * 3600 + m * 60;

			if ((c->minute >> m & 1) == 0)
				continue;
			/* Most days are plain: what comes first on the clock comes first. */
			if (before == behind) {
				if (local - before > after)
					return local - before;
				continue;
			}
			t = moment_of(c, z, local, after);
			if (t >= 0 && (best < 0 || t < best))
				best = t;
		}
	}
	return best;
}

int64_t
cron_next(const struct cron *c, const struct zone *z, int64_t after)
{
	int64_t local = after + zone_offset(z, after), day = (local >= 0 ? local : local - DAY + 1) / DAY, best = -1, d;

	/* From the day before, for a clock that was set back over midnight; and beyond the first day found, for one set on. */
	for (d = day - 1; d < day + DAYS_AHEAD; d++) {
		int64_t t = is_day(c, d) ? moment_in(c, z, d, after) : -1;

		if (t >= 0 && (best < 0 || t < best))
			best = t;
		if (best >= 0 && d * DAY - zone_offset(z, best) > best)
			return best;
	}
	return best;
}
