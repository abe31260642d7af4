/*
 * The wall that is hardly one: the process itself, the runtime's own flags, Landlock where the kernel has it, rlimits.
 * For --dev and for authors on their own machine.  What it can promise is small, so it refuses what it cannot hold:
 * paths of the host by the author's word, and run, ffi, sys.  What a runtime cannot enforce of `net` (node, python
 * have no flag for it) is granted silently: who chose this wall trusts the code as himself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>

#include "backends/backend.h"
#include "backends/backends.h"
#include "backends/runtime.h"
#include "lib/buf.h"
#include "lib/bundle.h"
#include "lib/err.h"
#include "lib/mem.h"

#define PATH_ENV "/usr/local/bin:/usr/bin:/bin"

/* Readable below this wall, so that runtimes find themselves; nobody's home, no keys, no ledger. */
static const char *const system_paths[] = { "/usr", "/bin", "/lib", "/lib64", "/opt", "/nix/store", "/proc", "/sys", "/dev",
	"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld.so.preload", "/etc/alternatives", "/etc/ssl",
	"/etc/pki", "/etc/ca-certificates", "/etc/localtime", "/etc/timezone", "/etc/resolv.conf", "/etc/hosts",
	"/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services", "/etc/protocols", "/etc/passwd",
	"/etc/group", "/etc/mime.types", "/etc/os-release", "/etc/python3", "/etc/nodejs", "/run/systemd/resolve" };
static const char *const device_paths[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/shm" };

/* What of our own environment a bundle may ask for by name. */
static const char *const exported[] = { "PATH", "LANG", "LC_ALL", "TZ", "HOME", "TMPDIR" };

static int
none_probe(const struct conf *c, struct err *e)
{
	(void)c;
	(void)e;
	return 0;
}

static void
list_add(struct conf_list *l, char *s /* taken over */)
{
	l->item = mem_grow(l->item, (l->n + 1) * sizeof(char *));
	l->item[l->n++] = s;
}

static const char *
flag_of(const struct runtime *r, const char *name)
{
	size_t i;

	for (i = 0; i < r->permission_flags.n; i++)
		if (strcmp(r->permission_flags.item[i].key, name) == 0)
			return r->permission_flags.item[i].value;
	return NULL;
}

static void
join(struct buf *out, const struct conf_list *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		buf_fmt(out, "%s%s", out->len > 0 ? "," : "", l->item[i]);
}

/* "--allow-net={}" with the values; without values no flag at all, and with "*" the bare flag: everything. */
static void
add_flag(struct conf_list *argv, const char *flag, const char *values)
{
	const char *hole = flag != NULL ? strstr(flag, "{}") : NULL;

	if (flag == NULL || values == NULL || values[0] == '\0')
		return;
	if (hole == NULL)
		list_add(argv, mem_str(flag));
	else if (strcmp(values, "*") == 0 && hole > flag && hole[-1] == '=')
		list_add(argv, mem_strn(flag, (size_t)(hole - flag - 1)));
	else
		list_add(argv, mem_fmt("%.*s%s%s", (int)(hole - flag), flag, values, hole + 2));
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

static void
add_permission(struct conf_list *argv, const struct runtime *r, const char *name, const char *own,
    const struct conf_list *asked)
{
	struct buf values = BUF_INIT;

	if (wants_all(asked)) {
		buf_char(&values, '*');
	} else {
		if (own != NULL)
			buf_str(&values, own);
		if (asked != NULL)
			join(&values, asked);
	}
	add_flag(argv, flag_of(r, name), values.data);
	buf_clear(&values);
}

/* In a definition's flags: {dir} the instance's directory, {executor} the executor's, {memory} MiB. */
static char *
fill_flag(const struct conf *c, const struct task *t, const char *flag)
{
	struct buf b = BUF_INIT;

	while (*flag != '\0') {
		if (strncmp(flag, "{dir}", 5) == 0) {
			buf_str(&b, t->dir);
			flag += 5;
		} else if (strncmp(flag, "{executor}", 10) == 0) {
			buf_str(&b, t->runtime->dir);
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

/* A socket's path has little room; the process stands in the directory, so the short name finds it too. */
static char *
socket_arg(const struct task *t)
{
	struct sockaddr_un a;

	if (strlen(t->dir) + sizeof "/sock" <= sizeof a.sun_path)
		return mem_fmt("%s/sock", t->dir);
	return mem_str("sock");
}

static void
plan_argv(const struct conf *c, const struct task *t, struct conf_list *argv)
{
	const struct runtime *r = t->runtime;
	const struct bundle *b = t->bundle;
	char *sock = socket_arg(t), *reads, *writes, *memory, *unix_net = mem_fmt("unix:%s/sock", t->dir);
	size_t i;

	reads = mem_fmt("%s,%s,/tmp", t->dir, r->dir);
	writes = mem_fmt("%s/tmp,%s/sock,/tmp", t->dir, t->dir);
	memory = mem_fmt("%lld", (long long)(c->limits.memory >> 20));
	list_add(argv, mem_str(r->program));
	for (i = 0; i < r->flags.n; i++)
		list_add(argv, fill_flag(c, t, r->flags.item[i]));
	add_permission(argv, r, "memory", memory, NULL);
	add_permission(argv, r, "read", reads, NULL);
	add_permission(argv, r, "write", writes, NULL);
	/* deno counts its own socket as net. */
	add_permission(argv, r, "net", unix_net, b != NULL ? &b->permissions.net : NULL);
	add_permission(argv, r, "env", NULL, b != NULL ? &b->permissions.env : NULL);
	list_add(argv, mem_str(r->executor));
	list_add(argv, sock);
	free(reads);
	free(writes);
	free(memory);
	free(unix_net);
}

static void
plan_env(const struct conf *c, const struct task *t, struct conf_list *env)
{
	list_add(env, mem_str("PATH=" PATH_ENV));
	list_add(env, mem_str("LANG=C.UTF-8"));
	list_add(env, mem_fmt("HOME=%s/tmp", t->dir));
	list_add(env, mem_fmt("TMPDIR=%s/tmp", t->dir));
	/* By this mark the next scheduler finds what a killed one left. */
	list_add(env, mem_fmt("AT_RUND_INSTANCE=%s:%lld", c->home, (long long)t->instance));
	list_add(env, mem_fmt("DENO_DIR=%s/tmp/deno", t->dir));
	list_add(env, mem_str("DENO_NO_UPDATE_CHECK=1"));
	list_add(env, mem_str("PYTHONDONTWRITEBYTECODE=1"));
}

static void
add_limit(struct plan *p, int resource, int64_t value)
{
	if (value > 0 || resource == RLIMIT_CORE)
		p->limit[p->limits++] = (struct plan_limit){ resource, (uint64_t)value };
}

/*
 * No RLIMIT_AS or DATA: V8 reserves address space by the gigabyte.  No RLIMIT_NPROC: it counts all processes of the
 * user, the scheduler's own among them.  Memory is bounded by the runtime's own flag, the rest by stronger walls.
 */
static void
plan_limits(const struct conf *c, struct plan *p)
{
	add_limit(p, RLIMIT_CORE, 0);
	add_limit(p, RLIMIT_NOFILE, c->limits.files);
	add_limit(p, RLIMIT_FSIZE, c->limits.scratch);
}

static void
plan_landlock(const struct task *t, struct plan *p)
{
	char *prefix = mem_str(t->runtime->program), *slash;
	size_t i;

	p->landlock = true;
	for (i = 0; i < sizeof system_paths / sizeof system_paths[0]; i++)
		list_add(&p->read_only, mem_str(system_paths[i]));
	/* A runtime outside of /usr brings its files along: PREFIX/bin/python3, PREFIX/lib/python3.12. */
	for (i = 0; i < 2; i++)
		if ((slash = strrchr(prefix, '/')) != NULL)
			*slash = '\0';
	if (prefix[0] == '/' && prefix[1] != '\0')
		list_add(&p->read_only, mem_str(prefix));
	list_add(&p->read_only, mem_str(t->runtime->program));
	list_add(&p->read_only, mem_str(t->runtime->dir));
	/* Code that executors share lies beside their directories (backends/runtimes/js). */
	list_add(&p->read_only, mem_fmt("%s/../js", t->runtime->dir));
	list_add(&p->read_only, mem_str(t->dir));
	list_add(&p->read_write, mem_fmt("%s/tmp", t->dir));
	list_add(&p->read_write, mem_str("/tmp"));
	for (i = 0; i < sizeof device_paths / sizeof device_paths[0]; i++)
		list_add(&p->read_write, mem_str(device_paths[i]));
	free(prefix);
}

static int
none_plan(const struct conf *c, const struct task *t, struct plan *p, struct err *e)
{
	const struct runtime *r = t->runtime;

	if (r->program == NULL || r->executor == NULL || r->missing != NULL)
		return err_set(e, ERR_INTERNAL, "runtime %s cannot run here: %s", r->name,
		    r->missing != NULL ? r->missing : "its program is not installed");
	plan_argv(c, t, &p->argv);
	plan_env(c, t, &p->env);
	p->cwd = mem_str(t->dir);
	plan_limits(c, p);
	plan_landlock(t, p);
	return 0;
}

/* Permissions that are flags of the process must be known when it starts. */
static void
none_key(const struct conf *c, const struct runtime *r, const struct bundle *b, struct buf *out)
{
	struct buf values = BUF_INIT;

	(void)c;
	buf_str(out, "");
	if (b == NULL)
		return;
	if (flag_of(r, "net") != NULL && b->permissions.net.n > 0) {
		join(&values, &b->permissions.net);
		buf_fmt(out, "net=%s;", values.data);
	}
	buf_reset(&values);
	if (flag_of(r, "env") != NULL && b->permissions.env.n > 0) {
		join(&values, &b->permissions.env);
		buf_fmt(out, "env=%s;", values.data);
	}
	buf_clear(&values);
}

static int
not_granted(struct err *e, const char *permission, const char *value, const char *why)
{
	return err_named(e, ERR_DENIED, "PermissionNotGranted", "permissions.%s: '%.100s' is not granted by this runner: %s",
	    permission, value, why);
}

/* Relative paths are the bundle's own; /tmp is there for everybody. */
static int
permit_paths(const char *permission, const struct conf_list *l, bool own, struct err *e)
{
	size_t i;

	for (i = 0; i < l->n; i++) {
		const char *p = l->item[i];

		if (strcmp(p, "/tmp") == 0 || (strncmp(p, "/tmp/", 5) == 0 && strstr(p, "..") == NULL))
			continue;
		if (own && (strcmp(p, ".") == 0 || bundle_path_ok(p, strlen(p))))
			continue;
		return not_granted(e, permission, p, "the wall 'none' grants /tmp and the bundle's own files");
	}
	return 0;
}

/* Values become parts of flags: nothing in them may end the list or begin another flag. */
static int
permit_net(const struct conf_list *l, struct err *e)
{
	size_t i;

	for (i = 0; i < l->n; i++) {
		const char *p = l->item[i];

		if (p[0] == '\0' || p[0] == '-' || p[strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		    "0123456789.-_:*[]")] != '\0')
			return not_granted(e, "net", p, "it is no host or host:port");
	}
	return 0;
}

static int
permit_env(const struct conf_list *l, struct err *e)
{
	size_t i, k, n = sizeof exported / sizeof exported[0];

	for (i = 0; i < l->n; i++) {
		for (k = 0; k < n && strcmp(exported[k], l->item[i]) != 0; k++)
			;
		if (k == n)
			return not_granted(e, "env", l->item[i], "it is not exported");
	}
	return 0;
}

static int
none_permit(const struct conf *c, const struct runtime *r, const struct bundle *b, struct err *e)
{
	static const char why[] = "the wall 'none' cannot hold it";

	(void)c;
	(void)r;
	if (b->permissions.run.n > 0)
		return not_granted(e, "run", b->permissions.run.item[0], why);
	if (b->permissions.ffi.n > 0)
		return not_granted(e, "ffi", b->permissions.ffi.item[0], why);
	if (b->permissions.sys.n > 0)
		return not_granted(e, "sys", b->permissions.sys.item[0], why);
	if (permit_net(&b->permissions.net, e) != 0 || permit_env(&b->permissions.env, e) != 0 ||
	    permit_paths("read", &b->permissions.read, true, e) != 0)
		return -1;
	return permit_paths("write", &b->permissions.write, false, e);
}

static void
none_clean(const struct conf *c, const struct task *t)
{
	(void)c;
	bundle_remove(t->dir, NULL);
}

const struct backend backend_none = {
	.name = "none", .probe = none_probe, .plan = none_plan, .key = none_key, .permit = none_permit, .clean = none_clean,
};
