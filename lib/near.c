#include "lib/near.h"

#include <stddef.h>
#include <string.h>

enum { LONGEST = 63 };

static int
least(int a, int b)
{
	return a < b ? a : b;
}

int
near_distance(const char *a, const char *b)
{
	int n = (int)strnlen(a, LONGEST), m = (int)strnlen(b, LONGEST);
	int d[LONGEST + 1][LONGEST + 1];

	for (int i = 0; i <= n; i++)
		d[i][0] = i;
	for (int j = 0; j <= m; j++)
		d[0][j] = j;
	for (int i = 1; i <= n; i++) {
		for (int j = 1; j <= m; j++) {
			int cost = a[i - 1] != b[j - 1];

			d[i][j] = least(least(d[i - 1][j], d[i][j - 1]) + 1, d[i - 1][j - 1] + cost);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
		}
	}
	return d[n][m];
}

bool
near_enough(const char *typed, int distance)
{
	size_t n = strlen(typed) / 3;

	return distance <= (n < 1 ? 1 : n > 3 ? 3 : (int)n);
}

const char *
near_word(const char *typed, const char *const *words)
{
	const char *best = NULL;
	int distance = LONGEST + 1;

	for (; *words != NULL; words++) {
		int d = near_distance(typed, *words);

		if (d < distance && near_enough(typed, d)) {
			distance = d;
			best = *words;
		}
	}
	return best;
}
