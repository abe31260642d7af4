/*
 * A file is a list of moments at which the offset changes, and, for the time after the last of them, a rule in the style of
 * POSIX TZ ("CET-1CEST,M3.5.0,M10.5.0/3").  Files with few moments ("slim") say all of the present by the rule alone.
 */
#include "lib/zone.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/mem.h"

#define ZONE_DIR  "/usr/share/zoneinfo"
#define FILE_MAX  (256 * 1024)
#define TIMES_MAX 4096
#define NAME_MAX_ 64
#define DAY       86400

/* When in a year: Mm.w.d, Jn (1 to 365, never the 29th of February) or n (0 to 365), and how many seconds into the day. */
struct moment {
	char kind; /* 'M', 'J', 'n' */
	int month, week, day;
	int32_t seconds;
};

struct zone {
	size_t n;
	int64_t *at;      /* ascending */
	int32_t *offset;  /* from at[i] on */
	int32_t first;    /* before at[0] */
	bool has_rule, has_dst;
	int32_t std, dst;
	struct moment begin, end;
};

/* --- calendar --- */

int64_t
zone_days(int64_t year, int month, int day)
{
	int64_t y = year - (month <= 2), era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
	int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

void
zone_date(int64_t days, int64_t *year, int *month, int *day)
{
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	*day = (int)(doy - (153 * mp + 2) / 5 + 1);
	*month = (int)(mp < 10 ? mp + 3 : mp - 9);
	*year = yoe + era * 400 + (*month <= 2);
}

static bool
is_leap(int64_t y)
{
	return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

/* --- the rule --- */

static bool
take_number(const char **p, int max, int *out)
{
	int n = 0;

	if (!isdigit((unsigned char)**p))
		return false;
	for (; isdigit((unsigned char)**p); (*p)++)
		if ((n = n * 10 + (**p - '0')) > max)
			return false;
	*out = n;
	return true;
}

/* [+-]hh[:mm[:ss]] */
static bool
take_time(const char **p, int32_t *out)
{
	int sign = 1, h, m = 0, s = 0;

	if (**p == '+' || **p == '-')
		sign = *(*p)++ == '-' ? -1 : 1;
	if (!take_number(p, 167, &h))
		return false;
	if (**p == ':' && ((*p)++, !take_number(p, 59, &m)))
		return false;
	if (**p == ':' && ((*p)++, !take_number(p, 59, &s)))
		return false;
	*out = sign * (h * 3600 + m * 60 + s);
	return true;
}

static bool
skip_name(const char **p)
{
	const char *s = *p;

	if (*s == '<') {
		if ((s = strchr(s, '>')) == NULL)
			return false;
		*p = s + 1;
		return true;
	}
	while (isalpha((unsigned char)*s))
		s++;
	if (s - *p < 3)
		return false;
	*p = s;
	return true;
}

static bool
take_moment(const char **p, struct moment *m)
{
	if (*(*p)++ != ',')
		return false;
	m->seconds = 7200;
	m->kind = **p == 'M' || **p == 'J' ? *(*p)++ : 'n';
	if (m->kind == 'M') {
		if (!take_number(p, 12, &m->month) || *(*p)++ != '.' || !take_number(p, 5, &m->week) || *(*p)++ != '.' ||
		    !take_number(p, 6, &m->day) || m->month < 1 || m->week < 1)
			return false;
	} else if (!take_number(p, 365, &m->day) || (m->kind == 'J' && m->day < 1)) {
		return false;
	}
	return **p != '/' || ((*p)++, take_time(p, &m->seconds));
}

static bool
parse_rule(struct zone *z, const char *p)
{
	int32_t west;

	if (!skip_name(&p) || !take_time(&p, &west))
		return false;
	z->has_rule = true;
	z->std = -west;
	if (*p == '\0')
		return true;
	if (!skip_name(&p))
		return false;
	z->dst = z->std + 3600;
	if (*p != ',') {
		if (!take_time(&p, &west))
			return false;
		z->dst = -west;
	}
	z->has_dst = true;
	return take_moment(&p, &z->begin) && take_moment(&p, &z->end) && *p == '\0';
}

/* Local seconds of a moment in a year, as if they were UTC. */
static int64_t
moment_in(const struct moment *m, int64_t year)
{
	int64_t first, day;

	if (m->kind == 'M') {
		int next_month = m->month == 12 ? 1 : m->month + 1;
		int64_t next_year = year + (m->month == 12);
		int wday;

		first = zone_days(year, m->month, 1);
		wday = (int)(((first + 4) % 7 + 7) % 7);
		day = first + (m->day - wday + 7) % 7 + (m->week - 1) * 7;
		while (day >= zone_days(next_year, next_month, 1))
			day -= 7;
	} else {
		day = zone_days(year, 1, 1) + m->day;
		if (m->kind == 'J')
			day -= !(is_leap(year) && m->day >= 60);
	}
	return day * DAY + m->seconds;
}

static int32_t
rule_offset(const struct zone *z, int64_t t)
{
	int64_t year, local = t + z->std, begin, end;
	int month, day;

	if (!z->has_dst)
		return z->std;
	zone_date((local >= 0 ? local : local - DAY + 1) / DAY, &year, &month, &day);
	begin = moment_in(&z->begin, year) - z->std;
	end = moment_in(&z->end, year) - z->dst;
	if (begin < end)
		return t >= begin && t < end ? z->dst : z->std;
	return t >= end && t < begin ? z->std : z->dst;
}

/* --- the file --- */

static uint32_t
be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t
be64(const unsigned char *p)
{
	return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

struct counts {
	size_t isut, isstd, leap, time, type, chars;
};

#define HEAD_BYTES 44

static bool
read_head(const unsigned char *p, size_t n, struct counts *c)
{
	if (n < HEAD_BYTES || memcmp(p, "TZif", 4) != 0)
		return false;
	*c = (struct counts){ be32(p + 20), be32(p + 24), be32(p + 28), be32(p + 32), be32(p + 36), be32(p + 40) };
	return c->isut <= TIMES_MAX && c->isstd <= TIMES_MAX && c->leap <= TIMES_MAX && c->time <= TIMES_MAX &&
	    c->type >= 1 && c->type <= 256 && c->chars <= TIMES_MAX;
}

static size_t
block_bytes(const struct counts *c, size_t width)
{
	return c->time * (width + 1) + c->type * 6 + c->chars + c->leap * (width + 4) + c->isstd + c->isut;
}

static bool
read_times(struct zone *z, const unsigned char *p, const struct counts *c, size_t width)
{
	const unsigned char *types = p + c->time * width, *info = types + c->time;
	size_t i;

	z->n = c->time;
	z->at = mem_array(c->time + 1, sizeof *z->at);
	z->offset = mem_array(c->time + 1, sizeof *z->offset);
	z->first = (int32_t)be32(info);
	for (i = 0; i < c->time; i++) {
		if (types[i] >= c->type)
			return false;
		z->at[i] = width == 8 ? be64(p + i * 8) : (int32_t)be32(p + i * 4);
		z->offset[i] = (int32_t)be32(info + (size_t)types[i] * 6);
		if ((i > 0 && z->at[i] <= z->at[i - 1]) || z->offset[i] < -DAY || z->offset[i] > DAY)
			return false;
	}
	return true;
}

/* "\nRULE\n" at the end. */
static bool
read_footer(struct zone *z, const unsigned char *p, size_t n)
{
	char rule[256];

	if (n < 2 || p[0] != '\n' || p[n - 1] != '\n' || n - 2 >= sizeof rule)
		return false;
	memcpy(rule, p + 1, n - 2);
	rule[n - 2] = '\0';
	return rule[0] == '\0' || parse_rule(z, rule);
}

static bool
read_file(struct zone *z, const unsigned char *p, size_t n)
{
	struct counts c;
	size_t bytes;

	if (!read_head(p, n, &c))
		return false;
	bytes = block_bytes(&c, 4);
	if (p[4] < '2')
		return n >= HEAD_BYTES + bytes && read_times(z, p + HEAD_BYTES, &c, 4);
	/* Behind the old block stands the same with wider times, and a rule. */
	if (n < HEAD_BYTES + bytes)
		return false;
	p += HEAD_BYTES + bytes;
	n -= HEAD_BYTES + bytes;
	if (!read_head(p, n, &c))
		return false;
	bytes = block_bytes(&c, 8);
	if (n < HEAD_BYTES + bytes || !read_times(z, p + HEAD_BYTES, &c, 8))
		return false;
	return read_footer(z, p + HEAD_BYTES + bytes, n - HEAD_BYTES - bytes);
}

struct zone *
zone_parse(const unsigned char *p, size_t n, struct err *e)
{
	struct zone *z = mem_alloc(sizeof *z);

	if (read_file(z, p, n))
		return z;
	zone_free(z);
	err_set(e, ERR_INPUT, "not a time zone file");
	return NULL;
}

bool
zone_name_ok(const char *name)
{
	const char *p;

	if (name[0] == '\0' || strlen(name) > NAME_MAX_ || !isalpha((unsigned char)name[0]))
		return false;
	for (p = name; *p != '\0'; p++)
		if (!isalnum((unsigned char)*p) && strchr("/_+-", *p) == NULL)
			return false;
	return strstr(name, "//") == NULL && p[-1] != '/';
}

struct zone *
zone_load(const char *name, struct err *e)
{
	char path[sizeof ZONE_DIR + 1 + NAME_MAX_ + 1];
	unsigned char *bytes = NULL;
	struct zone *z = NULL;
	size_t n = 0;
	ssize_t got;
	int fd;

	if (name == NULL || name[0] == '\0' || strcmp(name, "UTC") == 0) {
		z = mem_alloc(sizeof *z);
		z->at = mem_array(1, sizeof *z->at);
		z->offset = mem_array(1, sizeof *z->offset);
		return z;
	}
	if (!zone_name_ok(name)) {
		err_set(e, ERR_INPUT, "%.64s is not the name of a time zone, such as Europe/Berlin", name);
		return NULL;
	}
	snprintf(path, sizeof path, "%s/%s", ZONE_DIR, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		err_set(e, ERR_INPUT, "there is no time zone %s here", name);
		return NULL;
	}
	bytes = mem_alloc(FILE_MAX);
	while (n < FILE_MAX && (got = read(fd, bytes + n, FILE_MAX - n)) > 0)
		n += (size_t)got;
	close(fd);
	z = zone_parse(bytes, n, e);
	free(bytes);
	if (z == NULL)
		err_wrap(e, "%s", name);
	return z;
}

void
zone_free(struct zone *z)
{
	if (z == NULL)
		return;
	free(z->at);
	free(z->offset);
	free(z);
}

int32_t
zone_offset(const struct zone *z, int64_t t)
{
	size_t low = 0, high = z->n;

	if (z->n == 0)
		return z->has_rule ? rule_offset(z, t) : z->first;
	if (t < z->at[0])
		return z->first;
	if (t >= z->at[z->n - 1])
		return z->has_rule ? rule_offset(z, t) : z->offset[z->n - 1];
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (z->at[middle] <= t)
			low = middle;
		else
			high = middle;
	}
	return z->offset[low];
}
