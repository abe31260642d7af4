#include "lib/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/mem.h"

#define NAME     "at-rund."
#define RUNNER   "at-rund.runner" /* where we go when our own group is divided */
#define PAUSE_NS 2000000L
#define PATIENCE 500 /* pauses until a group is empty */

/* One directory that groups are made in; version 2 has one, version 1 one for each controller. */
struct base {
	char *dir;
	bool two, memory, tasks;
};

static struct base bases[2];
static size_t base_count;
static char prefix[32]; /* "at-rund.1a2b3c4d." */

struct cgroup {
	char *dir[2]; /* as bases */
};

static char **dying; /* groups that are to go once they are empty */
static size_t dying_count;

/* --- files --- */

static bool
read_text(const char *dir, const char *file, char *text, size_t room)
{
	char *path = mem_fmt("%s/%s", dir, file);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, room - 1) : -1;

	if (fd >= 0)
		close(fd);
	free(path);
	text[n > 0 ? n : 0] = '\0';
	return n >= 0;
}

static bool
write_text(const char *dir, const char *file, const char *text)
{
	char *path = mem_fmt("%s/%s", dir, file);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	int why = errno;

	if (fd >= 0)
		close(fd);
	free(path);
	errno = why;
	return done;
}

static bool
write_number(const char *dir, const char *file, int64_t n)
{
	char text[32];

	snprintf(text, sizeof text, "%lld", (long long)n);
	return write_text(dir, file, text);
}

static bool
has_word(const char *text, const char *word)
{
	size_t n = strlen(word);
	const char *p;

	for (p = text; (p = strstr(p, word)) != NULL; p += n)
		if ((p == text || strchr(" ,\n", p[-1]) != NULL) && (p[n] == '\0' || strchr(" ,\n", p[n]) != NULL))
			return true;
	return false;
}

/* --- where we are --- */

/* Our path in the hierarchy of a controller, "" for version 2's; allocated, or NULL. */
static char *
own_path(const char *controller)
{
	char text[4096], *save = NULL, *line, *names, *path;

	if (!read_text("/proc/self", "cgroup", text, sizeof text))
		return NULL;
	for (line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		names = strchr(line, ':');
		path = names != NULL ? strchr(names + 1, ':') : NULL;
		if (path == NULL)
			continue;
		*path++ = '\0';
		if (controller[0] == '\0' ? names[1] == '\0' : has_word(names + 1, controller))
			return mem_str(path);
	}
	return NULL;
}

/* The n words of a line that come after the first skip ones; false: there are not so many. */
static bool
take_words(char *line, int skip, char **word, int n)
{
	char *save = NULL, *w = strtok_r(line, " \n", &save);
	int i;

	for (i = 0; w != NULL && i < skip + n; i++, w = strtok_r(NULL, " \n", &save))
		if (i >= skip)
			word[i - skip] = w;
	return i == skip + n;
}

/* Is this mount of the hierarchy?  "36 35 98:0 root point options … - type source options" */
static bool
is_mount_of(char *line, const char *controller, char **root, char **point)
{
	char *rest = strstr(line, " - "), *place[2], *kind[3];

	if (rest == NULL)
		return false;
	*rest = '\0';
	if (!take_words(line, 3, place, 2) || !take_words(rest + 3, 0, kind, 3))
		return false;
	*root = place[0];
	*point = place[1];
	return controller[0] == '\0' ? strcmp(kind[0], "cgroup2") == 0 :
	    strcmp(kind[0], "cgroup") == 0 && has_word(kind[2], controller);
}

/* The directory that shows our own group, and the hierarchy's top (both allocated); false: it is not mounted. */
static bool
find_mount(const char *controller, char **own, char **top)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[4096], *root, *point, *path = own_path(controller);
	bool found = false;
	size_t n;

	while (f != NULL && path != NULL && !found && fgets(line, sizeof line, f) != NULL) {
		if (!is_mount_of(line, controller, &root, &point))
			continue;
		n = strcmp(root, "/") == 0 ? 0 : strlen(root);
		if (strncmp(path, root, n) != 0)
			continue;
		*own = mem_fmt("%s%s", point, strcmp(path + n, "/") == 0 ? "" : path + n);
		*top = mem_str(point);
		found = true;
	}
	if (f != NULL)
		fclose(f);
	free(path);
	return found;
}

/* --- version 2 --- */

/* The service manager marks what it gives away; without one, a directory that is ours is ours. */
static bool
is_delegated(const char *dir, const char *top)
{
	char value[8] = "";

	if (strcmp(dir, top) == 0)
		return access(dir, W_OK) == 0;
	if (getxattr(dir, "user.delegate", value, sizeof value - 1) > 0 || getxattr(dir, "trusted.delegate", value, sizeof value - 1) > 0)
		return value[0] == '1' && access(dir, W_OK) == 0;
	return geteuid() != 0 && access(dir, W_OK) == 0;
}

/* Who is in a group that has groups below may have no controllers: everybody moves down. */
static void
move_down(const char *dir)
{
	char *to = mem_fmt("%s/%s", dir, RUNNER), text[65536], *save = NULL, *pid;
	int rounds;

	if (mkdir(to, 0755) == 0 || errno == EEXIST)
		for (rounds = 0; rounds < 8 && read_text(dir, "cgroup.procs", text, sizeof text) && text[0] != '\0'; rounds++)
			for (pid = strtok_r(text, "\n", &save); pid != NULL; pid = strtok_r(NULL, "\n", &save))
				write_text(to, "cgroup.procs", pid);
	free(to);
}

static bool
enable(const char *dir, bool take)
{
	char text[1024];

	if (read_text(dir, "cgroup.subtree_control", text, sizeof text) && has_word(text, "memory") && has_word(text, "pids"))
		return true;
	if (!take)
		return true; /* nobody asked for more than to look */
	if (write_text(dir, "cgroup.subtree_control", "+memory +pids"))
		return true;
	if (errno == EBUSY)
		move_down(dir);
	return write_text(dir, "cgroup.subtree_control", "+memory +pids");
}

static bool
open_two(bool take)
{
	char *own = NULL, *top = NULL, text[1024], *dir = NULL;

	if (!find_mount("", &own, &top))
		return false;
	if (is_delegated(own, top))
		dir = own;
	else if (geteuid() == 0 && access(top, W_OK) == 0)
		dir = top;
	if (dir != NULL && read_text(dir, "cgroup.controllers", text, sizeof text) && has_word(text, "memory") &&
	    has_word(text, "pids") && enable(dir, take))
		bases[base_count++] = (struct base){ mem_str(dir), true, true, true };
	free(own);
	free(top);
	return base_count > 0;
}

/* --- version 1 --- */

static void
open_one(const char *controller, bool memory, bool tasks)
{
	char *own = NULL, *top = NULL;

	if (!find_mount(controller, &own, &top))
		return;
	if (access(own, W_OK) == 0)
		bases[base_count++] = (struct base){ mem_str(own), false, memory, tasks };
	free(own);
	free(top);
}

/* --- the end of a group --- */

static int
kill_all(const char *dir)
{
	char text[65536], *save = NULL, *pid;
	int n = 0;

	if (!read_text(dir, "cgroup.procs", text, sizeof text))
		return 0;
	for (pid = strtok_r(text, "\n", &save); pid != NULL; pid = strtok_r(NULL, "\n", &save)) {
		long p = strtol(pid, NULL, 10);

		if (p > 1 && kill((pid_t)p, SIGKILL) == 0)
			n++;
	}
	return n;
}

static int
remove_group(const char *dir)
{
	struct timespec pause = { 0, PAUSE_NS };
	int killed = 0, i;

	for (i = 0; i < PATIENCE && rmdir(dir) != 0 && errno == EBUSY; i++) {
		int n = kill_all(dir);

		killed = n > killed ? n : killed;
		nanosleep(&pause, NULL);
	}
	return killed;
}

/* --- what there is --- */

static void
make_prefix(const char *home)
{
	uint32_t h = 2166136261u;

	for (; *home != '\0'; home++)
		h = (h ^ (unsigned char)*home) * 16777619u;
	snprintf(prefix, sizeof prefix, NAME "%08x.", h);
}

bool
cgroup_open(const char *home, bool take, struct buf *how)
{
	size_t i;

	cgroup_close();
	make_prefix(home);
	if (!open_two(take)) {
		open_one("memory", true, false);
		open_one("pids", false, true);
	}
	if (base_count == 0) {
		buf_str(how, "no control group is delegated to us: memory and processes are counted by looking, every 100 ms while calls run; "
		    "Delegate=yes in the systemd unit gives one");
		return false;
	}
	buf_fmt(how, "version %d", bases[0].two ? 2 : 1);
	for (i = 0; i < base_count; i++)
		buf_fmt(how, "%s %s%s%s", i > 0 ? "," : "", bases[i].memory ? "memory " : "", bases[i].tasks ? "pids " : "", bases[i].dir);
	return true;
}

void
cgroup_close(void)
{
	while (base_count > 0)
		free(bases[--base_count].dir);
	while (dying_count > 0) {
		remove_group(dying[--dying_count]);
		free(dying[dying_count]);
	}
	free(dying);
	dying = NULL;
}

int
cgroup_sweep(void)
{
	int killed = 0;
	size_t i;

	for (i = 0; i < base_count; i++) {
		DIR *d = opendir(bases[i].dir);
		const struct dirent *x;

		while (d != NULL && (x = readdir(d)) != NULL) {
			char *dir;

			if (strncmp(x->d_name, prefix, strlen(prefix)) != 0)
				continue;
			dir = mem_fmt("%s/%s", bases[i].dir, x->d_name);
			killed += remove_group(dir);
			free(dir);
		}
		if (d != NULL)
			closedir(d);
	}
	return killed;
}

/* --- a group --- */

struct cgroup *
cgroup_new(int64_t instance, int64_t memory_bytes, int64_t tasks)
{
	struct cgroup *g;
	size_t i;

	if (base_count == 0)
		return NULL;
	g = mem_alloc(sizeof *g);
	for (i = 0; i < base_count; i++) {
		g->dir[i] = mem_fmt("%s/%s%lld", bases[i].dir, prefix, (long long)instance);
		if (mkdir(g->dir[i], 0755) != 0 && errno != EEXIST) {
			cgroup_free(g);
			return NULL;
		}
		if (bases[i].two)
			write_text(g->dir[i], "memory.oom.group", "1");
	}
	cgroup_bound(g, memory_bytes, tasks);
	return g;
}

void
cgroup_bound(const struct cgroup *g, int64_t memory_bytes, int64_t tasks)
{
	size_t i;

	for (i = 0; g != NULL && i < base_count; i++) {
		const struct base *b = &bases[i];

		if (b->memory && b->two) {
			write_number(g->dir[i], "memory.max", memory_bytes);
			write_number(g->dir[i], "memory.swap.max", 0);
		} else if (b->memory) {
			write_number(g->dir[i], "memory.limit_in_bytes", memory_bytes);
			write_number(g->dir[i], "memory.memsw.limit_in_bytes", memory_bytes);
		}
		if (b->tasks)
			write_number(g->dir[i], "pids.max", tasks);
	}
}

void
cgroup_join(const struct cgroup *g, struct conf_list *out)
{
	size_t i;

	for (i = 0; g != NULL && i < base_count; i++) {
		if (bases[i].two)
			continue;
		out->item = mem_grow(out->item, (out->n + 1) * sizeof *out->item);
		out->item[out->n++] = mem_fmt("%s/tasks", g->dir[i]);
	}
}

const char *
cgroup_cradle(const struct cgroup *g)
{
	return g != NULL && base_count > 0 && bases[0].two ? g->dir[0] : NULL;
}

void
cgroup_free(struct cgroup *g)
{
	size_t i;

	if (g == NULL)
		return;
	for (i = 0; i < 2; i++) {
		if (g->dir[i] != NULL && rmdir(g->dir[i]) != 0 && errno == EBUSY) {
			kill_all(g->dir[i]);
			dying = mem_grow(dying, (dying_count + 1) * sizeof *dying);
			dying[dying_count++] = g->dir[i];
			continue;
		}
		free(g->dir[i]);
	}
	free(g);
}

void
cgroup_tidy(void)
{
	size_t i;

	for (i = dying_count; i > 0; i--) {
		if (rmdir(dying[i - 1]) != 0 && errno == EBUSY) {
			kill_all(dying[i - 1]);
			continue;
		}
		free(dying[i - 1]);
		dying[i - 1] = dying[--dying_count];
	}
}
