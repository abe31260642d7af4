/*
 * The way out of a wall, as both its ends understand it (DESIGN 11): which names there are, which rules, and what the gate
 * (inside) says to the egress process (outside).  Pure; the gate is a static program, so nothing here needs more than libc
 * and lib/err.
 */
#ifndef LIB_EGRESS_H
#define LIB_EGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define EGRESS_HOST_MAX  253
#define EGRESS_TEXT_MAX  264 /* "*." host ":65535", or a literal in brackets */
#define EGRESS_RULES_MAX 1024
#define EGRESS_PORT      443 /* of a rule of a bundle that names none */

struct egress_host {
	int family;                       /* 0: a name; AF_INET, AF_INET6: an address literal */
	char text[EGRESS_HOST_MAX + 1];   /* lower case, no dot at the end; a literal in its one canonical spelling */
};

/*
 * Strict: letters, digits and '-' in labels of 1 to 63 (other scripts only as A-labels); one dot at the end is dropped.
 * A literal is dotted decimal or IPv6, in brackets or not.  ERR_INPUT for all else: numbers that resolvers take for addresses
 * (2130706433, 0x7f.1, 127.1), IPv4-mapped and -compatible IPv6, zone ids, userinfo, ports.
 */
int egress_host_parse(const char *s, size_t n, struct egress_host *out, struct err *e);

struct egress_rule {
	bool all;    /* "*": every name, no literal */
	bool under;  /* "*.host": one or more labels more than host */
	int port;    /* 0: any */
	struct egress_host host;
};

/* "host", "host:port", "*.host", "*.host:port", "*", "*:port", "192.0.2.1:80", "[2001:db8::1]:80".  ERR_INPUT says why not. */
int egress_rule_parse(const char *s, size_t n, int default_port, struct egress_rule *out, struct err *e);
bool egress_rule_names(const struct egress_rule *r, const struct egress_host *h); /* at whichever port */
bool egress_rule_allows(const struct egress_rule *r, const struct egress_host *h, int port);

/* A network of addresses, "10.0.0.0/8" or "fd00::/8" or one address: what the operator opens although it is private. */
struct egress_net {
	int family, bits;
	uint8_t bytes[16];
};
int egress_net_parse(const char *s, struct egress_net *out, struct err *e);
struct sockaddr;
bool egress_net_holds(const struct egress_net *n, const struct sockaddr *a);

/*
 * On each connection of the gate to its socket the gate speaks first:
 *
 *     'C' version port(2, big-endian) length(1) host     carry a connection
 *     'P' version 0 0 0                                  tell me the rules, now and whenever they change
 *
 * With C comes the socket that was accepted (SCM_RIGHTS), where both ends are of one kernel.  Answer to C: verdict(1) length(1)
 * text(length), and that was it; without a socket, when the verdict is EGRESS_OPEN, raw bytes both ways follow.
 * Answer to P: again and again length(4, big-endian) and that many bytes of rules, one a line.
 */
#define EGRESS_VERSION   1
#define EGRESS_HEAD      5
#define EGRESS_HEAD_MAX  (EGRESS_HEAD + 255)
#define EGRESS_RULES_TEXT_MAX (256u * 1024u)

struct egress_head {
	char kind;        /* 'C' or 'P' */
	int port;         /* as sent, 0..65535 */
	char host[256];   /* as sent, not checked yet, NUL-terminated */
	size_t host_n;
};
size_t egress_head_put(char kind, const char *host, int port, uint8_t out[EGRESS_HEAD_MAX]);
/* Bytes the head takes, 0 when it is not all there, -1 when it is none. */
long egress_head_get(const uint8_t *p, size_t n, struct egress_head *out);

/* What became of a connection; egress_verdict_word is the word in logs. */
enum egress_verdict {
	EGRESS_OPEN,
	EGRESS_MALFORMED,   /* no host name, no port */
	EGRESS_NOT_LISTED,  /* not in the bundle's permissions.net */
	EGRESS_OPERATOR,    /* the operator's [egress] says no */
	EGRESS_UNRESOLVED,  /* there is no such name, or nobody answers */
	EGRESS_PRIVATE,     /* the name has a private or special address */
	EGRESS_UNREACHABLE, /* nobody accepts the connection */
	EGRESS_BUSY,        /* too many connections */
	EGRESS_SPENT,       /* the bytes of the job are used up */
	EGRESS_VERDICT_COUNT
};
const char *egress_verdict_word(enum egress_verdict v);

#endif
