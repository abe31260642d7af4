/*
 * DNS messages (RFC 1035), as much as the way out needs: the gate reads questions and writes answers, the egress process asks
 * a resolver of the operator's and reads its answers.  Both ends are hostile.  Pure.
 */
#ifndef LIB_EGRESS_DNS_H
#define LIB_EGRESS_DNS_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct sockaddr_storage;

#define DNS_PACKET_MAX 1232 /* what we say we take, and the most that we make */

enum { DNS_A = 1, DNS_AAAA = 28, DNS_IN = 1 };
enum { DNS_NOERROR = 0, DNS_FORMERR = 1, DNS_SERVFAIL = 2, DNS_NXDOMAIN = 3, DNS_NOTIMP = 4 };

struct dns_question {
	int rcode;        /* DNS_NOERROR, or what to answer to a message that is none */
	char name[254];   /* lower case, no dot at the end; "" when it is the root or no host name could be so */
	int type, class;
	size_t end;       /* header and question, to be repeated in the answer */
};

/* 0: q is filled, answer it with q->rcode or what the name deserves.  -1: do not answer at all (too short, an answer). */
int dns_question_get(const uint8_t *p, size_t n, struct dns_question *q);
/* The answer to that question: with address (host order) one A record, without (0) none.  Bytes written to out. */
size_t dns_reply_put(const uint8_t *query, const struct dns_question *q, int rcode, uint32_t address,
    uint8_t out[DNS_PACKET_MAX]);

/* A question of ours; name is a checked host name.  Bytes written to out. */
size_t dns_ask_put(uint16_t id, const char *name, int type, uint8_t out[DNS_PACKET_MAX]);
/*
 * Addresses of the answer to it, with their aliases followed; port 0.  Their number (0: the name has none of this type), at most
 * max, -1 for an answer that is none of ours (wait for another: ERR_REMOTE), -2 for one that is an error or cut off (ERR_REMOTE),
 * -3 when there is no such name (ERR_NOTFOUND).
 */
int dns_answer_get(const uint8_t *p, size_t n, uint16_t id, const char *name, int type, struct sockaddr_storage *out, int max,
    struct err *e);

#endif
