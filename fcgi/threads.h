/*
 * Where requests come from, and the threads for those that have to wait (desk.h serves the others).
 */
#ifndef FCGI_THREADS_H
#define FCGI_THREADS_H

#include <stdbool.h>

struct conn;
struct door;
struct err;
struct guest;
struct request;

#define THREADS_CGI (-2)

/*
 * The listening socket: one of our own at path (mode: octal text, replaced when nobody listens there), or with path NULL
 * what the parent gave: LISTEN_FDS (systemd), descriptor 0 (lighttpd, spawn-fcgi, mod_fcgid).  THREADS_CGI when we were
 * started as a CGI program; -1 and why.
 */
int threads_listen(const char *path, const char *mode, struct err *e);

/* Accepts until SIGTERM, SIGINT, SIGHUP or SIGUSR1, then lets requests finish within the grace time. */
int threads_run(const struct door *d, int listen_fd, struct err *e);

/* For the desk: a connection to be served (kept: the web server has kept it), or a guest.  Never waits. */
void threads_give(struct conn *c, bool kept, struct guest *g);
/* A request_fn: arg is the thread's waiter. */
void threads_serve(void *arg, struct request *r);

#endif
