/*
 * What is counted and measured here: one table (meter.c) names every meter as Prometheus and as OpenTelemetry call it.  Counting
 * is an addition in memory.  The values go to the ledger with the heartbeat, as lines of Prometheus' text format which the front
 * door passes on as /metrics, and to the telemetry role.
 */
#ifndef SCHEDULER_METER_H
#define SCHEDULER_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum meter {
	METER_REQUESTS,    /* at the door, by enum knock (lib/knock.h) */
	METER_REQUEST_TIME,
	METER_JOBS,        /* by outcome */
	METER_STARTS,      /* by enum job_start */
	METER_JOB_TIME,
	METER_WAIT_TIME,
	METER_START_TIME,  /* by enum job_start */
	METER_RUN_TIME,    /* by enum job_start */
	METER_FETCH_TIME,  /* by enum meter_result */
	METER_COMMIT_TIME,
	METER_QUEUE,       /* by enum meter_place */
	METER_INSTANCES,   /* by enum meter_state */
	METER_EGRESS,      /* connections, by enum meter_verdict */
	METER_EGRESS_BYTES, /* by enum meter_way */
	METER_LOG_BYTES,
	METER_CALLBACKS,   /* by enum meter_callback */
	METER_AFTER,       /* work after answers, by outcome */
	METER_AFTER_TIME,
	METER_SYNCS,
	METER_CPU,
	METER_MEMORY,
	METER_FILES,
	METER_TOLD,        /* by enum telemetry_signal */
	METER_DROPPED,
	METER_FAILED,
	METER_UNTOLD,
	METER_TELLING,     /* by enum telemetry_signal */
	METER_TELEMETRY_FAILING,
	METER_DATABASE,    /* by enum meter_file; these are for OpenTelemetry alone */
	METER_INVOCATIONS,
	METER_ERRORS,
	METER_TIMEOUTS,
	METER_COLDSTARTS,
	METER_COUNT
};
enum meter_result { METER_FINE, METER_FAILURE, METER_RESULTS };
enum meter_place { METER_HELD, METER_WAITING, METER_RUNNING, METER_PLACES };
enum meter_state { METER_STARTING, METER_BLANK, METER_LOADING, METER_WARM, METER_BUSY, METER_ENDING, METER_STATES };
enum meter_verdict { METER_CONNECTED, METER_REFUSED, METER_VERDICTS };
enum meter_callback { METER_DELIVERED, METER_PUT_OFF, METER_GIVEN_UP, METER_CALLBACK_ENDS };
enum meter_way { METER_SENT, METER_RECEIVED, METER_WAYS };
enum meter_file { METER_MAIN, METER_LOG, METER_FILES_N };

void meter_add(enum meter m, int label, int64_t n);
void meter_set(enum meter m, int label, int64_t n);
void meter_time(enum meter m, int label, int64_t us); /* of a histogram */
/* What the front door has counted: whether these bytes were that. */
bool meter_knocks(const void *p, size_t n);

/* Prometheus' lines, when a counter or a queue has changed since they were taken last; else NULL.  Ours until the next call. */
const char *meter_text(void);
/* The values of all meters as bytes, for a program of the same build. */
size_t meter_bytes(void);
void meter_values(struct buf *out);
/* Such values as OTLP's metrics (lib/otlp.h), appended to a batch. */
void meter_encode(const void *values, int64_t start_us, int64_t at_us, bool json, struct buf *batch);

#endif
