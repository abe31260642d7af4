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
#include <sys/socket.h>
#include <sys/un.h>

#include "backends/backend.h"
#include "backends/backends.h"
#include "backends/parts.h"
#include "backends/permit.h"
#include "backends/runtime.h"
#include "lib/buf.h"
#include "lib/bundle.h"
#include "lib/egress.h"
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

static int
none_probe(const struct conf *c, struct err *e)
{
	(void)c;
	(void)e;
	return 0;
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

/* Hosts with their ports: without one the runtime would mean all ports, and we mean one. */
static void
add_rules(const struct bundle *b, struct conf_list *out)
{
	struct egress_rule r;
	size_t i;

	for (i = 0; b != NULL && i < b->permissions.net.n; i++) {
		const char *s = b->permissions.net.item[i];

		if (egress_rule_parse(s, strlen(s), EGRESS_PORT, &r, NULL) != 0)
			continue; /* permit_check has refused it */
		if (r.all)
			parts_add(out, mem_str("*"));
		else
			parts_add(out, mem_fmt(r.host.family == AF_INET6 ? "%s[%s]:%d" : "%s%s:%d", r.under ? "*." : "",
			    r.host.text, r.port));
	}
}

static char *
with_paths(char *list /* taken over */, const struct conf_list *more)
{
	struct buf b = BUF_INIT;
	size_t i;

	buf_str(&b, list);
	for (i = 0; i < more->n; i++)
		buf_fmt(&b, ",%s", more->item[i]);
	free(list);
	return buf_take(&b);
}

static void
plan_argv(const struct conf *c, const struct task *t, struct conf_list *argv)
{
	const struct runtime *r = t->runtime;
	const struct bundle *b = t->bundle;
	struct conf_list read = { NULL, 0 }, write = { NULL, 0 }, net = { NULL, 0 };
	char *sock = socket_arg(t), *reads, *writes, *memory, *unix_net = mem_fmt("unix:%s/sock", t->dir);
	size_t i;

	permit_paths(c, t, &read, &write);
	add_rules(b, &net);
	reads = with_paths(mem_fmt("%s,%s,/tmp", t->dir, r->dir), &read);
	writes = with_paths(mem_fmt("%s/tmp,%s/sock,/tmp", t->dir, t->dir), &write);
	memory = mem_fmt("%lld", (long long)(c->limits.memory >> 20));
	parts_add(argv, mem_str(r->program));
	for (i = 0; i < r->flags.n; i++)
		parts_add(argv, parts_fill_flag(c, t->dir, r->dir, r->flags.item[i]));
	parts_add_permission(argv, r, "memory", memory, NULL);
	parts_add_permission(argv, r, "read", reads, NULL);
	parts_add_permission(argv, r, "write", writes, NULL);
	/* deno counts its own socket as net. */
	parts_add_permission(argv, r, "net", unix_net, &net);
	parts_add_permission(argv, r, "env", NULL, b != NULL ? &b->permissions.env : NULL);
	parts_add(argv, mem_str(r->executor));
	parts_add(argv, sock);
	free(reads);
	free(writes);
	free(memory);
	free(unix_net);
	parts_clear(&read);
	parts_clear(&write);
	parts_clear(&net);
}

static void
plan_env(const struct conf *c, const struct task *t, struct conf_list *env)
{
	parts_add(env, mem_str("PATH=" PATH_ENV));
	parts_add(env, mem_str("LANG=C.UTF-8"));
	parts_add(env, mem_fmt("HOME=%s/tmp", t->dir));
	parts_add(env, mem_fmt("TMPDIR=%s/tmp", t->dir));
	/* By this mark the next scheduler finds what a killed one left. */
	parts_add(env, mem_fmt("AT_RUND_INSTANCE=%s:%lld", c->home, (long long)t->instance));
	parts_add(env, mem_fmt("DENO_DIR=%s/tmp/deno", t->dir));
	parts_add(env, mem_str("DENO_NO_UPDATE_CHECK=1"));
	parts_add(env, mem_str("PYTHONDONTWRITEBYTECODE=1"));
}

/*
 * No RLIMIT_AS or DATA: V8 reserves address space by the gigabyte.  No RLIMIT_NPROC: it counts all processes of the
 * user, the scheduler's own among them.  Memory is bounded by the runtime's own flag, the rest by stronger walls.
 */
static void
plan_limits(const struct conf *c, struct plan *p)
{
	parts_limit(p, RLIMIT_CORE, 0);
	parts_limit(p, RLIMIT_NOFILE, c->limits.files);
	parts_limit(p, RLIMIT_FSIZE, c->limits.scratch);
}

static void
plan_landlock(const struct conf *c, const struct task *t, struct plan *p)
{
	char *prefix = mem_str(t->runtime->program), *slash;
	size_t i;

	p->landlock = true;
	for (i = 0; i < sizeof system_paths / sizeof system_paths[0]; i++)
		parts_add(&p->read_only, mem_str(system_paths[i]));
	/* A runtime outside of /usr brings its files along: PREFIX/bin/python3, PREFIX/lib/python3.12. */
	for (i = 0; i < 2; i++)
		if ((slash = strrchr(prefix, '/')) != NULL)
			*slash = '\0';
	if (prefix[0] == '/' && prefix[1] != '\0')
		parts_add(&p->read_only, mem_str(prefix));
	parts_add(&p->read_only, mem_str(t->runtime->program));
	parts_add(&p->read_only, mem_str(t->runtime->dir));
	/* Code that executors share lies beside their directories (backends/runtimes/js). */
	parts_add(&p->read_only, mem_fmt("%s/../js", t->runtime->dir));
	parts_add(&p->read_only, mem_str(t->dir));
	parts_add(&p->read_write, mem_fmt("%s/tmp", t->dir));
	parts_add(&p->read_write, mem_str("/tmp"));
	for (i = 0; i < sizeof device_paths / sizeof device_paths[0]; i++)
		parts_add(&p->read_write, mem_str(device_paths[i]));
	permit_paths(c, t, &p->read_only, &p->read_write);
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
	plan_landlock(c, t, p);
	return 0;
}

/* Permissions that are flags of the process must be known when it starts. */
static void
none_key(const struct conf *c, const struct task *t, struct buf *out)
{
	const struct bundle *b = t->bundle;
	struct conf_list net = { NULL, 0 };
	struct buf values = BUF_INIT;

	buf_str(out, "");
	if (b == NULL)
		return;
	permit_key(c, t, out);
	if (parts_flag(t->runtime, "net") != NULL && b->permissions.net.n > 0) {
		add_rules(b, &net);
		parts_join(&values, &net);
		buf_fmt(out, "net=%s;", values.data);
		parts_clear(&net);
	}
	buf_reset(&values);
	if (parts_flag(t->runtime, "env") != NULL && b->permissions.env.n > 0) {
		parts_join(&values, &b->permissions.env);
		buf_fmt(out, "env=%s;", values.data);
	}
	buf_clear(&values);
}

static void
none_clean(const struct conf *c, const struct task *t)
{
	(void)c;
	bundle_remove(t->dir, NULL);
}

static void
none_describe(const struct conf *c, struct buf *out)
{
	(void)c;
	buf_str(out, "it keeps nobody out, for code that you trust as yourself");
}

const struct backend backend_none = {
	.name = "none",
	.probe = none_probe,
	.describe = none_describe,
	.fits = parts_fits_host,
	.plan = none_plan,
	.key = none_key,
	.clean = none_clean,
	.sweep = parts_sweep_nothing,
};
