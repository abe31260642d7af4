/* Looking for an event instead of sleeping for it: to be woken takes longer than most of what is waited for so. */
#ifndef LIB_AWAKE_H
#define LIB_AWAKE_H

#include <stdint.h>

struct epoll_event;

/* As epoll_wait, until then (clock_mono_us) at the longest; in between others run.  0: nothing came.  It looks once at least. */
int awake_wait(int epoll, struct epoll_event *ev, int most, int64_t until_us);

#endif
