#include "backends/parts.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "backends/backend.h"
#include "backends/runtime.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/mem.h"

#ifndef AT_RUND_LIBDIR
#define AT_RUND_LIBDIR "/usr/local/lib/at-rund"
#endif

void
parts_add(struct conf_list *l, char *s /* taken over */)
{
	l->item = mem_grow(l->item, (l->n + 1) * sizeof(char *));
	l->item[l->n++] = s;
}

void
parts_clear(struct conf_list *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		free(l->item[i]);
	free(l->item);
	*l = (struct conf_list){ NULL, 0 };
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
parts_fits_host(const struct conf *c, const struct runtime *r, struct err *e)
{
	(void)c;
	if (r->missing != NULL)
		return err_set(e, ERR_NOTFOUND, "%s", r->missing);
	return r->program != NULL ? 0 : err_set(e, ERR_NOTFOUND, "%s is not installed", r->command);
}

int
parts_sweep_nothing(const struct conf *c, struct err *e)
{
	(void)c;
	(void)e;
	return 0;
}

const char *const *
parts_env(size_t i)
{
	static const char *const env[][2] = { { "PATH", "/usr/local/bin:/usr/bin:/bin" }, { "LANG", "C.UTF-8" },
		{ "HOME", "/tmp" }, { "TMPDIR", "/tmp" }, { "DENO_DIR", "/tmp/deno" }, { "DENO_NO_UPDATE_CHECK", "1" },
		{ "PYTHONDONTWRITEBYTECODE", "1" } };

	return i < sizeof env / sizeof env[0] ? env[i] : NULL;
}

/* Beside the program that runs, as in a build directory and below PREFIX/lib/at-rund, or where it was installed. */
char *
parts_gate(struct err *e)
{
	static const char *const places[] = { "at-rund-gate", "../lib/at-rund/at-rund-gate", "../at-rund-gate" };
	char exe[PATH_MAX], *slash, *path;
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	size_t i;

	exe[n > 0 ? n : 0] = '\0';
	slash = strrchr(exe, '/');
	for (i = 0; slash != NULL && i < sizeof places / sizeof places[0]; i++) {
		path = mem_fmt("%.*s/%s", (int)(slash - exe), exe, places[i]);
		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	if (access(AT_RUND_LIBDIR "/at-rund-gate", X_OK) == 0)
		return mem_str(AT_RUND_LIBDIR "/at-rund-gate");
	err_set(e, ERR_NOTFOUND, "at-rund-gate is neither beside %s nor in %s", exe, AT_RUND_LIBDIR);
	return NULL;
}

static void
add_option(struct conf_list *argv, const char *name, char *value /* taken over */)
{
	parts_add(argv, mem_str(name));
	parts_add(argv, value);
}

void
parts_gate_command(const struct conf *c, struct conf_list *argv, const char *gate, const char *dir, const char *filter,
    const struct conf_list *write)
{
	size_t i;

	parts_add(argv, mem_str(gate));
	if (dir != NULL)
		add_option(argv, "--socket", mem_fmt("%s/out", dir));
	if (filter != NULL)
		add_option(argv, "--filter", mem_str(filter));
	add_option(argv, "--files", mem_fmt("%lld", (long long)c->limits.files));
	add_option(argv, "--write", mem_str("/tmp"));
	for (i = 0; write != NULL && i < write->n; i++)
		add_option(argv, "--write", mem_str(write->item[i]));
	parts_add(argv, mem_str("--"));
}
