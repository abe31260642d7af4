#include "cli/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/place.h"
#include "lib/buf.h"
#include "lib/err.h"

static const char capitals[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_";

bool
template_plain(const char *s)
{
	return s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+,:~")] == '\0';
}

/* The value of the hole that begins at p ("@NAME@", "@NAME?@"); *n: its length, *kind: '?', '!' or '@'.  NULL: no hole. */
static const char *
hole(const char *p, const struct template_var *vars, size_t *n, char *kind, struct err *e)
{
	size_t name = strspn(p + 1, capitals);
	bool conditional = p[1 + name] == '?' || p[1 + name] == '!';

	if (name == 0 || p[1 + name + conditional] != '@')
		return NULL;
	*kind = p[1 + name];
	*n = 1 + name + conditional + 1;
	for (; vars->name != NULL; vars++) {
		if (strlen(vars->name) == name && strncmp(vars->name, p + 1, name) == 0)
			return vars->value;
	}
	err_set(e, ERR_INTERNAL, "a template asks for %.*s, which nobody knows", (int)*n, p);
	return NULL;
}

static int
fill_line(const char *p, const char *end, const struct template_var *vars, struct buf *out, struct err *e)
{
	const char *value;
	char kind = '@';
	size_t n;

	while (p < end) {
		value = *p == '@' ? hole(p, vars, &n, &kind, e) : NULL;
		if (e->kind != ERR_NONE)
			return -1;
		if (value == NULL) {
			buf_char(out, *p++);
			continue;
		}
		if (kind != '@' && (value[0] != '\0') != (kind == '?'))
			return 0;
		if (kind == '@')
			buf_str(out, value);
		p += n;
	}
	buf_char(out, '\n');
	return 0;
}

int
template_fill(const char *text, const struct template_var *vars, struct buf *out, struct err *e)
{
	while (*text != '\0') {
		const char *end = text + strcspn(text, "\n");

		if (fill_line(text, end, vars, out, e) != 0)
			return -1;
		text = end + (*end == '\n');
	}
	return 0;
}

int
template_load(const char *name, const struct template_var *vars, struct buf *out, struct err *e)
{
	char *path = place_data(name, e), block[4096];
	FILE *f = path != NULL ? fopen(path, "re") : NULL;
	struct buf text = BUF_INIT;
	size_t n;
	int rc = -1;

	if (f == NULL) {
		if (path != NULL)
			err_errno(e, "read %s", path);
		goto out;
	}
	while ((n = fread(block, 1, sizeof block, f)) > 0)
		buf_add(&text, block, n);
	buf_str(&text, "");
	rc = ferror(f) != 0 ? err_errno(e, "read %s", path) : template_fill(text.data, vars, out, e);
	fclose(f);
out:
	buf_clear(&text);
	free(path);
	return rc;
}
