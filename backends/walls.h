/*
 * Which wall stands around which bundle: `isolation`, [isolation] NAME and [isolation] authors of the config against
 * what works here.  Several may stand at once.
 */
#ifndef BACKENDS_WALLS_H
#define BACKENDS_WALLS_H

#include <stdbool.h>
#include <stddef.h>

struct backend;
struct buf;
struct conf;
struct err;
struct runtime;
struct runtimes;
struct walls;

/*
 * Tries each wall that the config can lead to, once, and settles which wall each runtime gets; one that gets none nowhere
 * has `missing` set to why.  NULL: no runtime can run, or `none` would let everybody run code here (DESIGN 10); e says so.
 */
struct walls *walls_new(const struct conf *c, struct runtimes *rs, struct err *e);
void walls_free(struct walls *w);
/* The wall for a bundle of this author and name (NULL: of nobody in particular); NULL and e: none, and why.  Pure. */
const struct backend *walls_of(const struct walls *w, const struct runtime *r, const char *author, const char *name,
    struct err *e);
/* Is a wall in use at all, for any runtime or author? */
bool walls_uses(const struct walls *w, const struct backend *b);
/* What the walls that were tried and do not work said, a line each: "container: no image …\n". */
void walls_passed(const struct walls *w, struct buf *out);

#endif
