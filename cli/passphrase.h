/* A passphrase from a person or a file: never an argument, never the environment. */
#ifndef CLI_PASSPHRASE_H
#define CLI_PASSPHRASE_H

#include <stdbool.h>

struct err;

/* From the first line of file, else asked for on the terminal without showing it, twice when fresh.  Allocated; wipe and
 * free it with passphrase_free.  NULL: no file and no terminal, an empty one, or two that differ. */
char *passphrase_get(const char *file, bool fresh, struct err *e);
void passphrase_free(char *p);

#endif
