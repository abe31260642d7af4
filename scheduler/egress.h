/*
 * The egress process: the way out of the walls.  It has neither keys nor the database, and nothing to steal.
 *
 * With the scheduler it speaks over one SOCK_SEQPACKET socket, a JSON object a message:
 *
 *     → {"op":"add","instance":7}  and the listening unix socket of that instance as a descriptor: whoever connects to it is
 *                                  that instance, so that nobody can pretend to be another;
 *                                  "gate": the pid of its gate, when an earlier process told of it
 *     → {"op":"allow","instance":7,"bundle":"at://…","net":["api.example.com:443"],"bytes":10485760}   what it may reach
 *     → {"op":"job","instance":7,"job":"1-ab…","fresh":true}     lines name this job; fresh: the bytes begin anew
 *     → {"op":"drop","instance":7}
 *     ← {"event":"gate","instance":7,"pid":123}    who connected first: the gate
 *     ← {"event":"ready","instance":7}             the rules of the last allow stand, and the gate has been told
 *     ← {"event":"connection","instance":7,"bundle":…,"job":…,"host":…,"port":443,"address":…,"verdict":"open","why":"",
 *        "end":"closed","sent":n,"received":n,"ms":n}      one for each connection, when it is over
 *     ← {"event":"over","instance":7,"job":…,"key":"limits.egress","value":n}     its bytes are used up; once a job
 *
 * What the gate says on the other side stands in lib/egress.h.
 */
#ifndef SCHEDULER_EGRESS_H
#define SCHEDULER_EGRESS_H

#define EGRESS_MESSAGE_MAX (128u * 1024u)
#define EGRESS_LIST_MAX    1024

struct egress_conf; /* scheduler/egress_conf.h */

/* The whole process: serves the control socket fd until the other side closes it, returns the exit status. */
int egress_main(int fd, const struct egress_conf *c);

#endif
