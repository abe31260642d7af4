/* Out into the world: the directory of DIDs, the operator's own server, the collector of traces. */
#include "cli/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/world.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/did.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/otlp.h"
#include "lib/post.h"
#include "lib/telemetry.h"

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

/* A request that says nothing; whoever takes it is one. */
static void
ask_collector(struct post *post, struct telemetry *t, struct report *r)
{
	struct post_lane *lane[TELEMETRY_SIGNALS] = { NULL };
	struct buf body[TELEMETRY_SIGNALS] = { BUF_INIT };
	int64_t until = clock_mono_ms() + CONNECT_MS + 500;
	struct buf nothing = BUF_INIT;
	int open = 0;

	buf_add(&nothing, "", 0);
	for (int s = 0; s < TELEMETRY_SIGNALS; s++) {
		struct telemetry_target *to = &t->target[s];

		if (!to->on)
			continue;
		to->timeout_ms = to->timeout_ms < CONNECT_MS ? to->timeout_ms : CONNECT_MS;
		lane[s] = post_lane_new(post, to);
		otlp_request(&body[s], (enum telemetry_signal)s, to->protocol, &t->resource, &nothing);
		post_start(lane[s], &body[s]);
		open++;
	}
	while (open > 0 && clock_mono_ms() < until) {
		post_wait(post, -1, 50);
		for (int s = 0; s < TELEMETRY_SIGNALS; s++) {
			struct post_answer a;

			if (lane[s] == NULL || !post_ended(lane[s], &a))
				continue;
			open--;
			doctor_say(r, a.verdict == POST_TAKEN ? DOCTOR_OK : DOCTOR_WARNING, "collector", NULL, "%.*s %s %s over %s%s%s",
			    (int)strcspn(strstr(t->target[s].url, "://") + 3, "/"), strstr(t->target[s].url, "://") + 3,
			    a.verdict == POST_TAKEN ? "takes" : "does not take", telemetry_signal_name((enum telemetry_signal)s),
			    telemetry_protocol_name(t->target[s].protocol), a.verdict == POST_TAKEN ? "" : ": ", a.why);
		}
	}
	for (int s = 0; s < TELEMETRY_SIGNALS; s++) {
		post_lane_free(lane[s]);
		buf_clear(&body[s]);
	}
	buf_clear(&nothing);
}

void
doctor_otlp(const struct conf *c, struct report *r)
{
	struct telemetry t;
	struct post *post;
	char *line, *rest;

	telemetry_load(&t, c);
	rest = t.problems.data;
	while (rest != NULL && (line = strsep(&rest, "\n")) != NULL)
		if (*line != '\0')
			doctor_say(r, DOCTOR_WARNING, "telemetry", NULL, "%s", line);
	if (t.on) {
		post = post_new();
		ask_collector(post, &t, r);
		post_free(post);
	}
	telemetry_clear(&t);
}
