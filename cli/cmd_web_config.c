/*
 * web-config: the lines that put this runner behind a web server.  They stand as templates in contrib/web/, and are
 * filled with what the config says, so that what is printed works as it is.
 */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "cli/place.h"
#include "cli/template.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"

enum { SLACK_S = 30, WAIT_MIN_S = 60, KIB = 1024, SLACK_KIB = 2048 };

static const char *const kinds[] = { "lighttpd", "nginx", "caddy", "apache", "cgi", "htaccess", "htaccess-fcgid",
	"htaccess-cgi", NULL };

static int
known(const struct cli *c, const char *kind)
{
	struct buf all = BUF_INIT;
	int code = EX_USAGE;

	for (int i = 0; kinds[i] != NULL && code != 0; i++) {
		if (strcmp(kinds[i], kind) == 0)
			code = 0;
		buf_fmt(&all, "%s%s", i > 0 ? ", " : "", kinds[i]);
	}
	if (code != 0)
		cli_usage(c, "no snippet for %.60s; there are: %s", kind, all.data);
	buf_clear(&all);
	return code;
}

/* A base path inside a regular expression. */
static void
escaped(struct buf *out, const char *s)
{
	buf_str(out, "");
	for (; *s != '\0'; s++) {
		if (*s == '.')
			buf_char(out, '\\');
		buf_char(out, *s);
	}
}

/* What a snippet may say, as text.  Everything a struct holds is on the heap. */
struct values {
	char *socket, *libdir, *home, *config, *site, *request_kib, *request_bytes, *wait_s;
	char request[32], timeout[32];
	struct buf base_re;
	const char *did; /* where the DID document must be found too: "", or its path */
};

static void
values_clear(struct values *v)
{
	free(v->socket);
	free(v->libdir);
	free(v->home);
	free(v->config);
	free(v->site);
	free(v->request_kib);
	free(v->request_bytes);
	free(v->wait_s);
	buf_clear(&v->base_re);
}

static int
values_set(struct values *v, const struct conf *c, const char *base, struct err *e)
{
	char *door = place_program("at-rund.fcgi", e);
	int64_t kib = (c->limits.request + KIB - 1) / KIB + SLACK_KIB, wait_s = (c->limits.timeout + 999) / 1000 + SLACK_S;
	const char *url = c->web.public_url, *host = url != NULL ? strstr(url, "://") : NULL;

	if (door == NULL)
		return -1;
	v->socket = mem_str(c->web.listen);
	v->libdir = mem_strn(door, (size_t)(strrchr(door, '/') - door));
	v->home = mem_str(c->home);
	v->config = c->file != NULL ? mem_str(c->file) : mem_fmt("%s/config.ini", c->home);
	v->site = host != NULL ? mem_strn(url, (size_t)(host + 3 - url) + strcspn(host + 3, "/")) : mem_str("runner.example.com");
	v->request_kib = mem_fmt("%lld", (long long)kib);
	v->request_bytes = mem_fmt("%lld", (long long)(kib * KIB));
	v->wait_s = mem_fmt("%lld", (long long)(wait_s < WAIT_MIN_S ? WAIT_MIN_S : wait_s));
	conf_size_print(c->limits.request, v->request);
	conf_duration_print(c->limits.timeout, v->timeout);
	escaped(&v->base_re, base);
	/* A did:web is looked for at the root of its host, below which base path ever the runner is. */
	v->did = base[0] != '\0' && c->did != NULL && strncmp(c->did, "did:web:", 8) == 0 ? "/.well-known/did.json" : "";
	free(door);
	return 0;
}

/* Web servers quote in ways of their own; a path that needs quotes would be right in one and wrong in another. */
static int
plain(const struct values *v, struct err *e)
{
	const char *const paths[] = { v->socket, v->libdir, v->home, v->config, v->site };

	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
		if (!template_plain(paths[i]))
			return err_set(e, ERR_INPUT, "%s: web servers would read spaces and signs in it otherwise than you mean; "
			    "choose a home, or a web.listen, of letters, digits and . _ - /", paths[i]);
	}
	return 0;
}

static int
fill(const struct conf *c, const char *kind, const char *base, struct buf *out, struct err *e)
{
	struct values v = { .base_re = BUF_INIT };
	char *name = mem_fmt("web/%s.conf", kind);
	int rc = -1;

	if (values_set(&v, c, base, e) == 0 && plain(&v, e) == 0) {
		const struct template_var vars[] = {
			{ "BASE", base }, { "BASE_RE", v.base_re.data }, { "MOUNT", base[0] != '\0' ? base : "/" },
			{ "SOCKET", v.socket }, { "MODE", c->web.listen_mode }, { "SITE", v.site },
			{ "LIBDIR", v.libdir }, { "HOME", v.home }, { "CONFIG", v.config },
			{ "REQUEST", v.request }, { "REQUEST_KIB", v.request_kib }, { "REQUEST_BYTES", v.request_bytes },
			{ "DID", v.did }, { "STREAM", c->web.stream_requests ? "yes" : "" },
			{ "TIMEOUT", v.timeout }, { "WAIT_S", v.wait_s }, { NULL, NULL },
		};

		rc = template_load(name, vars, out, e);
	}
	values_clear(&v);
	free(name);
	return rc;
}

static void
print(const struct cli *c, const char *kind, const char *base, const struct buf *text)
{
	struct buf b = BUF_INIT;

	if (!c->json) {
		fputs(text->data, stdout);
		return;
	}
	buf_fmt(&b, "{\"server\":\"%s\",\"base\":", kind);
	buf_json_str(&b, base);
	buf_str(&b, ",\"text\":");
	buf_json(&b, text->data, text->len);
	buf_str(&b, "}");
	puts(b.data);
	buf_clear(&b);
}

int
cmd_web_config(struct cli *c)
{
	const char *kind = c->arg[0], *base = cli_option(c, "base");
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	struct conf *conf;
	int code = known(c, kind);

	if (code != 0 || (conf = cli_conf(c, true, &code)) == NULL)
		return code;
	if (base == NULL || strcmp(base, "/") == 0)
		base = base == NULL ? conf->web.base_path : "";
	if (!conf_base_ok(base))
		code = cli_usage(c, "--base: expected a path such as /run, not %.60s", base);
	else if (fill(conf, kind, base, &out, &e) != 0)
		code = cli_fail(c, &e);
	else
		print(c, kind, base, &out);
	if (code == 0 && strcmp(base, conf->web.base_path) != 0)
		cli_say(c, "the config says web.base_path = %s; both must be the same", conf->web.base_path[0] != '\0' ?
		    conf->web.base_path : "(nothing)");
	buf_clear(&out);
	conf_free(conf);
	return code;
}
