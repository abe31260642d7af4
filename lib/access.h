/*
 * Who may: the sections [access] (whose bundles run here) and [callers] (who may call).  Pure: what the social graph says is
 * asked of the caller of access_says.
 *
 * In every mode a DID on the blocklist may not; else the operator and a DID on the allowlist may; else the mode decides.
 */
#ifndef LIB_ACCESS_H
#define LIB_ACCESS_H

#include <stddef.h>

struct conf;
struct conf_list;

enum access_edge {
	EDGE_FOLLOWED, /* the operator follows them */
	EDGE_FOLLOWS,  /* they follow the operator */
	EDGE_LISTED    /* they are on the list */
};
enum access_fact { FACT_NO, FACT_YES, FACT_UNKNOWN };

struct access_facts {
	enum access_fact (*ask)(void *arg, enum access_edge edge, const char *list, const char *did);
	void *arg;
};

struct access {
	const char *section; /* "access", "callers" */
	const char *mode, *list, *operator_did;
	const struct conf_list *allow, *block;
};
/* Whose follows and mutuals are meant: a DID, or a handle; NULL: nobody is named. */
const char *access_operator(const struct conf *c);
struct access access_authors(const struct conf *c);
struct access access_callers(const struct conf *c);

enum access_said {
	ACCESS_NO,
	ACCESS_YES,
	ACCESS_NOT_KNOWN, /* the graph is not read yet */
	ACCESS_ANONYMOUS  /* nobody knows who calls, and this mode wants to know */
};
#define ACCESS_WHY 400
/* did NULL: an anonymous caller.  why (ACCESS_WHY characters): in words, with the key that decides; NULL: nobody reads it. */
enum access_said access_says(const struct access *a, const char *did, const struct access_facts *f, char *why);

#endif
