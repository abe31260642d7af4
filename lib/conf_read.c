/*
 * The reader under every ini and toml file of ours, and the only file that knows inih.
 *
 * inih as distributions build it cuts lines at 199 bytes and reads the rest as a new key, keeps quotes and `# …` in
 * values, takes an indented key for a part of the value above, does not see empty sections and tells no line numbers.
 * So it is never shown the file: it asks next_line() for lines, and that reads the text, understands quotes, comments
 * and lists, refuses what is ambiguous with its line number, and hands inih short lines in a form that cannot be
 * misread: "[section]" and "key=|piece", where the bytes that mean something to inih are written as %XX.  A long value
 * goes over in several pieces, a list item by item.
 */
#include "lib/conf.h"

#include <ctype.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/utf8.h"

enum {
	FILE_MAX = 1 << 20,
	LINE_MAX_BYTES = 4096,
	NAME_MAX_BYTES = 48, /* inih cuts section names at 49 */
	KEYS_MAX = 4096,
	ITEMS_MAX = 65536,
	PIECE = 120,         /* with "key=|" well below inih's 199 */
	PROBLEMS_MAX = 50,
};

struct item {
	char *text; /* NULL: the list is empty */
	int line;
};

struct reader {
	const char *name;
	const char *text, *end, *next; /* next: start of the line not yet read */
	int line;                      /* number of the line last read */

	char section[NAME_MAX_BYTES + 1], key[NAME_MAX_BYTES + 1];
	bool skip;                     /* fn refused the section: its keys are not asked about */
	bool section_due;              /* "[section]" still has to be shown to inih */

	/* The key being handed over. */
	struct item *item;
	size_t items, at;              /* at: the item whose pieces are under way */
	bool in_list;
	struct buf code;               /* that item, coded */
	size_t code_at;
	struct buf back;               /* what came back from inih */

	struct item *seen;             /* every "section.key" with its line */
	size_t seens;

	conf_fn *fn;
	void *arg;
	struct buf *problems;
	size_t problem_count;
	struct err *e;
};

static void
problem(struct reader *r, int line, const char *what)
{
	if (r->problem_count++ == 0)
		err_set(r->e, ERR_INPUT, "%s:%d: %s", r->name, line, what);
	if (r->problem_count <= PROBLEMS_MAX)
		buf_fmt(r->problems, "%s:%d: %s\n", r->name, line, what);
	else if (r->problem_count == PROBLEMS_MAX + 1)
		buf_fmt(r->problems, "%s: more than %d problems, the rest is not listed\n", r->name, PROBLEMS_MAX);
}

static void
problem_of_key(struct reader *r, int line, const char *what)
{
	char text[400];

	snprintf(text, sizeof text, "%s%s%s: %s", r->section, r->section[0] != '\0' ? "." : "", r->key, what);
	problem(r, line, text);
}

/* ---- physical lines ---- */

/* The next line without its end, copied to out; false at the end of the text.  A line that must not be read at all is
 * reported and comes back empty. */
static bool
take_line(struct reader *r, char out[LINE_MAX_BYTES + 1])
{
	const char *s = r->next, *nl;
	const char *why = NULL;
	size_t n;

	if (s >= r->end)
		return false;
	nl = memchr(s, '\n', (size_t)(r->end - s));
	n = (size_t)((nl != NULL ? nl : r->end) - s);
	r->next = nl != NULL ? nl + 1 : r->end;
	r->line++;
	if (n > 0 && s[n - 1] == '\r')
		n--;
	if (n > LINE_MAX_BYTES)
		why = "the line is too long: at most 4096 bytes; a long list may go over several lines in [ ... ]";
	else if (!utf8_valid(s, n))
		why = "the line is not UTF-8 text";
	for (size_t i = 0; why == NULL && i < n; i++) {
		if (s[i] == '\0')
			why = "the line holds a NUL byte";
		else if (((unsigned char)s[i] < ' ' && s[i] != '\t') || s[i] == 0x7f)
			why = "the line holds a control character";
	}
	if (why != NULL) {
		problem(r, r->line, why);
		n = 0;
	}
	memcpy(out, s, n);
	out[n] = '\0';
	return true;
}

static const char *
skip_space(const char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

static bool
is_comment(const char *p)
{
	return *p == '#' || *p == ';';
}

/* Nothing more on this line but space and a comment. */
static bool
is_rest(const char *p)
{
	p = skip_space(p);
	return *p == '\0' || is_comment(p);
}

static bool
is_name_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

/* A name, quoted or not; returns what follows it or NULL. */
static const char *
take_name(const char *p, char out[NAME_MAX_BYTES + 1])
{
	char quote = *p == '"' || *p == '\'' ? *p++ : '\0';
	size_t n = 0;

	while (is_name_char(p[n]))
		n++;
	if (n == 0 || n > NAME_MAX_BYTES)
		return NULL;
	memcpy(out, p, n);
	out[n] = '\0';
	p += n;
	if (quote != '\0' && *p++ != quote)
		return NULL;
	return p;
}

/* ---- values ---- */

static void
items_clear(struct reader *r)
{
	for (size_t i = 0; i < r->items; i++)
		free(r->item[i].text);
	free(r->item);
	r->item = NULL;
	r->items = r->at = 0;
	r->in_list = false;
	buf_reset(&r->code);
	r->code_at = 0;
}

static void
items_add(struct reader *r, char *text)
{
	if ((r->items & (r->items + 1)) == 0)
		r->item = mem_grow(r->item, (r->items + 1) * 2 * sizeof *r->item);
	r->item[r->items++] = (struct item){ text, r->line };
}

/* A quoted string at p; *text is allocated.  Returns what follows, or NULL with the reason in *why. */
static const char *
take_quoted(const char *p, char **text, const char **why)
{
	struct buf b = BUF_INIT;
	char quote = *p++;

	for (; *p != '\0' && *p != quote; p++) {
		if (quote == '"' && *p == '\\') {
			p++;
			if (*p != '"' && *p != '\\') {
				*why = "after a backslash in \"...\" only \" or \\ is understood; '...' keeps backslashes";
				buf_clear(&b);
				return NULL;
			}
		}
		buf_char(&b, *p);
	}
	if (*p != quote) {
		*why = "the quoted string has no end on its line";
		buf_clear(&b);
		return NULL;
	}
	*text = buf_take(&b);
	return p + 1;
}

/* Bytes up to the end of an unquoted value: a comment starts after a space.  In a list also up to , and ]. */
static size_t
bare_length(const char *p, bool in_list)
{
	size_t n = 0, keep = 0;

	for (; p[n] != '\0'; n++) {
		bool space = p[n] == ' ' || p[n] == '\t';

		if (is_comment(p + n) && (n == 0 || p[n - 1] == ' ' || p[n - 1] == '\t'))
			break;
		if (in_list && (p[n] == ',' || p[n] == ']'))
			break;
		if (!space)
			keep = n + 1;
	}
	return keep;
}

/* [ a, "b", ] from p, which stands behind the bracket; goes on over further lines. */
static const char *
take_list(struct reader *r, const char *p, char line[LINE_MAX_BYTES + 1])
{
	bool comma = true; /* an item may come */
	const char *why = NULL;

	r->in_list = true;
	for (;;) {
		char *text = NULL;
		size_t n;

		p = skip_space(p);
		if (*p == '\0' || is_comment(p)) {
			if (!take_line(r, line))
				return "the list has no closing ]";
			p = line;
			continue;
		}
		if (*p == ']')
			break;
		if (*p == ',') {
			if (comma)
				return "an item is missing before the comma";
			comma = true;
			p++;
			continue;
		}
		if (!comma)
			return "a comma or ] is missing between two items";
		if (r->items >= ITEMS_MAX)
			return "the list is too long: at most 65536 items";
		if (*p == '"' || *p == '\'') {
			if ((p = take_quoted(p, &text, &why)) == NULL)
				return why;
		} else {
			if (*p == '[' || *p == '{')
				return "a list inside a list is not understood";
			n = bare_length(p, true);
			/* An unquoted key of the next line means that ] was forgotten. */
			if (memchr(p, '=', n) != NULL && memchr(p, ' ', n) != NULL)
				return "the list has no closing ] before the next key";
			text = mem_strn(p, n);
			p += n;
		}
		items_add(r, text);
		comma = false;
	}
	if (!is_rest(p + 1))
		return "unexpected text after the list's ]";
	if (r->items == 0)
		items_add(r, NULL);
	return NULL;
}

/* What the next line is, by its first byte that is no space: '\0' when there is none, '#' for an empty line or a
 * comment, ' ' for an indented one, else that byte. */
static char
peek(const struct reader *r)
{
	const char *p = r->next;

	while (p < r->end && (*p == ' ' || *p == '\t' || *p == '\r'))
		p++;
	if (r->next >= r->end)
		return '\0';
	if (p == r->end || *p == '\n' || is_comment(p))
		return '#';
	return p > r->next ? ' ' : *p;
}

/* An item on an indented line below `key =`, quoted or not, with or without a comma behind it. */
static const char *
take_indented_item(struct reader *r, const char *p)
{
	const char *why = NULL;
	char *text = NULL;
	size_t n;

	if (*p == '"' || *p == '\'') {
		if ((p = take_quoted(p, &text, &why)) == NULL)
			return why;
		if (!is_rest(*p == ',' ? p + 1 : p)) {
			free(text);
			return "unexpected text after the closing quote";
		}
	} else {
		n = bare_length(p, false);
		if (memchr(p, '=', n) != NULL)
			return "an indented line belongs to the value above it: begin a key at the start of its line";
		if (n > 1 && p[n - 1] == ',')
			n--;
		text = mem_strn(p, n);
	}
	items_add(r, text);
	return NULL;
}

/* `key =` with nothing behind it: an empty value, or indented lines below, one item each. */
static const char *
take_indented(struct reader *r, char line[LINE_MAX_BYTES + 1])
{
	const char *why = NULL;
	char next;

	while (why == NULL && ((next = peek(r)) == ' ' || next == '#')) {
		take_line(r, line);
		if (is_rest(line))
			continue;
		r->in_list = true;
		why = r->items < ITEMS_MAX ? take_indented_item(r, skip_space(line)) :
		    "the list is too long: at most 65536 items";
	}
	if (why == NULL && r->items == 0)
		items_add(r, mem_str(""));
	return why;
}

/* The value from p on into r->item; NULL or what is wrong. */
static const char *
take_value(struct reader *r, const char *p, char line[LINE_MAX_BYTES + 1])
{
	const char *why = NULL;
	char *text = NULL;

	p = skip_space(p);
	if (*p == '[')
		return take_list(r, p + 1, line);
	if (*p == '{')
		return "a table { ... } is not understood here: give it a [section]";
	if (*p == '"' || *p == '\'') {
		if (strncmp(p, "\"\"\"", 3) == 0 || strncmp(p, "'''", 3) == 0)
			return "strings over several lines are not understood";
		if ((p = take_quoted(p, &text, &why)) == NULL)
			return why;
		if (!is_rest(p)) {
			free(text);
			return "unexpected text after the closing quote";
		}
		items_add(r, text);
		return NULL;
	}
	if (is_rest(p))
		return take_indented(r, line);
	items_add(r, mem_strn(p, bare_length(p, false)));
	return NULL;
}

/* ---- logical lines ---- */

/* A key is set once, in whatever form. */
static bool
is_new(struct reader *r, int line)
{
	char name[2 * NAME_MAX_BYTES + 2], text[64];

	snprintf(name, sizeof name, "%s\n%s", r->section, r->key);
	for (size_t i = 0; i < r->seens; i++) {
		if (strcmp(r->seen[i].text, name) == 0) {
			snprintf(text, sizeof text, "already set in line %d", r->seen[i].line);
			problem_of_key(r, line, text);
			return false;
		}
	}
	if (r->seens == KEYS_MAX) {
		problem_of_key(r, line, "more than 4096 keys in one file");
		r->next = r->end;
		return false;
	}
	if ((r->seens & (r->seens + 1)) == 0)
		r->seen = mem_grow(r->seen, (r->seens + 1) * 2 * sizeof *r->seen);
	r->seen[r->seens++] = (struct item){ mem_str(name), line };
	return true;
}

static void
on_section(struct reader *r, const char *p)
{
	const char *why, *rest;
	char name[NAME_MAX_BYTES + 1], text[400];

	rest = *p == '[' ? NULL : take_name(skip_space(p), name);
	if (rest == NULL || *(rest = skip_space(rest)) != ']' || !is_rest(rest + 1)) {
		problem(r, r->line, *p == '[' ? "[[...]] is not understood" :
		    "expected [section], a name of at most 48 letters, digits, '-', '_', '.'");
		r->skip = true; /* the keys below belong to nobody we know */
		return;
	}
	memcpy(r->section, name, sizeof r->section);
	r->section_due = true;
	why = r->fn(r->arg, r->line, r->section, NULL, NULL, false);
	r->skip = why != NULL;
	if (why != NULL) {
		snprintf(text, sizeof text, "[%s]: %s", r->section, why);
		problem(r, r->line, text);
	}
}

/* True when a key with its items is ready to be handed over. */
static bool
on_key(struct reader *r, const char *p, char line[LINE_MAX_BYTES + 1])
{
	int at = r->line;
	const char *why;

	p = take_name(p, r->key);
	if (p == NULL || *(p = skip_space(p)) != '=') {
		problem(r, at, p != NULL && *p == ':' ? "expected key = value, not key: value" :
		    "expected [section] or key = value; a key has at most 48 letters, digits, '-', '_', '.'");
		return false;
	}
	items_clear(r);
	why = take_value(r, p + 1, line);
	if (why != NULL) {
		problem_of_key(r, at, why);
		return false;
	}
	return is_new(r, at) && !r->skip;
}

/* Reads on until a key is ready (true) or the text ends. */
static bool
next_key(struct reader *r)
{
	char line[LINE_MAX_BYTES + 1];

	while (take_line(r, line)) {
		const char *p = skip_space(line);

		if (is_rest(p))
			continue;
		if (p != line)
			problem(r, r->line, "the line is indented: a key or [section] begins at the start of its line");
		else if (*p == '[')
			on_section(r, p + 1);
		else if (on_key(r, p, line))
			return true;
	}
	return false;
}

/* ---- inih ---- */

static void
encode(struct buf *out, const char *s)
{
	for (; *s != '\0'; s++) {
		if ((unsigned char)*s <= ' ' || strchr("%;#:=[]\"", *s) != NULL)
			buf_fmt(out, "%%%02X", (unsigned char)*s);
		else
			buf_char(out, *s);
	}
}

static void
decode(struct buf *b)
{
	size_t to = 0;

	for (size_t i = 0; i < b->len; i++) {
		char hex[3] = { 0 };

		if (b->data[i] == '%' && b->len - i > 2) {
			memcpy(hex, b->data + i + 1, 2);
			b->data[to++] = (char)strtol(hex, NULL, 16);
			i += 2;
		} else {
			b->data[to++] = b->data[i];
		}
	}
	b->len = to;
	if (b->data != NULL)
		b->data[to] = '\0';
}

/* Tells fn of an item, NULL for an empty list. */
static void
deliver(struct reader *r, const char *value)
{
	int line = r->item[r->at].line;
	const char *why = r->fn(r->arg, line, r->section, r->key, value, r->in_list);

	if (why != NULL)
		problem_of_key(r, line, why);
	r->at++;
}

/* inih's fgets: one short line, or NULL at the end. */
static char *
next_line(char *out, int size, void *arg)
{
	struct reader *r = arg;
	size_t n;

	while (r->at >= r->items || r->item[r->at].text == NULL) {
		if (r->at < r->items) {
			deliver(r, NULL); /* [ ]: inih has no form for it */
			continue;
		}
		if (!next_key(r))
			return NULL;
	}
	if (r->section_due) {
		snprintf(out, (size_t)size, "[%s]\n", r->section);
		r->section_due = false;
		return out;
	}
	if (r->code_at == 0) {
		buf_reset(&r->code);
		encode(&r->code, r->item[r->at].text);
	}
	n = r->code.len - r->code_at;
	if (n > PIECE)
		n = PIECE;
	snprintf(out, (size_t)size, "%s=|%.*s\n", r->key, (int)n, r->code.data != NULL ? r->code.data + r->code_at : "");
	r->code_at += n;
	return out;
}

static int
on_piece(void *arg, const char *section, const char *key, const char *value)
{
	struct reader *r = arg;

	/* Whatever inih makes of our lines must be what we meant. */
	if (r->at >= r->items || strcmp(section, r->section) != 0 || strcmp(key, r->key) != 0 || value[0] != '|')
		return 0;
	buf_str(&r->back, value + 1);
	if (r->code_at < r->code.len)
		return 1;
	decode(&r->back);
	deliver(r, r->back.data != NULL ? r->back.data : "");
	buf_reset(&r->back);
	r->code_at = 0;
	return 1;
}

static void
reader_clear(struct reader *r)
{
	items_clear(r);
	for (size_t i = 0; i < r->seens; i++)
		free(r->seen[i].text);
	free(r->seen);
	buf_clear(&r->code);
	buf_clear(&r->back);
}

int
conf_read(const char *name, const char *text, size_t n, conf_fn *fn, void *arg, struct buf *problems, struct err *e)
{
	struct buf own = BUF_INIT;
	struct reader r = { .name = name, .text = text, .end = text + n, .next = text, .fn = fn, .arg = arg };

	r.problems = problems != NULL ? problems : &own;
	r.e = e;
	if (n > FILE_MAX)
		problem(&r, 1, "the file is too long: at most 1 MiB");
	else if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		problem(&r, 1, "the file begins with a byte order mark: save it as plain UTF-8");
	else if (n > 0 && ini_parse_stream(next_line, &r, on_piece, &r) != 0)
		problem(&r, r.line, "inih reads this differently than at-rund does");
	reader_clear(&r);
	buf_clear(&own);
	return r.problem_count > 0 ? -1 : 0;
}
