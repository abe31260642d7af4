/*
 * A handle is a claim until the document of the DID it leads to names it back; a document is a claim until its id is
 * the DID that was asked for.  Both checks stand here.
 */
#include "lib/did.h"

#include <arpa/nameser.h>
#include <netinet/in.h>
#include <resolv.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/http.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/syntax.h"

void
did_doc_clear(struct did_doc *d)
{
	free(d->did);
	free(d->handle);
	free(d->pds);
	free(d->key);
	free(d->key_type);
	*d = (struct did_doc)DID_DOC_INIT;
}

void
did_doc_copy(struct did_doc *to, const struct did_doc *from)
{
	to->did = mem_str(from->did);
	to->handle = mem_str(from->handle);
	to->pds = mem_str(from->pds);
	to->key = mem_str(from->key);
	to->key_type = mem_str(from->key_type);
}

bool
did_doc_names(const struct did_doc *d, const char *handle)
{
	char *lower = mem_str(handle);
	bool same;

	syntax_handle_lower(lower);
	same = d->handle != NULL && strcmp(d->handle, lower) == 0;
	free(lower);
	return same;
}

/* "#name", or the DID and "#name". */
static bool
id_is(const char *id, const char *did, const char *fragment)
{
	size_t n = strlen(did);

	if (id == NULL)
		return false;
	if (strncmp(id, did, n) == 0)
		id += n;
	return strcmp(id, fragment) == 0;
}

/* The first entry of a list whose id is the fragment. */
static const cJSON *
entry_of(const cJSON *doc, const char *list, const char *did, const char *fragment)
{
	const cJSON *all = json_array(doc, list), *item;

	cJSON_ArrayForEach(item, all)
		if (id_is(json_string(item, "id"), did, fragment))
			return item;
	return NULL;
}

/* The first at:// URI that is a handle; later ones do not count (facts B.2). */
static void
read_handle(const cJSON *doc, struct did_doc *out)
{
	const cJSON *all = json_array(doc, "alsoKnownAs"), *item;

	cJSON_ArrayForEach(item, all) {
		const char *s = cJSON_IsString(item) ? item->valuestring : "";

		if (strncmp(s, "at://", 5) != 0 || !syntax_handle(s + 5, strlen(s + 5)))
			continue;
		out->handle = mem_str(s + 5);
		syntax_handle_lower(out->handle);
		return;
	}
}

static bool
is_base58(const char *s)
{
	return strspn(s, "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz") == strlen(s);
}

static int
read_key(const cJSON *doc, struct did_doc *out, struct err *e)
{
	static const char *const types[] = { "Multikey", "EcdsaSecp256k1VerificationKey2019",
		"EcdsaSecp256r1VerificationKey2019" };
	const cJSON *m = entry_of(doc, "verificationMethod", out->did, "#atproto");
	const char *type = json_string(m, "type"), *key = json_string(m, "publicKeyMultibase"),
		   *controller = json_string(m, "controller");
	size_t i;

	if (m == NULL)
		return 0;
	if (controller == NULL || strcmp(controller, out->did) != 0)
		return err_named(e, ERR_REMOTE, "KeyMalformed", "%.100s: the controller of its #atproto key is somebody else",
		    out->did);
	for (i = 0; type != NULL && i < sizeof types / sizeof types[0]; i++)
		if (strcmp(type, types[i]) == 0)
			break;
	if (type == NULL || i == sizeof types / sizeof types[0])
		return err_named(e, ERR_REMOTE, "WrongCurve", "%.100s: its #atproto key is of no known type", out->did);
	if (key == NULL || key[0] != 'z' || strlen(key) < 40 || strlen(key) > 120 || !is_base58(key + 1))
		return err_named(e, ERR_REMOTE, "KeyMalformed", "%.100s: its #atproto key is malformed", out->did);
	out->key = mem_str(key);
	out->key_type = mem_str(type);
	return 0;
}

/* Scheme, host, port and nothing else; a single slash at the end is forgiven and dropped. */
static char *
plain_origin(const char *url, bool dev)
{
	size_t n = strlen(url), at, host;

	if (n > 0 && url[n - 1] == '/')
		n--;
	if (strncmp(url, "https://", 8) == 0)
		at = 8;
	else if (dev && strncmp(url, "http://", 7) == 0)
		at = 7;
	else
		return NULL;
	if (n < at || n > 300)
		return NULL;
	host = strspn(url + at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-");
	if (host == 0)
		return NULL;
	at += host;
	if (url[at] == ':') {
		size_t digits = strspn(url + at + 1, "0123456789");
		if (digits == 0 || digits > 5)
			return NULL;
		at += 1 + digits;
	}
	return at == n ? mem_strn(url, n) : NULL;
}

static int
read_pds(const cJSON *doc, bool dev, struct did_doc *out, struct err *e)
{
	const cJSON *s = entry_of(doc, "service", out->did, "#atproto_pds");
	const char *type = json_string(s, "type"), *endpoint = json_string(s, "serviceEndpoint");

	if (s == NULL)
		return err_set(e, ERR_REMOTE, "%.100s: its document names no #atproto_pds", out->did);
	if (type == NULL || strcmp(type, "AtprotoPersonalDataServer") != 0)
		return err_set(e, ERR_REMOTE, "%.100s: its #atproto_pds is not an AtprotoPersonalDataServer",
		    out->did);
	out->pds = endpoint != NULL ? plain_origin(endpoint, dev) : NULL;
	if (out->pds == NULL)
		return err_set(e, ERR_REMOTE, "%.100s: the address of its PDS is not https://host: %.100s", out->did,
		    endpoint != NULL ? endpoint : "missing");
	return 0;
}

int
did_parse(const char *p, size_t n, const char *did, bool dev, struct did_doc *out, struct err *e)
{
	struct did_doc doc = DID_DOC_INIT;
	const char *id;
	cJSON *tree;
	int rc = -1;

	tree = json_parse(p, n, JSON_DEPTH, e);
	if (tree == NULL) {
		if (e != NULL)
			e->kind = ERR_REMOTE;
		return err_wrap(e, "the document of %.100s", did);
	}
	id = json_string(tree, "id");
	if (id == NULL || strcmp(id, did) != 0) {
		err_set(e, ERR_REMOTE, "the document of %.100s is about %.100s", did, id != NULL ? id : "nobody");
		goto out;
	}
	doc.did = mem_str(did);
	read_handle(tree, &doc);
	if (read_key(tree, &doc, e) != 0 || read_pds(tree, dev, &doc, e) != 0)
		goto out;
	did_doc_clear(out);
	*out = doc;
	doc = (struct did_doc)DID_DOC_INIT;
	rc = 0;
out:
	did_doc_clear(&doc);
	cJSON_Delete(tree);
	return rc;
}

/* did:web:HOST or, for developers, did:web:localhost%3A1234. */
static void
web_url(const char *did, struct buf *url)
{
	const char *host = did + strlen("did:web:");
	size_t n = strcspn(host, "%");

	/* Nothing on this machine speaks TLS for "localhost". */
	buf_str(url, n == 9 && strncmp(host, "localhost", 9) == 0 ? "http://" : "https://");
	buf_add(url, host, n);
	if (host[n] == '%')
		buf_fmt(url, ":%s", host + n + 3);
	buf_str(url, "/.well-known/did.json");
}

int
did_resolve(struct http *h, const struct did_conf *c, const char *did, struct did_doc *out, struct err *e)
{
	struct http_reply reply = HTTP_REPLY_INIT;
	struct buf url = BUF_INIT, body = BUF_INIT;
	int rc = -1;

	if (!syntax_did_known(did, strlen(did), c->policy->dev))
		return err_set(e, ERR_INPUT, "%.100s is neither a did:plc nor a did:web of a public host", did);
	if (strncmp(did, "did:plc:", 8) == 0)
		buf_fmt(&url, "%s/%s", c->plc_url, did);
	else
		web_url(did, &url);
	if (http_get_buf(h, c->policy, url.data, "application/did+ld+json, application/json", c->limits, &body, &reply,
		e) != 0) {
		err_wrap(e, "resolve %.100s", did);
		goto out;
	}
	if (reply.status == 404) {
		err_named(e, ERR_NOTFOUND, "DidNotFound", "%.100s is not registered", did);
		goto out;
	}
	if (reply.status == 410) {
		err_named(e, ERR_NOTFOUND, "DidNotFound", "%.100s was given up by its owner", did);
		goto out;
	}
	if (reply.status < 200 || reply.status > 299) {
		err_set(e, ERR_REMOTE, "resolve %.100s: %.100s answers %d", did, url.data, reply.status);
		goto out;
	}
	rc = did_parse(body.data, body.len, did, c->policy->dev, out, e);
out:
	buf_clear(&url);
	buf_clear(&body);
	buf_clear(&reply.refusal);
	return rc;
}

/* --- handles --- */

/* Joins the chunks of one TXT record; they are how DNS carries more than 255 bytes. */
static void
join_chunks(const unsigned char *p, size_t n, struct buf *text)
{
	size_t at = 0;

	buf_reset(text);
	while (at < n) {
		size_t len = p[at++];
		if (len > n - at)
			return;
		buf_add(text, p + at, len);
		at += len;
	}
}

int
did_of_txt(const unsigned char *answer, int n, char **did, struct err *e)
{
	struct buf text = BUF_INIT;
	char *found = NULL;
	ns_msg m;
	int i, rc = -1;

	*did = NULL;
	if (n < NS_HFIXEDSZ || ns_initparse(answer, n, &m) != 0)
		return err_set(e, ERR_REMOTE, "a malformed DNS answer");
	for (i = 0; i < ns_msg_count(m, ns_s_an); i++) {
		ns_rr rr;

		if (ns_parserr(&m, ns_s_an, i, &rr) != 0)
			break;
		if (ns_rr_type(rr) != ns_t_txt || ns_rr_class(rr) != ns_c_in)
			continue;
		join_chunks(ns_rr_rdata(rr), ns_rr_rdlen(rr), &text);
		if (text.len < 4 || strncmp(text.data, "did=", 4) != 0 || !syntax_did(text.data + 4, text.len - 4))
			continue;
		if (found != NULL && strcmp(found, text.data + 4) != 0) {
			err_set(e, ERR_REMOTE, "the name has TXT records with different DIDs");
			goto out;
		}
		free(found);
		found = mem_str(text.data + 4);
	}
	if (found == NULL) {
		err_named(e, ERR_NOTFOUND, "HandleNotFound", "no TXT record with did=");
		goto out;
	}
	*did = found;
	found = NULL;
	rc = 0;
out:
	free(found);
	buf_clear(&text);
	return rc;
}

static int
ask_dns(const char *handle, char **did, struct err *e)
{
	unsigned char answer[8192];
	struct __res_state state;
	char name[SYNTAX_HANDLE_MAX + 12];
	int n;

	snprintf(name, sizeof name, "_atproto.%s", handle);
	memset(&state, 0, sizeof state);
	if (res_ninit(&state) != 0)
		return err_set(e, ERR_INTERNAL, "the DNS resolver of this machine does not start");
	/* Seconds a try and tries: a silent name server costs us six seconds, not its default of thirty. */
	state.retrans = 2;
	state.retry = 1;
	n = res_nquery(&state, name, ns_c_in, ns_t_txt, answer, sizeof answer);
	res_nclose(&state);
	if (n < 0)
		return err_named(e, ERR_NOTFOUND, "HandleNotFound", "%s: no TXT record", name);
	if (n > (int)sizeof answer)
		n = (int)sizeof answer;
	return did_of_txt(answer, n, did, e);
}

/* First line of a text, without the white space around it. */
static char *
first_line(const struct buf *b)
{
	const char *p = b->data;
	size_t n;

	p += strspn(p, " \t\r\n");
	n = strcspn(p, "\r\n");
	while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t'))
		n--;
	return mem_strn(p, n);
}

static int
ask_well_known(struct http *h, const struct did_conf *c, const char *handle, char **did, struct err *e)
{
	struct http_limits limits = *c->limits;
	struct http_reply reply = HTTP_REPLY_INIT;
	struct buf url = BUF_INIT, body = BUF_INIT;
	char *line = NULL;
	int rc = -1;

	limits.bytes = SYNTAX_DID_MAX;
	limits.bytes_key = "fixed";
	limits.redirects = 2; /* www.example.com and the like; every hop is checked */
	buf_fmt(&url, "https://%s/.well-known/atproto-did", handle);
	if (http_get_buf(h, c->policy, url.data, "text/plain", &limits, &body, &reply, e) != 0)
		goto out;
	line = first_line(&body);
	if (reply.status != 200 || !syntax_did(line, strlen(line))) {
		err_named(e, ERR_NOTFOUND, "HandleNotFound", "%s answers %d and no DID", url.data, reply.status);
		goto out;
	}
	*did = line;
	line = NULL;
	rc = 0;
out:
	free(line);
	buf_clear(&url);
	buf_clear(&body);
	buf_clear(&reply.refusal);
	return rc;
}

static int
ask_resolver(struct http *h, const struct did_conf *c, const char *handle, char **did, struct err *e)
{
	struct http_reply reply = HTTP_REPLY_INIT;
	struct buf url = BUF_INIT, body = BUF_INIT;
	cJSON *tree = NULL;
	const char *found;
	int rc = -1;

	buf_fmt(&url, "%s/xrpc/com.atproto.identity.resolveHandle?handle=%s", c->handle_resolver, handle);
	if (http_get_buf(h, c->policy, url.data, "application/json", c->limits, &body, &reply, e) != 0)
		goto out;
	if (reply.status == 400 || reply.status == 404) {
		err_named(e, ERR_NOTFOUND, "HandleNotFound", "%.60s does not know it", c->handle_resolver);
		goto out;
	}
	tree = reply.status == 200 ? json_parse(body.data, body.len, JSON_DEPTH, NULL) : NULL;
	found = json_string(tree, "did");
	if (found == NULL || !syntax_did(found, strlen(found))) {
		err_set(e, ERR_REMOTE, "%.60s (atproto.handle_resolver) answers %d and no DID", c->handle_resolver,
		    reply.status);
		goto out;
	}
	*did = mem_str(found);
	rc = 0;
out:
	cJSON_Delete(tree);
	buf_clear(&url);
	buf_clear(&body);
	buf_clear(&reply.refusal);
	return rc;
}

int
did_of_handle(struct http *h, const struct did_conf *c, const char *handle, char **did, struct err *e)
{
	struct err dns = ERR_INIT;

	*did = NULL;
	if (!syntax_handle_public(handle, strlen(handle), c->policy->dev))
		return err_set(e, ERR_INPUT, "%.100s is not a handle that can be looked up", handle);
	if (c->handle_resolver != NULL) {
		if (ask_resolver(h, c, handle, did, e) != 0)
			return err_wrap(e, "resolve the handle %.100s", handle);
		return 0;
	}
	if (ask_dns(handle, did, &dns) == 0)
		return 0;
	/* Records that contradict each other are an answer, and a bad one: the web does not overrule them. */
	if (dns.kind == ERR_REMOTE) {
		if (e != NULL)
			*e = dns;
		return err_wrap(e, "resolve the handle %.100s", handle);
	}
	if (ask_well_known(h, c, handle, did, e) != 0)
		return err_wrap(e, "resolve the handle %.100s: %.100s; and", handle, dns.text);
	return 0;
}
