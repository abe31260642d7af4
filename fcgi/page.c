#include "fcgi/page.h"

#include <stdio.h>
#include <string.h>

#include "fcgi/header.h"
#include "fcgi/html.h"
#include "fcgi/request.h"
#include "fcgi/route.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/failure.h"

#define ICON "%%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%%3E%%3Crect width='32' height='32' rx='8' " \
	"fill='%%234f5bd5'/%%3E%%3Cpath d='M9 8l14 8-14 8z' fill='%%23fff'/%%3E%%3C/svg%%3E"

static const struct {
	const char *path, *word;
} tabs[] = {
	[PAGE_STATUS] = { "/", "Status" },
	[PAGE_JOBS] = { "/operator", "Jobs" },
	[PAGE_AUTHORS] = { "/operator/authors", "Authors" },
	[PAGE_POOL] = { "/operator/pool", "Pool" },
};

const char *
page_base(const struct call *c)
{
	const char *base = c->door->conf->web.base_path;

	return base != NULL ? base : "";
}

void
page_url(const struct call *c, struct buf *out)
{
	const char *url = c->door->conf->web.public_url;
	const struct request *r = c->request;

	if (url != NULL && url[0] != '\0')
		buf_add(out, url, strlen(url) - (url[strlen(url) - 1] == '/'));
	else
		buf_fmt(out, "%s://%s", r->scheme, header_host_ok(r->host) ? r->host : "localhost");
	buf_str(out, page_base(c));
}

/* The only style is ours, by a number that is good for one answer; nothing else is loaded, run, framed or sent elsewhere. */
static void
headers(struct call *c, const char *nonce)
{
	struct buf policy = BUF_INIT;

	buf_fmt(&policy, "default-src 'none'; style-src 'nonce-%s'; img-src data:; form-action 'self'; base-uri 'none'; "
	    "frame-ancestors 'none'", nonce);
	reply_type(&c->reply, "text/html; charset=utf-8");
	reply_header(&c->reply, "Content-Security-Policy", policy.data);
	reply_header(&c->reply, "Referrer-Policy", "no-referrer");
	reply_header(&c->reply, "X-Frame-Options", "DENY");
	buf_clear(&policy);
}

static void
navigation(struct call *c, enum page_tab tab, const char *form)
{
	struct buf *b = &c->reply.body;
	size_t i;

	html(b, "<header class=\"top\"><a class=\"brand\" href=\"%s/\"><svg viewBox=\"0 0 32 32\" aria-hidden=\"true\">"
	    "<rect width=\"32\" height=\"32\" rx=\"8\"/><path d=\"M11 8l13 8-13 8z\"/></svg>at-rund</a>\n"
	    "<nav aria-label=\"Pages\"><ul>", page_base(c));
	for (i = PAGE_STATUS; i < sizeof tabs / sizeof *tabs; i++) {
		if (form == NULL && i > PAGE_JOBS)
			break;
		html(b, "<li><a href=\"%s%s\"", page_base(c), tabs[i].path);
		if (i == tab)
			buf_str(b, " aria-current=\"page\"");
		html(b, ">%s</a></li>", form == NULL && i == PAGE_JOBS ? "Operator" : tabs[i].word);
	}
	buf_str(b, "</ul></nav>\n");
	if (form != NULL && form[0] != '\0')
		html(b, "<form method=\"post\" action=\"%s/operator/sign-out\"><input type=\"hidden\" name=\"form\" value=\"%s\">"
		    "<button class=\"quiet\">Sign out</button></form>\n", page_base(c), form);
	buf_str(b, "</header>\n");
}

void
page_begin(struct call *c, const char *title, enum page_tab tab, const char *form)
{
	struct buf *b = &c->reply.body;
	char nonce[JOB_NONCE_LEN + 1];

	job_nonce(nonce);
	headers(c, nonce);
	html(b, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<title>%s</title>\n"
	    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	    "<meta name=\"color-scheme\" content=\"light dark\">\n"
	    "<link rel=\"icon\" href=\"data:image/svg+xml," ICON "\">\n<style nonce=\"%s\">\n", title, nonce);
	buf_str(b, page_css);
	buf_str(b, "</style></head>\n<body><a class=\"skip\" href=\"#main\">Skip to the page</a>\n");
	navigation(c, tab, form);
	buf_str(b, "<main id=\"main\">\n");
}

void
page_end(struct call *c)
{
	struct buf *b = &c->reply.body;

	html(b, "</main>\n<footer><p>at-rund %s, at ", AT_RUND_VERSION);
	html_time(b, clock_wall_ms());
	html(b, "</p><ul><li><a href=\"%s/xrpc/dev.at-run.describeRunner\">Card</a></li>"
	    "<li><a href=\"%s/ready\">Ready?</a></li></ul></footer>\n</body></html>\n", page_base(c), page_base(c));
}

int
page_answer(struct call *c, int rc, struct err *e)
{
	int64_t retry_s = c->reply.retry_s;
	char wait[24];

	if (rc >= 0 || !header_wants_html(c->request->accept) || e->kind == ERR_INTERNAL)
		return rc < 0 ? -1 : 0;
	reply_clear(&c->reply);
	c->reply.status = failure_status(e->kind, err_name(e));
	if (c->reply.status == 429 || c->reply.status == 503) {
		snprintf(wait, sizeof wait, "%lld", retry_s > 0 ? (long long)retry_s : 1);
		reply_header(&c->reply, "Retry-After", wait);
	}
	page_begin(c, reply_reason(c->reply.status), PAGE_NONE, NULL);
	html(&c->reply.body, "<section><h1>%s</h1>\n<p class=\"note bad\" role=\"alert\">%s</p>\n"
	    "<p><a href=\"%s/operator\">To the jobs</a></p></section>\n", reply_reason(c->reply.status), e->text, page_base(c));
	page_end(c);
	return 0;
}
