/*
 * Root looks after a runner that is another user's: what walls and engines can do must be tried as that user, who alone has his
 * images and his namespaces.
 */
#ifndef CLI_OWNER_H
#define CLI_OWNER_H

#include <stdbool.h>

struct conf;

/* Are we root, and the home somebody else's? */
bool owner_is_another(const struct conf *c);
/* Then this process is that user from now on, with his HOME, for good; it has one thread. */
void owner_become(const struct conf *c);

#endif
