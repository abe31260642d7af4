/* Out into the world: the directory of DIDs, the operator's own server, the collector of traces. */
#include "cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/world.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/did.h"
#include "lib/err.h"
#include "lib/mem.h"

enum { CONNECT_MS = 3000, NET_MS = 10000 };

/* A diagnosis does not wait as long as a fetch may. */
static void
hurry(struct world *w)
{
	if (w->limits.total_ms > NET_MS)
		w->limits.total_ms = NET_MS;
	if (w->limits.first_byte_ms > NET_MS)
		w->limits.first_byte_ms = NET_MS;
}

static void
tell_identity(struct world *w, const struct conf *c, struct report *r)
{
	struct did_doc d = DID_DOC_INIT;
	struct buf body = BUF_INIT;
	struct err e = ERR_INIT;
	char *url, *did = NULL;

	if (did_resolve(w->http, &w->did, c->did, &d, &e) != 0) {
		doctor_say(r, DOCTOR_FAILURE, "identity", NULL, "%s: %s", c->did, e.text);
		goto out;
	}
	doctor_say(r, DOCTOR_OK, "identity", NULL, "%s is known, and its data lie at %s", c->did, d.pds != NULL ? d.pds : "no server");
	if (c->handle != NULL && (did_of_handle(w->http, &w->did, c->handle, &did, &e) != 0 || strcmp(did, c->did) != 0 ||
	    !did_doc_names(&d, c->handle)))
		doctor_say(r, DOCTOR_WARNING, "handle", NULL, "%s is not, both ways, the handle of %s%s%s", c->handle, c->did,
		    e.kind != ERR_NONE ? ": " : "", e.text);
	else if (c->handle != NULL)
		doctor_say(r, DOCTOR_OK, "handle", NULL, "%s", c->handle);
	if (d.pds == NULL)
		goto out;
	url = mem_fmt("%s/xrpc/_health", d.pds);
	e = (struct err)ERR_INIT;
	if (world_get(w, url, &body, &e) == 0)
		doctor_say(r, DOCTOR_OK, "data server", NULL, "%s answers", d.pds);
	else
		doctor_say(r, DOCTOR_WARNING, "data server", NULL, "%s; bundles that are here run on for atproto.record_stale", e.text);
	free(url);
out:
	buf_clear(&body);
	did_doc_clear(&d);
	free(did);
}

void
doctor_network(const struct conf *c, struct report *r)
{
	struct buf body = BUF_INIT;
	struct err e = ERR_INIT;
	struct world w;
	char *url;

	world_open(&w, c);
	hurry(&w);
	if (c->did != NULL) {
		tell_identity(&w, c, r);
	} else {
		url = mem_fmt("%s/_health", c->atproto.plc_url);
		if (world_get(&w, url, &body, &e) == 0)
			doctor_say(r, DOCTOR_OK, "directory", NULL, "%s answers", c->atproto.plc_url);
		else
			doctor_say(r, DOCTOR_FAILURE, "directory", NULL, "%s", e.text);
		free(url);
	}
	buf_clear(&body);
	world_close(&w);
}

/* ---- the collector ---- */

static bool
connects(const char *host, const char *port, const char **why)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
	int rc = getaddrinfo(host, port, &hints, &list), error = 0;
	bool yes = false;

	*why = rc != 0 ? gai_strerror(rc) : "no answer";
	for (const struct addrinfo *a = list; a != NULL && !yes; a = a->ai_next) {
		int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		struct pollfd p = { fd, POLLOUT, 0 };
		socklen_t n = sizeof error;

		if (fd < 0)
			continue;
		yes = connect(fd, a->ai_addr, a->ai_addrlen) == 0 || (errno == EINPROGRESS && poll(&p, 1, CONNECT_MS) == 1 &&
		    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0 && error == 0);
		if (!yes && error != 0)
			*why = strerror(error);
		close(fd);
	}
	if (list != NULL)
		freeaddrinfo(list);
	return yes;
}

void
doctor_otlp(const struct conf *c, struct report *r)
{
	const char *url = c->observability.otlp_endpoint, *host, *why;
	char name[256] = "", port[8] = "4318";
	size_t n;

	if (url == NULL)
		return;
	host = strstr(url, "://");
	host = host != NULL ? host + 3 : url;
	n = strcspn(host, ":/");
	snprintf(name, sizeof name, "%.*s", (int)n, host);
	if (host[n] == ':')
		snprintf(port, sizeof port, "%.*s", (int)strspn(host + n + 1, "0123456789"), host + n + 1);
	if (connects(name, port, &why))
		doctor_say(r, DOCTOR_OK, "collector", NULL, "something listens on %s port %s (observability.otlp_endpoint)", name, port);
	else
		doctor_say(r, DOCTOR_WARNING, "collector", NULL, "%s port %s: %s (observability.otlp_endpoint)", name, port, why);
}
