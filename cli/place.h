/*
 * Where the other parts of at-rund lie: in the build tree, beside an installation that was moved as a whole, or where
 * make install put them.
 */
#ifndef CLI_PLACE_H
#define CLI_PLACE_H

struct err;

/* A program of ours, "at-rund.fcgi".  Allocated, or NULL. */
char *place_program(const char *name, struct err *e);
/* A file of contrib/ that is installed as well, "web/nginx.conf".  Allocated, or NULL. */
char *place_data(const char *name, struct err *e);
/* This program itself.  Allocated, or NULL. */
char *place_self(struct err *e);

#endif
