/* An installation for the whole machine: the user at-rund, and what belongs to it. */
#ifndef CLI_SYSTEM_H
#define CLI_SYSTEM_H

struct err;

/* The home becomes the user's, who is made if need be; the config stays root's, and the user may read it. */
int system_give(const char *home, const char *config, struct err *e);

#endif
