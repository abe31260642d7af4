/* The config reader under arbitrary bytes: it may refuse, it may not fall over; what it takes it can show and free. */
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf problems = BUF_INIT, out = BUF_INIT;
	struct err e = ERR_INIT;
	struct conf *c = conf_parse("fuzz", (const char *)data, n, "/home", &problems, &e);

	if (c != NULL) {
		conf_show(c, true, &out);
		conf_show(c, false, &out);
	}
	conf_free(c);
	buf_clear(&problems);
	buf_clear(&out);
	return 0;
}
