#include "backends/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "backends/backend.h"
#include "backends/runtime.h"
#include "lib/buf.h"
#include "lib/bundle.h"
#include "lib/err.h"
#include "lib/mem.h"

/* What of our own environment a bundle may ask for by name. */
static const char *const exported[] = { "PATH", "LANG", "LC_ALL", "TZ", "HOME", "TMPDIR" };

void
parts_add(struct conf_list *l, char *s /* taken over */)
{
	l->item = mem_grow(l->item, (l->n + 1) * sizeof(char *));
	l->item[l->n++] = s;
}

const char *
parts_flag(const struct runtime *r, const char *name)
{
	size_t i;

	for (i = 0; i < r->permission_flags.n; i++)
		if (strcmp(r->permission_flags.item[i].key, name) == 0)
			return r->permission_flags.item[i].value;
	return NULL;
}

void
parts_join(struct buf *out, const struct conf_list *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		buf_fmt(out, "%s%s", out->len > 0 ? "," : "", l->item[i]);
}

/* "--allow-net={}" with the values; without values no flag at all, and with "*" the bare flag: everything. */
void
parts_add_flag(struct conf_list *argv, const char *flag, const char *values)
{
	const char *hole = flag != NULL ? strstr(flag, "{}") : NULL;

	if (flag == NULL || values == NULL || values[0] == '\0')
		return;
	if (hole == NULL)
		parts_add(argv, mem_str(flag));
	else if (strcmp(values, "*") == 0 && hole > flag && hole[-1] == '=')
		parts_add(argv, mem_strn(flag, (size_t)(hole - flag - 1)));
	else
		parts_add(argv, mem_fmt("%.*s%s%s", (int)(hole - flag), flag, values, hole + 2));
}

/* "*" anywhere in a list is all of it. */
static bool
wants_all(const struct conf_list *l)
{
	size_t i;

	for (i = 0; l != NULL && i < l->n; i++)
		if (strcmp(l->item[i], "*") == 0)
			return true;
	return false;
}

void
parts_add_permission(struct conf_list *argv, const struct runtime *r, const char *name, const char *own,
    const struct conf_list *asked)
{
	struct buf values = BUF_INIT;

	if (wants_all(asked)) {
		buf_char(&values, '*');
	} else {
		if (own != NULL)
			buf_str(&values, own);
		if (asked != NULL)
			parts_join(&values, asked);
	}
	parts_add_flag(argv, parts_flag(r, name), values.data);
	buf_clear(&values);
}

/* In a definition's flags: {dir} the instance's directory, {executor} the executor's, {memory} MiB. */
char *
parts_fill_flag(const struct conf *c, const char *dir, const char *executor_dir, const char *flag)
{
	struct buf b = BUF_INIT;

	while (*flag != '\0') {
		if (strncmp(flag, "{dir}", 5) == 0) {
			buf_str(&b, dir);
			flag += 5;
		} else if (strncmp(flag, "{executor}", 10) == 0) {
			buf_str(&b, executor_dir);
			flag += 10;
		} else if (strncmp(flag, "{memory}", 8) == 0) {
			buf_fmt(&b, "%lld", (long long)(c->limits.memory >> 20));
			flag += 8;
		} else {
			buf_char(&b, *flag++);
		}
	}
	return buf_take(&b);
}

void
parts_limit(struct plan *p, int resource, int64_t value)
{
	if (value > 0 || resource == RLIMIT_CORE)
		p->limit[p->limits++] = (struct plan_limit){ resource, (uint64_t)value };
}

int
parts_not_granted(struct err *e, const char *permission, const char *value, const char *why)
{
	return err_named(e, ERR_DENIED, "PermissionNotGranted", "permissions.%s: '%.100s' is not granted by this runner: %s",
	    permission, value, why);
}

/* Relative paths are the bundle's own; /tmp is there for everybody. */
int
parts_permit_paths(const char *wall, const char *permission, const struct conf_list *l, bool own, struct err *e)
{
	char mine[80];
	size_t i;

	snprintf(mine, sizeof mine, "the wall '%s' grants /tmp and the bundle's own files", wall);
	for (i = 0; i < l->n; i++) {
		const char *p = l->item[i];

		if (strcmp(p, "/tmp") == 0 || (strncmp(p, "/tmp/", 5) == 0 && strstr(p, "..") == NULL))
			continue;
		if (own && (strcmp(p, ".") == 0 || bundle_path_ok(p, strlen(p))))
			continue;
		return parts_not_granted(e, permission, p, mine);
	}
	return 0;
}

/* Values become parts of flags: nothing in them may end the list or begin another flag. */
int
parts_permit_net(const struct conf_list *l, struct err *e)
{
	size_t i;

	for (i = 0; i < l->n; i++) {
		const char *p = l->item[i];

		if (p[0] == '\0' || p[0] == '-' || p[strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		    "0123456789.-_:*[]")] != '\0')
			return parts_not_granted(e, "net", p, "it is no host or host:port");
	}
	return 0;
}

int
parts_permit_env(const struct conf_list *l, struct err *e)
{
	size_t i, k, n = sizeof exported / sizeof exported[0];

	for (i = 0; i < l->n; i++) {
		for (k = 0; k < n && strcmp(exported[k], l->item[i]) != 0; k++)
			;
		if (k == n)
			return parts_not_granted(e, "env", l->item[i], "it is not exported");
	}
	return 0;
}
