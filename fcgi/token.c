#include "fcgi/token.h"

#include <string.h>
#include <strings.h>

#include "fcgi/request.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/store_front.h"

#define SCHEME "Bearer"

void
token_clear(struct token *t)
{
	if (t->any)
		jwt_clear(&t->jwt);
	t->any = false;
}

bool
token_is_ours(const char *authorization)
{
	const size_t n = strlen(SCHEME);

	return strncasecmp(authorization, SCHEME, n) == 0 && (authorization[n] == ' ' || authorization[n] == '\0');
}

int
token_read(struct token *t, const struct request *r, const struct conf *c, const char *method, struct err *e)
{
	const char *text = r->authorization;
	int64_t now = clock_wall_ms();

	if (text == NULL || !token_is_ours(text))
		return 0;
	text += strlen(SCHEME);
	text += strspn(text, " ");
	if (jwt_parse(&t->jwt, text, strlen(text), e) != 0)
		return -1;
	t->any = true;
	if (jwt_check(&t->jwt, c->did, TOKEN_FRAGMENT, method, now / 1000, e) != 0)
		return -1;
	t->text = text;
	return 0;
}

void
token_fill(struct token *t, struct front_job *j)
{
	if (!t->any)
		return;
	j->caller = t->jwt.issuer;
	j->token = t->text;
}
