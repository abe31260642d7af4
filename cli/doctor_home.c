/* The config, and the home: whose it is, who else may look in, and the disk it lies on. */
#include "cli/doctor.h"

#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"

#define MIB (1024 * 1024)

enum { DISK_WARN_MIB = 512, DISK_FAIL_MIB = 50 };

void
doctor_config(const struct conf *c, struct report *r)
{
	struct buf problems = BUF_INIT;
	struct conf *again;
	char *line, *rest;

	if (c->file == NULL) {
		doctor_say(r, DOCTOR_WARNING, "config", "at-rund init", "there is none yet; the defaults hold");
		return;
	}
	again = conf_load(c->file, false, &problems, NULL);
	rest = problems.len > 0 ? problems.data : NULL;
	while (rest != NULL && (line = strsep(&rest, "\n")) != NULL)
		if (*line != '\0')
			doctor_say(r, DOCTOR_WARNING, "config", NULL, "%s", line);
	if (again != NULL && c->did == NULL)
		doctor_say(r, DOCTOR_WARNING, "config", NULL, "did is not set in %s: nobody can tell who runs this", c->file);
	else if (again != NULL && problems.len == 0)
		doctor_say(r, DOCTOR_OK, "config", NULL, "%s is good", c->file);
	conf_free(again);
	buf_clear(&problems);
}

/* May the user who owns the home, which is who runs at-rund, and nobody but him and his group? */
static void
tell_path(struct report *r, const char *what, const char *path, uid_t owner, mode_t forbidden)
{
	struct stat st;
	char mend[4200];

	if (lstat(path, &st) != 0) {
		if (errno != ENOENT)
			doctor_say(r, DOCTOR_FAILURE, what, NULL, "%s: %s", path, strerror(errno));
		return;
	}
	if (st.st_uid != owner) {
		const struct passwd *pw = getpwuid(owner);

		snprintf(mend, sizeof mend, "chown -R %s %s", pw != NULL ? pw->pw_name : "OWNER", path);
		doctor_say(r, DOCTOR_FAILURE, what, mend, "%s belongs to user %u, the home to user %u", path, (unsigned)st.st_uid,
		    (unsigned)owner);
	} else if ((st.st_mode & forbidden) != 0) {
		snprintf(mend, sizeof mend, "chmod %03o %s", (unsigned)(st.st_mode & 0777 & ~forbidden), path);
		doctor_say(r, DOCTOR_FAILURE, what, mend, "%s has mode %03o: others may %s", path, (unsigned)(st.st_mode & 0777),
		    (forbidden & 044) != 0 ? "read the keys" : "change it");
	} else {
		doctor_say(r, DOCTOR_OK, what, NULL, "%s, mode %03o", path, (unsigned)(st.st_mode & 0777));
	}
}

static void
tell_keys(const struct conf *c, struct report *r, uid_t owner)
{
	DIR *d = opendir(c->keys_dir);
	struct dirent *f;

	if (d == NULL)
		return;
	while ((f = readdir(d)) != NULL) {
		char *path = mem_fmt("%s/%s", c->keys_dir, f->d_name);
		struct stat st;

		if (f->d_name[0] != '.' && lstat(path, &st) == 0 && ((st.st_mode & 077) != 0 || st.st_uid != owner))
			tell_path(r, "keys", path, owner, 077);
		free(path);
	}
	closedir(d);
}

static void
tell_disk(const struct conf *c, struct report *r)
{
	struct statvfs v;
	struct statfs f;
	long long free_mib;

	if (statvfs(c->home, &v) != 0 || statfs(c->home, &f) != 0)
		return;
	free_mib = (long long)(v.f_bavail * v.f_frsize / MIB);
	doctor_say(r, free_mib < DISK_FAIL_MIB ? DOCTOR_FAILURE : free_mib < DISK_WARN_MIB ? DOCTOR_WARNING : DOCTOR_OK, "disk", NULL,
	    "%lld MiB are free for %s%s", free_mib, c->home, free_mib < DISK_WARN_MIB ?
	    "; a full disk refuses every call (scheduler.keep_async, bundles)" : "");
	switch ((unsigned long)f.f_type & 0xffffffffu) {
	case 0x6969u:     /* NFS */
	case 0x517Bu:     /* SMB */
	case 0xFF534D42u: /* CIFS */
	case 0xFE534D42u: /* SMB2 */
	case 0x00C36400u: /* Ceph */
	case 0x5346414Fu: /* AFS */
		doctor_say(r, DOCTOR_WARNING, "file system", NULL, "%s lies on a network: the database works without its log there, and "
		    "slower; another home on a local disk is better", c->home);
		break;
	default:
		doctor_say(r, DOCTOR_OK, "file system", NULL, "local");
	}
}

void
doctor_home(const struct conf *c, struct report *r)
{
	struct stat st;

	if (stat(c->home, &st) != 0) {
		doctor_say(r, DOCTOR_FAILURE, "home", "at-rund init", "%s: %s", c->home, strerror(errno));
		return;
	}
	if (geteuid() != 0 && st.st_uid != geteuid())
		doctor_say(r, DOCTOR_FAILURE, "home", NULL, "%s belongs to user %u, and you are %u: run this as the runner's user or as root",
		    c->home, (unsigned)st.st_uid, (unsigned)geteuid());
	tell_path(r, "home", c->home, st.st_uid, 022);
	tell_path(r, "run", c->run_dir, st.st_uid, 002);
	tell_path(r, "database file", c->database, st.st_uid, 002);
	tell_path(r, "keys", c->keys_dir, st.st_uid, 077);
	tell_keys(c, r, st.st_uid);
	tell_disk(c, r);
}
