/*
 * For clang-tidy only, included before each file: what one file cannot know of another.  Functions that set an error
 * always return -1; without that the analyzer walks on with results that nobody filled.
 */
#ifndef TESTS_LINT_ANALYZER_H
#define TESTS_LINT_ANALYZER_H

#include "lib/err.h"

#define err_set(...)   ((void)err_set(__VA_ARGS__), -1)
#define err_named(...) ((void)err_named(__VA_ARGS__), -1)
#define err_errno(...) ((void)err_errno(__VA_ARGS__), -1)
#define err_wrap(...)  ((void)err_wrap(__VA_ARGS__), -1)

#endif
