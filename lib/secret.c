#include "lib/secret.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/multibase.h"
#include "lib/syntax.h"
#include "lib/utf8.h"

#define DEPTH 4

/* --- public keys as texts --- */

static const struct {
	const char *name;
	uint8_t codec[2]; /* multicodec as varint */
} uses[SECRET_USE_COUNT] = {
	[SECRET_USE_SECRETS] = { "secrets", { 0xec, 0x01 } },
	[SECRET_USE_RECEIPTS] = { "receipts", { 0xed, 0x01 } },
};

const char *
secret_use_name(enum secret_use u)
{
	return uses[u].name;
}

void
secret_key_print(enum secret_use u, const uint8_t key[SECRET_KEY_BYTES], char out[SECRET_KEY_TEXT + 1])
{
	uint8_t raw[2 + SECRET_KEY_BYTES];

	memcpy(raw, uses[u].codec, 2);
	memcpy(raw + 2, key, SECRET_KEY_BYTES);
	out[0] = 'z';
	base58_print(raw, sizeof raw, out + 1, SECRET_KEY_TEXT);
}

int
secret_key_parse(enum secret_use u, const char *text, uint8_t key[SECRET_KEY_BYTES], struct err *e)
{
	uint8_t raw[BASE58_BYTES_MAX];
	size_t n = strlen(text);

	if (n < 2 || n > SECRET_KEY_TEXT || text[0] != 'z' ||
	    base58_parse(text + 1, n - 1, raw, sizeof raw) != 2 + SECRET_KEY_BYTES || memcmp(raw, uses[u].codec, 2) != 0)
		return err_named(e, ERR_INPUT, "InvalidKey", "%.60s is no key for %s; such a key begins with %s", text,
		    uses[u].name, u == SECRET_USE_SECRETS ? "z6LS" : "z6Mk");
	memcpy(key, raw + 2, SECRET_KEY_BYTES);
	return 0;
}

/* --- names and values --- */

void
secret_wipe(void *p, size_t n)
{
	if (p != NULL)
		sodium_memzero(p, n);
}

bool
secret_env_next(const struct secret_env *s, size_t *at, const char **name, size_t *n, const char **value)
{
	const char *p = s->block + *at, *is;

	if (*at >= s->bytes)
		return false;
	is = strchr(p, '=');
	*name = p;
	*n = (size_t)(is - p);
	*value = is + 1;
	*at += strlen(p) + 1;
	return true;
}

static bool
block_ok(const char *p, size_t bytes, size_t *count)
{
	size_t at = 0;

	if (bytes == 0 || bytes > SECRET_PLAIN_MAX || p[bytes - 1] != '\0')
		return false;
	for (*count = 0; at < bytes; ++*count) {
		const char *is = strchr(p + at, '=');

		if (is == NULL || !syntax_env_name(p + at, (size_t)(is - p) - at) || *count == SECRET_NAMES_MAX)
			return false;
		at += strlen(p + at) + 1;
	}
	return true;
}

struct secret_env *
secret_env_new(const char *block, size_t bytes, int64_t expires_at)
{
	struct secret_env *s;
	size_t n;

	if (sodium_init() < 0 || !block_ok(block, bytes, &n))
		return NULL;
	s = mem_alloc(sizeof *s);
	s->refs = 1;
	s->n = n;
	s->bytes = bytes;
	s->expires_at = expires_at;
	s->block = sodium_malloc(bytes); /* locked where the limits allow it, wiped by sodium_free */
	if (s->block == NULL)
		abort();
	memcpy(s->block, block, bytes);
	return s;
}

struct secret_env *
secret_env_ref(struct secret_env *s)
{
	s->refs++;
	return s;
}

void
secret_env_unref(struct secret_env *s)
{
	if (s == NULL || --s->refs > 0)
		return;
	sodium_free(s->block);
	free(s);
}

bool
secret_env_has(const struct secret_env *s, const char *name)
{
	const char *is, *value;
	size_t at = 0, n;

	while (secret_env_next(s, &at, &is, &n, &value))
		if (strlen(name) == n && memcmp(name, is, n) == 0)
			return true;
	return false;
}

static bool
listed(const struct conf_list *names, const char *name, size_t n)
{
	size_t i;

	for (i = 0; names != NULL && i < names->n; i++)
		if (strlen(names->item[i]) == n && memcmp(names->item[i], name, n) == 0)
			return true;
	return names == NULL;
}

void
secret_env_json(const struct secret_env *s, const struct conf_list *names, struct buf *out)
{
	const char *name, *value;
	size_t at = 0, n;
	bool first = true;

	buf_char(out, '{');
	while (secret_env_next(s, &at, &name, &n, &value)) {
		if (!listed(names, name, n))
			continue;
		if (!first)
			buf_char(out, ',');
		first = false;
		buf_json(out, name, n);
		buf_char(out, ':');
		buf_json_str(out, value);
	}
	buf_char(out, '}');
}

/* Where the value, or the first of its lines, stands in [p, end); the longest at the earliest place. */
static const char *
find_value(const char *p, const char *end, const char *value, size_t *found)
{
	const char *first = NULL, *line = value;
	size_t whole = strlen(value), n;

	for (; *line != '\0'; line += n + (line[n] == '\n')) {
		n = strcspn(line, "\n");
		if (n >= SECRET_REDACT_MIN) {
			const char *at = memmem(p, (size_t)(end - p), line, n);

			if (at != NULL && (first == NULL || at < first)) {
				first = at;
				*found = n;
			}
		}
	}
	if (first != NULL && (size_t)(end - first) >= whole && memcmp(first, value, whole) == 0)
		*found = whole;
	return first;
}

bool
secret_redact(const struct secret_env *s, const char *text, size_t n, struct buf *out)
{
	const char *p = text, *end = text + n;
	bool any = false;

	for (;;) {
		const char *name, *value, *first = NULL, *its = NULL;
		size_t at = 0, name_n, its_n = 0, len = 0;

		while (secret_env_next(s, &at, &name, &name_n, &value)) {
			size_t found = 0;
			const char *here = find_value(p, end, value, &found);

			if (here != NULL && (first == NULL || here < first || (here == first && found > len))) {
				first = here;
				len = found;
				its = name;
				its_n = name_n;
			}
		}
		if (first == NULL)
			break;
		any = true;
		buf_add(out, p, (size_t)(first - p));
		buf_fmt(out, "[secret %.*s]", (int)its_n, its);
		p = first + len;
	}
	if (any)
		buf_add(out, p, (size_t)(end - p));
	return any;
}

/* --- reading what an author typed --- */

static bool
named_before(const struct buf *block, const char *name, size_t n)
{
	size_t at = 0;

	for (; at < block->len; at += strlen(block->data + at) + 1)
		if (strncmp(block->data + at, name, n) == 0 && block->data[at + n] == '=')
			return true;
	return false;
}

/* Grows nothing: its room is taken at once, so that no copy is left behind. */
static void
plain_begin(struct buf *b)
{
	buf_room(b, SECRET_PLAIN_MAX + SECRET_PAD);
}

static void
plain_clear(struct buf *b)
{
	secret_wipe(b->data, b->room);
	buf_clear(b);
}

static int
add_pair(struct buf *block, const char *name, size_t name_n, const char *value, size_t value_n, const char *where,
    struct err *e)
{
	if (!syntax_env_name(name, name_n))
		return err_set(e, ERR_INPUT, "%s: a name has letters, digits and _ only, and is at most %d long", where,
		    SYNTAX_ENV_MAX);
	if (memchr(value, '\0', value_n) != NULL)
		return err_set(e, ERR_INPUT, "%s: a value may not hold a NUL byte", where);
	if (!utf8_valid(value, value_n)) /* it would come out changed, since what is sealed is JSON */
		return err_set(e, ERR_INPUT, "%s: a value must be UTF-8; seal other bytes as base64", where);
	if (named_before(block, name, name_n))
		return err_set(e, ERR_INPUT, "%s: %.*s stands there twice", where, (int)name_n, name);
	if (block->len + name_n + value_n + 2 > SECRET_PLAIN_MAX)
		return err_set(e, ERR_INPUT, "more than %u bytes of secrets", SECRET_PLAIN_MAX);
	buf_add(block, name, name_n);
	buf_char(block, '=');
	buf_add(block, value, value_n);
	buf_char(block, '\0');
	return 0;
}

static int
read_line(struct buf *block, const char *line, size_t n, int number, struct err *e)
{
	const char *is = memchr(line, '=', n), *value;
	char where[32] = "line ";
	size_t value_n;

	while (n > 0 && (line[n - 1] == '\r' || line[n - 1] == ' ' || line[n - 1] == '\t'))
		n--;
	if (n == 0 || line[0] == '#')
		return 0;
	snprintf(where, sizeof where, "line %d", number);
	if (is == NULL || is >= line + n)
		return err_set(e, ERR_INPUT, "%s is not NAME=value", where);
	value = is + 1;
	value_n = (size_t)(line + n - value);
	if (value_n >= 2 && (*value == '"' || *value == '\'') && value[value_n - 1] == *value) {
		value++;
		value_n -= 2;
	}
	return add_pair(block, line, (size_t)(is - line), value, value_n, where, e);
}

static int
read_lines(struct buf *block, const char *text, size_t n, struct err *e)
{
	const char *end = text + n;
	int number = 0;

	while (text < end) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		size_t len = nl != NULL ? (size_t)(nl - text) : (size_t)(end - text);

		if (read_line(block, text, len, ++number, e) != 0)
			return -1;
		text += len + 1;
	}
	return 0;
}

/* Strings of a tree are wiped before it goes. */
static void
wipe_tree(cJSON *tree)
{
	cJSON *item;

	for (item = tree != NULL ? tree->child : NULL; item != NULL; item = item->next)
		if (cJSON_IsString(item))
			secret_wipe(item->valuestring, strlen(item->valuestring));
		else
			wipe_tree(item);
}

static int
read_object(struct buf *block, const cJSON *tree, struct err *e)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, tree)
	{
		if (!cJSON_IsString(item))
			return err_set(e, ERR_INPUT, "%.60s is not a string", item->string);
		if (add_pair(block, item->string, strlen(item->string), item->valuestring, strlen(item->valuestring),
			item->string, e) != 0)
			return -1;
	}
	return 0;
}

static struct secret_env *
env_of(const struct buf *block, int64_t expires_at, struct err *e)
{
	struct secret_env *s = block->len > 0 ? secret_env_new(block->data, block->len, expires_at) : NULL;

	if (s == NULL)
		err_set(e, ERR_INPUT, block->len == 0 ? "no secrets" : "more than %d secrets", SECRET_NAMES_MAX);
	return s;
}

int
secret_read(const char *text, size_t n, struct secret_env **out, struct err *e)
{
	struct buf block = BUF_INIT;
	struct err why = ERR_INIT;
	size_t blank = 0;
	cJSON *tree;
	int rc;

	if (n > SECRET_PLAIN_MAX)
		return err_set(e, ERR_INPUT, "more than %u bytes of secrets", SECRET_PLAIN_MAX);
	while (blank < n && strchr(" \t\r\n", text[blank]) != NULL && text[blank] != '\0')
		blank++;
	plain_begin(&block);
	if (blank < n && text[blank] == '{') {
		tree = json_parse(text, n, DEPTH, &why);
		rc = tree != NULL ? read_object(&block, tree, e) :
		    err_set(e, ERR_INPUT, "the secrets begin like JSON and are none"); /* why could show a value */
		wipe_tree(tree);
		cJSON_Delete(tree);
	} else {
		rc = read_lines(&block, text, n, e);
	}
	if (rc == 0 && (*out = env_of(&block, 0, e)) == NULL)
		rc = -1;
	plain_clear(&block);
	return rc;
}

/* --- boxes --- */

int
secret_seal(const struct secret_context *c, const struct secret_env *env, struct buf *box, struct err *e)
{
	uint8_t key[SECRET_KEY_BYTES];
	struct buf plain = BUF_INIT;
	char until[32];
	size_t n;
	int rc = -1;

	if (secret_key_parse(SECRET_USE_SECRETS, c->key, key, e) != 0)
		return -1;
	secret_time_print(c->expires_at, until);
	buf_room(&plain, 8 * SECRET_PLAIN_MAX); /* JSON may take six bytes for one */
	buf_str(&plain, "{\"author\":");
	buf_json_str(&plain, c->author);
	buf_str(&plain, ",\"bundle\":");
	buf_json_str(&plain, c->bundle);
	buf_str(&plain, ",\"runner\":");
	buf_json_str(&plain, c->runner);
	buf_str(&plain, ",\"key\":");
	buf_json_str(&plain, c->key);
	buf_fmt(&plain, ",\"expires\":\"%s\",\"env\":", until);
	secret_env_json(env, NULL, &plain);
	buf_char(&plain, '}');
	while (plain.len % SECRET_PAD != 0)
		buf_char(&plain, ' ');
	if (plain.len > SECRET_PLAIN_MAX) {
		err_set(e, ERR_INPUT, "the secrets need %zu bytes, more than %u", plain.len, SECRET_PLAIN_MAX);
		goto out;
	}
	n = plain.len + crypto_box_SEALBYTES;
	if (sodium_init() < 0 || crypto_box_seal((unsigned char *)buf_room(box, n), (unsigned char *)plain.data, plain.len,
	    key) != 0) {
		err_named(e, ERR_INPUT, "InvalidKey", "%s is a key that nothing can be sealed for", c->key);
		goto out;
	}
	box->len += n;
	rc = 0;
out:
	plain_clear(&plain);
	return rc;
}

static int
same_text(const cJSON *tree, const char *what, const char *want, struct err *e)
{
	const char *is = json_string(tree, what);

	if (is == NULL)
		return err_named(e, ERR_DENIED, "SecretMalformed", "the sealed secrets name no %s", what);
	if (strcmp(is, want) != 0)
		return err_named(e, ERR_DENIED, "SecretMismatch", "the secrets were sealed for the %s %.100s, not %.100s", what,
		    is, want);
	return 0;
}

static int
plain_tree(const struct secret_context *now, const cJSON *tree, struct secret_env **out, struct err *e)
{
	const char *until = json_string(tree, "expires");
	const cJSON *env = json_object(tree, "env");
	int64_t expires_at = until != NULL ? secret_time_parse(until) : -1;
	struct buf block = BUF_INIT;
	struct err why = ERR_INIT;
	int rc = -1;

	if (same_text(tree, "author", now->author, e) != 0 || same_text(tree, "bundle", now->bundle, e) != 0 ||
	    same_text(tree, "runner", now->runner, e) != 0 || same_text(tree, "key", now->key, e) != 0)
		return -1;
	if (expires_at < 0)
		return err_named(e, ERR_DENIED, "SecretMalformed", "the sealed secrets do not say when they expire");
	if (expires_at <= now->expires_at)
		return err_named(e, ERR_DENIED, "SecretExpired", "the secrets expired at %.40s; their author has to seal them anew",
		    until);
	plain_begin(&block);
	if (env == NULL || read_object(&block, env, &why) != 0 || (*out = env_of(&block, expires_at, &why)) == NULL)
		err_named(e, ERR_DENIED, "SecretMalformed", "the sealed secrets are malformed: %s",
		    env != NULL ? why.text : "env is missing");
	else
		rc = 0;
	plain_clear(&block);
	return rc;
}

int
secret_plain(const struct secret_context *now, const char *plain, size_t n, struct secret_env **out, struct err *e)
{
	cJSON *tree = json_parse(plain, n, DEPTH, NULL);
	int rc;

	if (!cJSON_IsObject(tree))
		rc = err_named(e, ERR_DENIED, "SecretMalformed", "the sealed secrets are not what at-rund seals");
	else
		rc = plain_tree(now, tree, out, e);
	wipe_tree(tree);
	cJSON_Delete(tree);
	return rc;
}

int
secret_open(const struct secret_context *now, const uint8_t secret_key[SECRET_KEY_BYTES],
    const uint8_t public_key[SECRET_KEY_BYTES], const void *box, size_t n, struct secret_env **out, struct err *e)
{
	struct buf plain = BUF_INIT;
	int rc = -1;

	if (n < crypto_box_SEALBYTES || n > SECRET_BOX_MAX)
		return err_named(e, ERR_DENIED, "SecretUnreadable", "the sealed secrets have %zu bytes; expected %u to %u", n,
		    (unsigned)crypto_box_SEALBYTES, SECRET_BOX_MAX);
	plain_begin(&plain);
	if (sodium_init() < 0 || crypto_box_seal_open((unsigned char *)plain.data, box, n, public_key, secret_key) != 0)
		err_named(e, ERR_DENIED, "SecretUnreadable",
		    "the secrets cannot be opened with the key %.60s: damaged, or sealed for another", now->key);
	else
		rc = secret_plain(now, plain.data, n - crypto_box_SEALBYTES, out, e);
	plain_clear(&plain);
	return rc;
}

/* --- records --- */

char *
secret_rkey(const char *bundle, const char *runner)
{
	char *key = mem_fmt("%s:%s", bundle, runner), *p;

	for (p = key; *p != '\0'; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
			strchr("._:~-", *p) != NULL))
			*p = '~';
	return key;
}

void
secret_record_json(const struct secret_context *c, const char *type, const void *box, size_t n, const char *created_at,
    struct buf *out)
{
	char until[32];

	secret_time_print(c->expires_at, until);
	buf_str(out, "{\"$type\":");
	buf_json_str(out, type);
	buf_str(out, ",\"bundle\":");
	buf_json_str(out, c->bundle);
	buf_str(out, ",\"runner\":");
	buf_json_str(out, c->runner);
	buf_str(out, ",\"key\":");
	buf_json_str(out, c->key);
	buf_str(out, ",\"box\":{\"$bytes\":\"");
	base64_print(box, n, out);
	buf_fmt(out, "\"},\"expiresAt\":\"%s\",\"createdAt\":", until);
	buf_json_str(out, created_at);
	buf_char(out, '}');
}

int
secret_record_parse(const char *json, size_t n, struct secret_record *out, struct err *e)
{
	cJSON *tree = json_parse(json, n, JSON_DEPTH, NULL);
	const char *bundle = json_string(tree, "bundle"), *runner = json_string(tree, "runner"),
		   *key = json_string(tree, "key"), *box = json_string(json_object(tree, "box"), "$bytes");
	int rc = -1;

	*out = (struct secret_record){ NULL, NULL, NULL, NULL };
	out->box = mem_alloc(sizeof *out->box);
	if (bundle == NULL || runner == NULL || key == NULL || box == NULL ||
	    strlen(box) > (SECRET_BOX_MAX + 2) / 3 * 4 || base64_parse(box, strlen(box), out->box) != 0 ||
	    out->box->len > SECRET_BOX_MAX) {
		err_named(e, ERR_INPUT, "SecretMalformed",
		    "the record of the secrets is malformed: it needs bundle, runner, key and box (bytes, at most %u)",
		    SECRET_BOX_MAX);
	} else {
		out->bundle = mem_str(bundle);
		out->runner = mem_str(runner);
		out->key = mem_str(key);
		rc = 0;
	}
	cJSON_Delete(tree);
	return rc;
}

void
secret_record_clear(struct secret_record *r)
{
	free(r->bundle);
	free(r->runner);
	free(r->key);
	if (r->box != NULL)
		buf_clear(r->box);
	free(r->box);
	*r = (struct secret_record){ NULL, NULL, NULL, NULL };
}

/* --- times --- */

void
secret_time_print(int64_t ms, char out[32])
{
	time_t s = (time_t)(ms / 1000);
	struct tm tm;

	out[0] = '\0';
	if (gmtime_r(&s, &tm) != NULL)
		strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

int64_t
secret_time_parse(const char *s)
{
	return syntax_datetime_ms(s);
}
