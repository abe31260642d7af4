#include "cli/system.h"

#include <ftw.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/child.h"
#include "lib/conf.h"
#include "lib/err.h"

#define SYSTEM_USER "at-rund"

/* The user that at-rund runs as; made when it is not there yet. */
static const struct passwd *
system_user(struct err *e)
{
	static const char *const add[] = { "useradd", "--system", "--user-group", "--no-create-home", "--home-dir", CONF_SYSTEM_HOME,
		"--shell", "/usr/sbin/nologin", SYSTEM_USER, NULL };
	const struct passwd *pw = getpwnam(SYSTEM_USER);
	struct buf out = BUF_INIT;

	if (pw == NULL && child_run(add, 30000, 4096, &out, e) == 0)
		pw = getpwnam(SYSTEM_USER);
	buf_clear(&out);
	if (pw == NULL)
		err_wrap(e, "make the user %s", SYSTEM_USER);
	return pw;
}

static const struct passwd *owner;

static int
give_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return lchown(path, owner->pw_uid, owner->pw_gid);
}

int
system_give(const char *home, const char *config, struct err *e)
{
	owner = system_user(e);
	if (owner == NULL)
		return -1;
	if (nftw(home, give_one, 16, FTW_PHYS) != 0)
		return err_errno(e, "give %s to %s", home, SYSTEM_USER);
	if (chmod(home, 0750) != 0 || chmod(config, 0640) != 0 || chmod(CONF_SYSTEM_DIR, 0750) != 0 ||
	    chown(config, 0, owner->pw_gid) != 0 || chown(CONF_SYSTEM_DIR, 0, owner->pw_gid) != 0)
		return err_errno(e, "let %s read %s", SYSTEM_USER, config);
	return 0;
}
