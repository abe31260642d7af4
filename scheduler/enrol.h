/*
 * Whose schedules are started here: authors or single bundles that the operator enrolled, and, with schedules.enroll =
 * allowlist, all authors on access.allowlist.  Their records are looked at from time to time.
 */
#ifndef SCHEDULER_ENROL_H
#define SCHEDULER_ENROL_H

#include <stdbool.h>
#include <stddef.h>

struct cJSON;
struct err;

int enrol_open(struct err *e);
void enrol_close(void);
bool enrol_has(const char *did, const char *name);
/* Once a second: asks for the records when it is time. */
void enrol_tick(void);

/* Orders: {"did":"did:plc:...","bundle":"hello"} */
void enrol_order(const struct cJSON *args, char *note, size_t n);
void enrol_order_end(const struct cJSON *args, char *note, size_t n);

#endif
