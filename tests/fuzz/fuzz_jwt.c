/* jwt_parse on the bytes, and on a token whose head and claims are the bytes divided by a line's end.  What is taken keeps
 * its promises. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/jwt.h"
#include "lib/multibase.h"
#include "lib/syntax.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
one(const char *s, size_t n)
{
	struct jwt t;

	if (jwt_parse(&t, s, n, NULL) != 0)
		return;
	if (n > JWT_MAX || t.signed_n + 1 >= n || s[t.signed_n] != '.' || !syntax_did(t.issuer, strlen(t.issuer)) ||
	    t.nonce[0] == '\0' || strlen(t.nonce) > JWT_NONCE_MAX || t.until_s < 0)
		abort();
	jwt_check(&t, "did:web:runner.example.com", "#at_run", "dev.at-run.invoke", 1780000000, NULL);
	jwt_clear(&t);
}

static void
add_part(struct buf *out, const uint8_t *p, size_t n)
{
	size_t from = out->len;

	base64_print(p, n, out);
	for (; from < out->len; from++)
		out->data[from] = out->data[from] == '+' ? '-' : out->data[from] == '/' ? '_' : out->data[from];
	buf_char(out, '.');
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const uint8_t *end = n > 0 ? memchr(p, '\n', n) : NULL;
	struct buf text = BUF_INIT;
	int i;

	one((const char *)p, n);
	if (end != NULL) {
		add_part(&text, p, (size_t)(end - p));
		add_part(&text, end + 1, (size_t)(p + n - end - 1));
		for (i = 0; i < 86; i++)
			buf_char(&text, 'A');
		one(text.data, text.len);
	}
	buf_clear(&text);
	return 0;
}
