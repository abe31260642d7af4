/*
 * "At-Run-Callback: https://host/path" on a call: where its end is to be told.  Which URLs are fit for that; pure.
 */
#ifndef LIB_CALLBACK_H
#define LIB_CALLBACK_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/egress.h"

struct conf_list;
struct err;

#define CALLBACK_URL_MAX 2048

struct callback_url {
	struct egress_host host;
	int port;
	bool local; /* this machine, by name or number: dev only */
};

/*
 * scheme://host[:port]/path[?query] in visible ASCII, with the name of a public host, and https.  No user, no fragment, no
 * address.  dev: http too, and loopback.  ERR_INPUT "CallbackInvalid".
 */
int callback_url_parse(const char *s, bool dev, struct callback_url *out, struct err *e);

/* Does a list of hosts (rules of lib/egress.h, default port 443) name this one?  all: "*" counts. */
bool callback_listed(const struct conf_list *rules, const struct callback_url *u, bool all);
/* Is it the host of this did:web, and so its own? */
bool callback_own(const char *did, const struct callback_url *u);

#endif
