#include "backends/engine.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/parts.h"
#include "lib/buf.h"
#include "lib/child.h"
#include "lib/err.h"
#include "lib/mem.h"

#define PATH_ENV "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define OUT_MAX  (1 << 20)
/* A service has no session: where its unit and contrib/systemd/tmpfiles.conf put what podman loses with the machine. */
#define ENGINE_RUN "/run/at-rund-engine"

const char *
engine_name(const struct engine *x)
{
	return x->docker ? "docker" : "podman";
}

int
engine_find(const struct conf *c, struct engine *x, struct err *e)
{
	static const char *const known[] = { "podman", "docker" };
	const char *want = c->container.engine;
	size_t i;

	*x = (struct engine){ .cgroups = true };
	for (i = 0; i < 2 && x->program == NULL; i++) {
		if (strcmp(want, "auto") != 0 && strcmp(want, known[i]) != 0)
			continue;
		x->program = child_which(known[i]);
		x->docker = i == 1;
	}
	x->rootless = !x->docker && geteuid() != 0;
	if (x->program == NULL)
		return err_set(e, ERR_NOTFOUND, "%s is not installed: apt install podman",
		    strcmp(want, "auto") == 0 ? "podman" : want);
	return 0;
}

void
engine_clear(struct engine *x)
{
	free(x->program);
	free(x->runtime);
	*x = (struct engine){ 0 };
}

bool
engine_is_gvisor(const struct engine *x)
{
	const char *name = x->runtime != NULL ? strrchr(x->runtime, '/') : NULL;

	return x->runtime != NULL && strcmp(name != NULL ? name + 1 : x->runtime, "runsc") == 0;
}

void
engine_argv(const struct engine *x, struct conf_list *argv)
{
	/* Its network stack has a loopback and nothing else; what connects inside reaches the sockets that we put there. */
	static const char *const flags[] = { "network=none", "host-uds=open", NULL };
	const char *const *flag = flags;

	parts_add(argv, mem_str(x->program));
	if (x->runtime == NULL || x->docker)
		return;
	parts_add(argv, mem_str("--runtime"));
	parts_add(argv, mem_str(x->runtime));
	for (; engine_is_gvisor(x) && *flag != NULL; flag++) {
		parts_add(argv, mem_str("--runtime-flag"));
		parts_add(argv, mem_str(*flag));
	}
}

static void
pass_on(struct conf_list *env, const char *name)
{
	const char *value = getenv(name);

	if (value != NULL)
		parts_add(env, mem_fmt("%s=%s", name, value));
}

void
engine_env(const struct engine *x, struct conf_list *env)
{
	struct stat st;

	parts_add(env, mem_str("PATH=" PATH_ENV));
	if (!x->docker && !x->rootless)
		return;
	pass_on(env, "HOME");
	if (!x->docker && getenv("XDG_RUNTIME_DIR") == NULL && stat(ENGINE_RUN, &st) == 0 && st.st_uid == geteuid())
		parts_add(env, mem_str("XDG_RUNTIME_DIR=" ENGINE_RUN));
	else
		pass_on(env, x->docker ? "DOCKER_HOST" : "XDG_RUNTIME_DIR");
}

int
engine_run_list(const struct engine *x, const struct conf_list *words, int timeout_ms, struct buf *out, struct err *e)
{
	struct conf_list all = { NULL, 0 };
	const char **argv;
	size_t i;
	int rc;

	parts_add(&all, mem_str("/usr/bin/env"));
	parts_add(&all, mem_str("-i"));
	engine_env(x, &all);
	engine_argv(x, &all);
	argv = mem_array(all.n + words->n + 1, sizeof *argv);
	for (i = 0; i < all.n; i++)
		argv[i] = all.item[i];
	for (i = 0; i < words->n; i++)
		argv[all.n + i] = words->item[i];
	rc = child_run(argv, timeout_ms, OUT_MAX, out, e);
	if (rc != 0 && e != NULL && strncmp(e->text, "/usr/bin/env: ", 14) == 0)
		memmove(e->text, e->text + 14, strlen(e->text + 14) + 1);
	free(argv);
	parts_clear(&all);
	return rc;
}

int
engine_run(const struct engine *x, const char *const words[], int timeout_ms, struct buf *out, struct err *e)
{
	struct conf_list l = { NULL, 0 };
	int rc;

	for (; *words != NULL; words++)
		parts_add(&l, mem_str(*words));
	rc = engine_run_list(x, &l, timeout_ms, out, e);
	parts_clear(&l);
	return rc;
}
