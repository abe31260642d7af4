/*
 * Lists for whoever proves who it is: the jobs of an author or a caller, and the log of an author's bundles.  Newest first, a
 * stretch of rows at a time: what one question may cost does not hang on how much others did.
 */
#ifndef LIB_STORE_LIST_H
#define LIB_STORE_LIST_H

#include <stdint.h>

struct buf;
struct err;
struct job_id;
struct store;

struct front_list {
	const char *who;    /* DID; NULL: everybody's, for developers */
	const char *bundle; /* NULL: all */
	int64_t before;     /* row of the last answer's cursor, 0: from the newest */
	int limit;
	/* of the log */
	const struct job_id *job; /* of one; NULL: all */
	const char *level;  /* and what is graver; NULL: all */
	int64_t since;      /* wall ms; 0: all */
};

/* Each appends a JSON array of objects as the lexicons have them; *cursor: what to ask for next, 0: nothing is left. */
int front_jobs_of(struct store *s, const struct front_list *l, struct buf *json, int64_t *cursor, struct err *e);
int front_logs(struct store *s, const struct front_list *l, struct buf *json, int64_t *cursor, struct err *e);

#endif
