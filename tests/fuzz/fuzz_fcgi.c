/* A FastCGI request as a web server, or whoever else reaches the socket, sends it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/whole.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* What is taken holds together: every parameter is a name and a value, and nothing is larger than what came. */
int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct whole w = { 0 };
	size_t sum = 0;
	char **env;

	if (!whole_parse(&w, p, n))
		return 0;
	for (env = w.env; *env != NULL; env++) {
		if (strchr(*env, '=') == NULL)
			abort();
		sum += strlen(*env);
	}
	if (sum + w.body_bytes > n || w.id == 0 || w.body[w.body_bytes] != '\0')
		abort();
	whole_clear(&w);
	return 0;
}
