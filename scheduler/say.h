/*
 * What the host says to an executor: the payloads of LOAD and CALL.
 */
#ifndef SCHEDULER_SAY_H
#define SCHEDULER_SAY_H

struct buf;
struct code;
struct job;

/* dir: where the bundle lies as the executor sees it; name: author/name. */
void say_load(struct buf *b, const struct code *code, const char *dir, const char *name);
void say_call(struct buf *b, const struct job *j);

#endif
