#include "lib/grant.h"

#include <string.h>

#include "lib/conf.h"
#include "lib/syntax.h"

/* What a wall makes itself, or what would open all of it. */
static const char *const closed[] = { "/", "/bin", "/boot", "/dev", "/etc", "/job", "/lib", "/lib32", "/lib64", "/proc", "/root",
	"/runtime", "/sbin", "/sys", "/tmp", "/usr" };

const char *
grant_what(const char *entry)
{
	const char *blank = strchr(entry, ' ');

	while (blank != NULL && *blank == ' ')
		blank++;
	return blank != NULL ? blank : "";
}

static bool
is_who(const char *s)
{
	size_t n = strcspn(s, " "), author = strcspn(s, "/ ");

	if (n == 1 && s[0] == '*')
		return true;
	if (author < n && n == author + 1)
		return false; /* a slash and no name */
	return (author == 5 && strncmp(s, "local", 5) == 0) || syntax_did(s, author);
}

bool
grant_is_for(const char *entry)
{
	return is_who(entry);
}

bool
grant_is_path(const char *entry)
{
	const char *p = grant_what(entry);
	size_t i, n = strlen(p);

	if (!is_who(entry) || p[0] != '/' || (n > 1 && p[n - 1] == '/') || strstr(p, "//") != NULL)
		return false;
	for (i = 0; i < n; i++)
		if (p[i] == '/' && p[i + 1] == '.' && (p[i + 2] == '/' || p[i + 2] == '\0' ||
		    (p[i + 2] == '.' && (p[i + 3] == '/' || p[i + 3] == '\0'))))
			return false;
	for (i = 0; i < sizeof closed / sizeof closed[0]; i++)
		if (strcmp(p, closed[i]) == 0)
			return false;
	return strncmp(p, "/proc/", 6) != 0 && strncmp(p, "/sys/", 5) != 0 && strncmp(p, "/job/", 5) != 0 &&
	    strncmp(p, "/runtime/", 9) != 0 && strncmp(p, "/tmp/", 5) != 0;
}

bool
grant_is_name(const char *entry)
{
	const char *p = grant_what(entry);

	return is_who(entry) && p[0] != '\0' && (p[0] < '0' || p[0] > '9') && strncmp(p, "AT_RUND_", 8) != 0 &&
	    strncmp(p, "LD_", 3) != 0 &&
	    p[strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

static bool
is_for(const char *entry, const char *author, const char *name)
{
	size_t n = strcspn(entry, " "), a = author != NULL ? strlen(author) : 0;

	if (n == 1 && entry[0] == '*')
		return true;
	if (a == 0 || n < a || strncmp(entry, author, a) != 0)
		return false;
	if (n == a)
		return true;
	return entry[a] == '/' && name != NULL && strlen(name) == n - a - 1 && strncmp(entry + a + 1, name, n - a - 1) == 0;
}

/* No "." or ".." may lead out of what was granted. */
static bool
is_below(const char *path, const char *top)
{
	size_t n = strlen(top);

	return strncmp(path, top, n) == 0 && (path[n] == '\0' || (path[n] == '/' && strstr(path + n, "/.") == NULL));
}

const char *
grant_path(const struct conf_list *entries, const char *author, const char *name, const char *path)
{
	size_t i;

	for (i = 0; i < entries->n; i++)
		if (is_for(entries->item[i], author, name) && is_below(path, grant_what(entries->item[i])))
			return grant_what(entries->item[i]);
	return NULL;
}

bool
grant_name(const struct conf_list *entries, const char *author, const char *name, const char *variable)
{
	size_t i;

	for (i = 0; i < entries->n; i++)
		if (is_for(entries->item[i], author, name) && strcmp(grant_what(entries->item[i]), variable) == 0)
			return true;
	return false;
}

const char *
grant_find(const struct conf_list *entries, const char *author, const char *name)
{
	size_t i;

	for (i = 0; i < entries->n; i++)
		if (is_for(entries->item[i], author, name))
			return grant_what(entries->item[i]);
	return NULL;
}
