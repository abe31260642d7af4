/*
 * One invocation: its words and what may follow what.  schema/schema.sql draws the same picture and
 * holds it with a CHECK and a trigger; a test compares the two.
 */
#ifndef LIB_JOB_H
#define LIB_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum job_state { JOB_QUEUED, JOB_ADMITTED, JOB_RUNNING, JOB_DONE, JOB_STATE_COUNT };

/* Three things never share a code: the bundle failed (ERROR), a limit was hit (TIMEOUT, MEMORY,
 * OUTPUT, KILLED), the runner failed (LOST).  REFUSED, EXPIRED, CANCELLED: user code never ran, or was
 * stopped because somebody asked. */
enum job_outcome {
	OUTCOME_NONE,
	OUTCOME_OK,
	OUTCOME_ERROR,
	OUTCOME_TIMEOUT,
	OUTCOME_MEMORY,
	OUTCOME_OUTPUT,
	OUTCOME_KILLED,
	OUTCOME_REFUSED,
	OUTCOME_LOST,
	OUTCOME_EXPIRED,
	OUTCOME_CANCELLED,
	OUTCOME_COUNT
};

enum job_mode { JOB_SYNC, JOB_ASYNC };
enum job_start { START_NONE, START_WARM, START_BLANK, START_COLD, START_COUNT };

const char *job_state_name(enum job_state s);
int job_state_parse(const char *word); /* or -1 */
bool job_may_follow(enum job_state from, enum job_state to);
const char *job_outcome_name(enum job_outcome o); /* NULL for OUTCOME_NONE */
int job_outcome_parse(const char *word);          /* OUTCOME_NONE for NULL, -1 for nonsense */
const char *job_start_name(enum job_start s);     /* NULL for START_NONE */
int job_start_parse(const char *word);

/* The public id, "<rowid>-<32 hex digits>". */
#define JOB_NONCE_LEN 32
#define JOB_ID_LEN    (20 + 1 + JOB_NONCE_LEN)

struct job_id {
	int64_t row;
	char nonce[JOB_NONCE_LEN + 1];
};

void job_nonce(char out[JOB_NONCE_LEN + 1]); /* 128 fresh random bits */
void job_id_print(const struct job_id *id, char out[JOB_ID_LEN + 1]);
bool job_id_parse(const char *s, struct job_id *id); /* strict: no sign, no leading zero, lower case hex */

#endif
