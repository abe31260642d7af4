/* What this runner is and whether it is well. */
#include <stdlib.h>
#include <string.h>

#include "fcgi/gauge.h"
#include "fcgi/request.h"
#include "fcgi/route.h"
#include "fcgi/waiter.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/failure.h"
#include "lib/json.h"
#include "lib/runner.h"
#include "lib/store_front.h"
#include "lib/store_secret.h"

#ifndef AT_RUND_VERSION
#define AT_RUND_VERSION "0"
#endif

static void
add(struct buf *b, const char *key, const char *value)
{
	buf_fmt(b, ",\"%s\":", key);
	buf_json_str(b, value);
}

static void
add_limits(struct buf *b, const struct conf *c)
{
	const struct {
		const char *key;
		int64_t value;
	} rows[] = {
		{ "timeoutMs", c->limits.timeout }, { "memoryBytes", c->limits.memory },
		{ "requestBytes", c->limits.request }, { "responseBytes", c->limits.response },
		{ "headerBytes", c->limits.header }, { "urlBytes", c->limits.url }, { "logBytes", c->limits.log },
		{ "egressBytes", c->limits.egress }, { "queue", c->limits.queue },
		{ "perAuthor", c->limits.per_author }, { "perBundle", c->limits.per_bundle },
		{ "codeBytes", c->atproto.blob },
	};
	size_t i;

	buf_str(b, ",\"limits\":{");
	for (i = 0; i < sizeof rows / sizeof *rows; i++)
		buf_fmt(b, "%s\"%s\":%lld", i > 0 ? "," : "", rows[i].key, (long long)rows[i].value);
	buf_char(b, '}');
}

/* --- public keys, as the scheduler wrote them down --- */

#define KEYS_MAX 32

struct key_ring {
	struct runner_key key[KEYS_MAX];
	char text[KEYS_MAX][64];
	size_t n;
};

static void
take_key(void *arg, const struct store_key *k)
{
	struct key_ring *ring = arg;

	if (ring->n == KEYS_MAX || strlen(k->key) >= sizeof ring->text[0])
		return;
	memcpy(ring->text[ring->n], k->key, strlen(k->key) + 1);
	ring->key[ring->n] = (struct runner_key){ ring->text[ring->n], k->number, strcmp(k->use, "secrets") == 0 };
	ring->n++;
}

static void
add_keys(struct buf *b, const char *member, const struct key_ring *ring, bool secrets)
{
	const char *sep = "";
	size_t i;

	buf_fmt(b, "\"%s\":[", member);
	for (i = 0; i < ring->n; i++)
		if (ring->key[i].secrets == secrets) {
			buf_fmt(b, "%s\"%s\"", sep, ring->key[i].key);
			sep = ",";
		}
	buf_char(b, ']');
}

/* Its document, when the runner has a DID of its own and this host is where it lies. */
int
card_did(struct call *c, struct err *e)
{
	const struct conf *conf = c->door->conf;
	char *own = conf->did != NULL ? runner_web_url(conf->did) : NULL;
	struct store *s = own != NULL ? waiter_store(c->waiter, e) : NULL;
	struct key_ring ring = { .n = 0 };
	int rc = -1;

	if (own == NULL) {
		err_set(e, ERR_NOTFOUND, "this runner's DID is not a did:web, so its document does not lie here");
	} else if (s != NULL && front_keys(s, take_key, &ring, e) == 0) {
		runner_did_json(conf->did, conf->web.public_url != NULL ? conf->web.public_url : own, ring.key, ring.n,
		    &c->reply.body);
		buf_char(&c->reply.body, '\n');
		reply_type(&c->reply, "application/json");
		reply_header(&c->reply, "Access-Control-Allow-Origin", "*");
		rc = 0;
	}
	free(own);
	return rc;
}

int
card_describe(struct call *c, struct err *e)
{
	const struct conf *conf = c->door->conf;
	struct buf *b = &c->reply.body;
	struct front_pulse p;
	struct err why = ERR_INIT;
	struct key_ring ring = { .n = 0 };
	struct store *s = waiter_store(c->waiter, e);

	if (s == NULL || gauge_pulse(c->door->gauge, s, &p, e) != 0 || front_keys(s, take_key, &ring, e) != 0)
		return -1;
	buf_str(b, "{\"software\":\"at-rund\"");
	add(b, "version", AT_RUND_VERSION);
	add(b, "did", conf->did);
	add(b, "handle", conf->handle);
	add(b, "operator", conf->operator != NULL ? conf->operator : conf->did);
	add(b, "contact", conf->contact);
	buf_str(b, ",\"keys\":{");
	add_keys(b, "secrets", &ring, true);
	buf_char(b, ',');
	add_keys(b, "receipts", &ring, false);
	buf_char(b, '}');
	add(b, "isolation", conf->isolation);
	add(b, "collection", conf->atproto.collection);
	buf_str(b, ",\"runtimes\":");
	if (front_runtimes(s, b, e) != 0)
		return -1;
	buf_str(b, ",\"access\":{\"mode\":");
	buf_json_str(b, conf->access.mode);
	buf_str(b, "},\"callers\":{\"mode\":");
	buf_json_str(b, conf->callers.mode);
	buf_char(b, '}');
	add_limits(b, conf);
	buf_fmt(b, ",\"load\":{\"queued\":%lld,\"running\":%lld,\"instances\":%lld},\"accepting\":%s}\n",
	    (long long)p.queued, (long long)p.running, (long long)p.instances,
	    gauge_alive(c->door->gauge, s, &why) == 0 ? "true" : "false");
	reply_type(&c->reply, "application/json");
	return 0;
}

int
card_health(struct call *c, struct err *e)
{
	(void)e;
	reply_type(&c->reply, "application/json");
	buf_str(&c->reply.body, "{\"status\":\"ok\"}\n");
	return 0;
}

static int
runtimes_available(struct store *s, int *n, struct err *e)
{
	struct buf text = BUF_INIT;
	cJSON *json = NULL;
	const cJSON *item;
	bool available;
	int rc = -1;

	*n = 0;
	if (front_runtimes(s, &text, e) != 0 || (json = json_parse(text.data, text.len, 8, e)) == NULL)
		goto out;
	cJSON_ArrayForEach(item, json) {
		available = false;
		if (json_bool(item, "available", &available, NULL) == 0 && available)
			++*n;
	}
	rc = 0;
out:
	cJSON_Delete(json);
	buf_clear(&text);
	return rc;
}

int
card_ready(struct call *c, struct err *e)
{
	struct buf *b = &c->reply.body;
	struct err why = ERR_INIT;
	struct store *s = waiter_store(c->waiter, &why);
	const char *sep = "";
	int n = 0;

	(void)e;
	buf_str(b, "{\"ready\":");
	if (s != NULL && gauge_alive(c->door->gauge, s, &why) == 0 && runtimes_available(s, &n, &why) == 0 && n > 0) {
		buf_str(b, "true}\n");
	} else {
		c->reply.status = failure_status(ERR_BUSY, "");
		buf_str(b, "false,\"reasons\":[");
		if (s == NULL) {
			buf_json_str(b, "the database cannot be opened; the log says why");
			sep = ",";
		} else if (why.kind != ERR_NONE) {
			buf_json_str(b, why.kind == ERR_BUSY ? why.text : "the database cannot be read; the log says why");
			sep = ",";
		}
		if (n == 0 && why.kind == ERR_NONE) {
			buf_str(b, sep);
			buf_json_str(b, "no runtime is available: see at-rund runtime list");
		}
		buf_str(b, "]}\n");
		reply_header(&c->reply, "Retry-After", "5");
	}
	reply_type(&c->reply, "application/json");
	return 0;
}
