/* The walls that exist, for backend.c's list alone. */
#ifndef BACKENDS_BACKENDS_H
#define BACKENDS_BACKENDS_H

struct backend;

extern const struct backend backend_container;
extern const struct backend backend_sandbox;
extern const struct backend backend_none;

#endif
