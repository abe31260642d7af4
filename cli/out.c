/* How commands speak: errors, tables, JSON. */
#include "cli/cli.h"

#include <ctype.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/bell.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/store.h"
#include "lib/utf8.h"

/* ---- talk ---- */

/* Code points that move the cursor, or turn the direction of what follows. */
static bool
is_unsafe(const char *s, size_t n)
{
	unsigned char a = (unsigned char)s[0];
	unsigned cp;

	if (n == 1)
		return a < 0x20 || a == 0x7f;
	if (n == 2)
		return a == 0xc2 && (unsigned char)s[1] < 0xa0;
	if (n != 3)
		return false;
	cp = (a & 0x0fu) << 12 | ((unsigned char)s[1] & 0x3fu) << 6 | ((unsigned char)s[2] & 0x3fu);
	return (cp >= 0x200e && cp <= 0x200f) || (cp >= 0x2028 && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069) ||
	    cp == 0xfeff;
}

void
cli_clean(struct buf *out, const char *s)
{
	for (size_t left = strlen(s), n; left > 0; s += n, left -= n) {
		n = utf8_next(s, left);
		if (n > 0 && !is_unsafe(s, n)) {
			buf_add(out, s, n);
			continue;
		}
		n = n > 0 ? n : 1;
		for (size_t i = 0; i < n; i++)
			buf_fmt(out, "\\x%02x", (unsigned char)s[i]);
	}
}

void
cli_print(const char *s)
{
	struct buf b = BUF_INIT;

	cli_clean(&b, s);
	if (b.len > 0)
		fwrite(b.data, 1, b.len, stdout);
	buf_clear(&b);
}

static const int exits[ERR_KIND_COUNT] = {
	[ERR_NONE] = EX_SOFTWARE,
	[ERR_INPUT] = EX_DATAERR,
	[ERR_DENIED] = EX_NOPERM,
	[ERR_NOTFOUND] = EX_NOINPUT,
	[ERR_BUSY] = EX_TEMPFAIL,
	[ERR_REMOTE] = EX_UNAVAILABLE,
	[ERR_TIMEOUT] = EX_TEMPFAIL,
	[ERR_INTERNAL] = EX_SOFTWARE,
};

int
cli_fail_as(const struct cli *c, int code, const struct err *e)
{
	struct buf b = BUF_INIT;

	fflush(stdout);
	if (c->json) {
		buf_str(&b, "{\"error\":");
		buf_json_str(&b, err_name(e));
		buf_str(&b, ",\"message\":");
		buf_json_str(&b, e->text);
		buf_str(&b, "}\n");
	} else {
		buf_str(&b, "at-rund: ");
		cli_clean(&b, e->text);
		buf_char(&b, '\n');
	}
	fwrite(b.data, 1, b.len, stderr);
	buf_clear(&b);
	return code;
}

int
cli_fail(const struct cli *c, const struct err *e)
{
	return cli_fail_as(c, exits[e->kind], e);
}

int
cli_usage(const struct cli *c, const char *fmt, ...)
{
	struct err e = { .kind = ERR_INPUT, .name = "Usage" };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e.text, sizeof e.text, fmt, ap);
	va_end(ap);
	return cli_fail_as(c, EX_USAGE, &e);
}

void
cli_say(const struct cli *c, const char *fmt, ...)
{
	struct buf b = BUF_INIT;
	char text[1024];
	va_list ap;

	if (c->json)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	buf_str(&b, "at-rund: ");
	cli_clean(&b, text);
	fprintf(stderr, "%s\n", b.data);
	buf_clear(&b);
}

/* ---- config and ledger ---- */

/* Each line of problems, as talk. */
static void
say_problems(const struct cli *c, const struct buf *problems, bool warnings_only)
{
	const char *p = problems->len > 0 ? problems->data : "";

	while (*p != '\0') {
		size_t n = strcspn(p, "\n");
		char *line = mem_strn(p, n);

		if (!warnings_only || strstr(line, ": warning: ") != NULL)
			cli_say(c, "%s", line);
		free(line);
		p += n + (p[n] == '\n');
	}
}

struct conf *
cli_conf(const struct cli *c, bool missing_ok, int *code)
{
	struct buf problems = BUF_INIT;
	struct err e = ERR_INIT;
	struct conf *conf = conf_load(c->config, missing_ok, &problems, &e);

	if (conf != NULL) {
		if (strcmp(c->command->name, "serve") == 0) /* every other command would only repeat them */
			say_problems(c, &problems, true);
	} else if (c->json || problems.len == 0) {
		*code = cli_fail_as(c, EX_CONFIG, &e);
	} else {
		say_problems(c, &problems, false);
		*code = EX_CONFIG;
	}
	buf_clear(&problems);
	return conf;
}

struct store *
cli_store(const struct cli *c, const struct conf *conf, int *code)
{
	struct err e = ERR_INIT;
	struct store *s = NULL;

	if (access(conf->database, F_OK) != 0) {
		err_set(&e, ERR_NOTFOUND, "there is no %s yet: at-rund serve makes it", conf->database);
		*code = cli_fail(c, &e);
		return NULL;
	}
	s = store_open(conf->database, STORE_DESK, &e);
	if (s == NULL)
		*code = cli_fail(c, &e);
	return s;
}

/* ---- tables ---- */

struct cell {
	char *text;
	bool number;
};

struct table {
	char **name;
	int columns;
	struct cell *cell;
	size_t rows;
};

struct table *
table_new(void)
{
	return mem_alloc(sizeof(struct table));
}

void
table_free(struct table *t)
{
	if (t == NULL)
		return;
	for (int i = 0; i < t->columns; i++)
		free(t->name[i]);
	for (size_t i = 0; i < t->rows * (size_t)t->columns; i++)
		free(t->cell[i].text);
	free(t->name);
	free(t->cell);
	free(t);
}

int
table_row(void *arg, const struct desk_cell *cells, int n)
{
	struct table *t = arg;

	if (t->name == NULL) {
		t->columns = n;
		t->name = mem_array((size_t)n, sizeof *t->name);
		for (int i = 0; i < n; i++)
			t->name[i] = mem_str(cells[i].name);
	}
	if ((t->rows & (t->rows + 1)) == 0)
		t->cell = mem_grow(t->cell, (t->rows + 1) * 2 * (size_t)t->columns * sizeof *t->cell);
	for (int i = 0; i < t->columns; i++)
		t->cell[t->rows * (size_t)t->columns + (size_t)i] =
		    (struct cell){ i < n ? mem_str(cells[i].text) : NULL, i < n && cells[i].number };
	t->rows++;
	return 0;
}

size_t
table_rows(const struct table *t)
{
	return t->rows;
}

const char *
table_cell(const struct table *t, size_t row, const char *name)
{
	for (int i = 0; i < t->columns && row < t->rows; i++) {
		if (strcmp(t->name[i], name) == 0)
			return t->cell[row * (size_t)t->columns + (size_t)i].text;
	}
	return NULL;
}

static bool
ends(const char *s, const char *tail)
{
	size_t n = strlen(s), m = strlen(tail);

	return n >= m && strcmp(s + n - m, tail) == 0;
}

/* A cell as people read it. */
static void
human(const struct table *t, size_t row, int column, struct buf *out)
{
	const struct cell *x = &t->cell[row * (size_t)t->columns + (size_t)column];

	buf_reset(out);
	buf_str(out, "");
	if (x->text != NULL)
		cli_clean(out, x->text);
}

/* Which columns people see: words of a list in their order, or all.  The caller frees. */
static int *
choose(const struct table *t, const char *columns, int *n)
{
	int *shown = mem_array((size_t)t->columns + 1, sizeof *shown);

	*n = 0;
	for (int i = 0; columns == NULL && i < t->columns; i++)
		shown[(*n)++] = i;
	for (const char *p = columns; p != NULL && *p != '\0' && *n < t->columns; p += strspn(p, " ")) {
		size_t len = strcspn(p, " ");

		for (int i = 0; i < t->columns; i++) {
			if (strlen(t->name[i]) == len && strncmp(t->name[i], p, len) == 0)
				shown[(*n)++] = i;
		}
		p += len;
	}
	return shown;
}

void
table_json_row(const struct table *t, size_t row, struct buf *out)
{
	buf_char(out, '{');
	for (int i = 0; i < t->columns; i++) {
		const struct cell *x = &t->cell[row * (size_t)t->columns + (size_t)i];
		bool raw = ends(t->name[i], "_json");

		buf_str(out, i > 0 ? "," : "");
		buf_json(out, t->name[i], strlen(t->name[i]) - (raw ? 5 : 0));
		buf_char(out, ':');
		if (x->text != NULL && (x->number || raw))
			buf_str(out, x->text);
		else
			buf_json_str(out, x->text);
	}
	buf_char(out, '}');
}

static size_t
width_of(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void
print_head(const struct cli *c, const struct table *t, const int *shown, int n, const size_t *width)
{
	for (int i = 0; i < n; i++) {
		const char *name = t->name[shown[i]];

		printf("%s%s%s%*s", c->color ? "\033[1m" : "", name, c->color ? "\033[0m" : "",
		    i + 1 < n ? (int)(width[i] - strlen(name)) + 2 : 0, "");
	}
	putchar('\n');
}

static void
print_cells(const struct cli *c, const struct table *t, const int *shown, int n)
{
	size_t *width = mem_array((size_t)n + 1, sizeof *width);
	struct buf b = BUF_INIT;

	for (int i = 0; i < n; i++) {
		width[i] = strlen(t->name[shown[i]]);
		for (size_t r = 0; r < t->rows; r++) {
			human(t, r, shown[i], &b);
			if (width_of(b.data) > width[i])
				width[i] = width_of(b.data);
		}
	}
	print_head(c, t, shown, n, width);
	for (size_t r = 0; r < t->rows; r++) {
		for (int i = 0; i < n; i++) {
			human(t, r, shown[i], &b);
			printf("%s%*s", b.data, i + 1 < n ? (int)(width[i] - width_of(b.data)) + 2 : 0, "");
		}
		putchar('\n');
	}
	buf_clear(&b);
	free(width);
}

static void
print_tabs(const struct table *t, const int *shown, int n)
{
	struct buf b = BUF_INIT;

	for (size_t r = 0; r < t->rows; r++) {
		for (int i = 0; i < n; i++) {
			human(t, r, shown[i], &b);
			printf("%s%s", i > 0 ? "\t" : "", b.data);
		}
		putchar('\n');
	}
	buf_clear(&b);
}

void
table_print(const struct cli *c, const struct table *t, const char *name, const char *columns)
{
	struct buf b = BUF_INIT;
	int n, *shown = choose(t, columns, &n);

	if (c->json) {
		buf_fmt(&b, "{\"%s\":[", name);
		for (size_t r = 0; r < t->rows; r++) {
			buf_str(&b, r > 0 ? "," : "");
			table_json_row(t, r, &b);
		}
		buf_str(&b, "]}\n");
		fputs(b.data, stdout);
	} else if (!c->tty) {
		print_tabs(t, shown, n);
	} else if (t->rows > 0) {
		print_cells(c, t, shown, n);
	} else {
		cli_say(c, "no %s", name);
	}
	free(shown);
	buf_clear(&b);
}

void
table_print_one(const struct cli *c, const struct table *t, const char *columns)
{
	struct buf b = BUF_INIT;
	int n, *shown = choose(t, columns, &n);

	if (c->json) {
		table_json_row(t, 0, &b);
		puts(b.data);
		n = 0;
	}
	for (int i = 0; i < n; i++) {
		if (t->cell[shown[i]].text == NULL)
			continue;
		human(t, 0, shown[i], &b);
		printf("%s%-14s%s %s\n", c->color ? "\033[1m" : "", t->name[shown[i]], c->color ? "\033[0m" : "", b.data);
	}
	free(shown);
	buf_clear(&b);
}

struct table *
cli_query(const struct cli *c, struct store *s, const char *statement, const struct desk_arg *args, int *code)
{
	struct table *t = table_new();
	struct err e = ERR_INIT;

	if (desk_query(s, statement, args, table_row, t, &e) == 0)
		return t;
	*code = cli_fail(c, &e);
	table_free(t);
	return NULL;
}

/* ---- orders ---- */

enum { ORDER_WAIT_MS = 5000, ORDER_LOOK_MS = 25 };

static void
print_note(const struct cli *c, int64_t id, bool done, const char *note)
{
	struct buf b = BUF_INIT;

	if (c->json) {
		buf_fmt(&b, "{\"order\":%lld,\"done\":%s,\"note\":", (long long)id, done ? "true" : "false");
		buf_json_str(&b, note);
		buf_str(&b, "}\n");
		fputs(b.data, stdout);
	} else if (done) {
		cli_print(note != NULL ? note : "done");
		putchar('\n');
	} else {
		cli_say(c, "order %lld is left for the scheduler; it has not answered within 5 s (at-rund status)", (long long)id);
	}
	buf_clear(&b);
}

int
cli_order(const struct cli *c, const struct conf *conf, struct store *s, const char *verb, const char *args_json)
{
	int64_t id = 0, until = clock_mono_ms() + ORDER_WAIT_MS;
	struct err e = ERR_INIT;
	char *note = NULL;
	bool done = false;
	int ringer;

	if (desk_order(s, verb, args_json, &id, &e) != 0)
		return cli_fail(c, &e);
	ringer = bell_ringer();
	bell_ring(ringer, conf->run_dir, BELL_SCHEDULER);
	if (ringer >= 0)
		close(ringer);
	for (;;) {
		free(note);
		note = NULL;
		if (desk_order_look(s, id, &done, &note, &e) != 0)
			return cli_fail(c, &e);
		if (done || clock_mono_ms() >= until)
			break;
		poll(NULL, 0, ORDER_LOOK_MS);
	}
	print_note(c, id, done, note);
	free(note);
	return done ? 0 : EX_TEMPFAIL;
}

char *
cli_walls(const struct table *runtimes)
{
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < table_rows(runtimes); i++) {
		const char *wall = table_cell(runtimes, i, "wall");
		bool said = false;

		for (size_t k = 0; wall != NULL && k < i && !said; k++) {
			const char *before = table_cell(runtimes, k, "wall");

			said = before != NULL && strcmp(before, wall) == 0;
		}
		if (wall != NULL && !said)
			buf_fmt(&b, "%s%s", b.len > 0 ? ", " : "", wall);
	}
	return b.len > 0 ? buf_take(&b) : NULL;
}
