/*
 * Requests whose bodies come while their handlers run (the tables upload and piece): the door puts pieces, as far as it was
 * allowed to; the workshop takes them, hands them on, and allows more.  Or it wants the body whole, before anything runs.
 */
#ifndef LIB_STORE_UPLOAD_H
#define LIB_STORE_UPLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct store;

/* --- the door; 0 rows: nobody wants it any more --- */

/* bytes: as announced, -1: unknown; holds: no answer reaches the caller before the body's end.  By front_enqueue. */
int front_upload_new(struct store *s, int64_t row, int64_t bytes, bool holds, struct err *e);
/* How much of it may come in all, and whether it is wanted whole.  1; 0: it is over; -1. */
int front_upload_look(struct store *s, int64_t row, int64_t *allowed, bool *whole, struct err *e);
int front_piece(struct store *s, int64_t row, int64_t seq, bool last, const void *p, size_t n, struct err *e);
/* It was wanted whole: the job is now like any other. */
int front_upload_body(struct store *s, int64_t row, const void *p, size_t n, struct err *e);
/* No more of it comes, by this fault: whoever says so also cancels the job. */
int front_upload_fault(struct store *s, int64_t row, const struct err *why, struct err *e);
/* Whoever put it goes. */
int front_upload_drop(struct store *s, int64_t row, struct err *e);

/* --- the workshop --- */

int work_upload_allow(struct store *s, int64_t row, int64_t bytes, struct err *e);
int work_upload_whole(struct store *s, int64_t row, struct err *e);
/* 1 and the fault, when there is one; 0; -1. */
int work_upload_fault(struct store *s, int64_t row, struct err *why, struct err *e);
/* Appends pieces from seq on to out, max bytes of them at most, and drops them from the ledger.  *seq: the next to ask for;
 * *last: there is none after them.  1: there were some; 0; -1. */
int work_pieces(struct store *s, int64_t row, size_t max, int64_t *seq, struct buf *out, bool *last, struct err *e);
/* The job is over. */
int work_upload_drop(struct store *s, int64_t row, struct err *e);
/* What a run before left of jobs that are over; by work_recover. */
int work_upload_recover(struct store *s, struct err *e);

#endif
