#include "cli/world.h"

#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/runner.h"

#define BODY_MAX (1024 * 1024)

void
world_open(struct world *w, const struct conf *c)
{
	size_t i;

	memset(w, 0, sizeof *w);
	http_setup();
	w->http = http_new();
	for (i = 0; i < c->atproto.ports.n && i < sizeof w->ports / sizeof w->ports[0]; i++)
		w->ports[w->policy.n_ports++] = (int)strtol(c->atproto.ports.item[i], NULL, 10);
	w->policy.ports = w->ports;
	w->policy.dev = c->dev;
	w->limits = (struct http_limits){ .bytes = BODY_MAX, .bytes_key = "fixed", .connect_ms = c->atproto.connect_timeout,
		.connect_key = "atproto.connect_timeout", .first_byte_ms = c->atproto.first_byte_timeout,
		.first_byte_key = "atproto.first_byte_timeout", .total_ms = c->atproto.fetch_timeout,
		.total_key = "atproto.fetch_timeout" };
	w->did = (struct did_conf){ &w->policy, &w->limits, c->atproto.plc_url, c->atproto.handle_resolver };
}

void
world_close(struct world *w)
{
	http_free(w->http);
	w->http = NULL;
}

static int
look(const char *url, struct http_reply *r, int rc, struct err *e)
{
	cJSON *tree = NULL;

	if (rc == 0 && (r->status < 200 || r->status > 299)) {
		const char *name, *message;

		tree = json_parse(r->refusal.data != NULL ? r->refusal.data : "", r->refusal.len, JSON_DEPTH, NULL);
		name = json_string(tree, "error");
		message = json_string(tree, "message");
		rc = err_set(e, r->status == 404 ? ERR_NOTFOUND : ERR_REMOTE, "%.200s answers %d %.60s: %.200s", url, r->status,
		    name != NULL ? name : "", message != NULL ? message : "");
		if (name != NULL && strcmp(name, "RecordNotFound") == 0)
			e->kind = ERR_NOTFOUND;
	}
	cJSON_Delete(tree);
	buf_clear(&r->refusal);
	return rc;
}

int
world_get(struct world *w, const char *url, struct buf *body, struct err *e)
{
	struct http_reply r = HTTP_REPLY_INIT;

	return look(url, &r, http_get_buf(w->http, &w->policy, url, "application/json", &w->limits, body, &r, e), e);
}

int
world_post(struct world *w, const char *url, const char *bearer, const char *json, struct buf *body, struct err *e)
{
	struct http_reply r = HTTP_REPLY_INIT;

	return look(url, &r, http_post_json(w->http, &w->policy, url, bearer, json, &w->limits, body, &r, e), e);
}

int
world_did_json(struct world *w, const struct conf *c, const char *did, struct buf *body, struct err *e)
{
	char *own = runner_web_url(did), *url = NULL;
	int rc = -1;

	if (own != NULL)
		url = mem_fmt("%s/.well-known/did.json", own);
	else if (strncmp(did, "did:plc:", 8) == 0)
		url = mem_fmt("%s/%s", c->atproto.plc_url, did);
	if (url == NULL)
		err_set(e, ERR_INPUT, "%.100s is neither a did:plc nor a did:web", did);
	else
		rc = world_get(w, url, body, e);
	free(own);
	free(url);
	return rc;
}
