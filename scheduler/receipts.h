/*
 * Receipts for calls that ask for one (At-Run-Receipt: 1): what was asked and answered is hashed as it passes, the keeper
 * signs, and only then the job ends.  A call that does not ask pays one look at its headers.
 */
#ifndef SCHEDULER_RECEIPTS_H
#define SCHEDULER_RECEIPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct job;
struct receipt_draft;

/* When its call begins, while the request is still there. */
void receipts_begin(struct job *j);
/* Some of the request's body, when it comes while the handler runs; last: nothing follows. */
void receipts_request(struct job *j, const void *p, size_t n, bool last);
void receipts_body(struct job *j, const void *p, size_t n);
/* The handler has answered in full, and to the whole of its request: who answered before that has no receipt.  True: the job
 * ends when the keeper has signed, receipts_signed() sees to it. */
bool receipts_end(struct job *j);
/* Its end is set, and is a failure after its call began: the answer is what the door will make of that.  True as above.  Nothing that
 * was begun to be answered already, or was stopped by somebody, has a receipt. */
bool receipts_fail(struct job *j);
/* Is its end only waiting for the signature?  Its call is over, and its instance may be gone. */
bool receipts_pending(const struct job *j);
/* The signed text, NULL: none. */
const char *receipts_text(const struct job *j);
void receipts_signed(void *arg, int64_t row, const char *receipt, const struct err *why);
void receipts_free(struct receipt_draft *d);

#endif
