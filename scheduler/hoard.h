/*
 * What authors, and the log, hold of the ledger.  The scheduler walks over the history again and again, a few rows at a time;
 * who holds more than he may loses what is oldest, and so does the log.
 */
#ifndef SCHEDULER_HOARD_H
#define SCHEDULER_HOARD_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct hoard;
struct store;

/* Bytes; 0: any number. */
struct hoard *hoard_new(int64_t author_most, int64_t log_most);
void hoard_free(struct hoard *h);
/* Walks on until the time is over (clock_mono_us), unless it rests.  1: it goes on as soon as may be; 0: it rests; -1. */
int hoard_step(struct hoard *h, struct store *s, int64_t until_us, int64_t now_ms, struct err *e);

#endif
