/*
 * What access modes ask of the social graph: whom the operator follows, who is on a list, and who follows the operator.  The
 * sets stand in the ledger (tables graph, member, follower), are read in the background a page at a time, and serve on while
 * a server is down.
 */
#ifndef SCHEDULER_GRAPH_H
#define SCHEDULER_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/access.h"

struct conf;
struct err;
struct fetch;
struct graph;
struct store;

/* told: something new is known; ask again about what was not. */
struct graph *graph_new(const struct conf *c, struct store *s, struct fetch *f, void (*told)(void));
void graph_free(struct graph *g);
/* Now and then: begins to read what has grown old, and what the config names since it was read again. */
void graph_tick(struct graph *g);

/* For access_says: arg is the graph.  What is not known is asked for; told is called when that is over. */
enum access_fact graph_fact(void *arg, enum access_edge edge, const char *list, const char *did);
/* Why graph_fact does not know, when nothing is on its way that could tell; false: something is. */
bool graph_cannot(const struct graph *g, const char *did, struct err *e);

#endif
