/*
 * The table:
 *
 *     net     hosts, reached through the gate; behind `none` by the runtime's own flag, if it has one
 *     read    the bundle's own files, /tmp, and paths of the host that [grants] read or write names for it
 *     write   /tmp, and paths of the host that [grants] write names for it
 *     env     names that everybody may have, and those that [grants] env names for it, with the runner's own values
 *     run     programs, ffi foreign code, sys questions about the system: whatever the wall holds; behind `none` refused,
 *     ffi     for there they are the host's
 *     sys
 */
#include "backends/permit.h"

#include <stdio.h>
#include <string.h>

#include "backends/backend.h"
#include "backends/parts.h"
#include "lib/buf.h"
#include "lib/bundle.h"
#include "lib/conf.h"
#include "lib/egress.h"
#include "lib/err.h"
#include "lib/grant.h"
#include "lib/mem.h"

/* What of our own environment a bundle may ask for by name. */
static const char *const exported[] = { "PATH", "LANG", "LC_ALL", "TZ", "HOME", "TMPDIR" };

struct question {
	const struct conf *conf;
	const struct backend *wall;
	const struct task *task;
	const char *permission;
};

static int
refuse(const struct question *q, const char *value, const char *why, struct err *e)
{
	return err_named(e, ERR_DENIED, "PermissionNotGranted", "permissions.%s: '%.100s' is not granted by this runner: %s",
	    q->permission, value, why);
}

/* Values become parts of flags and rules: nothing in them may end the list or begin another flag. */
static int
permit_net(const struct question *q, const char *v, struct err *e)
{
	struct egress_rule rule;
	struct err why = ERR_INIT;

	if (egress_rule_parse(v, strlen(v), EGRESS_PORT, &rule, &why) != 0)
		return refuse(q, v, why.text, e);
	return 0;
}

static bool
is_scratch(const char *p)
{
	return strcmp(p, "/tmp") == 0 || (strncmp(p, "/tmp/", 5) == 0 && strstr(p, "..") == NULL);
}

static int
permit_path(const struct question *q, const char *v, struct err *e)
{
	const struct task *t = q->task;
	bool reads = strcmp(q->permission, "read") == 0;
	char why[120];

	if (is_scratch(v) || grant_path(&q->conf->grants.write, t->author, t->name, v) != NULL)
		return 0;
	if (reads && (strcmp(v, ".") == 0 || bundle_path_ok(v, strlen(v)) ||
	    grant_path(&q->conf->grants.read, t->author, t->name, v) != NULL))
		return 0;
	snprintf(why, sizeof why, "without grants.%s there are /tmp%s", q->permission,
	    reads ? " and the bundle's own files" : " and nothing else");
	return refuse(q, v, why, e);
}

static int
permit_env(const struct question *q, const char *v, struct err *e)
{
	size_t i;

	for (i = 0; i < sizeof exported / sizeof exported[0]; i++)
		if (strcmp(exported[i], v) == 0)
			return 0;
	if (grant_name(&q->conf->grants.env, q->task->author, q->task->name, v))
		return 0;
	return refuse(q, v, "it is not exported, and grants.env does not name it for this bundle", e);
}

static int
permit_inside(const struct question *q, const char *v, struct err *e)
{
	char why[80];

	if (q->wall->closed)
		return 0;
	snprintf(why, sizeof why, "the wall '%s' cannot hold it", q->wall->name);
	return refuse(q, v, why, e);
}

int
backend_permit(const struct backend *wall, const struct conf *c, const struct task *t, struct err *e)
{
	const struct bundle *b = t->bundle;
	const struct {
		const char *name;
		const struct conf_list *asked;
		int (*fn)(const struct question *q, const char *value, struct err *e);
	} table[] = {
		{ "net", &b->permissions.net, permit_net },
		{ "read", &b->permissions.read, permit_path },
		{ "write", &b->permissions.write, permit_path },
		{ "env", &b->permissions.env, permit_env },
		{ "run", &b->permissions.run, permit_inside },
		{ "ffi", &b->permissions.ffi, permit_inside },
		{ "sys", &b->permissions.sys, permit_inside },
	};
	size_t i, k;

	for (i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct question q = { c, wall, t, table[i].name };

		for (k = 0; k < table[i].asked->n; k++)
			if (table[i].fn(&q, table[i].asked->item[k], e) != 0)
				return -1;
	}
	return 0;
}

/* --- paths of the host --- */

static void
add_once(struct conf_list *l, const char *path)
{
	size_t i;

	for (i = 0; i < l->n && strcmp(l->item[i], path) != 0; i++)
		;
	if (i == l->n)
		parts_add(l, mem_str(path));
}

void
permit_paths(const struct conf *c, const struct task *t, struct conf_list *read, struct conf_list *write)
{
	const struct bundle *b = t->bundle;
	const char *path;
	size_t i;

	if (b == NULL)
		return;
	for (i = 0; i < b->permissions.write.n; i++)
		if ((path = grant_path(&c->grants.write, t->author, t->name, b->permissions.write.item[i])) != NULL)
			add_once(write, path);
	for (i = 0; i < b->permissions.read.n; i++)
		if ((path = grant_path(&c->grants.read, t->author, t->name, b->permissions.read.item[i])) != NULL ||
		    (path = grant_path(&c->grants.write, t->author, t->name, b->permissions.read.item[i])) != NULL)
			add_once(read, path);
}

void
permit_key(const struct conf *c, const struct task *t, struct buf *out)
{
	struct conf_list read = { NULL, 0 }, write = { NULL, 0 };
	size_t i;

	permit_paths(c, t, &read, &write);
	for (i = 0; i < read.n; i++)
		buf_fmt(out, "read=%s;", read.item[i]);
	for (i = 0; i < write.n; i++)
		buf_fmt(out, "write=%s;", write.item[i]);
	parts_clear(&read);
	parts_clear(&write);
}
