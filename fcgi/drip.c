/*
 * A stream of two lines, a second apart, by which at-rund doctor sees whether the web server in between hands on what comes, or
 * keeps it until the end.  One at a time: it holds a thread.
 */
#include <poll.h>
#include <stdatomic.h>
#include <string.h>

#include "fcgi/request.h"
#include "fcgi/route.h"
#include "lib/err.h"

enum { APART_MS = 1000 };

static atomic_bool busy;

int
drip_show(struct call *c, struct err *e)
{
	struct request *r = c->request;

	if (atomic_exchange(&busy, true))
		return err_set(e, ERR_BUSY, "somebody else looks at this now");
	reply_type(&c->reply, "text/plain; charset=utf-8");
	reply_header(&c->reply, "X-Accel-Buffering", "no");
	c->reply.stream = c->reply.sent = true;
	if (request_send(r, &c->reply) == 0 && strcmp(r->method, "HEAD") != 0 && request_write(r, "first\n", 6) == 0) {
		poll(NULL, 0, APART_MS);
		request_write(r, "last\n", 5);
	}
	atomic_store(&busy, false);
	return 0;
}
