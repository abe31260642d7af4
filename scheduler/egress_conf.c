#include "scheduler/egress_conf.h"

#include <stdlib.h>
#include <string.h>

#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"

static int
fill_rules(const struct conf_list *l, const char *key, struct egress_rule **out, size_t *n, struct err *e)
{
	*out = mem_array(l->n + 1, sizeof **out);
	for (*n = 0; *n < l->n; (*n)++)
		if (egress_rule_parse(l->item[*n], strlen(l->item[*n]), 0, &(*out)[*n], e) != 0)
			return err_wrap(e, "%s", key);
	return 0;
}

static int
fill_ports(struct egress_conf *out, const struct conf_list *l, struct err *e)
{
	for (; out->port_count < l->n; out->port_count++) {
		char *end;
		long port = strtol(l->item[out->port_count], &end, 10);

		if (port < 1 || port > 65535 || *end != '\0' || out->port_count == sizeof out->ports / sizeof out->ports[0])
			return err_set(e, ERR_INPUT, "egress.ports: %.40s is not a port, or one too many", l->item[out->port_count]);
		out->ports[out->port_count] = (int)port;
	}
	return 0;
}

int
egress_conf_fill(struct egress_conf *out, const struct conf *c, struct err *e)
{
	struct egress_rule resolver;
	size_t i;

	memset(out, 0, sizeof *out);
	out->connections = c->egress.connections;
	out->connect_ms = c->egress.connect_timeout;
	out->idle_ms = c->egress.idle;
	out->total_ms = c->egress.total;
	if (fill_rules(&c->egress.allow, "egress.allow", &out->allow, &out->allows, e) != 0 ||
	    fill_rules(&c->egress.deny, "egress.deny", &out->deny, &out->denies, e) != 0 ||
	    fill_ports(out, &c->egress.ports, e) != 0)
		return -1;
	out->nets = mem_array(c->egress.allow_private.n + 1, sizeof *out->nets);
	for (i = 0; i < c->egress.allow_private.n; i++)
		if (egress_net_parse(c->egress.allow_private.item[i], &out->nets[out->net_count++], e) != 0)
			return err_wrap(e, "egress.allow_private");
	if (c->egress.resolver == NULL)
		return 0;
	if (egress_rule_parse(c->egress.resolver, strlen(c->egress.resolver), 53, &resolver, e) != 0)
		return err_wrap(e, "egress.resolver");
	out->resolver = resolver.host;
	out->resolver_port = resolver.port;
	return 0;
}

void
egress_conf_clear(struct egress_conf *c)
{
	free(c->allow);
	free(c->deny);
	free(c->nets);
	memset(c, 0, sizeof *c);
}

bool
egress_conf_any(const struct egress_rule *r, size_t n, const struct egress_host *h, int port)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (egress_rule_allows(&r[i], h, port))
			return true;
	return false;
}

int
egress_conf_permits(const struct egress_conf *c, const struct egress_host *h, int port, struct err *e)
{
	size_t i;

	if (egress_conf_any(c->deny, c->denies, h, port))
		return err_set(e, ERR_DENIED, "the operator's egress.deny forbids %s:%d", h->text, port);
	if (c->allows > 0 && !egress_conf_any(c->allow, c->allows, h, port))
		return err_set(e, ERR_DENIED, "%s:%d is not in the operator's egress.allow", h->text, port);
	for (i = 0; i < c->port_count && c->ports[i] != port; i++)
		;
	if (c->port_count > 0 && i == c->port_count)
		return err_set(e, ERR_DENIED, "port %d is not in the operator's egress.ports", port);
	return 0;
}
