#include "lib/job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static const char *const states[JOB_STATE_COUNT] = { "queued", "admitted", "running", "done" };
static const char *const outcomes[OUTCOME_COUNT] = {
	[OUTCOME_OK] = "ok",
	[OUTCOME_ERROR] = "error",
	[OUTCOME_TIMEOUT] = "timeout",
	[OUTCOME_MEMORY] = "memory",
	[OUTCOME_OUTPUT] = "output",
	[OUTCOME_KILLED] = "killed",
	[OUTCOME_REFUSED] = "refused",
	[OUTCOME_LOST] = "lost",
	[OUTCOME_EXPIRED] = "expired",
	[OUTCOME_CANCELLED] = "cancelled",
};
static const char *const starts[START_COUNT] = { [START_WARM] = "warm", [START_BLANK] = "blank", [START_COLD] = "cold" };

/*  queued ──▶ admitted ──▶ running ──▶ done
 *     │  ▲      │  │  ▲         │         ▲
 *     │  └──────┘  │  └─ again ─┘         │
 *     └────────────┴──────────────────────┘        done never changes again */
#define TO(state) (1u << (state))
static const unsigned next[JOB_STATE_COUNT] = {
	[JOB_QUEUED] = TO(JOB_ADMITTED) | TO(JOB_DONE),
	[JOB_ADMITTED] = TO(JOB_RUNNING) | TO(JOB_QUEUED) | TO(JOB_DONE),
	[JOB_RUNNING] = TO(JOB_ADMITTED) | TO(JOB_DONE),
};

static int
parse(const char *const *words, int n, const char *word)
{
	int i;

	for (i = 0; i < n; i++)
		if (words[i] != NULL && strcmp(words[i], word) == 0)
			return i;
	return -1;
}

const char *
job_state_name(enum job_state s)
{
	return states[s];
}

int
job_state_parse(const char *word)
{
	return word == NULL ? -1 : parse(states, JOB_STATE_COUNT, word);
}

bool
job_may_follow(enum job_state from, enum job_state to)
{
	return (next[from] & TO(to)) != 0;
}

const char *
job_outcome_name(enum job_outcome o)
{
	return outcomes[o];
}

int
job_outcome_parse(const char *word)
{
	return word == NULL ? OUTCOME_NONE : parse(outcomes, OUTCOME_COUNT, word);
}

const char *
job_start_name(enum job_start s)
{
	return starts[s];
}

int
job_start_parse(const char *word)
{
	return word == NULL ? START_NONE : parse(starts, START_COUNT, word);
}

void
job_nonce(char out[JOB_NONCE_LEN + 1])
{
	/* Sixteen at a time: a call of the kernel for each shows.  Who forks has his own (nobody here does after the first). */
	static _Thread_local unsigned char pool[16 * JOB_NONCE_LEN / 2];
	static _Thread_local size_t left;
	static const char hex[] = "0123456789abcdef";
	unsigned char *raw;
	size_t i;

	/* 256 bytes or fewer come whole once the kernel's generator is seeded; a runner that cannot have them must not
	 * hand out ids that can be guessed. */
	while (left == 0)
		if (getrandom(pool, sizeof pool, 0) == (ssize_t)sizeof pool)
			left = sizeof pool;
		else if (errno != EINTR)
			abort();
	left -= JOB_NONCE_LEN / 2;
	raw = pool + left;
	for (i = 0; i < JOB_NONCE_LEN / 2; i++) {
		out[2 * i] = hex[raw[i] >> 4];
		out[2 * i + 1] = hex[raw[i] & 15];
	}
	out[JOB_NONCE_LEN] = '\0';
	memset(raw, 0, JOB_NONCE_LEN / 2);
}

void
job_id_print(const struct job_id *id, char out[JOB_ID_LEN + 1])
{
	uint64_t row = id->row > 0 ? (uint64_t)id->row : 0;
	char digits[20];
	size_t n = sizeof digits, nonce_n = strnlen(id->nonce, JOB_NONCE_LEN);

	do {
		digits[--n] = (char)('0' + row % 10);
		row /= 10;
	} while (row > 0);
	memcpy(out, digits + n, sizeof digits - n);
	out += sizeof digits - n;
	*out++ = '-';
	memcpy(out, id->nonce, nonce_n);
	out[nonce_n] = '\0';
}

bool
job_id_parse(const char *s, struct job_id *id)
{
	int64_t row = 0;
	size_t i;

	if (*s < '1' || *s > '9')
		return false;
	for (; *s >= '0' && *s <= '9'; s++) {
		if (row > (INT64_MAX - (*s - '0')) / 10)
			return false;
		row = row * 10 + (*s - '0');
	}
	if (*s++ != '-')
		return false;
	for (i = 0; i < JOB_NONCE_LEN; i++)
		if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
			return false;
	if (s[JOB_NONCE_LEN] != '\0')
		return false;
	id->row = row;
	memcpy(id->nonce, s, JOB_NONCE_LEN + 1);
	return true;
}
