/*
 * Carries plans out: the daemon's only fork.  Every child is known here until it was reaped; whoever else turns
 * up as a child of ours (we are the subreaper of all that instances start) is killed.
 */
#ifndef SCHEDULER_SPAWN_H
#define SCHEDULER_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct plan;

struct spawned {
	pid_t pid; /* also its session and process group; 0: none */
	int pidfd;
	int64_t start;       /* field 22 of /proc/pid/stat */
	int out_fd, err_fd;  /* our ends of its standard output and error, non-blocking; -1 when not asked for */
};

/* Told once, from the loop, when the process has ended and was reaped; status is that of waitpid. */
typedef void spawn_end_fn(void *arg, int status);

/* Becomes subreaper, blocks the signals of the loop and watches for dead children. */
int spawn_open(struct err *e);
void spawn_close(void);

/*
 * Starts the plan with /dev/null as standard input and fd3 (-1: none) as descriptor 3; nothing else is open in it.
 * pipes: standard output and error come back through out; otherwise they are our standard error.
 */
int spawn_start(const struct plan *p, int fd3, bool pipes, spawn_end_fn *fn, void *arg, struct spawned *out,
    struct err *e); /* out stays where it is until fn was told; fn NULL: nobody waits for its end */
/* A plan with a holder (backend.h): it has surely come, because the instance speaks.  false: it cannot be found.  What the
 * caller gave as `out` says the holder's numbers from then on; so it does when the starter has ended well. */
bool spawn_hand_over(const struct spawned *s);
/* Is a plan's undo under way?  Who goes now takes it along. */
bool spawn_undoing(void);
/* SIGKILL to the process and its whole group; nothing happens to one that is gone. */
void spawn_kill(const struct spawned *s, int sig);
/* "exit status 3", "signal 9 (Killed)". */
const char *spawn_status(int status, char *buf, size_t n);
/* Parent of a process, 0 when there is no such process. */
pid_t spawn_parent(pid_t pid);
/* Start time of a process, field 22 of its stat; 0 when there is no such process. */
int64_t spawn_pid_start(pid_t pid);
/* CPU time of a process and of its children that ended, milliseconds. */
int64_t spawn_cpu_ms(pid_t pid);
/* The Landlock ABI of this kernel, 0 when there is none. */
int spawn_landlock_abi(void);

#endif
