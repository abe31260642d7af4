/*
 * at-rund doctor: a table of checks that run side by side.  A check looks at one thing and reports findings: what is so, whether
 * that is well, and the one command that mends it.
 */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

struct buf;
struct conf;

enum verdict { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_FAILURE, DOCTOR_VERDICTS };

struct report; /* of one check */

/* Runs in a thread of its own; what it shares with other checks it only reads. */
typedef void doctor_check_fn(const struct conf *c, struct report *r);

/* what: a word or two, "wall sandbox".  mend: a command, NULL when there is none. */
void doctor_say(struct report *r, enum verdict v, const char *what, const char *mend, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* Where an explanation ends in a command ("… : apt install podman"), the command; NULL: it does not. */
const char *doctor_mend(const char *text);

/* doctor_walls.c */
doctor_check_fn doctor_walls;
/* doctor_home.c */
doctor_check_fn doctor_config, doctor_home;
/* doctor_database.c */
doctor_check_fn doctor_database;
/* doctor_machine.c */
doctor_check_fn doctor_kernel, doctor_clock, doctor_service;
/* doctor_net.c */
doctor_check_fn doctor_network, doctor_otlp;
/* doctor_web.c */
doctor_check_fn doctor_web;

#endif
