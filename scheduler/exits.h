/*
 * The egress process as the loop sees it (DESIGN 11).  For each instance behind a wall:
 *
 *     exits_add    before the instance starts: makes the socket that the wall shows to at-rund-gate
 *     exits_allow  when it is bound to a bundle: what it may reach; ready() follows, then LOAD may go out
 *     exits_job    when a call begins: its bytes are counted from here, and lines name it
 *     exits_drop   when it is gone: its connections end, the socket is removed
 *
 * When the process dies it is started again and told all this again; the sockets stay.
 */
#ifndef SCHEDULER_EXITS_H
#define SCHEDULER_EXITS_H

#include <stdbool.h>
#include <stdint.h>

struct conf;
struct conf_list;
struct err;
struct exits;

/* One connection that is over.  The strings are borrowed and clean for a log; NULL where nothing is known. */
struct exits_line {
	int64_t instance;
	const char *bundle, *job, *host, *address, *verdict, *why, *end;
	int port;
	int64_t sent, received, ms;
};

struct exits_events { /* all called from the loop; each may be NULL */
	void (*ready)(void *arg, int64_t instance);
	void (*connection)(void *arg, const struct exits_line *line);
	/* Kind ERR_BUSY: the job's bytes are used up; the text names limit, value and key. */
	void (*over)(void *arg, int64_t instance, const char *job, const struct err *why);
};

/* program: our own executable, absolute.  All is borrowed. */
struct exits *exits_new(const struct conf *c, const char *program, const struct exits_events *events, void *arg);
int exits_start(struct exits *x, struct err *e);
/* Makes the listening socket dir/out: the instance is whoever connects to it.  Nothing is allowed yet. */
int exits_add(struct exits *x, int64_t instance, const char *dir, struct err *e);
/*
 * net: rules as lib/egress.h reads them, may be empty; bytes: each way, of a job, as key (static) sets it.  ERR_INPUT: too many or
 * too long.
 */
int exits_allow(struct exits *x, int64_t instance, const char *bundle, const struct conf_list *net, int64_t bytes,
    const char *key, struct err *e);
/* fresh: no other call is under way there, so its bytes are counted anew. */
void exits_job(struct exits *x, int64_t instance, const char *job, bool fresh);
void exits_drop(struct exits *x, int64_t instance);
void exits_stop(struct exits *x); /* ends the process; no events any more */
bool exits_gone(const struct exits *x); /* after exits_stop: it was reaped */
void exits_free(struct exits *x);

#endif
