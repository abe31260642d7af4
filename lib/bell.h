/*
 * Bells: datagrams on unix sockets in the home's run/ directory.  A bell only makes things faster; nothing
 * is lost when it is never heard, so ringing never blocks and never fails.  Whoever listens also looks
 * at the database from time to time.
 */
#ifndef LIB_BELL_H
#define LIB_BELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define BELL_SCHEDULER "scheduler" /* rung after a commit that gives the scheduler work */

/* Binds run_dir/NAME.bell (0660, replaced when it is there) and returns the non-blocking descriptor, or -1. */
int bell_listen(const char *run_dir, const char *name, struct err *e);
/* Empties a bell that rang; true when at least one datagram was there. */
bool bell_hear(int fd);
/* The next datagram of a bell that rang, cut to room bytes; -1 when there is none.  A bare ring is one byte. */
long bell_next(int fd, void *p, size_t room);
/* Closes and removes it. */
void bell_close(int fd, const char *run_dir, const char *name);
/* An unbound socket to ring with; one for each thread or program.  -1 never happens but for no descriptors. */
int bell_ringer(void);
/* Rings NAME; nobody there, or a full queue, is silence. */
void bell_ring(int ringer, const char *run_dir, const char *name);
/* Rings with something to read (lib/news.h, lib/slip.h).  False when the queue is full: it may be told again a little later;
 * when nobody is there to hear it, it is silence. */
bool bell_tell(int ringer, const char *run_dir, const char *name, const void *p, size_t n);

/*
 * A line to one bell that is rung often: the socket's path is looked up when a second has passed or nobody is there any more,
 * not for each ring.  Zeroed: not connected.  Of one thread at a time.
 */
struct bell_line {
	int fd; /* 0: none */
	int64_t since_ms;
	char name[64];
};

/* As bell_tell; another name than last time connects anew. */
bool bell_line_tell(struct bell_line *l, const char *run_dir, const char *name, const void *p, size_t n);
void bell_line_close(struct bell_line *l);

#endif
