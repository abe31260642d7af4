/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef LIB_UTF8_H
#define LIB_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Length (1 to 4) of the well-formed sequence at s, or 0 when there is none in n bytes. */
size_t utf8_next(const char *s, size_t n);
bool utf8_valid(const char *s, size_t n);

#endif
