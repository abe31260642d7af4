#include "tests/t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "backends/backend.h"
#include "backends/runtime.h"
#include "backends/walls.h"
#include "lib/buf.h"
#include "lib/bundle.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"

static char *flags[] = { (char *)"run", (char *)"--no-prompt" };
static struct conf_pair permission_flags[] = { { (char *)"memory", (char *)"--v8-flags=--max-old-space-size={}" },
	{ (char *)"read", (char *)"--allow-read={}" }, { (char *)"write", (char *)"--allow-write={}" },
	{ (char *)"net", (char *)"--allow-net={}" }, { (char *)"env", (char *)"--allow-env={}" } };
static struct runtime deno = { .name = (char *)"deno", .dir = (char *)"/usr/share/at-rund/runtimes/deno",
	.program = (char *)"/opt/deno/bin/deno", .flags = { flags, 2 },
	.executor = (char *)"/usr/share/at-rund/runtimes/deno/executor.mjs", .permission_flags = { permission_flags, 5 },
	.concurrency = 1 };

static struct conf *
conf(const char *text)
{
	struct err e = ERR_INIT;
	struct conf *c = conf_parse("config.ini", text, strlen(text), "/home/x/.at-rund", NULL, &e);

	CHECK_STR(e.text, "");
	return c;
}

static struct bundle *
bundle(const char *permissions)
{
	char *json = mem_fmt("{\"runtime\":\"application/javascript+deno\",\"entry\":\"m.js\",\"permissions\":%s}", permissions);
	struct err e = ERR_INIT;
	struct bundle *b = bundle_parse(json, strlen(json), true, &e);

	CHECK_STR(e.text, "");
	free(json);
	return b;
}

static void
put_list(struct buf *out, const char *what, const struct conf_list *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		buf_fmt(out, "%s %s\n", what, l->item[i]);
}

static char *
plan_text(const struct conf *c, const struct bundle *b)
{
	struct task t = { .instance = 7, .runtime = &deno, .dir = "/home/x/.at-rund/run/i/7", .bundle = b };
	struct plan p = { 0 };
	struct err e = ERR_INIT;
	struct buf out = BUF_INIT;
	size_t i;

	CHECK_INT(backend_named("none")->plan(c, &t, &p, &e), 0);
	put_list(&out, "argv", &p.argv);
	put_list(&out, "env", &p.env);
	buf_fmt(&out, "cwd %s\n", p.cwd);
	for (i = 0; i < p.limits; i++)
		buf_fmt(&out, "limit %s %llu\n", p.limit[i].resource == RLIMIT_CORE ? "core" :
		    p.limit[i].resource == RLIMIT_NOFILE ? "nofile" : p.limit[i].resource == RLIMIT_FSIZE ? "fsize" : "?",
		    (unsigned long long)p.limit[i].value);
	buf_fmt(&out, "landlock %d\n", p.landlock);
	put_list(&out, "ro", &p.read_only);
	put_list(&out, "rw", &p.read_write);
	plan_clear(&p);
	return buf_take(&out);
}

static void
golden(const char *path, char *text)
{
	char *want = t_read_file(path, NULL);

	if (want == NULL)
		t_note("%s is missing; it would be:\n%s", path, text);
	CHECK(want != NULL);
	CHECK_STR(text, want);
	free(want);
	free(text);
}

TEST(the_plan_of_none_for_a_blank_is_the_golden_one)
{
	struct conf *c = conf("[access]\nmode = open\n");

	golden("tests/golden/none-deno-blank.plan", plan_text(c, NULL));
	conf_free(c);
}

TEST(the_plan_of_none_carries_permissions_as_flags)
{
	struct conf *c = conf("[access]\nmode = open\n[limits]\nmemory = 64M\n");
	struct bundle *b = bundle("{\"net\":[\"api.example.com:443\",\"*.example.org\"],\"env\":[\"LANG\"]}");

	golden("tests/golden/none-deno-net.plan", plan_text(c, b));
	bundle_free(b);
	conf_free(c);
}

TEST(a_bundle_fits_a_blank_unless_its_permissions_are_flags_of_the_process)
{
	struct conf *c = conf("[access]\nmode = open\n");
	struct bundle *plain = bundle("{\"write\":[\"/tmp\"]}"), *net = bundle("{\"net\":[\"a.example\"]}");
	struct buf blank = BUF_INIT, a = BUF_INIT, b = BUF_INIT;

	backend_named("none")->key(c, &(struct task){ .runtime = &deno }, &blank);
	backend_named("none")->key(c, &(struct task){ .runtime = &deno, .bundle = plain }, &a);
	backend_named("none")->key(c, &(struct task){ .runtime = &deno, .bundle = net }, &b);
	CHECK_STR(a.data != NULL ? a.data : "", blank.data != NULL ? blank.data : "");
	CHECK_STR(b.data, "net=a.example:443;");
	buf_clear(&blank);
	buf_clear(&a);
	buf_clear(&b);
	bundle_free(plain);
	bundle_free(net);
	conf_free(c);
}

TEST(the_choice_of_a_wall_fails_closed)
{
	static const struct {
		const char *config;
		bool dev;
		const char *chosen, *says; /* NULL: refused */
	} cases[] = {
		{ "[access]\nmode = open\n", false, NULL, "no wall works here" },
		{ "[access]\nmode = open\n", true, "none", NULL },
		{ "isolation = none\n[access]\nmode = open\n", false, "none", NULL },
		{ "isolation = sandbox\n[access]\nmode = open\n", true, NULL, "bwrap is not installed: apt install bubblewrap" },
		{ "isolation = container\n[access]\nmode = open\n", true, NULL, "podman is not installed: apt install podman" },
		{ "isolation = firecracker\n[access]\nmode = open\n", true, NULL,
		    "isolation = firecracker is not built into this version" },
		{ "isolation = none\n[access]\nmode = open\n[web]\nbind = 0.0.0.0\n", false, NULL, "web.bind = 0.0.0.0" },
		{ "[access]\nmode = open\n[web]\nbind = 192.0.2.1\n", true, NULL, "web.bind = 192.0.2.1" },
		{ "isolation = none\nport = 0\n[access]\nmode = open\n[web]\npublic_url = https://runner.example.com\n", false,
		    NULL, "web.public_url" },
		{ "isolation = none\n[access]\nmode = allowlist\nallowlist = did:plc:ewvi7nxzyoun6zhxrhs64oiz\n"
		  "[web]\nbind = 0.0.0.0\n", false, "none", NULL },
	};
	char *path = mem_str(getenv("PATH"));
	size_t i;

	setenv("PATH", "/nonexistent", 1); /* a host without bwrap */
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct conf *c = conf(cases[i].config);
		struct err e = ERR_INIT;
		struct runtime r = deno;
		struct runtimes rs = { &r, 1 };
		const struct backend *b = NULL;
		struct walls *w;

		c->dev = cases[i].dev;
		w = walls_new(c, &rs, &e);
		if (w != NULL)
			b = walls_of(w, &r, NULL, NULL, &e);
		walls_free(w);
		free(r.missing);
		CHECK_STR(b != NULL ? b->name : "", cases[i].chosen != NULL ? cases[i].chosen : "");
		if (cases[i].says != NULL && strstr(e.text, cases[i].says) == NULL)
			CHECK_STR(e.text, cases[i].says);
		conf_free(c);
	}
	setenv("PATH", path, 1);
	free(path);
}

/* Several walls at once: by runtime, by author, by bundle, and by what works. */
TEST(each_runtime_and_author_has_the_wall_that_the_config_says)
{
	static const char config[] = "isolation = sandbox\n[access]\nmode = open\n[isolation]\npython = none\nauthors = "
	    "[\"did:plc:ewvi7nxzyoun6zhxrhs64oiz/odd auto\", \"did:plc:ewvi7nxzyoun6zhxrhs64oiz none\"]\n";
	struct conf *c = conf(config);
	struct runtime r[2] = { deno, deno };
	struct runtimes rs = { r, 2 };
	char *path = mem_str(getenv("PATH"));
	struct err e = ERR_INIT;
	struct walls *w;

	r[1].name = (char *)"python";
	setenv("PATH", "/nonexistent", 1); /* a host without bwrap */
	w = walls_new(c, &rs, &e);
	setenv("PATH", path, 1);
	CHECK(w != NULL);
	CHECK(walls_of(w, &r[0], NULL, NULL, &e) == NULL);
	CHECK(strstr(e.text, "isolation = sandbox: bwrap is not installed") != NULL);
	CHECK_STR(walls_of(w, &r[1], NULL, NULL, NULL)->name, "none");
	CHECK_STR(walls_of(w, &r[0], "did:plc:ewvi7nxzyoun6zhxrhs64oiz", "hello", NULL)->name, "none");
	CHECK(walls_of(w, &r[0], "did:plc:ewvi7nxzyoun6zhxrhs64oiz", "odd", &e) == NULL);
	CHECK(strstr(e.text, "no wall works here for deno") != NULL);
	CHECK(walls_of(w, &r[1], "did:plc:ewvi7nxzyoun6zhxrhs64oiz", "odd", &e) == NULL);
	CHECK(walls_uses(w, backend_named("none")) && !walls_uses(w, backend_named("sandbox")));
	CHECK(r[0].missing == NULL); /* for one author it can run */
	walls_free(w);
	free(path);
	conf_free(c);
}

TEST(a_wall_none_for_one_runtime_is_refused_where_everybody_could_use_it)
{
	struct conf *c = conf("[access]\nmode = open\n[isolation]\ndeno = none\n[web]\nbind = 0.0.0.0\n");
	struct runtime r = deno;
	struct runtimes rs = { &r, 1 };
	struct err e = ERR_INIT;

	CHECK(walls_new(c, &rs, &e) == NULL);
	CHECK(strstr(e.text, "web.bind = 0.0.0.0") != NULL);
	conf_free(c);
}
