#include "cli/owner.h"

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/conf.h"

bool
owner_is_another(const struct conf *c)
{
	struct stat st;

	return geteuid() == 0 && stat(c->home, &st) == 0 && st.st_uid != 0;
}

void
owner_become(const struct conf *c)
{
	const struct passwd *pw;
	struct stat st;

	if (!owner_is_another(c) || stat(c->home, &st) != 0)
		return;
	pw = getpwuid(st.st_uid);
	if ((pw != NULL ? initgroups(pw->pw_name, st.st_gid) : setgroups(0, NULL)) != 0 ||
	    setresgid(st.st_gid, st.st_gid, st.st_gid) != 0 || setresuid(st.st_uid, st.st_uid, st.st_uid) != 0)
		abort();
	if (pw != NULL)
		setenv("HOME", pw->pw_dir, 1);
	unsetenv("XDG_RUNTIME_DIR"); /* root's own */
	/* Who changes his user may not open /proc/PID/fd of his own, by which programs are handed on to bubblewrap. */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}
