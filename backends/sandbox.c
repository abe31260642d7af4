/*
 * The wall made of bubblewrap: a root put together from nothing, namespaces of its own for everything the kernel can
 * part, and at-rund-gate as the first process inside.  The gate has two rights over the network that is nothing but its own
 * loopback, to serve low ports and own addresses; the runtime that it starts has none, Landlock on it, and the system calls
 * of seccomp.c.  All of it needs no rights but those to make a user namespace.
 *
 * What is inside, all of it read-only but /tmp:
 *
 *     /usr/{bin,lib,…}   the host's programs and libraries; nothing of /home, /root, /var, /opt, /srv, /usr/local
 *     /etc               a few files of our own (passwd, hosts, …) and, of the host, the loader's cache, roots of trust, time
 *     /runtime/NAME      the executor; /runtime/js what executors share; /runtime/own a program from elsewhere; the gate
 *     /job               the instance's directory: sock, out, and bundle/, which may appear later
 *     /tmp               tmpfs of limits.scratch bytes; /dev/shm leads there too, so that it is bounded with it
 *     /proc /dev         its own processes; null zero full random urandom
 *
 * and what [grants] names, where it lies on the host.  The same names for everybody: nothing tells where on the host the
 * runner lives.  The arguments of bwrap go through a descriptor, for they are many and nobody's business.
 */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/backend.h"
#include "backends/backends.h"
#include "backends/image.h"
#include "backends/parts.h"
#include "backends/permit.h"
#include "backends/runtime.h"
#include "backends/seccomp.h"
#include "lib/buf.h"
#include "lib/bundle.h"
#include "lib/child.h"
#include "lib/err.h"
#include "lib/mem.h"

#define OWN           "/runtime/own"
#define GATE          "/runtime/gate"
#define FILTER        "/runtime/filter"
#define USER_INSIDE   "65532"
#define SCRATCH_LEAST 4096 /* a size of 0 would mean no bound */
#define ARGS_WORDS    3    /* "bwrap --args 3", then "--" */
#define PROBE_MS      5000
#define PROBE_OUT     4096

/* Of the host's files; what is not there is left out, links stay links. */
static const char *const system_dirs[] = { "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libx32",
	"/usr/libexec", "/usr/share", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32" };
static const char *const system_files[] = { "/etc/ld.so.cache", "/etc/alternatives", "/etc/ssl/certs",
	"/etc/ssl/openssl.cnf", "/etc/ca-certificates/extracted", "/etc/pki/tls/certs", "/etc/pki/ca-trust/extracted", "/etc/localtime",
	"/etc/mime.types", "/etc/services", "/etc/protocols" };
static const char *const devices[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom" };

/* The names that programs look for, without those of the host's people. */
static const struct own_file {
	const char *path, *text;
} own_files[] = {
	{ "/etc/passwd", "bundle:x:" USER_INSIDE ":" USER_INSIDE "::/tmp:/usr/sbin/nologin\n" },
	{ "/etc/group", "bundle:x:" USER_INSIDE ":\n" },
	{ "/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n" },
	{ "/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n" },
	{ "/etc/resolv.conf", "nameserver 127.0.0.1\n" },
};
#define OWN_FILES (sizeof own_files / sizeof own_files[0])

/* --- arguments of bwrap --- */

static void
arg(struct conf_list *l, const char *a, const char *b, const char *c)
{
	parts_add(l, mem_str(a));
	if (b != NULL)
		parts_add(l, mem_str(b));
	if (c != NULL)
		parts_add(l, mem_str(c));
}

/* Links of the system are made anew, so that /lib → usr/lib is what it is outside. */
static void
bind_system(struct conf_list *l, const char *path)
{
	char to[256];
	struct stat st;
	ssize_t n;

	if (lstat(path, &st) != 0)
		return;
	if (!S_ISLNK(st.st_mode)) {
		arg(l, "--ro-bind", path, path);
		return;
	}
	n = readlink(path, to, sizeof to - 1);
	if (n <= 0)
		return;
	to[n] = '\0';
	/* /etc/localtime leads to /usr/share, which is there. */
	arg(l, "--symlink", to, path);
}

/* The files of an image of `at-rund build` in the place of the host's. */
static void
add_image(struct conf_list *l, const char *root)
{
	static const char *const tops[] = { "usr", "etc", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "var", "nix" };
	char to[256];
	size_t i;

	for (i = 0; i < sizeof tops / sizeof tops[0]; i++) {
		char *from = mem_fmt("%s/%s", root, tops[i]), *inside = mem_fmt("/%s", tops[i]);
		ssize_t n = readlink(from, to, sizeof to - 1);

		if (n > 0) {
			to[n] = '\0';
			arg(l, "--symlink", to, inside);
		} else if (access(from, X_OK) == 0) {
			arg(l, "--ro-bind", from, inside);
		}
		free(from);
		free(inside);
	}
}

static void
add_host(struct conf_list *l)
{
	size_t i;

	for (i = 0; i < sizeof system_dirs / sizeof system_dirs[0]; i++)
		bind_system(l, system_dirs[i]);
	for (i = 0; i < sizeof system_files / sizeof system_files[0]; i++)
		bind_system(l, system_files[i]);
}

static void
add_devices(struct conf_list *l)
{
	size_t i;

	for (i = 0; i < sizeof devices / sizeof devices[0]; i++)
		arg(l, "--dev-bind", devices[i], devices[i]);
	arg(l, "--symlink", "/proc/self/fd", "/dev/fd");
	arg(l, "--symlink", "/proc/self/fd/0", "/dev/stdin");
	arg(l, "--symlink", "/proc/self/fd/1", "/dev/stdout");
	arg(l, "--symlink", "/proc/self/fd/2", "/dev/stderr");
	arg(l, "--symlink", "/tmp", "/dev/shm");
}

static void
add_namespaces(struct conf_list *l)
{
	arg(l, "--unshare-user", "--unshare-all", NULL); /* -all only tries the user namespace */
	arg(l, "--die-with-parent", "--new-session", "--as-pid-1");
	arg(l, "--uid", USER_INSIDE, NULL);
	arg(l, "--gid", USER_INSIDE, NULL);
	arg(l, "--cap-drop", "ALL", NULL);
	arg(l, "--cap-add", "CAP_NET_BIND_SERVICE", NULL);
	arg(l, "--cap-add", "CAP_NET_ADMIN", NULL);
	arg(l, "--hostname", "runner", NULL);
}

static void
add_mounts(const struct conf *c, struct conf_list *l)
{
	int64_t scratch = c->limits.scratch > SCRATCH_LEAST ? c->limits.scratch : SCRATCH_LEAST;

	arg(l, "--proc", "/proc", NULL);
	arg(l, "--perms", "1777", NULL);
	parts_add(l, mem_str("--size"));
	parts_add(l, mem_fmt("%lld", (long long)scratch));
	arg(l, "--tmpfs", "/tmp", NULL);
}

/* The last of it: the root itself and /proc were writable until here. */
static void
close_root(struct conf_list *l)
{
	arg(l, "--remount-ro", "/proc", NULL);
	arg(l, "--remount-ro", "/", NULL);
}

/* Made once and kept; what is handed over is opened anew each time, for reading has a place in the file. */
static int
own_file(size_t i, struct err *e)
{
	static int made[OWN_FILES];

	if (made[i] == 0) {
		int fd = seccomp_text_fd("file", own_files[i].text, strlen(own_files[i].text), e);

		if (fd < 0)
			return -1;
		made[i] = fd;
	}
	return made[i];
}

static void
add_file(struct plan *p, int fd, const char *path)
{
	arg(&p->args, "--perms", "0444", NULL);
	parts_add(&p->args, mem_str("--file"));
	parts_add(&p->args, mem_fmt("%d", PLAN_OPEN_FD + (int)p->open.n));
	parts_add(&p->args, mem_str(path));
	parts_add(&p->open, mem_fmt("/proc/self/fd/%d", fd));
}

static int
add_descriptors(struct plan *p, bool own_etc, struct err *e)
{
	int fd = seccomp_filter_fd(e);
	size_t i;

	if (fd < 0)
		return -1;
	add_file(p, fd, FILTER);
	for (i = 0; own_etc && i < OWN_FILES; i++) {
		if ((fd = own_file(i, e)) < 0)
			return -1;
		add_file(p, fd, own_files[i].path);
	}
	return 0;
}

/* --- the runtime's program, wherever it lies --- */

static bool
below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && path[n] == '/';
}

static bool
is_visible(const char *path)
{
	size_t i;

	for (i = 0; i < sizeof system_dirs / sizeof system_dirs[0]; i++)
		if (below(path, system_dirs[i]))
			return true;
	return false;
}

/*
 * PREFIX/bin/python3.12 brings PREFIX/lib/python3.12 and PREFIX/lib/libpython3.12.so along, and nothing else of PREFIX:
 * that may be somebody's ~/.local.
 */
static void
bind_libraries(struct conf_list *l, const char *prefix, const char *name)
{
	char *dir = mem_fmt("%s/lib/%s", prefix, name), *pattern = mem_fmt("%s/lib/lib*.so*", prefix);
	glob_t found = { 0 };
	size_t i;

	if (access(dir, X_OK) == 0) {
		parts_add(l, mem_str("--ro-bind"));
		parts_add(l, mem_str(dir));
		parts_add(l, mem_fmt(OWN "/lib/%s", name));
	}
	if (glob(pattern, 0, NULL, &found) == 0) {
		for (i = 0; i < found.gl_pathc && i < 64; i++) {
			parts_add(l, mem_str("--ro-bind"));
			parts_add(l, mem_str(found.gl_pathv[i]));
			parts_add(l, mem_fmt(OWN "/lib/%s", strrchr(found.gl_pathv[i], '/') + 1));
		}
		globfree(&found);
	}
	free(dir);
	free(pattern);
}

/* Returns the program's path inside, allocated. */
static char *
bind_program(struct conf_list *l, const char *program)
{
	char *real = realpath(program, NULL), *prefix, *slash, *inside;
	const char *name;

	if (real == NULL || is_visible(real)) {
		free(real);
		return mem_str(program);
	}
	if (below(real, "/nix/store")) {
		/* Everybody's to read by its nature, and programs there name one another. */
		arg(l, "--ro-bind", "/nix/store", "/nix/store");
		return real;
	}
	name = strrchr(real, '/') + 1;
	inside = mem_fmt(OWN "/bin/%s", name);
	arg(l, "--ro-bind", real, inside);
	prefix = mem_str(real);
	slash = strrchr(prefix, '/');
	*slash = '\0';
	slash = strrchr(prefix, '/');
	if (slash != NULL && strcmp(slash, "/bin") == 0) {
		*slash = '\0';
		bind_libraries(l, prefix, name);
	}
	free(prefix);
	free(real);
	return inside;
}

/* The executor's directory and what executors share, side by side as they lie outside.  Its path inside, allocated. */
static char *
bind_executor(struct conf_list *l, const struct runtime *r)
{
	char *shared = mem_fmt("%s/../js", r->dir), *dir = mem_fmt("/runtime/%s", r->name), *inside;

	arg(l, "--ro-bind", r->dir, dir);
	/* Each file system that is bound costs a start 0.1 ms. */
	if (strstr(strrchr(r->executor, '/'), "js") != NULL && access(shared, X_OK) == 0)
		arg(l, "--ro-bind", shared, "/runtime/js");
	inside = mem_fmt("%s/%s", dir, strrchr(r->executor, '/') + 1);
	free(shared);
	free(dir);
	return inside;
}

/* What a runtime's own flags could withhold is not there to be reached; the wall says what is. */
static void
add_command(const struct conf *c, const struct runtime *r, struct conf_list *l, char *program, char *executor)
{
	static const char *const all[] = { "read", "write", "net", "env", "run", "ffi", "sys" };
	char *dir = mem_fmt("/runtime/%s", r->name), *memory = mem_fmt("%lld", (long long)(c->limits.memory >> 20));
	size_t i;

	parts_add(l, program);
	for (i = 0; i < r->flags.n; i++)
		parts_add(l, parts_fill_flag(c, "/job", dir, r->flags.item[i]));
	parts_add_flag(l, parts_flag(r, "memory"), memory);
	for (i = 0; i < sizeof all / sizeof all[0]; i++)
		parts_add_flag(l, parts_flag(r, all[i]), "*");
	parts_add(l, executor);
	parts_add(l, mem_str("/job/sock"));
	free(dir);
	free(memory);
}

static void
add_env(struct conf_list *l)
{
	const char *const *pair;
	size_t i;

	arg(l, "--clearenv", NULL, NULL);
	for (i = 0; (pair = parts_env(i)) != NULL; i++)
		arg(l, "--setenv", pair[0], pair[1]);
}

/* --- the contract --- */

static int
start_plan(struct plan *p, bool own_etc, struct err *e)
{
	char *bwrap = child_which("bwrap"), *gate;

	if (bwrap == NULL)
		return err_set(e, ERR_NOTFOUND, "bwrap is not installed: apt install bubblewrap");
	parts_add(&p->argv, bwrap);
	arg(&p->argv, "--args", NULL, NULL);
	parts_add(&p->argv, mem_fmt("%d", PLAN_ARGS_FD));
	arg(&p->argv, "--", NULL, NULL);
	gate = parts_gate(e);
	if (gate == NULL)
		return -1;
	p->contained = p->gate = true;
	add_namespaces(&p->args);
	arg(&p->args, "--ro-bind", gate, GATE);
	free(gate);
	return add_descriptors(p, own_etc, e);
}

/* Where they lie outside: a bundle names them so. */
static void
bind_granted(struct conf_list *l, const struct conf_list *read, const struct conf_list *write)
{
	size_t i;

	for (i = 0; i < read->n; i++)
		arg(l, "--ro-bind", read->item[i], read->item[i]);
	for (i = 0; i < write->n; i++)
		arg(l, "--bind", write->item[i], write->item[i]);
}

/* m: the image whose files it gets; without one (its id is NULL) the host's. */
static void
add_inside(const struct conf *c, const struct task *t, const struct image *m, struct plan *p)
{
	struct conf_list read = { NULL, 0 }, write = { NULL, 0 };
	char *program, *executor;

	permit_paths(c, t, &read, &write);
	add_mounts(c, &p->args);
	if (m->id != NULL)
		add_image(&p->args, m->root);
	else
		add_host(&p->args);
	add_devices(&p->args);
	program = m->id != NULL ? mem_str(m->program) : bind_program(&p->args, t->runtime->program);
	executor = bind_executor(&p->args, t->runtime);
	arg(&p->args, "--ro-bind", t->dir, "/job");
	bind_granted(&p->args, &read, &write);
	close_root(&p->args);
	add_env(&p->args);
	arg(&p->args, "--chdir", "/job", NULL);
	/* The command stands on the command line: people who look with ps want to see what runs. */
	parts_gate_command(c, &p->argv, GATE, "/job", FILTER, &write);
	add_command(c, t->runtime, &p->argv, program, executor);
	parts_clear(&read);
	parts_clear(&write);
}

/* The image of the runtime, empty when there is none or the config wants the host's files. */
static void
find_image(const struct conf *c, const struct runtime *r, struct image *m)
{
	*m = (struct image){ 0 };
	if (strcmp(c->sandbox.files, "host") != 0 && image_load(m, c, r->name, NULL) == 0 && access(m->root, X_OK) != 0)
		image_clear(m);
}

static int
sandbox_fits(const struct conf *c, const struct runtime *r, struct err *e)
{
	struct image m;
	bool has;

	find_image(c, r, &m);
	has = m.id != NULL;
	image_clear(&m);
	if (r->missing != NULL)
		return err_set(e, ERR_NOTFOUND, "%s", r->missing);
	if (has)
		return 0;
	if (strcmp(c->sandbox.files, "image") == 0)
		return err_set(e, ERR_NOTFOUND, "sandbox.files = image, and runtime %s has none: at-rund build --runtime %s", r->name,
		    r->name);
	return parts_fits_host(c, r, e);
}

static int
sandbox_plan(const struct conf *c, const struct task *t, struct plan *p, struct err *e)
{
	const struct runtime *r = t->runtime;
	struct image m;

	if (r->executor == NULL || sandbox_fits(c, r, e) != 0)
		return err_wrap(e, "runtime %s cannot run here", r->name);
	find_image(c, r, &m);
	if (start_plan(p, m.id == NULL, e) != 0) {
		image_clear(&m);
		return -1;
	}
	add_inside(c, t, &m, p);
	image_clear(&m);
	/* For the next scheduler, should this one be killed: bwrap's own, which nobody inside sees. */
	parts_add(&p->env, mem_fmt("AT_RUND_INSTANCE=%s:%lld", c->home, (long long)t->instance));
	p->dir = mem_str("/job");
	p->cwd = mem_str("/");
	parts_limit(p, RLIMIT_CORE, 0);
	parts_limit(p, RLIMIT_FSIZE, c->limits.scratch);
	return 0;
}

/* Every blank fits every bundle, but for those that see paths of the host: the rest is decided outside. */
static void
sandbox_key(const struct conf *c, const struct task *t, struct buf *out)
{
	buf_str(out, "");
	permit_key(c, t, out);
}

static void
sandbox_clean(const struct conf *c, const struct task *t)
{
	(void)c;
	bundle_remove(t->dir, NULL);
}

/* What usually stands in the way, by the words of bwrap and the kernel's switches. */
static const char *
remedy(const char *why)
{
	static const char *const switches[][2] = {
		{ "/proc/sys/kernel/unprivileged_userns_clone", "sysctl kernel.unprivileged_userns_clone=1" },
		{ "/proc/sys/user/max_user_namespaces", "sysctl user.max_user_namespaces=1000" },
	};
	size_t i;
	char c;

	for (i = 0; i < sizeof switches / sizeof switches[0]; i++) {
		FILE *f = fopen(switches[i][0], "re");

		c = f != NULL && fread(&c, 1, 1, f) == 1 ? c : '1';
		if (f != NULL)
			fclose(f);
		if (c == '0')
			return switches[i][1];
	}
	if (access("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", F_OK) == 0)
		return "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for bwrap";
	if (strstr(why, "nknown option") != NULL)
		return "bubblewrap 0.8 or newer";
	return "this host does not let us make user namespaces; inside a container it needs to be told to";
}

/* The real thing, once: all namespaces, mounts, the gate and the filter, with `true` inside. */
static int
sandbox_probe(const struct conf *c, struct err *e)
{
	const char **argv = NULL;
	struct plan p = { 0 };
	struct buf script = BUF_INIT, out = BUF_INIT;
	struct err why = ERR_INIT;
	const char *said;
	size_t i, n = 0;
	int rc = -1;

	if (start_plan(&p, true, e) != 0)
		goto out;
	add_mounts(c, &p.args);
	add_host(&p.args);
	add_devices(&p.args);
	close_root(&p.args);
	parts_gate_command(c, &p.argv, GATE, NULL, FILTER, NULL);
	/* The shell opens what spawn.c would hand over. */
	buf_str(&script, "exec \"$0\" \"$@\"");
	for (i = 0; i < p.open.n; i++)
		buf_fmt(&script, " %d</proc/%d/fd/%s", PLAN_OPEN_FD + (int)i, (int)getpid(),
		    strrchr(p.open.item[i], '/') + 1);
	argv = mem_array(p.args.n + p.argv.n + 8, sizeof *argv);
	argv[n++] = "/bin/sh";
	argv[n++] = "-c";
	argv[n++] = script.data;
	argv[n++] = p.argv.item[0];
	for (i = 0; i < p.args.n; i++)
		argv[n++] = p.args.item[i];
	for (i = ARGS_WORDS; i < p.argv.n; i++) /* without bwrap's own name and where its arguments are */
		argv[n++] = p.argv.item[i];
	argv[n++] = "/bin/true";
	argv[n] = NULL;
	if (child_run(argv, PROBE_MS, PROBE_OUT, &out, &why) != 0) {
		said = strstr(why.text, "bwrap: "); /* without the shell's part of it */
		said = said != NULL ? said : why.text;
		err_set(e, ERR_DENIED, "%.*s; %s", (int)strcspn(said, "\n"), said, remedy(said));
		goto out;
	}
	rc = 0;
out:
	plan_clear(&p);
	buf_clear(&script);
	buf_clear(&out);
	free(argv);
	return rc;
}

/* "bubblewrap 0.8.0" */
static void
sandbox_describe(const struct conf *c, struct buf *out)
{
	const char *const argv[] = { "bwrap", "--version", NULL };
	struct buf said = BUF_INIT;

	(void)c;
	if (child_run(argv, PROBE_MS, PROBE_OUT, &said, NULL) == 0 && said.len > 0)
		buf_fmt(out, "%.*s, ", (int)strcspn(said.data, "\n"), said.data);
	buf_str(out, geteuid() == 0 ? "as root: better as an ordinary user, it needs no rights" : "without any rights");
	buf_clear(&said);
}

const struct backend backend_sandbox = {
	.name = "sandbox",
	.closed = true,
	.probe = sandbox_probe,
	.describe = sandbox_describe,
	.fits = sandbox_fits,
	.plan = sandbox_plan,
	.key = sandbox_key,
	.clean = sandbox_clean,
	.sweep = parts_sweep_nothing,
};
