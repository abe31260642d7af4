#include "tests/t.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/err.h"
#include "lib/mem.h"
#include "lib/store.h"

static struct t_case *first, **last = &first;
static char *dirs[512];
static size_t ndirs;
static struct store *stores[256];
static size_t nstores;
static char *store_path;
static char why[512];
static int out = STDOUT_FILENO; /* while a case runs, cmocka's own report goes nowhere */

void
t_register(struct t_case *c)
{
	*last = c;
	last = &c->next;
}

void
t_check(bool ok, const char *what, const char *file, int line)
{
	if (!ok) {
		print_error("%s:%d: not so: %s\n", file, line, what);
		_fail(file, line);
	}
}

void
t_check_str(const char *a, const char *b, const char *what, const char *file, int line)
{
	if ((a == NULL) != (b == NULL) || (a != NULL && strcmp(a, b) != 0)) {
		print_error("%s:%d: %s is \"%s\", not \"%s\"\n", file, line, what, a ? a : "(null)", b ? b : "(null)");
		_fail(file, line);
	}
}

void
t_check_int(long long a, long long b, const char *what, const char *file, int line)
{
	if (a != b) {
		print_error("%s:%d: %s is %lld, not %lld\n", file, line, what, a, b);
		_fail(file, line);
	}
}

void
t_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	skip();
	abort();
}

void
t_note(const char *fmt, ...)
{
	va_list ap;

	dprintf(out, "  ");
	va_start(ap, fmt);
	vdprintf(out, fmt, ap);
	va_end(ap);
	dprintf(out, "\n");
}

const char *
t_tmpdir(void)
{
	const char *base = getenv("TMPDIR");
	char *dir = mem_fmt("%s/at-rund-test-XXXXXX", base != NULL ? base : "/tmp");

	if (mkdtemp(dir) == NULL || ndirs == sizeof dirs / sizeof *dirs)
		abort();
	dirs[ndirs++] = dir;
	return dir;
}

struct store *
t_store(void)
{
	struct err e = ERR_INIT;
	char *path = mem_fmt("%s/at-rund.db", t_tmpdir());
	struct store *s = store_open(path, STORE_WORK, &e);

	if (s == NULL || nstores == sizeof stores / sizeof *stores) {
		print_error("store: %s\n", e.text);
		abort();
	}
	stores[nstores++] = s;
	free(store_path);
	store_path = path;
	return s;
}

const char *
t_store_path(void)
{
	return store_path;
}

char *
t_read_file(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rbe");
	char *p;
	long size;

	if (f == NULL)
		return NULL;
	fseek(f, 0, SEEK_END);
	size = ftell(f);
	rewind(f);
	p = mem_alloc((size_t)size + 1);
	size = (long)fread(p, 1, (size_t)size, f);
	fclose(f);
	if (n != NULL)
		*n = (size_t)size;
	return p;
}

const char *
t_vector(const char *name)
{
	static char path[512];
	const char *base = getenv("AT_RUND_VECTORS");

	snprintf(path, sizeof path, "%s/%s", base != NULL ? base : "../shared/vectors", name);
	return path;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void
clean_up(void)
{
	while (nstores > 0)
		store_close(stores[--nstores]);
	while (ndirs > 0) {
		nftw(dirs[--ndirs], remove_one, 16, FTW_DEPTH | FTW_PHYS);
		free(dirs[ndirs]);
	}
	free(store_path);
}

static bool
picked(const char *name, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		if (strstr(name, argv[i]) != NULL)
			return true;
	return argc == 1;
}

/* Runs one case alone, so that its verdict and its reason can be counted here and not guessed from output. */
int
main(int argc, char **argv)
{
	int passed = 0, failed = 0, skipped = 0;
	struct t_case *c;

	setvbuf(stdout, NULL, _IOLBF, 0);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	for (c = first; c != NULL; c = c->next) {
		struct CMUnitTest one = { c->name, c->run, NULL, NULL, NULL };
		int rc;

		if (!picked(c->name, argc, argv))
			continue;
		why[0] = '\0';
		fflush(stdout);
		out = dup(STDOUT_FILENO);
		if (freopen("/dev/null", "w", stdout) == NULL)
			abort();
		rc = _cmocka_run_group_tests(c->name, &one, 1, NULL, NULL);
		fflush(stdout);
		dup2(out, STDOUT_FILENO);
		close(out);
		out = STDOUT_FILENO;
		if (why[0] != '\0') {
			printf("skip %s: %s\n", c->name, why);
			skipped++;
		} else if (rc == 0) {
			passed++;
		} else {
			printf("FAIL %s (%s)\n", c->name, c->file);
			failed++;
		}
	}
	clean_up();
	printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
	/* freopen made it a full buffer again, and a sanitizer that finds a leak ends us without flushing. */
	fflush(stdout);
	return failed > 0;
}
