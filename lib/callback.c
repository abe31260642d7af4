#include "lib/callback.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/conf.h"
#include "lib/err.h"
#include "lib/syntax.h"

#define NAME "CallbackInvalid"

static int
invalid(struct err *e, const char *why)
{
	return err_named(e, ERR_INPUT, NAME, "At-Run-Callback: %s", why);
}

/* What a URL holds as it stands; '#' would begin a fragment, which is for browsers. */
static bool
bytes_ok(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s <= ' ' || (unsigned char)*s >= 0x7f || strchr("\"#<>\\^`{|}", *s) != NULL)
			return false;
	return true;
}

static bool
is_local(const struct egress_host *h)
{
	return strcmp(h->text, "localhost") == 0 || strcmp(h->text, "::1") == 0 ||
	    (h->family == AF_INET && strncmp(h->text, "127.", 4) == 0);
}

static int
parse_port(const char *s, size_t n, int *port)
{
	if (n < 1 || n > 5 || s[0] == '0' || strspn(s, "0123456789") < n)
		return -1;
	*port = (int)strtol(s, NULL, 10);
	return *port >= 1 && *port <= 65535 ? 0 : -1;
}

static int
parse_host(const char *s, size_t n, bool dev, struct callback_url *out, struct err *e)
{
	const char *colon = memrchr(s, ':', n), *bracket = memrchr(s, ']', n);
	size_t host = colon != NULL && (bracket == NULL || colon > bracket) ? (size_t)(colon - s) : n;
	struct err why = ERR_INIT;

	if (host < n && parse_port(colon + 1, n - host - 1, &out->port) != 0)
		return invalid(e, "its port is none");
	if (host > 0 && s[host - 1] == '.')
		return invalid(e, "a host without a dot at its end is expected");
	if (memchr(s, ':', host) != NULL && (host != 5 || memcmp(s, "[::1]", 5) != 0))
		return invalid(e, "an address does not name a public host");
	if (egress_host_parse(s, host, &out->host, &why) != 0)
		return err_named(e, ERR_INPUT, NAME, "At-Run-Callback: %.200s", why.text);
	out->local = is_local(&out->host);
	if (dev && out->local)
		return 0;
	if (out->local || out->host.family != 0 || !syntax_handle_public(out->host.text, strlen(out->host.text), dev))
		return err_named(e, ERR_INPUT, NAME, "At-Run-Callback: %.100s is not the name of a public host%s", out->host.text,
		    out->local ? " (loopback is for --dev)" : "");
	return 0;
}

int
callback_url_parse(const char *s, bool dev, struct callback_url *out, struct err *e)
{
	bool plain = strncmp(s, "http://", 7) == 0;
	size_t n;

	memset(out, 0, sizeof *out);
	if (strlen(s) > CALLBACK_URL_MAX)
		return err_named(e, ERR_INPUT, NAME, "At-Run-Callback is longer than %d bytes", CALLBACK_URL_MAX);
	if (!bytes_ok(s))
		return invalid(e, "a URL has visible ASCII characters, none of them \" # < > \\ ^ ` { | }");
	if (plain && !dev)
		return invalid(e, "only https is called back (http is for --dev)");
	if (!plain && strncmp(s, "https://", 8) != 0)
		return invalid(e, "expected a URL such as https://host/path");
	out->port = plain ? 80 : EGRESS_PORT;
	s += plain ? 7 : 8;
	n = strcspn(s, "/?");
	if (memchr(s, '@', n) != NULL)
		return invalid(e, "a user name does not belong into it");
	if (s[n] != '/')
		return invalid(e, "expected a path behind the host, be it /");
	return parse_host(s, n, dev, out, e);
}

bool
callback_listed(const struct conf_list *rules, const struct callback_url *u, bool all)
{
	struct egress_rule r;
	size_t i;

	for (i = 0; i < rules->n; i++)
		if (egress_rule_parse(rules->item[i], strlen(rules->item[i]), EGRESS_PORT, &r, NULL) == 0 && (all || !r.all) &&
		    egress_rule_allows(&r, &u->host, u->port))
			return true;
	return false;
}

bool
callback_own(const char *did, const struct callback_url *u)
{
	char port[8];
	const char *host = did != NULL && strncmp(did, "did:web:", 8) == 0 ? did + 8 : NULL;
	size_t n = strlen(u->host.text);

	if (host == NULL || strncmp(host, u->host.text, n) != 0)
		return false;
	snprintf(port, sizeof port, "%%3A%d", u->port);
	return strcmp(host + n, port) == 0 || (host[n] == '\0' && u->port == EGRESS_PORT);
}
