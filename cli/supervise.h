/*
 * Keeps a few programs running: starts them in stages, each when the one before is ready, starts again what dies, and
 * stops them in the reverse order.  One thread, one poll.
 */
#ifndef CLI_SUPERVISE_H
#define CLI_SUPERVISE_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct conf_list;

struct crew;

struct crew *crew_new(void);
void crew_free(struct crew *w);
/*
 * A program of a stage (0 first).  argv is copied.  stdin_fd: becomes its descriptor 0, or -1.  tells: it writes a byte
 * to the descriptor in AT_RUND_READY_FD when it is ready; otherwise it is taken for ready at once.  stop: the signal
 * that ends it; stop_ms: how long that may take.
 */
void crew_add(struct crew *w, const char *name, int stage, const struct conf_list *argv, int stdin_fd, bool tells, int stop,
    int64_t stop_ms);
/* Asked at a SIGHUP that somebody sent: when it says true every program that stops by SIGTERM gets one too, and who ends by it is
 * started at once.  That of a terminal that goes ends all, as without this. */
void crew_on_hangup(struct crew *w, bool (*good)(void *arg));
/*
 * Runs until SIGTERM, SIGINT or SIGHUP; a second one hurries.  all_up is asked every few milliseconds once every stage
 * was started, until it says true, and then up is called once.  0 after a stop that was asked for; otherwise the exit
 * code of a program that will not do better next time (EX_CONFIG, ...), or EX_UNAVAILABLE, with e set.
 */
int crew_run(struct crew *w, bool (*all_up)(void *arg), void (*up)(void *arg), void *arg, struct err *e);

#endif
