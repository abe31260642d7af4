/*
 * Memory that is there or the process is not: rows are durable and the supervisor restarts us,
 * so running out of memory ends the process instead of growing ten thousand impossible branches.
 * Sizes that a stranger chooses are bounded before they come here.
 */
#ifndef LIB_MEM_H
#define LIB_MEM_H

#include <stddef.h>

void *mem_alloc(size_t n);                   /* zeroed */
void *mem_array(size_t count, size_t size);  /* zeroed, overflow checked */
void *mem_grow(void *p, size_t n);           /* realloc; new bytes are not zeroed */
char *mem_str(const char *s);                /* copy; NULL stays NULL */
char *mem_strn(const char *s, size_t n);     /* copy of n bytes plus NUL */
char *mem_fmt(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void *mem_dup(const void *p, size_t n);

#endif
