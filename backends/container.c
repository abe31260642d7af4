/*
 * The wall made of containers, by the command line of Podman or Docker.  One container is one instance; it lives long and
 * serves many calls over the socket in its directory, so that a warm call never meets the engine.
 *
 * Inside it is the same as behind `sandbox`: /job (the instance's directory, read-only), /runtime (executor, gate), the
 * files of the runtime's image, /tmp.  First process is at-rund-gate.  No network but loopback, no capabilities, no
 * way to gain any, a user id of nobody in a user namespace, the system calls of seccomp.c, bounds by cgroup where the
 * engine can set them and by scheduler/account.c everywhere.
 *
 * `podman run --detach` ends when the container runs; conmon, which it leaves behind, becomes our child (we are its
 * subreaper), ends with the container's status when all is cleaned up, and so is the instance's process.  Standard output
 * and error pass through to us.  Docker's containers are its daemon's children: there `docker run` stays in the foreground.  It
 * gives the gate, which is not root, no rights: hosts in permissions.net can be reached, addresses that stand there cannot.
 *
 * Which engine, which OCI runtime and whether cgroups can be used, the probe finds by running the thing itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/backend.h"
#include "backends/backends.h"
#include "backends/container.h"
#include "backends/engine.h"
#include "backends/image.h"
#include "backends/parts.h"
#include "backends/permit.h"
#include "backends/runtime.h"
#include "backends/seccomp.h"
#include "lib/buf.h"
#include "lib/bundle.h"
#include "lib/child.h"
#include "lib/cid.h"
#include "lib/err.h"
#include "lib/mem.h"

#define USER_INSIDE "65532:65532"
#define IDS         65536
#define GATE        "/runtime/at-rund-gate"
#define FILTER      "/runtime/filter"
#define GATE_FILES  2048
#define OWN_MEMORY  (32LL << 20)
#define GVISOR_MEMORY (160LL << 20) /* of its kernel in user space */
#define GVISOR_TASKS 1024          /* its own and one for each inside; looking is quicker than that, and it dies of it */
#define V1_MEMORY   "/sys/fs/cgroup/memory/memory.oom_control"
#define PROBE_MS    20000
#define SWEEP_MS    60000
#define LABEL       "at-rund.home"

/* What the probe found; one config a process. */
static struct engine engine;

/* --- files that engines read --- */

/* Written anew each time, for the next version may say something else; in place at once, for others may be reading. */
static int
put_file(const char *path, const char *text, size_t n, mode_t mode, struct err *e)
{
	char *new = mem_fmt("%s.%d", path, (int)getpid());
	int fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode), rc = -1;

	if (fd < 0 || write(fd, text, n) != (ssize_t)n || fchmod(fd, mode) != 0 || rename(new, path) != 0)
		err_errno(e, "write %s", path);
	else
		rc = 0;
	if (fd >= 0)
		close(fd);
	free(new);
	return rc;
}

static char *
path_of(const struct conf *c, const char *name)
{
	return mem_fmt("%s/%s", c->run_dir, name);
}

/* The filter that the gate lays on the command, as bytes. */
static int
read_filter(struct buf *out, struct err *e)
{
	int fd = seccomp_filter_fd(e);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) != 0 || pread(fd, buf_room(out, (size_t)st.st_size), (size_t)st.st_size, 0) != st.st_size)
		return err_errno(e, "read the filter");
	out->len += (size_t)st.st_size;
	return 0;
}

static int
put_files(const struct conf *c, struct err *e)
{
	static const char resolver[] = "nameserver 127.0.0.1\n";
	char *profile = path_of(c, "seccomp.json"), *filter = path_of(c, "seccomp.bpf"), *resolv = path_of(c, "resolv.conf");
	struct buf json = BUF_INIT, bpf = BUF_INIT;
	int rc = -1;

	seccomp_profile(&json);
	if (mkdir(c->run_dir, 0700) != 0 && errno != EEXIST)
		err_errno(e, "make %s", c->run_dir);
	else if (read_filter(&bpf, e) == 0 && put_file(profile, json.data, json.len, 0600, e) == 0 &&
	    put_file(filter, bpf.data, bpf.len, 0644, e) == 0)
		rc = put_file(resolv, resolver, sizeof resolver - 1, 0644, e);
	buf_clear(&json);
	buf_clear(&bpf);
	free(profile);
	free(filter);
	free(resolv);
	return rc;
}

/* --- arguments of `run` --- */

static void
arg(struct conf_list *l, const char *a, const char *b)
{
	parts_add(l, mem_str(a));
	if (b != NULL)
		parts_add(l, mem_str(b));
}

static void
arg_fmt(struct conf_list *l, const char *a, char *b /* taken over */)
{
	parts_add(l, mem_str(a));
	parts_add(l, b);
}

static void
volume(struct conf_list *l, const char *from, const char *to)
{
	arg_fmt(l, "--volume", mem_fmt("%s:%s:ro", from, to));
}

/* The home's hash: labels and names are not the place for paths of any length. */
static char *
home_mark(const struct conf *c)
{
	char text[CID_TEXT + 1];
	struct cid hash;

	cid_of_bytes(&hash, CID_RAW, c->home, strlen(c->home));
	cid_print(&hash, text);
	return mem_str(text + 43); /* the last 80 bits */
}

static void
add_rights(const struct conf *c, const struct engine *x, struct conf_list *l)
{
	char *profile = path_of(c, "seccomp.json");

	arg(l, "--network", "none");
	arg(l, "--read-only", NULL);
	arg(l, "--cap-drop", "all");
	/* The gate's, which gives its command none: ports below 1024, addresses of the loopback. */
	arg(l, "--cap-add", "net_bind_service");
	arg(l, "--cap-add", "net_admin");
	arg(l, "--security-opt", "no-new-privileges");
	arg_fmt(l, "--security-opt", mem_fmt("seccomp=%s", profile));
	arg(l, "--ipc", "private");
	arg(l, "--hostname", "runner");
	arg(l, "--user", USER_INSIDE);
	/* gVisor is the boundary itself; what opens files for it would stand before our home's door in a user namespace. */
	if (!x->docker && !x->rootless && !engine_is_gvisor(x)) {
		arg_fmt(l, "--uidmap", mem_fmt("0:%lld:%d", (long long)c->container.first_uid, IDS));
		arg_fmt(l, "--gidmap", mem_fmt("0:%lld:%d", (long long)c->container.first_uid, IDS));
	}
	if (!x->docker) {
		arg(l, "--read-only-tmpfs=false", NULL);
		arg(l, "--no-hosts", NULL);
		arg(l, "--unsetenv-all", NULL);
		arg(l, "--http-proxy=false", NULL);
		arg(l, "--security-opt", "mask=/sys:/dev/mqueue");
	} else {
		arg(l, "--mount", "type=tmpfs,destination=/sys,tmpfs-size=4096,tmpfs-mode=0555");
	}
	free(profile);
}

/* The gate's: it gives its command limits.files.  More than our own hard limit the engine may not be able to give. */
static long long
gate_files(const struct conf *c)
{
	long long want = c->limits.files + GATE_FILES;
	struct rlimit own;

	return getrlimit(RLIMIT_NOFILE, &own) == 0 && own.rlim_max < (rlim_t)want ? (long long)own.rlim_max : want;
}

static void
add_bounds(const struct conf *c, const struct engine *x, struct conf_list *l)
{
	bool gvisor = engine_is_gvisor(x);
	long long scratch = c->limits.scratch > 4096 ? c->limits.scratch : 4096;
	long long tasks = c->limits.processes + (gvisor ? GVISOR_TASKS : 1);
	/* /tmp and /dev/shm are memory too, and so is what the kernel and the gate need for themselves. */
	long long memory = c->limits.memory + 2 * scratch + (gvisor ? GVISOR_MEMORY : OWN_MEMORY);

	arg_fmt(l, "--tmpfs", mem_fmt("/tmp:rw,exec,nosuid,nodev,mode=1777,size=%lld", scratch));
	arg_fmt(l, "--shm-size", mem_fmt("%lld", scratch));
	arg_fmt(l, "--ulimit", mem_fmt("nofile=%lld:%lld", gate_files(c), gate_files(c)));
	/* Without a user namespace of its own it would count what others run under that id. */
	if (!x->docker)
		arg_fmt(l, "--ulimit", mem_fmt("nproc=%lld:%lld", tasks, tasks));
	arg(l, "--ulimit", "core=0:0");
	arg_fmt(l, "--ulimit", mem_fmt("fsize=%lld:%lld", scratch, scratch));
	if (!x->cgroups) {
		if (!x->docker)
			arg(l, "--pids-limit", "0");
		return;
	}
	arg_fmt(l, "--pids-limit", mem_fmt("%lld", tasks));
	arg_fmt(l, "--memory", mem_fmt("%lld", memory));
	arg_fmt(l, "--memory-swap", mem_fmt("%lld", memory));
	/* Where the kernel can, who grabs too much waits until we have seen it and say so. */
	if (access(V1_MEMORY, F_OK) == 0)
		arg(l, "--oom-kill-disable", NULL);
}

static void
add_files(const struct conf *c, const struct runtime *r, const char *gate, struct conf_list *l)
{
	char *shared = mem_fmt("%s/../js", r->dir), *real = realpath(shared, NULL);
	char *resolv = path_of(c, "resolv.conf"), *filter = path_of(c, "seccomp.bpf");
	char *inside = mem_fmt("/runtime/%s", r->name);

	volume(l, gate, GATE);
	volume(l, r->dir, inside);
	if (real != NULL)
		volume(l, real, "/runtime/js");
	volume(l, resolv, "/etc/resolv.conf");
	volume(l, filter, FILTER);
	free(shared);
	free(real);
	free(resolv);
	free(filter);
	free(inside);
}

/* Where they lie outside: a bundle names them so. */
static void
add_granted(struct conf_list *l, const struct conf_list *read, const struct conf_list *write)
{
	size_t i;

	for (i = 0; i < read->n; i++)
		volume(l, read->item[i], read->item[i]);
	for (i = 0; i < write->n; i++)
		arg_fmt(l, "--volume", mem_fmt("%s:%s:rw", write->item[i], write->item[i]));
}

static void
add_env(struct conf_list *l)
{
	const char *const *pair;
	size_t i;

	for (i = 0; (pair = parts_env(i)) != NULL; i++)
		arg_fmt(l, "--env", mem_fmt("%s=%s", pair[0], pair[1]));
}

/* What a runtime's own flags could withhold is not there to be reached; the wall says what is. */
static void
add_command(const struct conf *c, const struct runtime *r, const char *program, const struct conf_list *write,
    struct conf_list *l)
{
	static const char *const all[] = { "read", "write", "net", "env", "run", "ffi", "sys" };
	char *dir = mem_fmt("/runtime/%s", r->name), *memory = mem_fmt("%lld", (long long)(c->limits.memory >> 20));
	size_t i;

	parts_gate_command(c, l, GATE, "/job", FILTER, write);
	parts_add(l, mem_str(program));
	for (i = 0; i < r->flags.n; i++)
		parts_add(l, parts_fill_flag(c, "/job", dir, r->flags.item[i]));
	parts_add_flag(l, parts_flag(r, "memory"), memory);
	for (i = 0; i < sizeof all / sizeof all[0]; i++)
		parts_add_flag(l, parts_flag(r, all[i]), "*");
	parts_add(l, mem_fmt("%s/%s", dir, strrchr(r->executor, '/') + 1));
	parts_add(l, mem_str("/job/sock"));
	free(dir);
	free(memory);
}

/* --- the contract --- */

/* Volumes are told as FROM:TO, and the engines know no way to write a colon. */
static int
home_usable(const struct conf *c, struct err *e)
{
	if (strpbrk(c->home, ":,\n") != NULL)
		return err_set(e, ERR_INPUT, "container engines cannot mount files from %s: a path with ':' or ','", c->home);
	return 0;
}

static int
container_fits(const struct conf *c, const struct runtime *r, struct err *e)
{
	struct image m;

	if (r->missing != NULL)
		return err_set(e, ERR_NOTFOUND, "%s", r->missing);
	if (image_load(&m, c, r->name, e) != 0)
		return -1;
	image_clear(&m);
	return 0;
}

/* Without podman's ten seconds between asking and killing; docker never asks. */
static void
add_rm(const struct engine *x, struct conf_list *l)
{
	arg(l, "rm", "--force");
	if (!x->docker) {
		arg(l, "--ignore", NULL);
		arg(l, "--time", "0");
	}
}

/* What tells the engine how to start one that is ours to watch, to name and to remove. */
static void
add_engine(const struct engine *x, const char *dir, const char *name, const char *mark, struct plan *p)
{
	engine_argv(x, &p->argv);
	engine_env(x, &p->env);
	arg(&p->argv, "run", "--rm");
	arg(&p->argv, "--pull", "never");
	arg(&p->argv, "--name", name);
	arg_fmt(&p->argv, "--label", mem_fmt(LABEL "=%s", mark));
	engine_argv(x, &p->undo);
	add_rm(x, &p->undo);
	parts_add(&p->undo, mem_str(name));
	if (x->docker) {
		if (x->runtime != NULL)
			arg(&p->argv, "--runtime", x->runtime);
		arg(&p->argv, "--log-driver", "none");
		p->abroad = true;
		return;
	}
	p->holder = mem_fmt("%s.holder", dir);
	p->first = mem_fmt("%s.first", dir);
	arg(&p->argv, "--detach", NULL);
	arg(&p->argv, "--log-driver", "passthrough");
	arg(&p->argv, "--conmon-pidfile", p->holder);
	arg(&p->argv, "--pidfile", p->first);
}

static int
container_plan(const struct conf *c, const struct task *t, struct plan *p, struct err *e)
{
	return engine.program != NULL ? container_plan_by(&engine, c, t, p, e) :
	    err_set(e, ERR_INTERNAL, "the wall container was not probed");
}

int
container_plan_by(const struct engine *x, const struct conf *c, const struct task *t, struct plan *p, struct err *e)
{
	const struct runtime *r = t->runtime;
	char *gate = parts_gate(e), *mark = home_mark(c), *name = NULL;
	struct conf_list read = { NULL, 0 }, write = { NULL, 0 };
	struct image m = { 0 };
	int rc = -1;

	if (gate == NULL || image_load(&m, c, r->name, e) != 0)
		goto out;
	permit_paths(c, t, &read, &write);
	name = mem_fmt("at-rund-%s-%lld-%d", mark, (long long)t->instance, (int)getpid());
	add_engine(x, t->dir, name, mark, p);
	add_rights(c, x, &p->argv);
	add_bounds(c, x, &p->argv);
	add_files(c, r, gate, &p->argv);
	volume(&p->argv, t->dir, "/job");
	add_granted(&p->argv, &read, &write);
	arg(&p->argv, "--workdir", "/job");
	add_env(&p->argv);
	parts_add(&p->argv, mem_str(m.id));
	add_command(c, r, m.program, &write, &p->argv);
	p->dir = mem_str("/job");
	p->cwd = mem_str("/");
	p->contained = p->gate = p->foreign = p->trusted = true;
	p->sealed = engine_is_gvisor(x);
	rc = 0;
out:
	parts_clear(&read);
	parts_clear(&write);
	image_clear(&m);
	free(gate);
	free(mark);
	free(name);
	return rc;
}

/* As behind the sandbox: every blank fits every bundle, but for those that see paths of the host. */
static void
container_key(const struct conf *c, const struct task *t, struct buf *out)
{
	buf_str(out, "");
	permit_key(c, t, out);
}

static void
container_clean(const struct conf *c, const struct task *t)
{
	char *holder = mem_fmt("%s.holder", t->dir), *first = mem_fmt("%s.first", t->dir);

	(void)c;
	unlink(holder);
	unlink(first);
	bundle_remove(t->dir, NULL);
	free(holder);
	free(first);
}

static int
container_sweep(const struct conf *c, struct err *e)
{
	char *mark = home_mark(c), *filter = mem_fmt("label=" LABEL "=%s", mark), *id, *rest;
	const char *const list[] = { "ps", "--all", "--quiet", "--no-trunc", "--filter", filter, NULL };
	struct conf_list words = { NULL, 0 };
	struct buf out = BUF_INIT, said = BUF_INIT;
	struct engine x = { 0 };
	size_t first;
	int n = -1;

	if (engine_find(c, &x, NULL) != 0) {
		n = 0;
		goto out;
	}
	if (engine_run(&x, list, SWEEP_MS, &out, e) != 0)
		goto out;
	add_rm(&x, &words);
	first = words.n;
	for (rest = out.data; rest != NULL && (id = strsep(&rest, "\n")) != NULL;)
		if (*id != '\0')
			parts_add(&words, mem_str(id));
	n = (int)(words.n - first);
	/* One whose holder was killed may want to be asked twice. */
	if (n > 0 && engine_run_list(&x, &words, SWEEP_MS, &said, NULL) != 0 &&
	    engine_run_list(&x, &words, SWEEP_MS, &said, e) != 0)
		n = -1;
out:
	parts_clear(&words);
	buf_clear(&out);
	buf_clear(&said);
	engine_clear(&x);
	free(mark);
	free(filter);
	return n;
}

/* --- the probe --- */

/* The image of any runtime: whether each has one, container_fits says. */
static int
any_image(const struct conf *c, struct image *m, struct err *e)
{
	static const char *const ours[] = { "deno", "node", "python" };
	size_t i, n = c->runtimes.n;

	for (i = 0; i < (n > 0 ? n : 3); i++)
		if (image_load(m, c, n > 0 ? c->runtimes.item[i].key : ours[i], NULL) == 0)
			return 0;
	return err_set(e, ERR_NOTFOUND, "no image of a runtime was built: at-rund build");
}

static int
try_once(const struct conf *c, const struct engine *x, const struct image *m, const char *gate, struct err *e)
{
	struct conf_list l = { NULL, 0 };
	struct buf out = BUF_INIT;
	int rc;

	arg(&l, "run", "--rm");
	arg(&l, "--pull", "never");
	arg(&l, "--log-driver", "none");
	if (x->docker && x->runtime != NULL)
		arg(&l, "--runtime", x->runtime);
	add_rights(c, x, &l);
	add_bounds(c, x, &l);
	volume(&l, gate, GATE);
	parts_add(&l, mem_str(m->id));
	arg(&l, GATE, "--version");
	rc = engine_run_list(x, &l, PROBE_MS, &out, e);
	if (rc == 0 && (out.len < 12 || strncmp(out.data, "at-rund-gate", 12) != 0))
		rc = err_set(e, ERR_INTERNAL, "%s ran something else than at-rund-gate", engine_name(x));
	parts_clear(&l);
	buf_clear(&out);
	return rc;
}

/* The next OCI runtime to try, NULL past the end. */
static const char *
candidate(const struct conf *c, const struct engine *x, size_t i)
{
	static const char *const known[] = { "crun", "runc" };

	if (strcmp(c->container.runtime, "auto") != 0)
		return i == 0 ? c->container.runtime : NULL;
	if (x->docker)
		return i == 0 ? "" : NULL; /* its daemon's default */
	return i < 2 ? known[i] : NULL;
}

/* Sets x->runtime; false: not installed. */
static bool
use_runtime(struct engine *x, const char *name)
{
	free(x->runtime);
	x->runtime = NULL;
	if (name[0] == '\0')
		return true;
	if (x->docker)
		x->runtime = mem_str(name);
	else if ((x->runtime = child_which(name)) == NULL && strchr(name, '/') == NULL) {
		char *sbin = mem_fmt("/usr/sbin/%s", name); /* not in an ordinary user's PATH */

		x->runtime = access(sbin, X_OK) == 0 ? mem_str(sbin) : NULL;
		free(sbin);
	}
	return x->runtime != NULL;
}

static const char *
user_name(void)
{
	const struct passwd *pw = getpwuid(geteuid());

	return pw != NULL ? pw->pw_name : "USER";
}

/* Does /etc/subuid say "USER:" or "UID:"? */
static bool
has_subordinate_ids(void)
{
	char line[256], uid[24];
	const char *name = user_name();
	FILE *f = fopen("/etc/subuid", "re");
	bool has = false;

	snprintf(uid, sizeof uid, "%u:", (unsigned)geteuid());
	while (f != NULL && !has && fgets(line, sizeof line, f) != NULL)
		has = (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':') ||
		    strncmp(line, uid, strlen(uid)) == 0;
	if (f != NULL)
		fclose(f);
	return has;
}

static int
try_all(const struct conf *c, struct engine *x, const struct image *m, const char *gate, struct err *e)
{
	const char *name;
	size_t i;

	err_set(e, ERR_NOTFOUND, "no OCI runtime is installed: apt install runc");
	for (i = 0; (name = candidate(c, x, i)) != NULL; i++) {
		int without;

		if (!use_runtime(x, name)) {
			if (i == 0 && strcmp(c->container.runtime, "auto") != 0)
				return err_set(e, ERR_NOTFOUND, "container.runtime = %s is not installed: apt install %s", name, name);
			continue;
		}
		if (engine_is_gvisor(x) && (x->docker || x->rootless))
			return err_set(e, ERR_INPUT, "container.runtime = runsc works with the podman of root only: docker wants it in its "
			    "daemon.json, and an ordinary user's has no control groups to count by");
		/* Nothing of what runs there could be counted without. */
		for (without = 0; without < (engine_is_gvisor(x) ? 1 : 2); without++) {
			x->cgroups = without == 0;
			if (try_once(c, x, m, gate, e) == 0)
				return 0;
		}
	}
	if (x->rootless && !has_subordinate_ids())
		return err_set(e, ERR_DENIED, "podman of an ordinary user needs user ids to give away: usermod --add-subuids "
		    "100000-165535 --add-subgids 100000-165535 %s", user_name());
	return err_wrap(e, "%s", engine_name(x));
}

static int
container_probe(const struct conf *c, struct err *e)
{
	struct engine x = { 0 };
	struct image m = { 0 };
	char *gate = NULL;
	int rc = -1;

	if (home_usable(c, e) == 0 && engine_find(c, &x, e) == 0 && any_image(c, &m, e) == 0 && put_files(c, e) == 0 &&
	    (gate = parts_gate(e)) != NULL)
		rc = try_all(c, &x, &m, gate, e);
	if (rc == 0) {
		engine_clear(&engine);
		engine = x;
		x = (struct engine){ 0 };
	}
	engine_clear(&x);
	image_clear(&m);
	free(gate);
	return rc;
}

static const char *
bounds_of(const struct engine *x)
{
	if (engine_is_gvisor(x))
		return "memory, processes and CPU time counted by cgroup, of processes to some 16";
	return x->cgroups ? "memory and processes bounded by cgroup" : "without cgroups: memory and processes are bounded by looking";
}

/* "podman version 4.3.1, runc, memory and processes bounded by cgroup" */
static void
container_describe(const struct conf *c, struct buf *out)
{
	const char *const version[] = { "--version", NULL };
	const char *name = engine.runtime != NULL ? strrchr(engine.runtime, '/') : NULL;
	struct buf said = BUF_INIT;

	(void)c;
	if (engine_run(&engine, version, PROBE_MS, &said, NULL) == 0 && said.len > 0)
		buf_fmt(out, "%.*s, ", (int)strcspn(said.data, "\n"), said.data);
	if (engine.runtime != NULL)
		buf_fmt(out, "%s, ", name != NULL ? name + 1 : engine.runtime);
	buf_fmt(out, "%s%s", engine.rootless ? "of an ordinary user, " : "", bounds_of(&engine));
	buf_clear(&said);
}

const struct backend backend_container = {
	.name = "container",
	.closed = true,
	.probe = container_probe,
	.describe = container_describe,
	.fits = container_fits,
	.plan = container_plan,
	.key = container_key,
	.clean = container_clean,
	.sweep = container_sweep,
};
