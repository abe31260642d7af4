#include "lib/runner.h"

#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/multibase.h"

#define TEXT_MAX 2048
#define KEYS_MAX 64

enum codec { X25519 = 0xec, ED25519 = 0xed };

/* --- did:web --- */

char *
runner_web_host(const char *did)
{
	char *host, *colon;

	if (strncmp(did, "did:web:", 8) != 0 || strchr(did + 8, ':') != NULL)
		return NULL;
	host = mem_str(did + 8);
	colon = strstr(host, "%3A");
	if (colon == NULL)
		colon = strstr(host, "%3a");
	if (colon != NULL) {
		*colon = ':';
		memmove(colon + 1, colon + 3, strlen(colon + 3) + 1);
	}
	return host;
}

char *
runner_web_url(const char *did)
{
	char *host = runner_web_host(did), *url;
	bool local = host != NULL && strncmp(host, "localhost", 9) == 0 && (host[9] == '\0' || host[9] == ':');

	url = host != NULL ? mem_fmt("%s://%s", local ? "http" : "https", host) : NULL;
	free(host);
	return url;
}

char *
runner_rkey(const char *did)
{
	char *key = mem_str(did), *p;

	for (p = key; *p != '\0'; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
			strchr("._:~-", *p) != NULL))
			*p = '~';
	return key;
}

/* --- writing the document --- */

static void
put_id(struct buf *out, const char *did, const struct runner_key *k)
{
	buf_fmt(out, "\"%s#%s-%d\"", did, k->secrets ? "secrets" : "receipts", k->number);
}

/* A member whose list holds those of one use: whole, or (refs) by their ids. */
static void
put_keys(struct buf *out, const char *member, const char *did, const struct runner_key *keys, size_t n, bool secrets,
    bool refs)
{
	const char *sep = "";
	size_t i;

	buf_fmt(out, ",\"%s\":[", member);
	for (i = 0; i < n; i++) {
		if (keys[i].secrets != secrets)
			continue;
		buf_str(out, sep);
		sep = ",";
		if (refs) {
			put_id(out, did, &keys[i]);
			continue;
		}
		buf_str(out, "{\"id\":");
		put_id(out, did, &keys[i]);
		buf_fmt(out, ",\"type\":\"Multikey\",\"controller\":\"%s\",\"publicKeyMultibase\":\"%s\"}", did, keys[i].key);
	}
	buf_char(out, ']');
}

void
runner_did_json(const char *did, const char *url, const struct runner_key *keys, size_t n, struct buf *out)
{
	buf_str(out, "{\"@context\":[\"https://www.w3.org/ns/did/v1\",\"https://w3id.org/security/multikey/v1\"],\"id\":");
	buf_json_str(out, did);
	put_keys(out, "verificationMethod", did, keys, n, false, false);
	put_keys(out, "assertionMethod", did, keys, n, false, true);
	put_keys(out, "keyAgreement", did, keys, n, true, false);
	buf_str(out, ",\"service\":[{\"id\":\"#" RUNNER_SERVICE "\",\"type\":\"" RUNNER_SERVICE_TYPE "\",\"serviceEndpoint\":");
	buf_json_str(out, url);
	buf_str(out, "}]}");
}

/* --- reading --- */

static void
list_clear(struct conf_list *l)
{
	while (l->n > 0)
		free(l->item[--l->n]);
	free(l->item);
	*l = (struct conf_list){ NULL, 0 };
}

void
runner_doc_clear(struct runner_doc *d)
{
	free(d->service);
	list_clear(&d->secrets);
	list_clear(&d->receipts);
	*d = (struct runner_doc){ .service = NULL };
}

void
runner_claim_clear(struct runner_claim *c)
{
	free(c->did);
	free(c->operator);
	free(c->url);
	list_clear(&c->secrets);
	list_clear(&c->receipts);
	*c = (struct runner_claim){ .did = NULL };
}

/* Only what is a key of that use; anything else is passed over. */
static void
take_key(struct conf_list *to, enum codec codec, const char *text)
{
	uint8_t raw[BASE58_BYTES_MAX];

	/* The codec is written as a varint of two bytes, the second of which is 1 for both. */
	if (text == NULL || to->n == KEYS_MAX || text[0] != 'z' ||
	    base58_parse(text + 1, strlen(text + 1), raw, sizeof raw) != 34 || raw[0] != codec || raw[1] != 1)
		return;
	to->item = mem_grow(to->item, (to->n + 1) * sizeof *to->item);
	to->item[to->n++] = mem_str(text);
}

static void
take_methods(struct conf_list *to, enum codec codec, const cJSON *list)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, list) {
		take_key(to, codec, json_string(item, "publicKeyMultibase"));
	}
}

static char *
take_service(const cJSON *tree, const char *did)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, json_array(tree, "service")) {
		const char *id = json_string(item, "id"), *hash = id != NULL ? strchr(id, '#') : NULL;
		const char *end = json_string(item, "serviceEndpoint");

		if (hash == NULL || end == NULL || strlen(end) > TEXT_MAX || strcmp(hash + 1, RUNNER_SERVICE) != 0)
			continue;
		if (hash == id || (strlen(did) == (size_t)(hash - id) && strncmp(id, did, (size_t)(hash - id)) == 0))
			return mem_str(end);
	}
	return NULL;
}

int
runner_did_parse(const char *json, size_t n, const char *did, struct runner_doc *out, struct err *e)
{
	cJSON *tree = json_parse(json, n, JSON_DEPTH, NULL);
	const char *id = json_string(tree, "id");
	int rc = -1;

	*out = (struct runner_doc){ .service = NULL };
	if (id == NULL) {
		err_set(e, ERR_REMOTE, "that is no DID document");
	} else if (strcmp(id, did) != 0) {
		err_set(e, ERR_REMOTE, "the document is about %.100s, not %.100s", id, did);
	} else {
		out->service = take_service(tree, did);
		take_methods(&out->receipts, ED25519, json_array(tree, "verificationMethod"));
		take_methods(&out->secrets, X25519, json_array(tree, "keyAgreement"));
		rc = 0;
	}
	cJSON_Delete(tree);
	return rc;
}

static char *
take_text(const cJSON *tree, const char *key)
{
	const char *s = json_string(tree, key);

	return s != NULL && strlen(s) <= TEXT_MAX ? mem_str(s) : NULL;
}

int
runner_card_parse(const char *json, size_t n, struct runner_claim *out, struct err *e)
{
	cJSON *tree = json_parse(json, n, JSON_DEPTH, NULL);
	const cJSON *keys = json_object(tree, "keys"), *item;
	bool is = json_string(tree, "software") != NULL;

	*out = (struct runner_claim){ .did = NULL };
	if (is) {
		out->did = take_text(tree, "did");
		out->operator = take_text(tree, "operator");
		cJSON_ArrayForEach(item, json_array(keys, "secrets")) {
			take_key(&out->secrets, X25519, cJSON_GetStringValue(item));
		}
		cJSON_ArrayForEach(item, json_array(keys, "receipts")) {
			take_key(&out->receipts, ED25519, cJSON_GetStringValue(item));
		}
	}
	cJSON_Delete(tree);
	return is ? 0 : err_set(e, ERR_REMOTE, "that is no card of a runner");
}

int
runner_record_parse(const char *json, size_t n, struct runner_claim *out, struct err *e)
{
	cJSON *tree = json_parse(json, n, JSON_DEPTH, NULL);
	const char *service = json_string(tree, "service");

	*out = (struct runner_claim){ .did = NULL };
	if (service == NULL || strlen(service) > TEXT_MAX) {
		cJSON_Delete(tree);
		return err_set(e, ERR_REMOTE, "the record names no service");
	}
	out->did = mem_strn(service, strcspn(service, "#"));
	out->url = take_text(tree, "url");
	take_key(&out->secrets, X25519, json_string(tree, "publicKey"));
	take_key(&out->receipts, ED25519, json_string(tree, "signingKey"));
	cJSON_Delete(tree);
	return 0;
}
