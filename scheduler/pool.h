/*
 * All instances, and which of them should do what: pure choices over what instance.h says of them.
 */
#ifndef SCHEDULER_POOL_H
#define SCHEDULER_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct code;
struct instance;
struct runtime;

/* What a choice is made from: one line for each instance.  Tests fill it by hand. */
struct pool_entry {
	struct instance *instance;
	int state;                     /* enum instance_state */
	const struct runtime *runtime;
	const char *key;
	struct code *code;             /* bound to, or started for; NULL: a blank for anybody */
	int free_places, busy;
	int64_t used_ms, bound_ms;
	bool retiring;                 /* ends after its calls: pool drain, reuse after pool.calls */
	bool was_warm;                 /* it once was: its end is no failed start */
	int64_t cpu_ms;                /* what quota.c has seen of its CPU time */
	int64_t pid_written;           /* the process that its row names */
	int64_t logged, calls_written; /* bytes of log outside of calls; what the ledger knows */
	bool log_cut;
};

struct pool {
	struct pool_entry *item;
	size_t n, room;
};

struct pool_entry *pool_add(struct pool *p, struct instance *i, struct code *wanted_for);
void pool_remove(struct pool *p, struct instance *i);
struct pool_entry *pool_of(struct pool *p, const struct instance *i);
/* Brings a line up to date with its instance; pool_sync_all does so for all. */
void pool_sync(struct pool_entry *x);
void pool_clear(struct pool *p);

/* A warm instance of the code with a free place; the one used last, so that the others grow old and go. */
struct pool_entry *pool_warm(struct pool *p, const struct code *code);
/* A blank that may take code of this runtime and wall key. */
struct pool_entry *pool_blank(struct pool *p, const struct runtime *r, const char *key);
/* Instances bound to, loading or being started for the code; *coming counts those not warm yet. */
int pool_count(const struct pool *p, const struct code *code, int *coming);
/* Instances that are not ending. */
int pool_live(const struct pool *p);
/* Blanks of a runtime that are for anybody, also those still starting. */
int pool_blanks(const struct pool *p, const struct runtime *r);
/*
 * Whom to end so that another may start: the idle instance used longest ago that is not of this code; blanks last.
 * Bound ones are left in peace for slice_ms after they were bound, so that two busy bundles do not thrash.
 */
struct pool_entry *pool_evict(struct pool *p, const struct code *code, int64_t now_ms, int64_t slice_ms);
/* A blank of the runtime unused for idle_ms, when there are more than `keep`. */
struct pool_entry *pool_spare_blank(struct pool *p, const struct runtime *r, int keep, int64_t now_ms, int64_t idle_ms);
/* An idle bound instance unused for idle_ms. */
struct pool_entry *pool_idle(struct pool *p, int64_t now_ms, int64_t idle_ms);

#endif
