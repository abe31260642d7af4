/*
 * What a service tells systemd (sd_notify(3)), without its library: a datagram to $NOTIFY_SOCKET.  Where nobody listens
 * nothing happens.
 */
#ifndef LIB_NOTIFY_H
#define LIB_NOTIFY_H

#include <stdint.h>

/* "READY=1\nSTATUS=takes jobs", "WATCHDOG=1", "STOPPING=1". */
void notify_send(const char *state);
/* The same to a socket whose path the caller kept; NULL: nobody. */
void notify_send_to(const char *path, const char *state);
/* How often WATCHDOG=1 is due, half of what systemd waits; 0: it does not wait for it. */
int64_t notify_watchdog_ms(void);

#endif
