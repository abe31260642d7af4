/*
 * What a bundle may ask for (DESIGN 12): one table, with the same meaning in every wall.  Whether it is granted is decided before
 * the bundle runs (backend_permit); here is what walls need to know to carry it out.
 */
#ifndef BACKENDS_PERMIT_H
#define BACKENDS_PERMIT_H

struct buf;
struct conf;
struct conf_list;
struct task;

/*
 * The paths of the host that the bundle asks for and is granted, as [grants] names them: not as the bundle does, for what
 * lies below a path that a bundle may write can be made to lead anywhere.  Nothing for a blank.  Items are allocated.
 */
void permit_paths(const struct conf *c, const struct task *t, struct conf_list *read, struct conf_list *write);
/* The same paths as part of a wall's key: nothing when there are none. */
void permit_key(const struct conf *c, const struct task *t, struct buf *out);

#endif
