/* Which addresses belong to the public internet: everything we fetch is chosen by strangers (DESIGN 14). */
#ifndef LIB_NETADDR_H
#define LIB_NETADDR_H

#include <stdbool.h>

struct sockaddr;

/* false: private, special, reserved, not IP at all, or an IPv4 address hidden in an IPv6 one. */
bool netaddr_is_public(const struct sockaddr *a);
bool netaddr_is_loopback(const struct sockaddr *a);
/* Address without port for messages; out holds at least 64 bytes. */
void netaddr_print(const struct sockaddr *a, char out[64]);

#endif
