/* The plan of the wall `sandbox`, by comparison; that it holds is for tests/contract to say. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/backend.h"
#include "backends/runtime.h"
#include "backends/seccomp.h"
#include "lib/buf.h"
#include "lib/bundle.h"
#include "lib/child.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "tests/t.h"

static const char *const flags[] = { "run", "--quiet" };

static struct conf *
conf(const char *text)
{
	struct err e = ERR_INIT;
	struct conf *c = conf_parse("config.ini", text, strlen(text), "/srv/at-rund", NULL, &e);

	CHECK_STR(e.text, "");
	return c;
}

static const struct backend *
sandbox(void)
{
	char *bwrap = child_which("bwrap");

	if (bwrap == NULL)
		SKIP("bwrap is not installed");
	free(bwrap);
	return backend_named("sandbox");
}

/* The items with blanks between; numbers of descriptors and what differs from host to host are left to the caller. */
static char *
text_of(const struct conf_list *l)
{
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < l->n; i++)
		buf_fmt(&b, "%s%s", i > 0 ? " " : "", l->item[i]);
	buf_str(&b, "");
	return buf_take(&b);
}

static bool
has(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

static void
plan_for(struct plan *p, const struct conf *c, const char *program, const char *dir)
{
	struct conf_pair flag[] = { { (char *)"net", (char *)"--allow-net={}" }, { (char *)"read", (char *)"--allow-read={}" },
		{ (char *)"memory", (char *)"--heap={}" } };
	struct runtime r = { .name = (char *)"deno", .dir = (char *)dir, .program = (char *)program,
		.flags = { (char **)flags, 2 }, .permission_flags = { flag, 3 } };
	struct task t = { .instance = 7, .runtime = &r, .dir = "/srv/at-rund/run/i/7" };
	struct err e = ERR_INIT;
	char *executor = mem_fmt("%s/executor.mjs", dir);

	r.executor = executor;
	CHECK_INT(sandbox()->plan(c, &t, p, &e), 0);
	CHECK_STR(e.text, "");
	free(executor);
}

TEST(the_sandbox_plan_is_the_golden_one)
{
	static const char namespaces[] = "--unshare-user --unshare-all --die-with-parent --new-session --as-pid-1 --uid 65532 "
	    "--gid 65532 --cap-drop ALL --cap-add CAP_NET_BIND_SERVICE --cap-add CAP_NET_ADMIN --hostname runner --ro-bind /";
	struct conf *c = conf("[limits]\nscratch = 32M\nfiles = 128\nmemory = 64M\n");
	struct plan p = { 0 };
	char *argv, *args;

	plan_for(&p, c, "/usr/bin/env", "/opt/at-rund/runtimes/deno");
	argv = text_of(&p.argv);
	args = text_of(&p.args);
	CHECK(has(argv, "/bwrap --args 3 -- /runtime/gate --socket /job/out --filter /runtime/filter --files 128 --write /tmp -- "
	    "/usr/bin/env run --quiet --heap=64 --allow-read --allow-net "
	    "/runtime/deno/executor.mjs /job/sock"));
	CHECK(strncmp(args, namespaces, strlen(namespaces)) == 0);
	CHECK(has(args, "/at-rund-gate /runtime/gate --perms 0444 --file 4 /runtime/filter --perms 0444 --file 5 /etc/passwd"));
	CHECK(has(args, " --proc /proc --perms 1777 --size 33554432 --tmpfs /tmp "));
	CHECK(has(args, " --symlink /tmp /dev/shm "));
	CHECK(has(args, " --ro-bind /opt/at-rund/runtimes/deno /runtime/deno --ro-bind /srv/at-rund/run/i/7 /job "
	    "--remount-ro /proc --remount-ro / --clearenv --setenv PATH /usr/local/bin:/usr/bin:/bin --setenv LANG C.UTF-8 "
	    "--setenv HOME /tmp --setenv TMPDIR /tmp "));
	CHECK(has(args, " --chdir /job"));
	CHECK_STR(p.dir, "/job");
	CHECK(p.contained);
	CHECK(p.gate);
	CHECK(!p.landlock);
	CHECK_INT(p.env.n, 1);
	CHECK_STR(p.env.item[0], "AT_RUND_INSTANCE=/srv/at-rund:7");
	CHECK_INT(p.open.n, PLAN_OPEN_MAX);
	CHECK_INT(p.limits, 2);
	CHECK_INT(p.limit[0].resource, RLIMIT_CORE);
	CHECK_INT(p.limit[0].value, 0);
	CHECK_INT(p.limit[1].value, 32 << 20);
	free(argv);
	free(args);
	plan_clear(&p);
	conf_free(c);
}

TEST(nothing_of_the_host_but_the_runtime_is_in_the_sandbox_plan)
{
	static const char *const never[] = { " /home ", " /root ", " /var ", " /opt ", " / / ", " /etc ", " /etc/shadow ", " /usr ",
		" /sys ", " /run ", " /tmp /tmp ", "--share-net", "--bind ", "--dev /dev", " /srv/at-rund ", " /srv/at-rund/run " };
	struct conf *c = conf("");
	struct plan p = { 0 };
	const char *const *part;
	char *args;

	plan_for(&p, c, "/usr/bin/env", "/opt/at-rund/runtimes/deno");
	args = text_of(&p.args);
	for (T_EACH(part, never))
		CHECK(!has(args, *part) || strncmp(strstr(args, *part) - 5, "--dev-bind", 10) == 0);
	free(args);
	plan_clear(&p);
	conf_free(c);
}

TEST(a_runtime_from_elsewhere_brings_its_own_files_and_no_others)
{
	struct conf *c = conf("");
	struct plan p = { 0 };
	const char *top = t_tmpdir();
	char *bin = mem_fmt("%s/bin", top), *lib = mem_fmt("%s/lib", top), *own = mem_fmt("%s/lib/serpent9", top);
	char *program = mem_fmt("%s/bin/serpent9", top), *so = mem_fmt("%s/lib/libserpent.so.9", top);
	char *other = mem_fmt("%s/lib/other", top), *args, *argv, *want;
	FILE *f;

	CHECK_INT(mkdir(bin, 0700) | mkdir(lib, 0700) | mkdir(own, 0700) | mkdir(other, 0700), 0);
	CHECK((f = fopen(program, "we")) != NULL && fclose(f) == 0);
	CHECK((f = fopen(so, "we")) != NULL && fclose(f) == 0);
	plan_for(&p, c, program, "/opt/at-rund/runtimes/deno");
	args = text_of(&p.args);
	argv = text_of(&p.argv);
	want = mem_fmt("--ro-bind %s /runtime/own/bin/serpent9 --ro-bind %s /runtime/own/lib/serpent9 "
	    "--ro-bind %s /runtime/own/lib/libserpent.so.9 --ro-bind /opt", program, own, so);
	CHECK(has(args, want));
	CHECK(!has(args, other));
	CHECK(has(argv, " -- /runtime/own/bin/serpent9 run "));
	CHECK(!has(argv, top));
	free(want);
	free(argv);
	free(args);
	free(bin);
	free(lib);
	free(own);
	free(program);
	free(so);
	free(other);
	plan_clear(&p);
	conf_free(c);
}

TEST(the_sandbox_refuses_what_it_cannot_hold_by_its_name)
{
	static const struct {
		const char *json, *want; /* NULL: granted */
	} row[] = {
		{ "{}", NULL },
		{ "{\"env\":[\"LANG\"],\"read\":[\".\",\"data/x\"],\"write\":[\"/tmp\"],\"run\":[\"git\"],\"ffi\":[\"x\"]}", NULL },
		{ "{\"read\":[\"/etc/passwd\"]}", "permissions.read: '/etc/passwd'" },
		{ "{\"write\":[\"/var/lib/x\"]}", "permissions.write: '/var/lib/x'" },
		{ "{\"write\":[\"/tmp/../etc\"]}", "permissions.write: '/tmp/../etc'" },
		{ "{\"env\":[\"AWS_SECRET\"]}", "permissions.env: 'AWS_SECRET'" },
		{ "{\"net\":[\"api.example.com\",\"*.example.org:8443\",\"192.0.2.1:80\"]}", NULL },
		{ "{\"net\":[\"127.1\"]}", "permissions.net: '127.1'" },
		{ "{\"read\":[\"/srv/data/x\"],\"write\":[\"/srv/out\"],\"env\":[\"REGION\"]}", NULL },
		{ "{\"read\":[\"/srv/data/../x\"]}", "permissions.read: '/srv/data/../x'" },
		{ "{\"write\":[\"/srv/data\"]}", "permissions.write: '/srv/data'" },
		{ "{\"read\":[\"/srv/other\"]}", "permissions.read: '/srv/other'" },
	}, *x;
	struct conf *c = conf("[grants]\nread = [\"did:plc:a /srv/data\", \"did:plc:b /srv/other\"]\n"
	    "write = [\"did:plc:a/x /srv/out\"]\nenv = [\"* REGION\"]\n");

	for (T_EACH(x, row)) {
		struct err e = ERR_INIT;
		char *json = mem_fmt("{\"$type\":\"dev.at-run.bundle\",\"name\":\"x\",\"runtime\":\"application/python\","
		    "\"entry\":\"main.py\",\"endpoints\":{\"a\":{}},\"permissions\":%s}", x->json);
		struct bundle *b = bundle_parse(json, strlen(json), true, &e);
		struct runtime r = { .name = (char *)"python" };

		CHECK(b != NULL);
		CHECK_INT(backend_permit(sandbox(), c, &(struct task){ .runtime = &r, .bundle = b, .author = "did:plc:a", .name = "x" }, &e),
		    x->want == NULL ? 0 : -1);
		if (x->want != NULL) {
			CHECK(has(e.text, x->want));
			CHECK_STR(e.name, "PermissionNotGranted");
		}
		bundle_free(b);
		free(json);
	}
	conf_free(c);
}

TEST(the_filter_is_made_once_and_cannot_be_changed)
{
	struct err e = ERR_INIT;
	int fd = seccomp_filter_fd(&e);
	struct stat st;

	CHECK(fd >= 0);
	CHECK_INT(seccomp_filter_fd(&e), fd);
	CHECK_INT(fstat(fd, &st), 0);
	CHECK(st.st_size > 0 && st.st_size % 8 == 0);
	CHECK_INT(write(fd, "x", 1), -1);
}

TEST(walls_stand_in_the_order_of_their_strength)
{
	CHECK_STR(backend_at(0)->name, "container");
	CHECK_STR(backend_at(1)->name, "sandbox");
	CHECK_STR(backend_at(2)->name, "none");
}

/* bwrap hidden: the probe says so and what mends it. */
TEST(without_bwrap_the_probe_says_what_to_install)
{
	struct conf *c = conf("isolation = sandbox\n");
	struct err e = ERR_INIT;
	char *path = mem_str(getenv("PATH"));

	setenv("PATH", "/nonexistent", 1);
	CHECK_INT(backend_named("sandbox")->probe(c, &e), -1);
	setenv("PATH", path, 1);
	CHECK(has(e.text, "apt install bubblewrap"));
	free(path);
	conf_free(c);
}
