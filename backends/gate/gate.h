/*
 * at-rund-gate: the first process inside a wall, and the only way out of it (DESIGN 11).
 *
 *     main.c    options, the child, signals, the loop          names.c   which names there are, and their addresses
 *     ask.c     DNS on 127.0.0.1:53                            carry.c   listeners, and connections to the egress process
 *     shut.c    what the command and the gate itself may do   haul.c    their bytes, behind gVisor
 *
 * It decides nothing that matters: whoever takes it over has one socket to a process that checks everything again.
 */
#ifndef BACKENDS_GATE_GATE_H
#define BACKENDS_GATE_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct egress_host;

/* --- main.c: a loop of descriptors --- */

/* Lives inside the struct it belongs to. */
struct watch {
	int fd;
	void (*fn)(struct watch *w, uint32_t events);
};
/* false: too many, errno says so. */
bool gate_watch(struct watch *w, uint32_t events);
/* The same for a descriptor that is watched already, with another struct. */
bool gate_rewatch(struct watch *w, uint32_t events);
/* Frees p when nothing of this turn can mean it any more. */
void gate_free_later(void *p);
/* A line on standard error, which is the bundle's log; a flood is cut. */
void gate_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int64_t gate_now_ms(void);

/* --- names.c --- */

/* Takes the rules, one a line; what was before is forgotten, but addresses once given stay. */
void names_set(const char *text, size_t n);
/* The address (host order) of a name that is allowed, 0: it is not.  Asks for fresh rules first when it must. */
uint32_t names_address(const char *name);
/* Whose address this is; NULL: nobody's. */
const char *names_of(uint32_t address);
/* Connects to the egress process, and follows its rules unless some were set. */
void names_follow(const char *socket_path);
/* Once a turn: tries again what could not be reached.  Milliseconds until it wants to be called, -1: never. */
int names_turn(void);

/* --- carry.c --- */

void carry_open(const char *socket_path, int connections);
/* Listens on this port from now on. */
void carry_listen(int port, bool six);
/* Gives the loopback interface this address, so that connections to it come here. */
void carry_own(const struct egress_host *literal);
/* Once a turn: takes up what had to wait. */
void carry_turn(void);
/* A connection of haul.c is over: there is room for another. */
void carry_ended(void);

/* --- haul.c --- */

/* Takes both sockets over, near not watched yet, far already; false: it did not. */
bool haul_begin(int near, int far);
/* Once a turn; true: something could go on at once. */
bool haul_turn(void);

/* --- shut.c --- */

/* For the command: a file with a filter of system calls, a path that may be written, how many files may be open. */
bool shut_filter(const char *path);  /* false, errno */
bool shut_write(const char *path);   /* false: too many */
bool shut_files(const char *number); /* false: it is none */
/* In the command's process, before it is executed: NULL, or what could not be done, with errno. */
const char *shut_command(void);
/* Around the gate itself, once its command was started; false, errno. */
bool shut_gate(void);

/* --- ask.c --- */

bool ask_open(void); /* false, errno: no DNS here */

#endif
