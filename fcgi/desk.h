/*
 * One thread that never waits for anybody: it accepts, reads requests that have come whole, commits the rows of all calls
 * that came together, and answers those of which the scheduler's bell brings news.  A warm call meets no other thread.
 */
#ifndef FCGI_DESK_H
#define FCGI_DESK_H

#include <stdatomic.h>
#include <stdbool.h>

struct door;
struct err;
struct guest;
struct waiter;

struct desk_setup {
	const struct door *door;
	int listen_fd;
	bool unix_socket;
	int room;                /* connections held at a time */
	const atomic_bool *stop; /* no more requests are taken once it is true */
};

int desk_open(const struct desk_setup *s, struct err *e);
/* The thread: until stop and the last of those who wait here is answered.  A signal makes it look at stop. */
void *desk_run(void *arg);
void desk_close(void);

/* For a thread that may wait: serves a guest whom the desk gave away (threads_give). */
void desk_serve(struct guest *g, struct waiter *w);

#endif
