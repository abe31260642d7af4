/* The network as commands use it: short, by the config's limits and rules, one server after the other. */
#ifndef CLI_WORLD_H
#define CLI_WORLD_H

#include "lib/did.h"
#include "lib/http.h"

struct buf;
struct conf;
struct err;

struct world {
	struct http *http;
	struct http_policy policy;
	struct http_limits limits;
	struct did_conf did;
	int ports[16];
};
void world_open(struct world *w, const struct conf *c);
void world_close(struct world *w);
/* A body of 2xx; anything else is an error that tells what the server said. */
int world_get(struct world *w, const char *url, struct buf *body, struct err *e);
int world_post(struct world *w, const char *url, const char *bearer, const char *json, struct buf *body, struct err *e);
/* The DID document, as it is. */
int world_did_json(struct world *w, const struct conf *c, const char *did, struct buf *body, struct err *e);

#endif
