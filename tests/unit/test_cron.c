/* Schedules and time zones: cases, and an independent reading of the definition that walks through every minute. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cron.h"
#include "lib/err.h"
#include "lib/zone.h"
#include "tests/t.h"

/* "2026-03-29 01:30" as if it were UTC. */
static int64_t
at(const char *text)
{
	int y, mo, d, h, mi;

	CHECK_INT(sscanf(text, "%d-%d-%d %d:%d", &y, &mo, &d, &h, &mi), 5);
	return zone_days(y, mo, d) * 86400 + h * 3600 + mi * 60;
}

static const char *
print(int64_t t)
{
	static char text[4][64];
	static int turn;
	int64_t year, day = (t >= 0 ? t : t - 86399) / 86400;
	int month, dom;

	turn = (turn + 1) % 4;
	zone_date(day, &year, &month, &dom);
	snprintf(text[turn], sizeof text[turn], "%04lld-%02d-%02d %02d:%02d", (long long)year, month, dom,
	    (int)((t - day * 86400) / 3600), (int)((t - day * 86400) % 3600 / 60));
	return text[turn];
}

static struct cron
cron(const char *text)
{
	struct err e = ERR_INIT;
	struct cron c = { 0 };

	CHECK_INT(cron_parse(&c, text, &e), 0);
	CHECK_STR(e.text, "");
	return c;
}

static struct zone *
zone(const char *name)
{
	struct err e = ERR_INIT;
	struct zone *z = zone_load(name, &e);

	if (z == NULL)
		SKIP("no time zones here: %s", e.text);
	return z;
}

TEST(schedules_come_when_they_say)
{
	static const struct {
		const char *text, *after, *next;
	} cases[] = {
		{ "* * * * *", "2026-01-01 00:00", "2026-01-01 00:01" },
		{ "*/10 * * * *", "2026-01-01 00:10", "2026-01-01 00:20" },
		{ "5/20 * * * *", "2026-01-01 00:26", "2026-01-01 00:45" },
		{ "0 0 * * *", "2026-12-31 12:00", "2027-01-01 00:00" },
		{ "30 8-18/5 * * *", "2026-01-01 08:30", "2026-01-01 13:30" },
		{ "0 9 * * mon-fri", "2026-11-27 09:00", "2026-11-30 09:00" },
		{ "0 9 * * 7", "2026-11-25 09:00", "2026-11-29 09:00" },
		{ "0 9 * * 5-7", "2026-11-28 09:00", "2026-11-29 09:00" },
		{ "0 0 1,15 * 3", "2026-11-16 00:00", "2026-11-18 00:00" },   /* either day is enough */
		{ "0 0 */2 * 3", "2026-11-01 00:00", "2026-11-11 00:00" },    /* with a star both must hold */
		{ "0 0 29 2 *", "2026-01-01 00:00", "2028-02-29 00:00" },
		{ "0 0 29 feb *", "2096-03-01 00:00", "2104-02-29 00:00" },
		{ "0 0 31 * *", "2026-03-31 00:00", "2026-05-31 00:00" },
		{ "59 23 31 12 *", "2026-12-31 23:59", "2027-12-31 23:59" },
		{ "0 0 * JAN,Jul Sun", "2026-02-01 00:00", "2026-07-05 00:00" },
		{ "  0   12  *  * *  ", "2026-01-01 12:00", "2026-01-02 12:00" },
		{ "0,30 22-23,0-1 * * *", "2026-01-01 23:30", "2026-01-02 00:00" },
		{ "@hourly", "2026-01-01 00:30", "2026-01-01 01:00" },
		{ "@weekly", "2026-11-25 00:00", "2026-11-29 00:00" },
		{ "@yearly", "2026-11-25 00:00", "2027-01-01 00:00" },
	};
	struct zone *utc = zone("UTC");
	size_t i;

	for (i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct cron c = cron(cases[i].text);

		CHECK_STR(print(cron_next(&c, utc, at(cases[i].after))), cases[i].next);
		CHECK_STR(print(cron_next(&c, utc, at(cases[i].next) - 1)), cases[i].next);
	}
	zone_free(utc);
}

TEST(what_is_no_schedule_is_told_why)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "", "five cron fields" }, { "* * * *", "this one has 4" }, { "* * * * * *", "has more" },
		{ "60 * * * *", "minute" }, { "* 24 * * *", "hour" }, { "* * 0 * *", "day of the month" },
		{ "* * 32 * *", "day of the month" }, { "* * * 13 *", "month" }, { "* * * 0 *", "month" },
		{ "* * * * 8", "day of the week" }, { "* * * * monday", "day of the week" }, { "5-1 * * * *", "minute" },
		{ "*/0 * * * *", "minute" }, { "*/ * * * *", "minute" }, { "1, * * * *", "minute" }, { "-1 * * * *", "minute" },
		{ "1-2-3 * * * *", "minute" }, { "a * * * *", "minute" }, { "1.5 * * * *", "minute" }, { "** * * * *", "minute" },
		{ "0 0 30 2 *", "never comes" }, { "0 0 31 4,6,9,11 *", "never comes" }, { "@reboot", "is no schedule" },
		{ "99999999999 * * * *", "minute" }, { "*/100 * * * *", "minute" },
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct err e = ERR_INIT;
		struct cron c;

		CHECK_INT(cron_parse(&c, cases[i].text, &e), -1);
		if (strstr(e.text, cases[i].why) == NULL)
			CHECK_STR(e.text, cases[i].why);
	}
}

/* The clock goes on at 2026-03-29 02:00 and back at 2026-10-25 03:00 in Berlin. */
TEST(daylight_saving_changes_neither_lose_nor_double_a_daily_job)
{
	static const struct {
		const char *text, *after, *next; /* UTC */
	} cases[] = {
		{ "30 2 * * *", "2026-03-28 12:00", "2026-03-29 01:00" },   /* 02:30 is left out: when the clock is set on */
		{ "30 2 * * *", "2026-03-29 01:00", "2026-03-30 00:30" },
		{ "30 3 * * *", "2026-03-28 12:00", "2026-03-29 01:30" },
		{ "30 2 * * *", "2026-10-24 12:00", "2026-10-25 00:30" },   /* 02:30 comes twice: the first time */
		{ "30 2 * * *", "2026-10-25 00:30", "2026-10-26 01:30" },
		{ "0 * * * *", "2026-03-29 00:00", "2026-03-29 01:00" },    /* every hour is every hour */
		{ "0 * * * *", "2026-10-25 00:00", "2026-10-25 01:00" },
		{ "0 * * * *", "2026-10-25 01:00", "2026-10-25 02:00" },
		{ "30 */2 * * *", "2026-03-28 23:30", "2026-03-29 02:30" }, /* 02:30 does not come: 04:30 */
		{ "30 */2 * * *", "2026-10-25 00:30", "2026-10-25 01:30" }, /* 02:30 comes twice */
		{ "0,30 2 * * *", "2026-03-28 12:00", "2026-03-29 01:00" },
		{ "0,30 2 * * *", "2026-03-29 01:00", "2026-03-30 00:00" },
	};
	struct zone *z = zone("Europe/Berlin");
	size_t i;

	for (i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct cron c = cron(cases[i].text);

		CHECK_STR(print(cron_next(&c, z, at(cases[i].after))), cases[i].next);
	}
	zone_free(z);
}

TEST(zones_are_known_also_after_the_last_change_in_their_file)
{
	static const struct {
		const char *zone, *at;
		int offset;
	} cases[] = {
		{ "UTC", "2026-01-01 00:00", 0 }, { "Europe/Berlin", "2026-01-01 00:00", 3600 },
		{ "Europe/Berlin", "2026-07-01 00:00", 7200 }, { "Europe/Berlin", "2077-01-01 00:00", 3600 },
		{ "Europe/Berlin", "2077-07-01 00:00", 7200 }, { "Europe/Berlin", "1890-01-01 00:00", 3208 },
		{ "Asia/Kolkata", "2060-01-01 00:00", 19800 }, { "America/New_York", "2050-07-01 00:00", -14400 },
		{ "Australia/Sydney", "2050-01-01 00:00", 39600 }, { "Australia/Sydney", "2050-07-01 00:00", 36000 },
		{ "Australia/Lord_Howe", "2050-01-01 00:00", 39600 }, { "Australia/Lord_Howe", "2050-07-01 00:00", 37800 },
		{ "Europe/Dublin", "2050-01-01 00:00", 0 }, { "Europe/Dublin", "2050-07-01 00:00", 3600 },
		{ "Pacific/Apia", "2011-12-31 12:00", 50400 }, { "Etc/GMT+5", "2026-01-01 00:00", -18000 },
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct zone *z = zone(cases[i].zone);

		CHECK_INT(zone_offset(z, at(cases[i].at)), cases[i].offset);
		zone_free(z);
	}
}

TEST(names_of_zones_lead_nowhere_else)
{
	static const char *const bad[] = { "", "/etc/passwd", "../../../etc/passwd", "Europe/../UTC", "Europe//Berlin", "Europe/",
		"a b", ".", "Nowhere/Land", "Europe" };
	const char *const *name;
	struct err e = ERR_INIT;

	for (T_EACH(name, bad))
		CHECK(**name == '\0' || zone_load(*name, &e) == NULL);
	CHECK(!zone_name_ok("") && !zone_name_ok("Europe/../UTC") && zone_name_ok("America/Argentina/Buenos_Aires"));
	CHECK(zone_parse((const unsigned char *)"TZif", 4, &e) == NULL);
}

/* --- the definition, minute by minute --- */

static bool
shows(const struct cron *c, int64_t local)
{
	int64_t year, day = (local >= 0 ? local : local - 86399) / 86400;
	int month, dom, dow = (int)(((day + 4) % 7 + 7) % 7), h = (int)((local - day * 86400) / 3600),
	    m = (int)((local - day * 86400) % 3600 / 60);
	bool a, b;

	zone_date(day, &year, &month, &dom);
	a = (c->dom >> dom & 1) != 0;
	b = (c->dow >> dow & 1) != 0;
	return (c->minute >> m & 1) != 0 && (c->hour >> h & 1) != 0 && (c->month >> month & 1) != 0 &&
	    (c->any_dom || c->any_dow ? a && b : a || b);
}

static bool
comes(const struct cron *c, const struct zone *z, int64_t t)
{
	static const int64_t back[] = { 1800, 3600, 7200 };
	int64_t local = t + zone_offset(z, t), before = t - 60 + zone_offset(z, t - 60), k;
	size_t i;

	if (shows(c, local)) {
		for (i = 0; i < 3; i++)
			if (zone_offset(z, t - back[i]) - zone_offset(z, t) == back[i] && !c->by_clock)
				return false; /* the second time */
		return true;
	}
	for (k = before + 60; k < local && !c->by_clock; k += 60)
		if (shows(c, k))
			return true;
	return false;
}

static unsigned
dice(unsigned n)
{
	static uint64_t state = 88172645463325252ULL;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state % n);
}

static void
field(char *out, size_t room, unsigned min, unsigned max)
{
	unsigned a = min + dice(max - min + 1), b = min + dice(max - min + 1), low = a < b ? a : b, high = a < b ? b : a;

	switch (dice(5)) {
	case 0:
		snprintf(out, room, "*");
		break;
	case 1:
		snprintf(out, room, "*/%u", 1 + dice(max));
		break;
	case 2:
		snprintf(out, room, "%u", a);
		break;
	case 3:
		snprintf(out, room, "%u-%u", low, high);
		break;
	default:
		snprintf(out, room, "%u,%u-%u/%u", b, low, high, 1 + dice(7));
	}
}

/* Each minute of four days is asked for: a few schedules here, a thousand in the long run (make soak sets AT_RUND_SOAK). */
TEST(schedules_agree_with_the_definition_around_changes_of_the_clock)
{
	static const struct {
		const char *zone, *around;
	} places[] = {
		{ "UTC", "2026-02-28 12:00" }, { "Europe/Berlin", "2026-03-29 01:00" }, { "Europe/Berlin", "2026-10-25 01:00" },
		{ "America/New_York", "2045-03-12 07:00" }, { "America/New_York", "2045-11-05 06:00" },
		{ "Australia/Lord_Howe", "2026-04-04 15:00" }, { "Australia/Lord_Howe", "2026-10-03 15:30" },
		{ "America/Havana", "2026-03-08 05:00" }, { "America/Havana", "2026-11-01 05:00" },
		{ "Africa/Cairo", "2026-04-23 22:00" }, { "Africa/Cairo", "2026-10-29 21:00" },
		{ "America/St_Johns", "2026-03-08 05:30" }, { "Pacific/Apia", "2011-12-30 10:00" },
	};
	int n, moments = 0, most = getenv("AT_RUND_SOAK") != NULL ? 1000 : 13;

	for (n = 0; n < most; n++) {
		size_t p = (size_t)n % (sizeof places / sizeof *places);
		char m[32], h[32], text[128];
		struct zone *z = zone(places[p].zone);
		int64_t t = at(places[p].around) - 2 * 86400, end = t + 4 * 86400, next;
		struct cron c;

		field(m, sizeof m, 0, 59);
		field(h, sizeof h, 0, 23);
		snprintf(text, sizeof text, "%s %s %s * %s", m, h, dice(3) == 0 ? "1-15" : "*", dice(3) == 0 ? "1,4" : "*");
		c = cron(text);
		next = cron_next(&c, z, t);
		for (t += 60; t < end; t += 60) {
			bool want = comes(&c, z, t);

			if (want != (next == t)) {
				t_note("%s in %s: %s %s", text, places[p].zone, print(t), want ? "is missing" : "is one too many");
				CHECK(want == (next == t));
				break;
			}
			moments += want;
			if (want)
				next = cron_next(&c, z, t);
		}
		zone_free(z);
	}
	t_note("%d schedules, %d moments", most, moments);
}
