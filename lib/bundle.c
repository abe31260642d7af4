/* Records: reading is pure, and fuzzed.  bundle_tree.c moves the trees that blobs become. */
#include "lib/bundle.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/cid.h"
#include "lib/cron.h"
#include "lib/egress.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/syntax.h"
#include "lib/utf8.h"
#include "lib/zone.h"

#define LIST_MAX      128
#define LIST_ITEM_MAX 256
#define MIME_MAX      200
#define MB            (1024 * 1024)

/* --- memory --- */

static void
list_clear(struct conf_list *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		free(l->item[i]);
	free(l->item);
	*l = (struct conf_list){ NULL, 0 };
}

/* One list per fact: names of the permissions and where they stand. */
struct permission {
	const char *key;
	size_t at;
};
static const struct permission permissions[] = {
	{ "net", offsetof(struct bundle, permissions.net) },
	{ "read", offsetof(struct bundle, permissions.read) },
	{ "write", offsetof(struct bundle, permissions.write) },
	{ "env", offsetof(struct bundle, permissions.env) },
	{ "run", offsetof(struct bundle, permissions.run) },
	{ "ffi", offsetof(struct bundle, permissions.ffi) },
	{ "sys", offsetof(struct bundle, permissions.sys) },
};
#define PERMISSIONS (sizeof permissions / sizeof permissions[0])

struct limit {
	const char *key;
	size_t at;
	int64_t unit, max;
};
static const struct limit limits[] = {
	{ "timeoutMs", offsetof(struct bundle, limits.timeout_ms), 1, 86400000 },
	{ "cpuMs", offsetof(struct bundle, limits.cpu_ms), 1, 86400000 },
	{ "memoryMb", offsetof(struct bundle, limits.memory_bytes), MB, 1048576 },
	{ "processes", offsetof(struct bundle, limits.processes), 1, 65536 },
	{ "openFiles", offsetof(struct bundle, limits.files), 1, 1048576 },
	{ "scratchMb", offsetof(struct bundle, limits.scratch_bytes), MB, 1048576 },
	{ "requestBytes", offsetof(struct bundle, limits.request_bytes), 1, INT64_C(1) << 40 },
	{ "responseBytes", offsetof(struct bundle, limits.response_bytes), 1, INT64_C(1) << 40 },
	{ "logBytes", offsetof(struct bundle, limits.log_bytes), 1, INT64_C(1) << 40 },
	{ "egressBytes", offsetof(struct bundle, limits.egress_bytes), 1, INT64_C(1) << 40 },
	{ "concurrency", offsetof(struct bundle, limits.concurrency), 1, 1000 },
};
#define LIMITS (sizeof limits / sizeof limits[0])

static struct conf_list *
permission_of(const struct bundle *b, size_t i)
{
	return (struct conf_list *)(void *)((char *)(uintptr_t)b + permissions[i].at);
}

static int64_t *
limit_of(const struct bundle *b, size_t i)
{
	return (int64_t *)(void *)((char *)(uintptr_t)b + limits[i].at);
}

void
bundle_free(struct bundle *b)
{
	size_t i;

	if (b == NULL)
		return;
	free(b->type);
	free(b->name);
	free(b->version);
	free(b->runtime);
	free(b->mime);
	free(b->code);
	free(b->entry);
	free(b->created_at);
	for (i = 0; i < b->endpoints; i++) {
		free(b->endpoint[i].name);
		free(b->endpoint[i].schedule);
		free(b->endpoint[i].zone);
	}
	free(b->endpoint);
	for (i = 0; i < PERMISSIONS; i++)
		list_clear(permission_of(b, i));
	list_clear(&b->secrets);
	list_clear(&b->callbacks);
	free(b);
}

/* --- reading --- */

static bool
mime_token(const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') ||
			(s[i] != '\0' && strchr("!#$&^_.+-*", s[i]) != NULL)))
			return false;
	return n > 0;
}

/* Lower case, parameters cut off; NULL when it is no MIME type. */
static char *
mime_clean(const char *s)
{
	char *m = mem_strn(s, strcspn(s, "; \t"));
	char *slash;

	syntax_handle_lower(m);
	slash = strchr(m, '/');
	if (strlen(m) <= MIME_MAX && slash != NULL && mime_token(m, (size_t)(slash - m)) &&
	    mime_token(slash + 1, strlen(slash + 1)))
		return m;
	free(m);
	return NULL;
}

static int
read_name(const cJSON *tree, struct bundle *b, bool local, struct err *e)
{
	const char *type = NULL, *name = NULL, *version = NULL, *created = NULL;

	if (json_text(tree, "$type", SYNTAX_NSID_MAX, &type, e) != 0 ||
	    json_text(tree, "name", SYNTAX_BUNDLE_MAX, &name, e) != 0 ||
	    json_text(tree, "version", SYNTAX_VERSION_MAX, &version, e) != 0 ||
	    json_text(tree, "createdAt", 64, &created, e) != 0)
		return -1;
	if (type != NULL && !syntax_nsid(type, strlen(type)))
		return err_set(e, ERR_INPUT, "$type is not an NSID");
	if (name == NULL && !local)
		return err_set(e, ERR_INPUT, "name is missing");
	if (name != NULL && !syntax_bundle_name(name, strlen(name)))
		return err_set(e, ERR_INPUT, "name may have letters, digits and . _ ~ - only");
	if (version != NULL && (!syntax_version(version, strlen(version)) || strcmp(version, "latest") == 0))
		return err_set(e, ERR_INPUT, "version may have letters, digits and . _ ~ - only, and is not latest");
	if (created != NULL && !syntax_datetime(created, strlen(created)))
		return err_set(e, ERR_INPUT, "createdAt is not a date and time");
	b->type = mem_str(type);
	b->name = mem_str(name);
	b->version = mem_str(version);
	b->created_at = mem_str(created);
	return 0;
}

/* A blob reference in its present form, or the old one: {"cid": ..., "mimeType": ...} with no size. */
static int
read_code(const cJSON *tree, struct bundle *b, bool local, struct err *e)
{
	const cJSON *blob = json_object(tree, "code");
	const char *type = json_string(blob, "$type"), *mime = json_string(blob, "mimeType"), *link;
	struct cid cid;

	if (json_member(tree, "code") == NULL && local)
		return 0;
	if (blob == NULL)
		return err_set(e, ERR_INPUT, "code must be a blob");
	link = type != NULL ? json_string(json_object(blob, "ref"), "$link") : json_string(blob, "cid");
	if ((type != NULL && strcmp(type, "blob") != 0) || link == NULL)
		return err_set(e, ERR_INPUT, "code must be a blob");
	if (cid_parse(&cid, link, strlen(link), NULL) != 0 || cid.codec != CID_RAW)
		return err_set(e, ERR_INPUT, "code.ref is not the CID of a blob (raw, sha2-256)");
	b->bytes = -1;
	if (json_int(blob, "size", 0, INT64_C(1) << 40, &b->bytes, e) != 0)
		return err_wrap(e, "code");
	if (type != NULL && b->bytes < 0)
		return err_set(e, ERR_INPUT, "code.size is missing");
	b->mime = mime != NULL ? mime_clean(mime) : NULL;
	if (b->mime == NULL)
		return err_set(e, ERR_INPUT, "code.mimeType is not a MIME type");
	b->code = mem_str(link);
	return 0;
}

static int
read_runtime(const cJSON *tree, struct bundle *b, struct err *e)
{
	const char *runtime = NULL, *entry = NULL;

	if (json_text(tree, "runtime", 512, &runtime, e) != 0 ||
	    json_text(tree, "entry", BUNDLE_PATH_MAX, &entry, e) != 0)
		return -1;
	b->runtime = runtime != NULL ? mime_clean(runtime) : mem_str(b->mime);
	if (b->runtime == NULL)
		return err_set(e, ERR_INPUT, "runtime is %s", runtime != NULL ? "not a MIME type" : "missing");
	if (entry != NULL && !bundle_path_ok(entry, strlen(entry)))
		return err_set(e, ERR_INPUT, "entry must be a relative path without . and ..");
	b->entry = mem_str(entry);
	return 0;
}

static const char *const overlaps[BUNDLE_OVERLAPS] = { "skip", "queue", "parallel" };
static const char *const misses[BUNDLE_MISSES] = { "skip", "once" };

const char *
bundle_overlap_name(enum bundle_overlap o)
{
	return overlaps[o];
}

const char *
bundle_missed_name(enum bundle_missed m)
{
	return misses[m];
}

static int
read_word(const cJSON *item, const char *key, const char *const *words, size_t n, unsigned *to, struct err *e)
{
	const char *word = NULL;
	size_t i;

	if (json_text(item, key, 16, &word, e) != 0)
		return -1;
	for (i = 0; word != NULL && i < n; i++)
		if (strcmp(word, words[i]) == 0)
			break;
	if (word != NULL && i == n)
		return err_set(e, ERR_INPUT, "%s may not be %.16s", key, word);
	if (word != NULL)
		*to = (unsigned)i;
	return 0;
}

static int
read_endpoint(const cJSON *item, struct bundle_endpoint *to, struct err *e)
{
	const char *schedule = NULL, *zone = NULL;
	struct cron cron;

	if (!syntax_endpoint(item->string, strlen(item->string)))
		return err_set(e, ERR_INPUT, "endpoints: %.60s is not the name of an export", item->string);
	if (!cJSON_IsObject(item))
		return err_set(e, ERR_INPUT, "endpoints.%.60s must be an object", item->string);
	if (json_bool(item, "task", &to->task, e) != 0 || json_bool(item, "idempotent", &to->idempotent, e) != 0 ||
	    json_int(item, "concurrency", 1, 1000, &to->concurrency, e) != 0 ||
	    json_int(item, "priority", -10, 10, &to->priority, e) != 0 ||
	    json_int(item, "attempts", 1, 20, &to->attempts, e) != 0 ||
	    json_int(item, "backoffMs", 1, 86400000, &to->backoff_ms, e) != 0 ||
	    json_int(item, "timeoutMs", 1, 86400000, &to->timeout_ms, e) != 0 ||
	    json_text(item, "schedule", 100, &schedule, e) != 0 || json_text(item, "timeZone", 64, &zone, e) != 0 ||
	    read_word(item, "overlap", overlaps, BUNDLE_OVERLAPS, &to->overlap, e) != 0 ||
	    read_word(item, "missed", misses, BUNDLE_MISSES, &to->missed, e) != 0)
		return err_wrap(e, "endpoints.%.60s", item->string);
	if (schedule != NULL && cron_parse(&cron, schedule, e) != 0)
		return err_wrap(e, "endpoints.%.60s", item->string);
	if (zone != NULL && !zone_name_ok(zone))
		return err_set(e, ERR_INPUT, "endpoints.%.60s: timeZone must be a name such as Europe/Berlin", item->string);
	to->name = mem_str(item->string);
	to->schedule = mem_str(schedule);
	to->zone = mem_str(zone);
	return 0;
}

static int
read_endpoints(const cJSON *tree, struct bundle *b, struct err *e)
{
	const cJSON *all = json_member(tree, "endpoints"), *item;
	int n = cJSON_GetArraySize(all);

	if (all == NULL) {
		b->any_endpoint = true;
		b->endpoint = mem_array(1, sizeof *b->endpoint);
		return 0;
	}
	if (!cJSON_IsObject(all))
		return err_set(e, ERR_INPUT, "endpoints must be an object");
	if (n == 0)
		return err_set(e, ERR_INPUT, "endpoints is empty; without it every export can be called");
	if (n > BUNDLE_ENDPOINTS_MAX)
		return err_set(e, ERR_INPUT, "more than %d endpoints", BUNDLE_ENDPOINTS_MAX);
	b->endpoint = mem_array((size_t)n, sizeof *b->endpoint);
	cJSON_ArrayForEach(item, all)
	{
		if (read_endpoint(item, &b->endpoint[b->endpoints], e) != 0)
			return -1;
		b->endpoints++;
	}
	return 0;
}

static bool
plain_text(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return false;
	return true;
}

/* A list of strings; true stands for ["*"] and false for []. */
static int
read_permission(const cJSON *all, const char *key, struct conf_list *to, struct err *e)
{
	const cJSON *m = json_member(all, key), *item;
	int n = cJSON_GetArraySize(m);

	if (m == NULL || cJSON_IsFalse(m))
		return 0;
	if (cJSON_IsTrue(m)) {
		to->item = mem_array(1, sizeof *to->item);
		to->item[to->n++] = mem_str("*");
		return 0;
	}
	if (!cJSON_IsArray(m) || n > LIST_MAX)
		return err_set(e, ERR_INPUT, "permissions.%s must be a list of at most %d strings", key, LIST_MAX);
	to->item = mem_array((size_t)n, sizeof *to->item);
	cJSON_ArrayForEach(item, m)
	{
		const char *s = cJSON_IsString(item) ? item->valuestring : "";

		if (*s == '\0' || strlen(s) > LIST_ITEM_MAX || !plain_text(s))
			return err_set(e, ERR_INPUT, "permissions.%s must hold plain strings of 1 to %d bytes", key,
			    LIST_ITEM_MAX);
		to->item[to->n++] = mem_str(s);
	}
	return 0;
}

static int
read_bounds(const cJSON *tree, struct bundle *b, struct err *e)
{
	const cJSON *asked = json_member(tree, "permissions"), *bounds = json_member(tree, "limits");
	size_t i;

	if (asked != NULL && !cJSON_IsObject(asked))
		return err_set(e, ERR_INPUT, "permissions must be an object");
	if (bounds != NULL && !cJSON_IsObject(bounds))
		return err_set(e, ERR_INPUT, "limits must be an object");
	for (i = 0; i < PERMISSIONS; i++)
		if (read_permission(asked, permissions[i].key, permission_of(b, i), e) != 0)
			return -1;
	for (i = 0; i < LIMITS; i++) {
		int64_t *to = limit_of(b, i);
		if (json_int(bounds, limits[i].key, 1, limits[i].max, to, e) != 0)
			return err_wrap(e, "limits");
		*to *= limits[i].unit;
	}
	return 0;
}

static int
read_reuse(const cJSON *tree, struct bundle *b, struct err *e)
{
	const char *word = NULL;

	if (json_text(tree, "reuse", 16, &word, e) != 0)
		return -1;
	b->fresh = word != NULL && strcmp(word, "never") == 0;
	return word == NULL || b->fresh || strcmp(word, "auto") == 0 ? 0 :
	    err_set(e, ERR_INPUT, "reuse must be \"auto\" or \"never\"");
}

static int
read_secrets(const cJSON *tree, struct bundle *b, struct err *e)
{
	const cJSON *all = json_member(tree, "secrets"), *item;
	int n = cJSON_GetArraySize(all);

	if (all == NULL)
		return 0;
	if (!cJSON_IsArray(all) || n > BUNDLE_SECRETS_MAX)
		return err_set(e, ERR_INPUT, "secrets must be a list of at most %d names", BUNDLE_SECRETS_MAX);
	b->secrets.item = mem_array((size_t)n + 1, sizeof *b->secrets.item);
	cJSON_ArrayForEach(item, all)
	{
		const char *s = cJSON_IsString(item) ? item->valuestring : "";

		if (!syntax_env_name(s, strlen(s)))
			return err_set(e, ERR_INPUT, "secrets: a name has letters, digits and _, and does not begin with a digit");
		b->secrets.item[b->secrets.n++] = mem_str(s);
	}
	return 0;
}

static int
read_callbacks(const cJSON *tree, struct bundle *b, struct err *e)
{
	const cJSON *all = json_member(tree, "callbacks"), *item;
	int n = cJSON_GetArraySize(all);
	struct egress_rule rule;
	struct err why = ERR_INIT;

	if (all == NULL)
		return 0;
	if (!cJSON_IsArray(all) || n > BUNDLE_CALLBACKS_MAX)
		return err_set(e, ERR_INPUT, "callbacks must be a list of at most %d hosts", BUNDLE_CALLBACKS_MAX);
	b->callbacks.item = mem_array((size_t)n + 1, sizeof *b->callbacks.item);
	cJSON_ArrayForEach(item, all)
	{
		const char *s = cJSON_IsString(item) ? item->valuestring : "";

		if (egress_rule_parse(s, strlen(s), EGRESS_PORT, &rule, &why) != 0)
			return err_set(e, ERR_INPUT, "callbacks: expected host, host:port or *.host: %.200s", why.text);
		b->callbacks.item[b->callbacks.n++] = mem_str(s);
	}
	return 0;
}

struct bundle *
bundle_parse(const char *json, size_t n, bool local, struct err *e)
{
	struct err own = ERR_INIT;
	struct bundle *b = mem_alloc(sizeof *b);
	cJSON *tree;
	bool fine = false;

	if (e == NULL)
		e = &own;
	tree = json_parse(json, n, JSON_DEPTH, e);
	if (tree != NULL && !cJSON_IsObject(tree))
		err_set(e, ERR_INPUT, "not an object");
	else if (tree != NULL)
		fine = read_name(tree, b, local, e) == 0 && read_code(tree, b, local, e) == 0 &&
		    read_runtime(tree, b, e) == 0 && read_endpoints(tree, b, e) == 0 && read_bounds(tree, b, e) == 0 &&
		    read_reuse(tree, b, e) == 0 && read_secrets(tree, b, e) == 0 && read_callbacks(tree, b, e) == 0;
	cJSON_Delete(tree);
	if (fine)
		return b;
	snprintf(e->name, sizeof e->name, "InvalidBundle");
	err_wrap(e, "the bundle record");
	bundle_free(b);
	return NULL;
}

/* --- writing --- */

static void
put_key(struct buf *out, const char *key)
{
	char last = out->len > 0 ? out->data[out->len - 1] : '\0';

	if (last != '{' && last != '[')
		buf_char(out, ',');
	if (key != NULL) {
		buf_json_str(out, key);
		buf_char(out, ':');
	}
}

static void
put_text(struct buf *out, const char *key, const char *value)
{
	if (value == NULL)
		return;
	put_key(out, key);
	buf_json_str(out, value);
}

static void
put_int(struct buf *out, const char *key, int64_t value)
{
	if (value == 0)
		return;
	put_key(out, key);
	buf_fmt(out, "%lld", (long long)value);
}

static void
put_code(struct buf *out, const struct bundle *b)
{
	if (b->code == NULL)
		return;
	put_key(out, "code");
	if (b->bytes < 0) {
		buf_str(out, "{\"cid\":");
		buf_json_str(out, b->code);
	} else {
		buf_str(out, "{\"$type\":\"blob\",\"ref\":{\"$link\":");
		buf_json_str(out, b->code);
		buf_fmt(out, "},\"size\":%lld", (long long)b->bytes);
	}
	put_text(out, "mimeType", b->mime);
	buf_char(out, '}');
}

static void
put_endpoints(struct buf *out, const struct bundle *b)
{
	size_t i;

	if (b->any_endpoint)
		return;
	put_key(out, "endpoints");
	buf_char(out, '{');
	for (i = 0; i < b->endpoints; i++) {
		const struct bundle_endpoint *p = &b->endpoint[i];

		put_key(out, p->name);
		buf_char(out, '{');
		if (p->task)
			put_key(out, "task"), buf_str(out, "true");
		if (p->idempotent)
			put_key(out, "idempotent"), buf_str(out, "true");
		put_int(out, "concurrency", p->concurrency);
		put_int(out, "priority", p->priority);
		put_int(out, "attempts", p->attempts);
		put_int(out, "backoffMs", p->backoff_ms);
		put_int(out, "timeoutMs", p->timeout_ms);
		put_text(out, "schedule", p->schedule);
		put_text(out, "timeZone", p->zone);
		if (p->overlap != BUNDLE_OVERLAP_SKIP)
			put_text(out, "overlap", overlaps[p->overlap]);
		if (p->missed != BUNDLE_MISSED_SKIP)
			put_text(out, "missed", misses[p->missed]);
		buf_char(out, '}');
	}
	buf_char(out, '}');
}

static void
put_bounds(struct buf *out, const struct bundle *b)
{
	size_t i, k;

	put_key(out, "permissions");
	buf_char(out, '{');
	for (i = 0; i < PERMISSIONS; i++) {
		const struct conf_list *l = permission_of(b, i);

		if (l->n == 0)
			continue;
		put_key(out, permissions[i].key);
		buf_char(out, '[');
		for (k = 0; k < l->n; k++)
			put_text(out, NULL, l->item[k]);
		buf_char(out, ']');
	}
	buf_char(out, '}');
	put_key(out, "limits");
	buf_char(out, '{');
	for (i = 0; i < LIMITS; i++)
		put_int(out, limits[i].key, *limit_of(b, i) / limits[i].unit);
	buf_char(out, '}');
}

static void
put_list(struct buf *out, const char *key, const struct conf_list *l)
{
	size_t i;

	if (l->n == 0)
		return;
	put_key(out, key);
	buf_char(out, '[');
	for (i = 0; i < l->n; i++)
		put_text(out, NULL, l->item[i]);
	buf_char(out, ']');
}

void
bundle_json(const struct bundle *b, struct buf *out)
{
	buf_char(out, '{');
	put_text(out, "$type", b->type);
	put_text(out, "name", b->name);
	put_text(out, "version", b->version);
	put_text(out, "runtime", b->runtime);
	put_code(out, b);
	put_text(out, "entry", b->entry);
	put_endpoints(out, b);
	put_bounds(out, b);
	put_list(out, "secrets", &b->secrets);
	put_list(out, "callbacks", &b->callbacks);
	put_text(out, "createdAt", b->created_at);
	buf_char(out, '}');
}

/* --- questions --- */

const struct bundle_endpoint *
bundle_endpoint(const struct bundle *b, const char *name)
{
	size_t i;

	if (b->any_endpoint)
		return &b->endpoint[0];
	for (i = 0; i < b->endpoints; i++)
		if (strcmp(b->endpoint[i].name, name) == 0)
			return &b->endpoint[i];
	return NULL;
}

bool
bundle_path_ok(const char *s, size_t n)
{
	size_t at = 0;

	if (n == 0 || n > BUNDLE_PATH_MAX || !utf8_valid(s, n))
		return false;
	while (at <= n) {
		const char *part = s + at;
		size_t len = 0;

		for (; at < n && s[at] != '/'; at++, len++)
			if ((unsigned char)s[at] < ' ' || s[at] == 0x7f || s[at] == '\\')
				return false;
		if (len == 0 || (len == 1 && part[0] == '.') || (len == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		at++;
	}
	return true;
}

const char *
bundle_entry_default(const struct bundle *b, size_t i)
{
	static const char *const js[] = { "main.js", "main.mjs", "index.js", "index.mjs", "main.ts", "index.ts" };
	static const char *const ts[] = { "main.ts", "index.ts", "main.js", "main.mjs", "index.js", "index.mjs" };
	static const char *const py[] = { "main.py", "app.py", "index.py" };
	static const char *const other[] = { "main" };
	const char *mime = b->mime != NULL ? b->mime : "";

	/* The blob's type speaks of the language, the runtime's of who runs it: deno runs both. */
	if (strstr(mime, "typescript") != NULL || strstr(b->runtime, "typescript") != NULL)
		return i < 6 ? ts[i] : NULL;
	if (strstr(b->runtime, "javascript") != NULL || strstr(mime, "javascript") != NULL)
		return i < 6 ? js[i] : NULL;
	if (strstr(b->runtime, "python") != NULL || strstr(mime, "python") != NULL)
		return i < 3 ? py[i] : NULL;
	return i < 1 ? other[i] : NULL;
}

static bool
is_file(const char *dir, const char *path)
{
	struct stat st;
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool yes = fd >= 0 && fstatat(fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);

	if (fd >= 0)
		close(fd);
	return yes;
}

int
bundle_entry(const struct bundle *b, const char *dir, char out[BUNDLE_PATH_MAX + 1], struct err *e)
{
	const char *name;
	size_t i;

	if (b->entry != NULL) {
		if (!is_file(dir, b->entry))
			return err_named(e, ERR_INPUT, "InvalidBundle", "the bundle has no file %s, which is its entry",
			    b->entry);
		snprintf(out, BUNDLE_PATH_MAX + 1, "%s", b->entry);
		return 0;
	}
	for (i = 0; (name = bundle_entry_default(b, i)) != NULL; i++)
		if (is_file(dir, name)) {
			snprintf(out, BUNDLE_PATH_MAX + 1, "%s", name);
			return 0;
		}
	return err_named(e, ERR_INPUT, "InvalidBundle", "the bundle has no %s, and its record names no entry",
	    bundle_entry_default(b, 0));
}
