/*
 * Two clocks, never mixed: wall time goes into rows, monotonic time into deadlines.
 * CLOCK_BOOTTIME, so that a suspended machine does not stretch a lease (DESIGN 8).
 */
#ifndef LIB_CLOCK_H
#define LIB_CLOCK_H

#include <stdint.h>

int64_t clock_wall_ms(void);  /* unix milliseconds, UTC */
int64_t clock_wall_us(void);
int64_t clock_mono_ms(void);  /* milliseconds since boot */
int64_t clock_mono_us(void);
const char *clock_boot_id(void); /* this boot's id: a monotonic time means nothing without it */
/* A test holds time still: both clocks stand at these values until called with -1, -1. */
void clock_freeze(int64_t wall_ms, int64_t mono_ms);

#endif
