/* Who is the operator: tokens, sessions, forms.  page_operator.h tells how they hang together. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fcgi/header.h"
#include "fcgi/html.h"
#include "fcgi/page_operator.h"
#include "fcgi/request.h"
#include "fcgi/route.h"
#include "fcgi/token.h"
#include "fcgi/waiter.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/store_page.h"

#define COOKIE       "__Secure-at-rund" /* browsers take this name only with Secure */
#define SESSION      "atrs"
#define SESSION_S    43200
#define BODY_MAX     4096
#define TRIES        10    /* wrong tokens of one address ... */
#define TRIES_MS     60000 /* ... in this time; more are not looked at */

/* What is hashed of which secret. */
#define OF_SESSION "page-session"
#define OF_FORM    "page-form"

/* --- wrong tokens --- */

/* An IPv6 address is one of 2^64 that its owner has. */
static void
client_of(const char *peer, char out[64])
{
	size_t n = strlen(peer), i, colons = 0;

	if (strchr(peer, ':') != NULL && strchr(peer, '.') == NULL)
		for (i = 0, n = 0; peer[i] != '\0' && colons < 4; i++) {
			colons += peer[i] == ':';
			n = i + 1;
		}
	if (n > 63)
		n = 63;
	memcpy(out, peer, n);
	out[n] = '\0';
}

static int
may_try(struct call *c, struct store *s, const char *client, struct err *e)
{
	int64_t now = clock_wall_ms(), tries, since;

	if (page_wrong(s, client, now - TRIES_MS, &tries, &since, e) != 0)
		return -1;
	if (tries < TRIES)
		return 0;
	c->reply.retry_s = (since + TRIES_MS - now) / 1000 + 1;
	return err_named(e, ERR_BUSY, "RateLimitExceeded", "%d wrong tokens came from your address within a minute; wait until it is over",
	    TRIES);
}

/* 1: good, *id is its row; 0: it is not; -1. */
static int
check_token(struct call *c, struct store *s, const char *text, int64_t *id, struct err *e)
{
	static const char nobody[PASS_HASH + 1] = "0000000000000000000000000000000000000000000000000000000000000000";
	char client[64], secret[PASS_SECRET + 1], want[PASS_HASH + 1], got[PASS_HASH + 1];
	int known = 0;

	client_of(c->request->peer, client);
	if (may_try(c, s, client, e) != 0)
		return -1;
	memcpy(want, nobody, sizeof want);
	if (pass_parse(text, PASS_PAGE, id, secret)) {
		if ((known = page_token_hash(s, *id, clock_wall_ms(), want, e)) < 0)
			return -1;
		pass_hash(PASS_PAGE_OF, secret, got);
		if (pass_same(want, got, PASS_HASH) && known == 1)
			return 1;
	}
	log_warn("wrong token for the operator's page", "client=%s", log_q(client));
	return page_wrong_add(s, client, clock_wall_ms() - TRIES_MS, clock_wall_ms(), e);
}

/* --- who is it --- */

static const char *
environment(const struct request *r, const char *name)
{
	size_t n = strlen(name);
	char *const *p;

	for (p = r->env; *p != NULL; p++)
		if (strncmp(*p, name, n) == 0 && (*p)[n] == '=')
			return *p + n + 1;
	return NULL;
}

/* The session's text out of the Cookie header. */
static bool
cookie(const struct request *r, struct buf *out)
{
	const char *p = environment(r, "HTTP_COOKIE");

	while (p != NULL && *p != '\0') {
		size_t n = strcspn(p, ";");

		if (strncmp(p, COOKIE "=", sizeof COOKIE) == 0) {
			buf_add(out, p + sizeof COOKIE, n - sizeof COOKIE);
			return true;
		}
		p += n + (p[n] == ';');
		p += strspn(p, " ");
	}
	return false;
}

static int
by_cookie(struct call *c, struct operator *o, struct err *e)
{
	char secret[PASS_SECRET + 1], want[PASS_HASH + 1], got[PASS_HASH + 1], form[PASS_HASH + 1];
	struct buf text = BUF_INIT;
	int known = 0;

	/* Bundles that share this origin could act in the operator's name. */
	if (c->door->conf->web.sandbox_answers && cookie(c->request, &text) && pass_parse(text.data, SESSION, &o->session, secret) &&
	    (known = page_session_hash(o->store, o->session, clock_wall_ms(), want, e)) == 1) {
		pass_hash(OF_SESSION, secret, got);
		o->in = o->by_cookie = pass_same(want, got, PASS_HASH);
	}
	if (o->in) {
		pass_hash(OF_FORM, secret, form);
		memcpy(o->form, form, sizeof o->form - 1);
	}
	buf_clear(&text);
	return known < 0 ? -1 : 0;
}

static int
who(struct call *c, struct operator *o, struct err *e)
{
	const char *bearer = c->request->authorization;
	int64_t id;
	int good;

	*o = (struct operator){ .in = false };
	if (!c->door->conf->web.status_page)
		return err_named(e, ERR_NOTFOUND, "NotFound", "there is no page here (web.status_page = no)");
	if ((o->store = waiter_store(c->waiter, e)) == NULL)
		return -1;
	if (bearer == NULL || !token_is_ours(bearer))
		return by_cookie(c, o, e);
	bearer += strcspn(bearer, " ");
	bearer += strspn(bearer, " ");
	if ((good = check_token(c, o->store, bearer, &id, e)) < 0)
		return -1;
	if (good == 0)
		return err_named(e, ERR_DENIED, "InvalidToken", "this is no token for the operator's page (at-rund page token makes one)");
	o->in = true;
	return 0;
}

/* --- signing in --- */

static void
sign_in_page(struct call *c, const char *complaint)
{
	struct buf *b = &c->reply.body;

	page_begin(c, "Sign in", PAGE_JOBS, NULL);
	html(b, "<section class=\"narrow\"><h1>For the operator</h1>\n");
	if (complaint != NULL)
		html(b, "<p class=\"note bad\" role=\"alert\">%s</p>\n", complaint);
	if (!c->door->conf->web.sandbox_answers)
		buf_str(b, "<p class=\"note\">Nobody can sign in with a browser while <code>web.sandbox_answers = no</code>: pages of bundles "
			   "share this page\xe2\x80\x99s origin, and could press its buttons. The command line can do everything, too.</p>");
	else
		html(b, "<form method=\"post\" action=\"%s/operator/sign-in\" class=\"stack\"><label for=\"token\">Token</label>\n"
		    "<input id=\"token\" name=\"token\" type=\"password\" required autocomplete=\"current-password\" spellcheck=\"false\" "
		    "aria-describedby=\"hint\">\n<p id=\"hint\" class=\"soft\">The one that <code>at-rund page token</code> printed on "
		    "this runner\xe2\x80\x99s machine.</p>\n<button>Sign in</button></form>\n", page_base(c));
	buf_str(b, "</section>\n");
	page_end(c);
}

int
operator_enter(struct call *c, struct operator *o, struct err *e)
{
	struct buf asked = BUF_INIT;

	if (who(c, o, e) != 0)
		return -1;
	if (o->in)
		return 1;
	if (!header_wants_html(c->request->accept))
		return err_named(e, ERR_DENIED, "AuthMissing", "this is for the operator: sign in, or send a token as Authorization: Bearer");
	/* At the door itself nothing is wrong with having no key. */
	if (c->path.n > 1)
		c->reply.status = 401;
	sign_in_page(c, path_param(c->path.query, "in", &asked) ? "Your browser did not keep the cookie that says who you are. Over "
	    "plain http it does so for this machine alone: use https, or a tunnel (ssh -L)." : NULL);
	buf_clear(&asked);
	return 0;
}

static int
read_form(struct call *c, struct buf *body, struct err *e)
{
	static const char form[] = "application/x-www-form-urlencoded";
	bool has_body;

	if (strncasecmp(c->request->type, form, strlen(form)) != 0)
		return err_set(e, ERR_INPUT, "expected a form (%s)", form);
	if (request_body(c->request, BODY_MAX, body, &has_body, e) != 0)
		return -1;
	buf_str(body, "");
	return 0;
}

/* A browser says where a form comes from; one that does not is judged by the form's number alone. */
static bool
from_elsewhere(const struct request *r)
{
	const char *site = environment(r, "HTTP_SEC_FETCH_SITE");

	return site != NULL && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0;
}

int
operator_form(struct call *c, struct operator *o, struct buf *body, struct err *e)
{
	struct buf form = BUF_INIT;
	int rc = operator_enter(c, o, e);

	if (rc != 1 || read_form(c, body, e) != 0)
		return rc == 1 ? -1 : rc;
	if (o->by_cookie && (from_elsewhere(c->request) || !path_param(body->data, "form", &form) ||
	    form.len != sizeof o->form - 1 || !pass_same(form.data, o->form, form.len)))
		rc = err_named(e, ERR_DENIED, "ForgedForm", "this form is not of your session; load the page again");
	buf_clear(&form);
	return rc;
}

static void
set_cookie(struct call *c, int64_t id, const char *secret)
{
	struct buf b = BUF_INIT;

	if (secret != NULL)
		buf_fmt(&b, COOKIE "=" SESSION "_%lld_%s; Max-Age=%d", (long long)id, secret, SESSION_S);
	else
		buf_str(&b, COOKIE "=; Max-Age=0");
	buf_fmt(&b, "; Path=%s/operator; Secure; HttpOnly; SameSite=Strict", page_base(c));
	reply_header(&c->reply, "Set-Cookie", b.data);
	buf_clear(&b);
}

static int
let_in(struct call *c, struct store *s, int64_t token, struct err *e)
{
	char secret[PASS_SECRET + 1], hash[PASS_HASH + 1];
	int64_t now = clock_wall_ms(), id;

	pass_new(secret);
	pass_hash(OF_SESSION, secret, hash);
	if (page_session_put(s, token, hash, now, now + SESSION_S * INT64_C(1000), &id, e) != 0)
		return -1;
	log_info("the operator signed in", "token=%lld client=%s", (long long)token, log_q(c->request->peer));
	set_cookie(c, id, secret);
	operator_go(c, "/operator?in=1");
	return 0;
}

static int
sign_in(struct call *c, struct err *e)
{
	struct buf body = BUF_INIT, text = BUF_INIT;
	struct store *s = waiter_store(c->waiter, e);
	int64_t id;
	int good = -1;

	if (s == NULL)
		goto out;
	if (!c->door->conf->web.status_page) {
		err_named(e, ERR_NOTFOUND, "NotFound", "there is no page here (web.status_page = no)");
		goto out;
	}
	if (!c->door->conf->web.sandbox_answers || from_elsewhere(c->request)) {
		err_named(e, ERR_DENIED, "Forbidden", "nobody signs in from elsewhere, nor while web.sandbox_answers = no");
		goto out;
	}
	if (read_form(c, &body, e) != 0)
		goto out;
	path_param(body.data, "token", &text);
	buf_str(&text, "");
	/* What was copied may have spaces around it. */
	while (text.len > 0 && isspace((unsigned char)text.data[text.len - 1]))
		text.data[--text.len] = '\0';
	good = check_token(c, s, text.data + strspn(text.data, " \t\r\n"), &id, e);
	if (good == 1) {
		good = let_in(c, s, id, e);
	} else if (good == 0) {
		c->reply.status = 403;
		sign_in_page(c, "This token is not good: wrong, expired, or revoked.");
	}
out:
	buf_clear(&body);
	buf_clear(&text);
	return good < 0 ? -1 : 0;
}

int
page_sign_in(struct call *c, struct err *e)
{
	return page_answer(c, sign_in(c, e), e);
}

static int
sign_out(struct call *c, struct err *e)
{
	struct buf body = BUF_INIT;
	struct operator o;
	int rc = operator_form(c, &o, &body, e);

	if (rc == 1 && o.by_cookie)
		rc = page_session_end(o.store, o.session, clock_wall_ms(), e) == 0 ? 1 : -1;
	if (rc == 1) {
		set_cookie(c, 0, NULL);
		operator_go(c, "/operator");
		rc = 0;
	}
	buf_clear(&body);
	return rc;
}

int
page_sign_out(struct call *c, struct err *e)
{
	return page_answer(c, sign_out(c, e), e);
}
