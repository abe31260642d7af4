/*
 * Names to addresses for the egress process, on threads of its own, and the judgement on what came back: each address must be
 * public, and none of this machine's, or lie in a network that the operator opened.
 */
#ifndef SCHEDULER_LOOKUP_H
#define SCHEDULER_LOOKUP_H

#include <sys/socket.h>

#include "lib/egress.h"
#include "lib/err.h"

struct egress_conf;

#define LOOKUP_MAX 32 /* addresses of a name */

struct lookup {
	void *who;               /* the asker's own; NULL: nobody waits any more */
	struct egress_host host;
	int port;
	int64_t group;           /* whose it is: one group cannot take all threads */
	enum egress_verdict verdict;
	struct err why;          /* when the verdict is not open */
	struct sockaddr_storage address[LOOKUP_MAX];
	int addresses;
	struct lookup *next;
};

/* Called from the loop; the lookup is freed by the one it is given to. */
typedef void lookup_fn(struct lookup *l);

/* Starts the threads; c is borrowed for good. */
int lookup_open(const struct egress_conf *c, lookup_fn *fn, struct err *e);
/* Takes l over. */
void lookup_ask(struct lookup *l);

/* The judgement alone, for a set of addresses: sets verdict and why.  Pure but for the machine's own addresses. */
void lookup_judge(const struct egress_conf *c, struct lookup *l);

#endif
