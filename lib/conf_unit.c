/* Durations and sizes as people write them. */
#include "lib/conf.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct unit {
	const char *word;
	int64_t factor;
};

/* Largest first: the printers take the first that divides. */
static const struct unit durations[] = {
	{ "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 },
};
static const struct unit sizes[] = {
	{ "T", INT64_C(1) << 40 }, { "G", 1 << 30 }, { "M", 1 << 20 }, { "K", 1 << 10 }, { "", 1 },
};
enum { UNITS = sizeof sizes / sizeof sizes[0] };

/* Digits, then at once one of the units; -1 for anything else and for what does not fit. */
static int64_t
parse(const char *s, const struct unit *units)
{
	int64_t n = 0;

	if (!isdigit((unsigned char)*s))
		return -1;
	for (; isdigit((unsigned char)*s); s++) {
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *s - '0', &n))
			return -1;
	}
	if (*s == '\0' && n == 0)
		return 0;
	for (int i = 0; i < UNITS; i++) {
		if (strcmp(s, units[i].word) == 0)
			return __builtin_mul_overflow(n, units[i].factor, &n) ? -1 : n;
	}
	return -1;
}

static void
print(int64_t n, const struct unit *units, char out[32])
{
	int i = 0;

	if (n == 0) {
		snprintf(out, 32, "0");
		return;
	}
	while (i < UNITS - 1 && n % units[i].factor != 0)
		i++;
	snprintf(out, 32, "%lld%s", (long long)(n / units[i].factor), units[i].word);
}

int64_t
conf_duration_parse(const char *s)
{
	return parse(s, durations);
}

int64_t
conf_size_parse(const char *s)
{
	return parse(s, sizes);
}

void
conf_duration_print(int64_t ms, char out[32])
{
	print(ms, durations, out);
}

void
conf_size_print(int64_t bytes, char out[32])
{
	print(bytes, sizes, out);
}
