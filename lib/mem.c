#include "lib/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

void *
mem_alloc(size_t n)
{
	return must(calloc(1, n > 0 ? n : 1));
}

void *
mem_array(size_t count, size_t size)
{
	if (size != 0 && count > SIZE_MAX / size)
		abort();
	return mem_alloc(count * size);
}

void *
mem_grow(void *p, size_t n)
{
	return must(realloc(p, n > 0 ? n : 1));
}

char *
mem_str(const char *s)
{
	return s == NULL ? NULL : must(strdup(s));
}

char *
mem_strn(const char *s, size_t n)
{
	char *p = must(malloc(n + 1));

	if (n > 0)
		memcpy(p, s, n);
	p[n] = '\0';
	return p;
}

char *
mem_fmt(const char *fmt, ...)
{
	va_list ap;
	char *p = NULL;

	va_start(ap, fmt);
	if (vasprintf(&p, fmt, ap) < 0)
		abort();
	va_end(ap);
	return p;
}

void *
mem_dup(const void *p, size_t n)
{
	void *q = must(malloc(n > 0 ? n : 1));

	if (n > 0)
		memcpy(q, p, n);
	return q;
}
