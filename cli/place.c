#include "cli/place.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/mem.h"

char *
place_self(struct err *e)
{
	char exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);

	if (n > 0)
		return mem_strn(exe, (size_t)n);
	err_errno(e, "read /proc/self/exe");
	return NULL;
}

/* Tries DIR/TAIL/NAME for each tail, DIR being where this program lies, then FIXED/NAME.  NULL: nowhere. */
static char *
look(const char *name, const char *const tails[], const char *fixed, int mode)
{
	struct err ignored = ERR_INIT;
	char *self = place_self(&ignored), *path;
	int dir = self != NULL ? (int)(strrchr(self, '/') - self) : 0;

	for (int i = 0; self != NULL && tails[i] != NULL; i++) {
		path = mem_fmt("%.*s/%s/%s", dir, self, tails[i], name);
		if (access(path, mode) == 0) {
			char *real = realpath(path, NULL);

			free(path);
			free(self);
			return real;
		}
		free(path);
	}
	free(self);
	path = mem_fmt("%s/%s", fixed, name);
	if (access(path, mode) == 0)
		return path;
	free(path);
	return NULL;
}

char *
place_program(const char *name, struct err *e)
{
	static const char *const tails[] = { ".", "../lib/at-rund", NULL };
	char *path = look(name, tails, AT_RUND_LIBDIR, X_OK);

	if (path == NULL)
		err_set(e, ERR_NOTFOUND, "%s is neither beside at-rund nor in %s", name, AT_RUND_LIBDIR);
	return path;
}

char *
place_data(const char *name, struct err *e)
{
	/* build/, build/san/, PREFIX/bin/ */
	static const char *const tails[] = { "../contrib", "../../contrib", "../share/at-rund", NULL };
	char *path = look(name, tails, AT_RUND_DATADIR, R_OK);

	if (path == NULL)
		err_set(e, ERR_NOTFOUND, "%s is not in %s: the installation is not whole", name, AT_RUND_DATADIR);
	return path;
}
