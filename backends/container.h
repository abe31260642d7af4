/* The plan of the wall `container` for an engine that is given instead of probed; for its test. */
#ifndef BACKENDS_CONTAINER_H
#define BACKENDS_CONTAINER_H

struct conf;
struct engine;
struct err;
struct plan;
struct task;

int container_plan_by(const struct engine *x, const struct conf *c, const struct task *t, struct plan *p, struct err *e);

#endif
