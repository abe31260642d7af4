/*
 * The workshop's state, and the small decisions that all of its hands make.  Nobody but dispatch.c and the files it is made
 * of includes this:
 *
 *     dispatch.c   turns, timers, orders, beginning and end
 *     intake.c     rows and the fetcher's answers become jobs: admitted, held, or refused
 *     callers.c    whose token is it
 *     place.c      jobs meet instances; instances are started and retired
 *     events.c     what instances do
 *     retry.c      attempts that came to a bad end, and the next ones
 *     inflow.c     request bodies that come meanwhile
 *     vault.c      secrets: keys, boxes, and who holds what was in them
 *     settle.c     after the commit: frames leave, bells ring, ended jobs go
 */
#ifndef SCHEDULER_SHOP_H
#define SCHEDULER_SHOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/conf.h"
#include "lib/err.h"
#include "lib/job.h"
#include "scheduler/dispatch.h"
#include "scheduler/loop.h"
#include "scheduler/pool.h"
#include "scheduler/turn.h"
#include "scheduler/wait.h"

struct catalog;
struct checkpoint;
struct durable;
struct dev;
struct exits;
struct fetch;
struct graph;
struct hoard;
struct instance;
struct ration;
struct people;
struct seen;
struct keep;

struct shop {
	struct dispatch_setup s;
	const struct conf *conf;
	struct catalog *catalog;
	struct dev *dev;
	struct fetch *fetch;
	struct keep *keep;
	struct exits *exits;
	struct people *people;
	struct graph *graph;
	struct seen *seen;             /* tokens in use */
	struct checkpoint *checkpoint;
	struct ration *ration;
	struct hoard *hoard;
	struct durable *durable;       /* NULL: the ledger has no log, every commit that must last waits for the disk */
	bool lasts_soon;               /* this turn was committed and is to be made durable beside the loop */
	int64_t syncs;                 /* commits that waited for the disk */
	struct pool pool;
	struct wait wait;
	struct turn turn;
	struct turn_list running;
	struct job *held;
	size_t held_n;
	struct job *later;             /* between two attempts (retry.c) */
	struct work_job *slips;        /* copies of the rows that follow last_row, to be considered in this turn */
	size_t slips_n, slips_room;
	struct conf_pairs warm;        /* runtime → blanks wanted; values are numbers in text */
	struct instance **graves;      /* gone in this turn */
	size_t graves_n;
	int64_t last_row, last_instance_dir;
	int64_t boot_row;              /* jobs from here on were made in this boot of the machine */
	int64_t ticks, orders_at_ms;
	int ringer, bell;
	bool knocked;       /* somebody rang, or a second has passed: pieces of requests may have come */
	size_t bodies;      /* held jobs that want theirs whole; at least so many */
	bool wrote;         /* into the ledger, beside the turn's own transaction */
	size_t uploads;     /* running jobs whose request's body has not ended */
	bool thirsty, rung; /* a stream waits for its reader; somebody rang, or a second has passed */
	bool look, rescan, orders, draining, new_blanks;
	bool told_all;                 /* at the end, to the telemetry role */
	bool short_of_memory;          /* since the last tick: nothing is started that nobody waits for */
	struct loop_timer tick, sweep, pump, late_orders, grace, record, refill, house;
};

extern struct shop shop;

/* The end of a job by a reason of ours. */
void shop_end(struct job *j, enum job_outcome outcome, enum err_kind kind, const char *name, const char *text);
/* A job that never started: its end is written with this turn. */
void shop_drop(struct job *j);
/* Its time is over: then its end is set. */
bool shop_late(struct job *j);
/* What is left of the time in which it may be started. */
int64_t shop_left_ms(const struct job *j);
/* It was cancelled before it started: then its end is set. */
bool shop_cancelled(struct job *j);
/* The budget of a call that somebody waits for runs from the moment the row was made.  What was accepted may wait for
 * jobs.max_age, and has its budget from its start. */
void shop_set_deadline(struct job *j, int64_t timeout_ms);
/* Another look at who waits, ms from now at the latest. */
void shop_pump_in(int64_t ms);
/* Looks for those who wait too long, soon. */
void shop_sweep_soon(void);

#endif
