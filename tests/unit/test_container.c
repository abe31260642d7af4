/* The plan of the wall `container`, by comparison; that it holds is for tests/contract to say. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/backend.h"
#include "backends/container.h"
#include "backends/engine.h"
#include "backends/image.h"
#include "backends/runtime.h"
#include "backends/seccomp.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "tests/t.h"

#define ID "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static char *flags[] = { (char *)"-I", (char *)"-S" };
static struct runtime python = { .name = (char *)"python", .dir = (char *)"/usr/share/at-rund/runtimes/python",
	.command = (char *)"python3", .flags = { flags, 2 },
	.executor = (char *)"/usr/share/at-rund/runtimes/python/executor.py", .concurrency = 1 };

static struct conf *
home_with_image(void)
{
	const char *home = t_tmpdir();
	char *dir = mem_fmt("%s/images/python", home), *path = mem_fmt("%s/image.json", dir), *top;
	struct err e = ERR_INIT;
	struct conf *c;
	FILE *f;

	top = mem_fmt("%s/images", home);
	mkdir(top, 0700);
	mkdir(dir, 0700);
	f = fopen(path, "w");
	CHECK(f != NULL);
	fputs("{\"image\":\"" ID "\",\"key\":\"k\",\"program\":\"/usr/bin/python3\",\"bytes\":1,\"built\":2}", f);
	fclose(f);
	c = conf_parse("config.ini", "", 0, home, NULL, &e);
	CHECK(c != NULL);
	free(top);
	free(path);
	free(dir);
	return c;
}

/* Paths that differ from one run to the next become words. */
static void
put(struct buf *out, const char *what, const char *text, const char *home)
{
	const char *at;

	buf_fmt(out, "%s ", what);
	while ((at = strstr(text, home)) != NULL) {
		buf_add(out, text, (size_t)(at - text));
		buf_str(out, "HOME");
		text = at + strlen(home);
	}
	buf_fmt(out, "%s\n", text);
}

static void
put_list(struct buf *out, const char *what, const struct conf_list *l, const char *home)
{
	size_t i;

	for (i = 0; i < l->n; i++) {
		bool named = i > 0 && strcmp(l->item[i - 1], "--name") == 0;
		bool gate = strstr(l->item[i], ":/runtime/at-rund-gate:") != NULL;
		bool mark = strncmp(l->item[i], "at-rund-", 8) == 0 || strncmp(l->item[i], "at-rund.home=", 13) == 0;

		if (strcmp(l->item[i], "--oom-kill-disable") == 0)
			continue; /* of cgroups v1 only */
		put(out, what, named || mark ? "NAME" : gate ? "GATE:/runtime/at-rund-gate:ro" : l->item[i], home);
	}
}

static char *
plan_text(const struct engine *x, struct conf *c)
{
	char *dir = mem_fmt("%s/run/i/7", c->home);
	struct task t = { .instance = 7, .runtime = &python, .dir = dir };
	struct plan p = { 0 };
	struct err e = ERR_INIT;
	struct buf out = BUF_INIT;

	CHECK_INT(container_plan_by(x, c, &t, &p, &e), 0);
	put_list(&out, "argv", &p.argv, c->home);
	put_list(&out, "env", &p.env, c->home);
	put_list(&out, "undo", &p.undo, c->home);
	put(&out, "holder", p.holder != NULL ? p.holder : "-", c->home);
	put(&out, "first", p.first != NULL ? p.first : "-", c->home);
	plan_clear(&p);
	free(dir);
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

TEST(the_container_plan_for_podman_is_the_golden_one)
{
	struct engine x = { .program = (char *)"/usr/bin/podman", .runtime = (char *)"/usr/sbin/runc", .cgroups = true };
	struct conf *c = home_with_image();

	golden("tests/golden/container-podman.plan", plan_text(&x, c));
	conf_free(c);
}

TEST(the_container_plan_for_gvisor_is_the_golden_one)
{
	struct engine x = { .program = (char *)"/usr/bin/podman", .runtime = (char *)"/usr/bin/runsc", .cgroups = true };
	struct conf *c = home_with_image();

	golden("tests/golden/container-gvisor.plan", plan_text(&x, c));
	conf_free(c);
}

TEST(the_container_plan_for_docker_is_the_golden_one)
{
	struct engine x = { .program = (char *)"/usr/bin/docker", .docker = true };
	struct conf *c = home_with_image();

	unsetenv("DOCKER_HOST");
	setenv("HOME", "/home/x", 1);
	golden("tests/golden/container-docker.plan", plan_text(&x, c));
	conf_free(c);
}

TEST(a_runtime_without_image_does_not_fit_a_container)
{
	struct conf *c = home_with_image();
	struct runtime other = python;
	struct err e = ERR_INIT;

	CHECK_INT(backend_named("container")->fits(c, &python, &e), 0);
	other.name = (char *)"other";
	CHECK_INT(backend_named("container")->fits(c, &other, &e), -1);
	CHECK(strstr(e.text, "at-rund build --runtime other") != NULL);
	conf_free(c);
}

TEST(the_key_of_an_image_follows_everything_it_is_made_of)
{
	static char *two[] = { (char *)"a", (char *)"b" }, *one[] = { (char *)"ab" };
	struct runtime a = python, b = python, s = python;
	struct buf ka = BUF_INIT, kb = BUF_INIT, ks = BUF_INIT, kn = BUF_INIT, again = BUF_INIT;
	struct conf debian = { .home = NULL }, nix = { .build.nixpkgs = (char *)"/srv/nixpkgs" };

	a.debian = (struct conf_list){ two, 2 };
	b.debian = (struct conf_list){ one, 1 };
	s.debian = a.debian;
	s.scripts = true;
	image_key(&debian, &a, &ka);
	image_key(&debian, &a, &again);
	image_key(&debian, &b, &kb);
	image_key(&debian, &s, &ks);
	CHECK_STR(ka.data, again.data);
	a.nix = (struct conf_list){ one, 1 };
	image_key(&nix, &a, &kn);
	CHECK(strcmp(ka.data, kn.data) != 0);
	CHECK(strcmp(ka.data, kb.data) != 0);
	CHECK(strcmp(ka.data, ks.data) != 0);
	buf_clear(&ka);
	buf_clear(&kb);
	buf_clear(&ks);
	buf_clear(&kn);
	buf_clear(&again);
}

/* What the filter refuses and allows, engines read from JSON. */
TEST(the_seccomp_profile_is_json_and_denies_by_default)
{
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	cJSON *tree;

	seccomp_profile(&b);
	tree = json_parse(b.data, b.len, JSON_DEPTH, &e);
	CHECK_STR(e.text, "");
	CHECK_STR(json_string(tree, "defaultAction"), "SCMP_ACT_ERRNO");
	CHECK(cJSON_GetArraySize(json_array(tree, "syscalls")) > 20);
	CHECK(strstr(b.data, "\"ptrace\"") < strstr(b.data, "\"errnoRet\":1"));
	cJSON_Delete(tree);
	buf_clear(&b);
}
