/* open_next PATH: opens a ledger as the scheduler of the next version would; "ok", or what is wrong. */
#include <stdio.h>

#include "lib/err.h"
#include "lib/store.h"

int
main(int argc, char **argv)
{
	struct err e = ERR_INIT;
	struct store *s = argc == 2 ? store_open(argv[1], STORE_WORK, &e) : NULL;

	printf("%s\n", s != NULL ? "ok" : e.text);
	store_close(s);
	return s == NULL;
}
