#include "tests/t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/runtime.h"
#include "lib/buf.h"
#include "lib/child.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"

static const char seed_nix[] = "{ pkgs, ... }:\n"
    "{\n"
    "  mimeTypes = [ \"application/python+ml\" ];\n"
    "  guest = { environment.systemPackages = with pkgs; [ python312 python312Packages.pytorch ]; };\n"
    "  executor = { command = \"python3\"; permissionFlags = {}; };\n"
    "}\n";

static const char ini[] = "name = deno\n"
    "mimeTypes = [\"application/JavaScript+deno\", \"application/typescript\"]\n"
    "concurrency = 4\n"
    "[executor]\n"
    "command = sh\n"
    "flags = [\"run\", \"--no-prompt\"]   # asked nobody\n"
    "file = executor.mjs\n"
    "[permissionFlags]\n"
    "net = --allow-net={}\n"
    "read = --allow-read={}\n"
    "[packages]\n"
    "debian = []\n"
    "npm = [deno]\n";

static void
put(const char *dir, const char *name, const char *text)
{
	char *path = mem_fmt("%s/%s", dir, name);
	FILE *f = fopen(path, "w");

	CHECK(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
	free(path);
}

/* A home with runtimes/ and a config that names the given definitions ("[runtimes]\n..."). */
static struct conf *
home(const char *runtimes)
{
	const char *dir = t_tmpdir();
	char *sub = mem_fmt("%s/runtimes", dir);
	struct err e = ERR_INIT;
	struct conf *c;

	mkdir(sub, 0700);
	free(sub);
	setenv("AT_RUND_RUNTIMES", "/nonexistent", 1);
	c = conf_parse("config.ini", runtimes, strlen(runtimes), dir, NULL, &e);
	CHECK(c != NULL);
	return c;
}

static void
needs_nix(void)
{
	char *nix = child_which("nix-instantiate");

	if (nix == NULL)
		SKIP("nix-instantiate is not installed");
	free(nix);
}

TEST(runtime_ini_is_read_whole)
{
	struct conf *c = home("[runtimes]\ndeno = deno.ini\n");
	struct runtimes rs;
	struct err e = ERR_INIT;
	const struct runtime *r;

	put(c->runtimes_dir, "deno.ini", ini);
	put(c->runtimes_dir, "executor.mjs", "// here\n");
	CHECK_INT(runtimes_load(&rs, c, false, &e), 0);
	r = runtimes_find(&rs, "application/javascript+DENO ; charset=utf-8");
	CHECK(r != NULL && r == runtimes_named(&rs, "deno"));
	CHECK(r->missing == NULL);
	CHECK_STR(r->command, "sh");
	CHECK(r->program != NULL && r->program[0] == '/');
	CHECK_INT(r->concurrency, 4);
	CHECK_INT(r->flags.n, 2);
	CHECK_STR(r->flags.item[1], "--no-prompt");
	CHECK_INT(r->permission_flags.n, 2);
	CHECK_STR(r->permission_flags.item[0].key, "net");
	CHECK_STR(r->permission_flags.item[0].value, "--allow-net={}");
	CHECK_STR(r->npm.item[0], "deno");
	CHECK(strstr(r->executor, "/runtimes/executor.mjs") != NULL);
	CHECK(runtimes_find(&rs, "text/plain") == NULL);
	runtimes_clear(&rs);
	conf_free(c);
}

TEST(runtime_says_what_is_missing)
{
	struct conf *c = home("[runtimes]\na = a.ini\nb = b.ini\nc = c.ini\nd = d.txt\ne = e.ini\n");
	struct runtimes rs;
	struct err e = ERR_INIT;

	put(c->runtimes_dir, "a.ini", "mimeTypes = [a/a]\n[executor]\ncommand = no-such-program\nfile = x.py\n");
	put(c->runtimes_dir, "b.ini", "mimeTypes = [b/b]\n[executor]\ncommand = sh\n");
	put(c->runtimes_dir, "d.txt", "x");
	put(c->runtimes_dir, "e.ini", "mimeTypes = [e/e]\n[executr]\n");
	put(c->runtimes_dir, "x.py", "");
	CHECK_INT(runtimes_load(&rs, c, true, &e), 0);
	CHECK_INT(rs.n, 5);
	CHECK(rs.item[0].missing == NULL && rs.item[0].program == NULL); /* an image may have it */
	CHECK_STR(rs.item[1].missing, "at-rund has no executor of its own for sh: name one in executor.file");
	CHECK(strstr(rs.item[2].missing, "c.ini: No such file or directory") != NULL);
	CHECK(strstr(rs.item[3].missing, "a definition is a .ini or a .nix file") != NULL);
	CHECK(strstr(rs.item[4].missing,
	    "e.ini:2: [executr]: unknown section; there are executor, permissionFlags, packages") != NULL);
	runtimes_clear(&rs);
	conf_free(c);
}

TEST(runtime_two_may_not_claim_one_type)
{
	struct conf *c = home("[runtimes]\na = a.ini\nb = b.ini\n");
	struct runtimes rs;
	struct err e = ERR_INIT;

	put(c->runtimes_dir, "a.ini", "mimeTypes = [x/y]\n[executor]\ncommand = sh\n");
	put(c->runtimes_dir, "b.ini", "mimeTypes = [\"X/Y\"]\n[executor]\ncommand = sh\n");
	CHECK_INT(runtimes_load(&rs, c, false, &e), -1);
	CHECK(strncmp(e.text, "runtimes a and b both claim x/y", 31) == 0);
	conf_free(c);
}

TEST(runtime_ini_errors_name_the_key)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "[executor]\ncommand = sh\n", "f.ini: mimeTypes is missing: which code does this runtime take?" },
		{ "mimeTypes = [a/b]\n", "f.ini: executor.command is missing: which program runs the code?" },
		{ "mimeTypes = [ab]\n", "f.ini:1: mimeTypes: expected MIME types such as application/javascript" },
		{ "concurrency = 0\n", "f.ini:1: concurrency: expected a number from 1 to 1024" },
		{ "mime = a/b\n", "f.ini:1: mime: unknown key; there are name, mimeTypes, concurrency" },
		{ "[executor]\nfile = ../x\n", "f.ini:2: executor.file: expected a file name" },
		{ "[executor]\ncmd = x\n", "f.ini:2: executor.cmd: unknown key; there are command, flags, file" },
		{ "[packages]\nrpm = [x]\n", "f.ini:2: packages.rpm: unknown key; there are nix, debian, npm, prepare, scripts" },
		{ "[packages]\nscripts = perhaps\n", "f.ini:2: packages.scripts: expected yes or no" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct runtimes rs = { mem_array(1, sizeof *rs.item), 1 };
		struct err e = ERR_INIT;

		CHECK_INT(runtime_parse_ini(&rs.item[0], "f", "f.ini", cases[i].text, strlen(cases[i].text), &e), -1);
		CHECK_STR(e.text, cases[i].why);
		runtimes_clear(&rs);
	}
}

TEST(runtime_nix_json_is_checked)
{
	static const char good[] = "{\"mimeTypes\":[\"a/b\"],\"concurrency\":2,\"executor\":{\"command\":"
	    "\"/nix-package/deno/bin/deno\",\"permissionFlags\":{\"net\":\"--allow-net={}\"},\"flags\":[\"-q\"]},"
	    "\"guest\":{\"environment\":{\"systemPackages\":[\"deno\"],\"debian\":"
	    "[\"libc6\"],\"npm\":[\"deno\"],\"prepare\":[\"/bin/x\"],\"scripts\":true}}}";
	static const char *const bad[] = { "", "[]", "{\"mimeTypes\":[1]}", "{\"mimeTypes\":[\"a/b\"]}",
		"{\"mimeTypes\":[\"a/b\"],\"executor\":{\"command\":\"x\",\"permissionFlags\":{\"net\":[]}}}",
		"{\"mimeTypes\":[\"a/b\"],\"executor\":{\"command\":\"x\",\"file\":\"a/b\"}}",
		"{\"mimeTypes\":[\"a/b\"],\"concurrency\":0,\"executor\":{\"command\":\"x\"}}" };
	struct runtimes rs = { mem_array(1, sizeof *rs.item), 1 };
	struct err e = ERR_INIT;

	CHECK_INT(runtime_parse_nix_json(&rs.item[0], "f", "f.nix", good, sizeof good - 1, &e), 0);
	CHECK_STR(rs.item[0].command, "deno");
	CHECK_STR(rs.item[0].nix.item[0], "deno");
	CHECK_STR(rs.item[0].debian.item[0], "libc6");
	CHECK_STR(rs.item[0].npm.item[0], "deno");
	CHECK_STR(rs.item[0].prepare.item[0], "/bin/x");
	CHECK(rs.item[0].scripts);
	CHECK_STR(rs.item[0].flags.item[0], "-q");
	CHECK_STR(rs.item[0].permission_flags.item[0].value, "--allow-net={}");
	CHECK_INT(rs.item[0].concurrency, 2);
	runtimes_clear(&rs);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		rs = (struct runtimes){ mem_array(1, sizeof *rs.item), 1 };
		CHECK_INT(runtime_parse_nix_json(&rs.item[0], "f", "f.nix", bad[i], strlen(bad[i]), &e), -1);
		runtimes_clear(&rs);
	}
}

TEST(runtime_the_seeds_nix_definition_loads_as_it_stands)
{
	struct conf *c;
	struct runtimes rs;
	struct err e = ERR_INIT;
	const struct runtime *r;

	needs_nix();
	c = home("[runtimes]\npython-ml = python-ml.nix\n");
	put(c->home, "python", "");
	put(c->runtimes_dir, "python-ml.nix", seed_nix);
	/* Its executor is ours of that command. */
	setenv("AT_RUND_RUNTIMES", c->home, 1);
	{
		char *dir = mem_fmt("%s/python", c->home);

		unlink(dir);
		mkdir(dir, 0700);
		put(dir, "executor.py", "");
		free(dir);
	}
	CHECK_INT(runtimes_load(&rs, c, false, &e), 0);
	r = runtimes_find(&rs, "application/python+ml");
	CHECK(r != NULL);
	CHECK_STR(r->command, "python3");
	CHECK_INT(r->nix.n, 2);
	CHECK_STR(r->nix.item[0], "python312");
	CHECK_STR(r->nix.item[1], "python312Packages.pytorch");
	CHECK_INT(r->permission_flags.n, 0);
	CHECK(r->executor != NULL && strstr(r->executor, "/python/executor.py") != NULL);
	runtimes_clear(&rs);
	conf_free(c);
	setenv("AT_RUND_RUNTIMES", "/nonexistent", 1);
}

TEST(runtime_nix_may_use_packages_in_many_ways)
{
	struct conf *c;
	struct runtimes rs;
	struct err e = ERR_INIT;

	needs_nix();
	c = home("[runtimes]\nx = x.nix\n");
	put(c->runtimes_dir, "x.nix", "{ pkgs, lib, config, ... }:\nlet py = pkgs.python3.withPackages (ps: with ps; "
	    "[ numpy ]); in {\n  mimeTypes = [ \"a/b\" ];\n  guest.environment.systemPackages = [ py ] ++ lib.optionals true "
	    "(with pkgs; [ hello (curl.override { x = 1; }) ]);\n  executor.command = \"${pkgs.deno}/bin/deno\";\n"
	    "  executor.permissionFlags.net = \"--allow-net={}\";\n  executor.other = abort \"never asked\"; }\n");
	CHECK_INT(runtimes_load(&rs, c, false, &e), 0);
	CHECK_STR(rs.item[0].command, "deno");
	CHECK_INT(rs.item[0].nix.n, 3);
	CHECK_STR(rs.item[0].nix.item[0], "python3.withPackages");
	CHECK_STR(rs.item[0].nix.item[1], "hello");
	CHECK_STR(rs.item[0].permission_flags.item[0].value, "--allow-net={}");
	runtimes_clear(&rs);
	conf_free(c);
}

TEST(runtime_nix_reads_no_files_and_ends)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "{ pkgs }: { mimeTypes = [ (builtins.readFile \"/etc/passwd\") ]; }", "forbidden in restricted mode" },
		{ "{ pkgs }: { mimeTypes = [ (builtins.fetchurl \"http://127.0.0.1:1/\") ]; }", "restricted mode" },
		{ "{ pkgs }: let f = n: [ n ] ++ f (n + 1); in { mimeTypes = f 1; }", "x.nix" },
		{ "{ pkgs }: { mimeTypes = [ \"a/b\" }", "syntax error" },
		{ "{ pkgs }: { mimeTypes = [ \"a/b\" ]; executor.command = builtins.getEnv \"HOME\"; }",
		    "executor.command is missing" },
	};

	needs_nix();
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct conf *c = home("[runtimes]\nx = x.nix\n");
		int64_t start = clock_mono_ms();
		struct runtimes rs;
		struct err e = ERR_INIT;

		put(c->runtimes_dir, "x.nix", cases[i].text);
		CHECK_INT(runtimes_load(&rs, c, false, &e), 0);
		CHECK(rs.item[0].missing != NULL);
		if (rs.item[0].missing != NULL && strstr(rs.item[0].missing, cases[i].why) == NULL)
			CHECK_STR(rs.item[0].missing, cases[i].why);
		CHECK(clock_mono_ms() - start < 8000);
		runtimes_clear(&rs);
		conf_free(c);
	}
}

TEST(child_ends_at_its_deadline_with_all_it_started)
{
	static const char *const slow[] = { "sh", "-c", "sleep 60 & sleep 60", NULL };
	static const char *const loud[] = { "sh", "-c", "yes", NULL };
	static const char *const bad[] = { "sh", "-c", "echo no good >&2; exit 3", NULL };
	static const char *const none[] = { "no-such-program", NULL };
	static const char *const env[] = { "env", NULL };
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	int64_t start = clock_mono_ms();

	CHECK_INT(child_run(slow, 100, 100, &out, &e), -1);
	CHECK_INT(e.kind, ERR_TIMEOUT);
	CHECK(clock_mono_ms() - start < 5000);
	CHECK_INT(child_run(loud, 5000, 100, &out, &e), -1);
	CHECK_STR(e.text, "sh: more than 100 bytes of output");
	buf_reset(&out);
	CHECK_INT(child_run(bad, 5000, 100, &out, &e), -1);
	CHECK_STR(e.text, "sh: exit status 3: no good");
	CHECK_INT(child_run(none, 5000, 100, &out, &e), -1);
	CHECK_INT(e.kind, ERR_NOTFOUND);
	setenv("AT_RUND_SECRET_OF_OURS", "x", 1);
	CHECK_INT(child_run(env, 5000, 4096, &out, &e), 0);
	CHECK(strstr(out.data, "SECRET") == NULL && strstr(out.data, "PATH=") != NULL);
	unsetenv("AT_RUND_SECRET_OF_OURS");
	buf_clear(&out);
}
