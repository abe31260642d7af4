/*
 * Callbacks (At-Run-Callback): whoever named a URL with an accepted job is told its end there, signed, with retries.
 *
 * The ledger knows what is due (lib/store_callback.h), the fetcher brings it, the keeper signs it.  Nothing that is under way
 * stands in the ledger, so that a kill at any moment makes an attempt again: the receiver hears of each job at least once, and
 * knows a repetition by the job's id.
 */
#ifndef SCHEDULER_CALLBACKS_H
#define SCHEDULER_CALLBACKS_H

#include <stddef.h>
#include <stdint.h>

struct cJSON;
struct err;
struct job;

int callbacks_open(struct err *e);
void callbacks_close(void);

/* May this job's end be told where its caller wants it, as its bundle and the operator say?  Also 0 when nobody wants that.
 * ERR_INPUT "CallbackInvalid", ERR_DENIED "CallbackNotAllowed", "CallbackNotOffered". */
int callbacks_admit(const struct job *j, struct err *e);
/* Once a second, and when a job has ended that has one: sends what is due. */
void callbacks_tick(void);
void callbacks_soon(void);
/* The keeper has signed. */
void callbacks_signed(void *arg, int64_t row, const char *signature, const struct err *why);
/* The order callback-retry {"job":42}. */
void callbacks_order(const struct cJSON *args, char *note, size_t n);

#endif
