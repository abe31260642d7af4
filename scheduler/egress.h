/*
 * The egress process: the way out of the walls.  It has neither keys nor the database, and nothing to steal.
 *
 * With the scheduler it speaks over one SOCK_SEQPACKET socket, a JSON object a message:
 *
 *     → {"op":"add","instance":7}  and the listening unix socket of that instance as a descriptor: whoever connects to it is
 *                                  that instance, so that nobody can pretend to be another
 *     → {"op":"allow","instance":7,"bundle":"at://…","net":["api.example.com:443"],"bytes":10485760}   what it may reach
 *     → {"op":"job","instance":7,"job":"01J…"}     the bytes begin anew; lines name this job
 *     → {"op":"drop","instance":7}
 *     ← {"event":"ready","instance":7}             the rules of the last allow stand, and the gate has been told
 *     ← {"event":"connection","instance":7,"bundle":…,"job":…,"host":…,"port":443,"address":…,"verdict":"open","why":"",
 *        "end":"closed","sent":n,"received":n,"ms":n}      one for each connection, when it is over
 *     ← {"event":"over","instance":7,"job":…,"key":"limits.egress","value":n}     its bytes are used up; once a job
 *
 * What the gate says on the other side stands in lib/egress.h.
 */
#ifndef SCHEDULER_EGRESS_H
#define SCHEDULER_EGRESS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/egress.h"

struct conf;
struct err;

#define EGRESS_MESSAGE_MAX (128u * 1024u)
#define EGRESS_LIST_MAX    1024

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

/* What the operator says to this host and port: 0, or ERR_DENIED with the key.  Pure. */
int egress_conf_permits(const struct egress_conf *c, const struct egress_host *h, int port, struct err *e);

/* The whole process: serves the control socket fd until the other side closes it, returns the exit status. */
int egress_main(int fd, const struct egress_conf *c);

#endif
