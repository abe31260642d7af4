#include "scheduler/group_usage.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/mem.h"

/* "4:memory,pids:/a/b": is this word among the controllers? */
static bool
has_controller(const char *names, size_t n, const char *word)
{
	size_t w = strlen(word);
	const char *end = names + n;

	while (names < end) {
		const char *comma = memchr(names, ',', (size_t)(end - names)), *stop = comma != NULL ? comma : end;

		if ((size_t)(stop - names) == w && memcmp(names, word, w) == 0)
			return true;
		names = stop + 1;
	}
	return false;
}

/* Its path in the hierarchy of a controller, or in version 2's where none of version 1 has it; allocated, NULL: in none. */
static char *
path_in(const char *text, const char *controller, bool *two)
{
	char *found = NULL;

	while (text != NULL && *text != '\0') {
		const char *names = strchr(text, ':'), *path = names != NULL ? strchr(names + 1, ':') : NULL;

		if (path == NULL)
			break;
		names++;
		if (path == names ? found == NULL : has_controller(names, (size_t)(path - names), controller)) {
			free(found);
			found = mem_strn(path + 1, strcspn(path + 1, "\n"));
			*two = path == names;
			if (!*two)
				return found;
		}
		text = strchr(path, '\n');
		text = text != NULL ? text + 1 : NULL;
	}
	return found;
}

static int
open_file(const char *top, const char *its, const char *own, const char *controller, const char *one, const char *two_name,
    bool *two)
{
	bool own_two = false;
	char *path = path_in(its, controller, two), *ours = path_in(own, controller, &own_two), *file;
	int fd = -1;

	/* ".." of a stranger's group leads out of what we see. */
	if (path != NULL && (ours == NULL || *two != own_two || strcmp(path, ours) != 0) && strstr(path, "..") == NULL) {
		file = *two ? mem_fmt("%s%s/%s", top, path, two_name) : mem_fmt("%s/%s%s/%s", top, controller, path, one);
		fd = open(file, O_RDONLY | O_CLOEXEC);
		free(file);
	}
	free(path);
	free(ours);
	return fd;
}

int
group_memory_file(const char *top, const char *its, const char *own, const char *one, const char *two)
{
	bool is_two = false;

	return open_file(top, its, own, "memory", one, two, &is_two);
}

void
group_usage_open(struct group_usage *g, const char *top, const char *its, const char *own)
{
	bool two = false;

	g->memory_fd = open_file(top, its, own, "memory", "memory.usage_in_bytes", "memory.current", &two);
	g->tasks_fd = open_file(top, its, own, "pids", "pids.current", "pids.current", &two);
	g->cpu_fd = open_file(top, its, own, "cpuacct", "cpuacct.usage", "cpu.stat", &two);
	g->two = two;
}

static void
shut(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void
group_usage_cpu_alone(struct group_usage *g)
{
	shut(&g->memory_fd);
	shut(&g->tasks_fd);
}

void
group_usage_close(struct group_usage *g)
{
	shut(&g->memory_fd);
	shut(&g->tasks_fd);
	shut(&g->cpu_fd);
}

/* The number behind a label, or at the beginning. */
static int64_t
number_in(int fd, const char *label)
{
	char text[2048];
	ssize_t n = fd >= 0 ? pread(fd, text, sizeof text - 1, 0) : 0;
	const char *at;

	text[n > 0 ? n : 0] = '\0';
	at = strstr(text, label);
	return at != NULL ? strtoll(at + strlen(label), NULL, 10) : 0;
}

int64_t
group_usage_memory(const struct group_usage *g)
{
	return number_in(g->memory_fd, "");
}

int64_t
group_usage_tasks(const struct group_usage *g)
{
	return number_in(g->tasks_fd, "");
}

int64_t
group_usage_cpu_ns(const struct group_usage *g)
{
	return g->two ? number_in(g->cpu_fd, "usage_usec ") * 1000 : number_in(g->cpu_fd, "");
}
