#include "scheduler/collect.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/frame.h"
#include "lib/json.h"
#include "lib/mem.h"

#define DEPTH 6

/* Refused before user code ran, or lost because we failed: never the bundle's fault and never a limit of it. */
static const enum job_outcome outcomes[ERR_KIND_COUNT] = {
	[ERR_NONE] = OUTCOME_OK,
	[ERR_INPUT] = OUTCOME_REFUSED,
	[ERR_DENIED] = OUTCOME_REFUSED,
	[ERR_NOTFOUND] = OUTCOME_REFUSED,
	[ERR_BUSY] = OUTCOME_REFUSED,
	[ERR_REMOTE] = OUTCOME_REFUSED,
	[ERR_TIMEOUT] = OUTCOME_REFUSED,
	[ERR_INTERNAL] = OUTCOME_LOST,
};

enum job_outcome
collect_outcome(enum err_kind kind)
{
	return kind < ERR_KIND_COUNT ? outcomes[kind] : OUTCOME_LOST;
}

void
collect_limit_ms(const char *key, int64_t ms, char *out, size_t n)
{
	char value[32];

	conf_duration_print(ms, value);
	snprintf(out, n, "%s = %s", key, value);
}

void
collect_limit_bytes(const char *key, int64_t bytes, char *out, size_t n)
{
	char value[32];

	conf_size_print(bytes, value);
	snprintf(out, n, "%s = %s", key, value);
}

/* RFC 9110 token. */
static bool
is_token(const char *s)
{
	const char *p;

	for (p = s; *p != '\0'; p++)
		if (!isalnum((unsigned char)*p) && strchr("!#$%&'*+-.^_`|~", *p) == NULL)
			return false;
	return p != s && (unsigned char)*s < 0x80;
}

/* No CR, LF, NUL or other control byte may reach a web server as part of a header. */
static bool
is_header_value(const char *s)
{
	for (; *s != '\0'; s++)
		if (((unsigned char)*s < ' ' && *s != '\t') || *s == 0x7f)
			return false;
	return true;
}

static int
add_header(struct buf *out, const cJSON *pair, size_t i, struct err *e)
{
	const cJSON *name = cJSON_GetArrayItem(pair, 0), *value = cJSON_GetArrayItem(pair, 1);
	char *p;

	if (!cJSON_IsArray(pair) || cJSON_GetArraySize(pair) != 2 || !cJSON_IsString(name) || !cJSON_IsString(value))
		return err_set(e, ERR_INPUT, "header %zu is not a pair of strings", i);
	if (!is_token(name->valuestring))
		return err_set(e, ERR_INPUT, "header %zu has a name that HTTP does not allow", i);
	if (!is_header_value(value->valuestring))
		return err_set(e, ERR_INPUT, "header %s has a value that HTTP does not allow", name->valuestring);
	for (p = name->valuestring; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	if (strncmp(name->valuestring, "at-run-", 7) == 0)
		return 0; /* these are the runner's own */
	if (out->len > 1)
		buf_char(out, ',');
	buf_char(out, '[');
	buf_json_str(out, name->valuestring);
	buf_char(out, ',');
	buf_json_str(out, value->valuestring);
	buf_char(out, ']');
	return 0;
}

int
collect_head(const char *json, size_t n, int64_t max, int *status, char **headers_json, struct err *e)
{
	struct buf out = BUF_INIT;
	const cJSON *headers, *pair;
	cJSON *tree = NULL;
	char limit[64];
	int64_t code = 0;
	size_t i = 0;
	int rc = -1;

	if ((int64_t)n > max) {
		collect_limit_bytes("limits.header", max, limit, sizeof limit);
		return err_set(e, ERR_INPUT, "headers of %zu bytes, more than %s", n, limit);
	}
	tree = json_parse(json, n, DEPTH, e);
	if (tree == NULL || json_int(tree, "status", 200, 599, &code, e) != 0)
		goto out;
	headers = json_array(tree, "headers");
	if (code == 0 || headers == NULL) {
		err_set(e, ERR_INPUT, "an answer without status and headers");
		goto out;
	}
	buf_char(&out, '[');
	for (pair = headers->child; pair != NULL; pair = pair->next) {
		if (++i > COLLECT_HEADERS_MAX) {
			err_set(e, ERR_INPUT, "more than %d headers", COLLECT_HEADERS_MAX);
			goto out;
		}
		if (add_header(&out, pair, i, e) != 0)
			goto out;
	}
	buf_char(&out, ']');
	*status = (int)code;
	*headers_json = buf_take(&out);
	rc = 0;
out:
	cJSON_Delete(tree);
	buf_clear(&out);
	return rc;
}

/* Error names go where XRPC has its own: letters and digits, and not too many of them. */
static void
copy_name(char *to, size_t room, const char *name)
{
	size_t n = 0;

	for (; name != NULL && *name != '\0' && n + 1 < room; name++)
		if (isalnum((unsigned char)*name) && (unsigned char)*name < 0x80)
			to[n++] = *name;
	to[n] = '\0';
	if (n == 0 || !isalpha((unsigned char)to[0]))
		snprintf(to, room, "Error");
}

int
collect_error(const char *json, size_t n, struct err *why, struct err *e)
{
	cJSON *tree = json_parse(json, n, DEPTH, e);
	const char *message, *where;

	if (tree == NULL)
		return -1;
	message = json_string(tree, "message");
	where = json_string(tree, "where");
	err_set(why, ERR_REMOTE, "%.400s%s%.80s%s", message != NULL ? message : "", where != NULL ? " (" : "",
	    where != NULL ? where : "", where != NULL ? ")" : "");
	copy_name(why->name, sizeof why->name, json_string(tree, "name"));
	cJSON_Delete(tree);
	return 0;
}

int
collect_log(const char *json, size_t n, const char **level, char **text, struct err *e)
{
	static const char *const levels[] = { "error", "warn", "info", "debug" };
	cJSON *tree = json_parse(json, n, DEPTH, e);
	const char *said, *word;
	size_t i;

	if (tree == NULL)
		return -1;
	said = json_string(tree, "text");
	word = json_string(tree, "level");
	*level = "info";
	for (i = 0; word != NULL && i < sizeof levels / sizeof levels[0]; i++)
		if (strcmp(word, levels[i]) == 0)
			*level = levels[i];
	*text = said != NULL ? mem_str(said) : NULL;
	cJSON_Delete(tree);
	return *text != NULL ? 0 : err_set(e, ERR_INPUT, "a log line without text");
}

int
collect_hello(const char *json, size_t n, char **version, struct err *e)
{
	cJSON *tree = json_parse(json, n, DEPTH, e);
	const char *said;
	int64_t protocol = 0;
	int rc = -1;

	if (tree == NULL || json_int(tree, "protocol", 0, 1000, &protocol, e) != 0)
		goto out;
	if (protocol != 1) {
		err_set(e, ERR_INPUT, "protocol %lld, not 1", (long long)protocol);
		goto out;
	}
	said = json_string(tree, "version");
	*version = said != NULL ? mem_strn(said, strnlen(said, 64)) : NULL;
	rc = 0;
out:
	cJSON_Delete(tree);
	return rc;
}

enum job_outcome
collect_death(int64_t memory_bytes, const char *stopped, const char *how, struct err *why)
{
	char limit[64];

	if (memory_bytes > 0) {
		collect_limit_bytes("limits.memory", memory_bytes, limit, sizeof limit);
		err_named(why, ERR_BUSY, "MemoryLimit", "the bundle's process ran out of memory while the call ran, %s", limit);
		return OUTCOME_MEMORY;
	}
	if (stopped[0] != '\0')
		err_named(why, ERR_REMOTE, "InstanceKilled", "the bundle's process was stopped while the call ran: %s", stopped);
	else
		err_named(why, ERR_REMOTE, "InstanceDied", "the bundle's process ended with %s while the call ran", how);
	return OUTCOME_KILLED;
}
