/*
 * What ended, rolled up by five minutes, and by author and day, in the ledger (tables traffic, traffic_author): the scheduler
 * writes, the status page reads, and neither looks at a job for it.
 */
#ifndef LIB_STORE_TRAFFIC_H
#define LIB_STORE_TRAFFIC_H

#include <stddef.h>
#include <stdint.h>

#include "lib/job.h"

struct err;
struct store;

#define TRAFFIC_MS INT64_C(300000) /* of one row */

/* Upper bounds of the histogram, ms; what took longer is in none of them. */
#define TRAFFIC_BOUNDS 14
extern const int64_t traffic_bound_ms[TRAFFIC_BOUNDS];

struct traffic {
	int64_t at;                        /* start, unix ms */
	int64_t outcome[OUTCOME_COUNT];    /* [OUTCOME_NONE] is not used */
	int64_t start[START_COUNT];        /* [START_NONE]: never started */
	int64_t waited, sum_ms;            /* ran while somebody waited */
	int64_t within[TRAFFIC_BOUNDS];    /* and took this bound or less */
};

struct traffic_author {
	const char *author; /* DID; "": all those for whom there was no room */
	int64_t calls, failed, ran_ms;
};

/* Adds to what stands there; within a transaction. */
int work_traffic_add(struct store *s, const struct traffic *t, struct err *e);
int work_traffic_author_add(struct store *s, int64_t day, const struct traffic_author *a, struct err *e);
/* Drops what began before (ms, and days since 1970). */
int work_traffic_prune(struct store *s, int64_t before, int64_t day, struct err *e);

/* Rows from since on, oldest first. */
int front_traffic(struct store *s, int64_t since, void (*fn)(void *arg, const struct traffic *t), void *arg, struct err *e);

#endif
