/*
 * Three steps: a scan of our own that knows the whole grammar (so that cJSON only ever sees text it cannot misread),
 * cJSON, and a walk over the tree for what only the decoded form shows: keys that are the same, numbers that are too
 * large.  Recursion is bounded by max_depth in all three.
 */
#include "lib/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "lib/utf8.h"

#define FEW 12 /* keys that are compared pairwise */

struct scan {
	const char *p;
	size_t n, at;
	size_t depth, max_depth;
	const char *wrong;
};

static bool scan_value(struct scan *s);

static bool
wrong(struct scan *s, const char *what)
{
	if (s->wrong == NULL)
		s->wrong = what;
	return false;
}

static int
peek(const struct scan *s)
{
	return s->at < s->n ? (unsigned char)s->p[s->at] : -1;
}

static void
skip_space(struct scan *s)
{
	int c;

	while ((c = peek(s)) == ' ' || c == '\t' || c == '\n' || c == '\r')
		s->at++;
}

static int
hex_digit(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The four digits behind \u, or -1. */
static long
scan_hex4(struct scan *s)
{
	long v = 0;
	int i;

	for (i = 0; i < 4; i++) {
		int d = hex_digit(peek(s));
		if (d < 0)
			return -1;
		v = v * 16 + d;
		s->at++;
	}
	return v;
}

static bool
scan_unicode(struct scan *s)
{
	long v = scan_hex4(s), low;

	if (v < 0)
		return wrong(s, "four hex digits expected behind \\u");
	if (v == 0)
		return wrong(s, "\\u0000 in a string");
	if (v >= 0xdc00 && v <= 0xdfff)
		return wrong(s, "a lone surrogate in a string");
	if (v < 0xd800 || v > 0xdbff)
		return true;
	if (s->n - s->at < 2 || s->p[s->at] != '\\' || s->p[s->at + 1] != 'u')
		return wrong(s, "a lone surrogate in a string");
	s->at += 2;
	low = scan_hex4(s);
	if (low < 0xdc00 || low > 0xdfff)
		return wrong(s, "a lone surrogate in a string");
	return true;
}

static bool
scan_escape(struct scan *s)
{
	int c = peek(s);

	s->at++;
	if (c == 'u')
		return scan_unicode(s);
	if (c > 0 && strchr("\"\\/bfnrt", c) != NULL)
		return true;
	return wrong(s, "an unknown escape in a string");
}

static bool
scan_string(struct scan *s)
{
	s->at++;
	for (;;) {
		int c = peek(s);
		size_t len;

		if (c < 0)
			return wrong(s, "a string without an end");
		if (c == '"') {
			s->at++;
			return true;
		}
		if (c < 0x20)
			return wrong(s, "a control character in a string");
		if (c == '\\') {
			s->at++;
			if (!scan_escape(s))
				return false;
			continue;
		}
		len = utf8_next(s->p + s->at, s->n - s->at);
		if (len == 0)
			return wrong(s, "bytes that are not UTF-8");
		s->at += len;
	}
}

static size_t
scan_digits(struct scan *s)
{
	size_t from = s->at;

	while (peek(s) >= '0' && peek(s) <= '9')
		s->at++;
	return s->at - from;
}

static bool
scan_number(struct scan *s)
{
	size_t from = s->at;

	if (peek(s) == '-')
		s->at++;
	if (peek(s) == '0')
		s->at++;
	else if (scan_digits(s) == 0)
		return wrong(s, "not a value");
	if (peek(s) == '.') {
		s->at++;
		if (scan_digits(s) == 0)
			return wrong(s, "a digit expected behind the point");
	}
	if (peek(s) == 'e' || peek(s) == 'E') {
		s->at++;
		if (peek(s) == '+' || peek(s) == '-')
			s->at++;
		if (scan_digits(s) == 0)
			return wrong(s, "a digit expected in the exponent");
	}
	/* cJSON reads 63 characters of a number. */
	return s->at - from < 60 || wrong(s, "a number too long");
}

static bool
scan_word(struct scan *s, const char *word)
{
	size_t len = strlen(word);

	if (s->n - s->at < len || memcmp(s->p + s->at, word, len) != 0)
		return wrong(s, "not a value");
	s->at += len;
	return true;
}

/* After '[' or '{': members up to the closing one. */
static bool
scan_members(struct scan *s, bool object, int close)
{
	s->at++;
	if (++s->depth > s->max_depth)
		return wrong(s, "nested too deeply");
	skip_space(s);
	if (peek(s) == close)
		goto end;
	for (;;) {
		if (object) {
			skip_space(s);
			if (peek(s) != '"')
				return wrong(s, "a key expected");
			if (!scan_string(s))
				return false;
			skip_space(s);
			if (peek(s) != ':')
				return wrong(s, "':' expected");
			s->at++;
		}
		if (!scan_value(s))
			return false;
		skip_space(s);
		if (peek(s) == close)
			break;
		if (peek(s) != ',')
			return wrong(s, object ? "',' or '}' expected" : "',' or ']' expected");
		s->at++;
	}
end:
	s->at++;
	s->depth--;
	return true;
}

static bool
scan_value(struct scan *s)
{
	skip_space(s);
	switch (peek(s)) {
	case '{':
		return scan_members(s, true, '}');
	case '[':
		return scan_members(s, false, ']');
	case '"':
		return scan_string(s);
	case 't':
		return scan_word(s, "true");
	case 'f':
		return scan_word(s, "false");
	case 'n':
		return scan_word(s, "null");
	case -1:
		return wrong(s, "the text ends too early");
	default:
		return scan_number(s);
	}
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char *
twice_of_few(const cJSON *obj)
{
	const cJSON *a, *b;

	for (a = obj->child; a != NULL; a = a->next)
		for (b = a->next; b != NULL; b = b->next)
			if (strcmp(a->string, b->string) == 0)
				return a->string;
	return NULL;
}

/* Sorted, not compared pairwise: a stranger chooses how many keys there are. */
static const char *
twice(const cJSON *obj)
{
	size_t n = 0, i;
	const cJSON *m;
	const char **key, *found = NULL;

	for (m = obj->child; m != NULL; m = m->next)
		n++;
	if (n <= FEW)
		return twice_of_few(obj);
	key = mem_array(n, sizeof *key);
	for (m = obj->child, i = 0; m != NULL; m = m->next)
		key[i++] = m->string;
	qsort(key, n, sizeof *key, by_text);
	for (i = 1; i < n && found == NULL; i++)
		if (strcmp(key[i - 1], key[i]) == 0)
			found = key[i];
	free(key);
	return found;
}

static int
check_tree(const cJSON *item, struct err *e)
{
	const cJSON *m;
	const char *key;

	if (cJSON_IsNumber(item) && !isfinite(item->valuedouble))
		return err_set(e, ERR_INPUT, "JSON: a number too large");
	if (cJSON_IsObject(item) && (key = twice(item)) != NULL)
		return err_set(e, ERR_INPUT, "JSON: the key \"%.60s\" stands twice in one object", key);
	for (m = item->child; m != NULL; m = m->next)
		if (check_tree(m, e) != 0)
			return -1;
	return 0;
}

cJSON *
json_parse(const char *p, size_t n, size_t max_depth, struct err *e)
{
	struct scan s = { p, n, 0, 0, max_depth, NULL };
	cJSON *tree;
	const char *end = NULL;

	if (scan_value(&s)) {
		skip_space(&s);
		if (s.at != n)
			wrong(&s, "text behind the value");
	}
	if (s.wrong != NULL) {
		err_set(e, ERR_INPUT, "JSON: %s at byte %zu", s.wrong, s.at);
		return NULL;
	}
	tree = cJSON_ParseWithLengthOpts(p, n, &end, false);
	if (tree == NULL) {
		err_set(e, ERR_INPUT, "JSON: refused at byte %zu", end != NULL ? (size_t)(end - p) : 0);
		return NULL;
	}
	if (check_tree(tree, e) != 0) {
		cJSON_Delete(tree);
		return NULL;
	}
	return tree;
}

const cJSON *
json_member(const cJSON *obj, const char *key)
{
	const cJSON *m = cJSON_IsObject(obj) ? cJSON_GetObjectItemCaseSensitive(obj, key) : NULL;

	return m != NULL && !cJSON_IsNull(m) ? m : NULL;
}

const cJSON *
json_object(const cJSON *obj, const char *key)
{
	const cJSON *m = json_member(obj, key);

	return cJSON_IsObject(m) ? m : NULL;
}

const cJSON *
json_array(const cJSON *obj, const char *key)
{
	const cJSON *m = json_member(obj, key);

	return cJSON_IsArray(m) ? m : NULL;
}

const char *
json_string(const cJSON *obj, const char *key)
{
	const cJSON *m = json_member(obj, key);

	return cJSON_IsString(m) ? m->valuestring : NULL;
}

/* Above 2^53 a double no longer says which whole number was meant.  NaN is none. */
static bool
whole(double v)
{
	return v >= -9007199254740991.0 && v <= 9007199254740991.0 && v == (double)(int64_t)v;
}

int
json_int(const cJSON *obj, const char *key, int64_t min, int64_t max, int64_t *out, struct err *e)
{
	const cJSON *m = json_member(obj, key);
	double v;

	if (m == NULL)
		return 0;
	v = cJSON_IsNumber(m) ? m->valuedouble : 0.5;
	if (!whole(v))
		return err_set(e, ERR_INPUT, "%s must be a whole number", key);
	if ((int64_t)v < min || (int64_t)v > max)
		return err_set(e, ERR_INPUT, "%s must be %lld to %lld, not %.0f", key, (long long)min, (long long)max,
		    v);
	*out = (int64_t)v;
	return 0;
}

int
json_bool(const cJSON *obj, const char *key, bool *out, struct err *e)
{
	const cJSON *m = json_member(obj, key);

	if (m == NULL)
		return 0;
	if (!cJSON_IsBool(m))
		return err_set(e, ERR_INPUT, "%s must be true or false", key);
	*out = cJSON_IsTrue(m);
	return 0;
}

int
json_text(const cJSON *obj, const char *key, size_t max, const char **out, struct err *e)
{
	const cJSON *m = json_member(obj, key);

	if (m == NULL)
		return 0;
	if (!cJSON_IsString(m))
		return err_set(e, ERR_INPUT, "%s must be a string", key);
	if (strlen(m->valuestring) > max)
		return err_set(e, ERR_INPUT, "%s is longer than %zu bytes", key, max);
	*out = m->valuestring;
	return 0;
}

/* cJSON's own printer turns 2^53 - 1 into 9.00719925474099e+15. */
static void
print_number(double v, struct buf *out)
{
	if (whole(v))
		buf_fmt(out, "%lld", (long long)v);
	else
		buf_fmt(out, "%.17g", v);
}

void
json_print(const cJSON *item, struct buf *out)
{
	const cJSON *m;
	bool object = cJSON_IsObject(item);

	if (cJSON_IsString(item)) {
		buf_json_str(out, item->valuestring);
	} else if (cJSON_IsNumber(item)) {
		print_number(item->valuedouble, out);
	} else if (object || cJSON_IsArray(item)) {
		buf_char(out, object ? '{' : '[');
		for (m = item->child; m != NULL; m = m->next) {
			if (object) {
				buf_json_str(out, m->string);
				buf_char(out, ':');
			}
			json_print(m, out);
			if (m->next != NULL)
				buf_char(out, ',');
		}
		buf_char(out, object ? '}' : ']');
	} else {
		buf_str(out, cJSON_IsTrue(item) ? "true" : cJSON_IsFalse(item) ? "false" : "null");
	}
}
