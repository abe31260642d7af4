/* Makes the image of one runtime: HOME/images/NAME (backends/image.h says what lies there). */
#ifndef CLI_BUILD_H
#define CLI_BUILD_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/oci.h"

struct cli;
struct conf;
struct engine;
struct err;
struct runtime;

struct built {
	bool fresh;     /* it was there already, made from the same definition, and nothing was done */
	bool same;      /* made again, and came out as it was */
	char id[OCI_ID_LEN + 1];
	int64_t bytes, took_ms, built_ms;
};

/* force: also when it is there.  x: the engine to load it into, NULL: none. */
int build_image(struct cli *c, const struct conf *conf, const struct runtime *r, const struct engine *x, bool force,
    struct built *out, struct err *e);

#endif
