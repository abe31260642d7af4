/*
 * The socket that a gate hands over with its head: taken from the gate alone, and only when it is a connected TCP socket.
 */
#ifndef SCHEDULER_HANDED_H
#define SCHEDULER_HANDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * recv() without waiting from a connection of the instance whose gate is this process.  *fd: becomes the socket, non-blocking
 * and the caller's; stays -1 when none came.  *fine is false when something else came along: then it was closed.
 */
ssize_t handed_receive(int from, pid_t gate, uint8_t *p, size_t n, int *fd, bool *fine);

#endif
