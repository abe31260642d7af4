/* At-Run-Callback: what we take for a URL names the same host to curl, which connects to it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/callback.h"
#include "lib/err.h"
#include "lib/http.h"
#include "lib/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
compare(const char *url, bool dev)
{
	struct callback_url u;
	struct http_policy policy = { dev, &u.port, 1 };
	struct err e = ERR_INIT;
	char host[256];

	if (callback_url_parse(url, dev, &u, &e) != 0)
		return;
	if (http_url_check(&policy, url, host, &e) != 0 || (!u.local && strcasecmp(host, u.host.text) != 0) || (!dev && u.local))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *url = mem_strn((const char *)data, n);

	compare(url, false);
	compare(url, true);
	free(url);
	return 0;
}
