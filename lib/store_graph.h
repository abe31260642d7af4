/* The social graph in the ledger (tables graph, member, follower): what the workshop reads of it and writes into it. */
#ifndef LIB_STORE_GRAPH_H
#define LIB_STORE_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct store;

struct work_graph {
	int64_t id, reading, checked_at; /* 0: never read to its end */
	char *owner;                     /* NULL: not known yet */
};
/* Finds or makes the set; owner is allocated. */
int work_graph_open(struct store *s, const char *kind, const char *source, struct work_graph *out, struct err *e);
/* A reading met these.  Own transaction. */
int work_graph_page(struct store *s, int64_t id, int64_t reading, const char *owner, char *const *dids, size_t n,
    struct err *e);
/* It came to its end: who was not met is gone.  name: of a list, or NULL.  Own transaction. */
int work_graph_done(struct store *s, int64_t id, int64_t reading, const char *name, int64_t now, struct err *e);
int work_graph_failed(struct store *s, int64_t id, const char *why, int64_t now, struct err *e);
/* 1: is in it, 0: is not, -1. */
int work_graph_has(struct store *s, int64_t id, const char *did, struct err *e);

/* 1 and *follows, *checked_at; 0: never asked; -1. */
int work_follower_get(struct store *s, const char *did, const char *operator_did, bool *follows, int64_t *checked_at,
    struct err *e);
int work_follower_put(struct store *s, const char *did, const char *operator_did, bool follows, int64_t now, struct err *e);

#endif
