/* What authors seal and type: the plain text behind a box, a record, lines of secrets, a log line with values in it. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/secret.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What was read is written as JSON that reads back to the same. */
static void
again(const struct secret_env *env)
{
	struct secret_env *back = NULL;
	struct buf json = BUF_INIT;

	secret_env_json(env, NULL, &json);
	if (json.len <= SECRET_PLAIN_MAX && secret_read(json.data, json.len, &back, NULL) == 0 &&
	    (back->bytes != env->bytes || memcmp(back->block, env->block, env->bytes) != 0))
		abort();
	secret_env_unref(back);
	buf_clear(&json);
}

static void
redact(const struct secret_env *env, const char *text, size_t n)
{
	struct buf out = BUF_INIT;
	const char *name, *value;
	size_t at = 0, name_n;

	if (secret_redact(env, text, n, &out))
		while (secret_env_next(env, &at, &name, &name_n, &value))
			if (strlen(value) >= SECRET_REDACT_MIN && strstr(value, "secret") == NULL &&
			    strstr(value, "[") == NULL && strstr(value, "]") == NULL && strchr(value, '\n') == NULL &&
			    memmem(out.data, out.len, value, strlen(value)) != NULL && strpbrk(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_ ") == NULL &&
			    out.len <= n)
				abort();
	buf_clear(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct secret_context now = { "a", "b", "r", "k", 0 };
	const char *text = (const char *)data;
	struct secret_env *env = NULL;
	struct secret_record r;
	uint8_t key[SECRET_KEY_BYTES] = { 1 };
	char copy[64];

	if (secret_plain(&now, text, n, &env, NULL) == 0)
		again(env);
	secret_env_unref(env);
	env = NULL;
	if (secret_read(text, n, &env, NULL) == 0) {
		again(env);
		redact(env, text, n);
	}
	secret_env_unref(env);
	env = NULL;
	if (secret_open(&now, key, key, data, n, &env, NULL) == 0)
		abort();
	(void)secret_record_parse(text, n, &r, NULL);
	secret_record_clear(&r);
	if (n < sizeof copy) {
		memcpy(copy, data, n);
		copy[n] = '\0';
		(void)secret_time_parse(copy);
		(void)secret_key_parse(SECRET_USE_SECRETS, copy, key, NULL);
	}
	return 0;
}
