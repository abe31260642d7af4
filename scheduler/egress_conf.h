/*
 * The operator's word on the way out: [egress] of the config, ready for use.
 */
#ifndef SCHEDULER_EGRESS_CONF_H
#define SCHEDULER_EGRESS_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/egress.h"

struct conf;
struct err;

struct egress_conf {
	struct egress_rule *allow, *deny;
	size_t allows, denies;
	struct egress_net *nets;
	size_t net_count;
	int ports[64];
	size_t port_count;
	struct egress_host resolver; /* text "": the host's own */
	int resolver_port;
	int64_t connections, connect_ms, idle_ms, total_ms;
};
/* From the config; ERR_INPUT names the key. */
int egress_conf_fill(struct egress_conf *out, const struct conf *c, struct err *e);
void egress_conf_clear(struct egress_conf *c);

/* Does any of the rules allow it? */
bool egress_conf_any(const struct egress_rule *r, size_t n, const struct egress_host *h, int port);
/* What the operator says to this host and port: 0, or ERR_DENIED with the key.  Pure. */
int egress_conf_permits(const struct egress_conf *c, const struct egress_host *h, int port, struct err *e);

#endif
