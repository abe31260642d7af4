/* cron_probe: "next ZONE SECONDS EXPRESSION" and "offset ZONE SECONDS" on standard input, an answer a line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cron.h"
#include "lib/err.h"
#include "lib/zone.h"

int
main(void)
{
	static char line[512], name[80], last[80];
	struct zone *z = NULL;

	while (fgets(line, sizeof line, stdin) != NULL) {
		struct err e = ERR_INIT;
		struct cron c;
		char verb[16];
		long long t;
		int at = 0;

		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%15s %79s %lld %n", verb, name, &t, &at) != 3)
			return 2;
		if (z == NULL || strcmp(name, last) != 0) {
			zone_free(z);
			z = zone_load(name, &e);
			snprintf(last, sizeof last, "%s", name);
		}
		if (z == NULL || (strcmp(verb, "next") == 0 && cron_parse(&c, line + at, &e) != 0))
			printf("%s\n", e.text);
		else if (strcmp(verb, "next") == 0)
			printf("%lld\n", (long long)cron_next(&c, z, t));
		else
			printf("%d\n", (int)zone_offset(z, t));
	}
	zone_free(z);
	return 0;
}
