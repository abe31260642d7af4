#include "backends/backend.h"

#include <stdlib.h>
#include <string.h>

#include "backends/backends.h"
#include "backends/parts.h"
#include "lib/buf.h"
#include "lib/err.h"

/* In order of strength: `auto` takes the first that works (walls.c). */
static const struct backend *const walls[] = { &backend_container, &backend_sandbox, &backend_none };
#define WALLS (sizeof walls / sizeof walls[0])

const struct backend *
backend_at(size_t i)
{
	return i < WALLS ? walls[i] : NULL;
}

const struct backend *
backend_named(const char *name)
{
	size_t i;

	for (i = 0; i < WALLS; i++)
		if (strcmp(walls[i]->name, name) == 0)
			return walls[i];
	return NULL;
}

void
plan_clear(struct plan *p)
{
	parts_clear(&p->argv);
	parts_clear(&p->env);
	parts_clear(&p->read_only);
	parts_clear(&p->read_write);
	parts_clear(&p->args);
	parts_clear(&p->open);
	parts_clear(&p->join);
	free(p->cradle);
	free(p->cwd);
	free(p->dir);
	free(p->holder);
	free(p->first);
	parts_clear(&p->undo);
	memset(p, 0, sizeof *p);
}

static bool
is_loopback(const char *host, size_t n)
{
	return (n >= 4 && strncmp(host, "127.", 4) == 0) || (n == 3 && strncmp(host, "::1", 3) == 0) ||
	    (n >= 5 && strncmp(host, "[::1]", 5) == 0) || (n == 9 && strncmp(host, "localhost", 9) == 0);
}

int
backend_none_allowed(const struct conf *c, struct err *e)
{
	const char *url = c->web.public_url, *host;

	if (strcmp(c->access.mode, "open") != 0)
		return 0;
	if (c->port != 0 && c->web.bind != NULL && !is_loopback(c->web.bind, strlen(c->web.bind)))
		return err_set(e, ERR_DENIED, "isolation = none with access.mode = open on web.bind = %s: everybody could run "
		    "code here; bind to 127.0.0.1 or set an allowlist", c->web.bind);
	host = url != NULL ? strstr(url, "://") : NULL;
	if (host != NULL && !is_loopback(host + 3, strcspn(host + 3, host[3] == '[' ? "/" : ":/")))
		return err_set(e, ERR_DENIED, "isolation = none with access.mode = open behind web.public_url = %s: everybody "
		    "could run code here; set an allowlist", url);
	return 0;
}
