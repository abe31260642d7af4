/* Whose bundles ran here lately, and how much of what they may use they used. */
#include <stdio.h>
#include <string.h>

#include "fcgi/html.h"
#include "fcgi/page_operator.h"
#include "fcgi/route.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"

#define DAY_MS INT64_C(86400000)
#define DAYS   7

struct list {
	struct call *c;
	int rows;
};

/* "3 of 200", with a bar; no limit: the number alone. */
static void
used(struct buf *b, const char *what, int64_t n, int64_t limit, void (*print)(int64_t n, char out[32]))
{
	char now[32], most[32];
	int64_t part = limit > 0 ? (n >= limit ? 100 : n * 100 / limit) : 0;

	print(n, now);
	html(b, "<div><dt>%s</dt><dd>%s", what, now);
	if (limit > 0) {
		print(limit, most);
		html(b, " of %s<svg class=\"meter\" viewBox=\"0 0 100 4\" preserveAspectRatio=\"none\" aria-hidden=\"true\">"
		    "<rect class=\"rest\" width=\"100\" height=\"4\"/><rect class=\"%s\" width=\"%lld\" height=\"4\"/></svg>", most,
		    part >= 90 ? "failed" : "ok", (long long)part);
	}
	buf_str(b, "</dd></div>\n");
}

static void
plain_number(int64_t n, char out[32])
{
	struct buf b = BUF_INIT;

	html_count(&b, n);
	snprintf(out, 32, "%s", b.data);
	buf_clear(&b);
}

static void
milliseconds(int64_t ms, char out[32])
{
	struct buf b = BUF_INIT;

	html_ms(&b, ms);
	snprintf(out, 32, "%s", b.data);
	buf_clear(&b);
}

static void
bytes(int64_t n, char out[32])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	size_t i = 0;

	while (n >= 10240 && i + 1 < sizeof units / sizeof *units) {
		n /= 1024;
		i++;
	}
	snprintf(out, 32, "%lld\xc2\xa0%s", (long long)n, units[i]);
}

static int
show_author(void *arg, const struct desk_cell *cells, int n)
{
	struct list *l = arg;
	struct buf *b = &l->c->reply.body;
	const struct conf *conf = l->c->door->conf;
	const char *did = row_text(cells, n, "author"), *handle = row_text(cells, n, "handle");

	l->rows++;
	html(b, "<li class=\"card\"><h2><bdi>%s</bdi></h2>\n", did[0] == '\0' ? "many others" : handle != NULL ? handle : did);
	if (handle != NULL)
		html(b, "<p class=\"soft\"><code>%s</code></p>", did);
	buf_str(b, "<dl class=\"grid\">");
	used(b, "Calls today", row_int(cells, n, "today"), 0, plain_number);
	used(b, "Failed today", row_int(cells, n, "failed_today"), 0, plain_number);
	used(b, "Calls in 7 days", row_int(cells, n, "calls"), 0, plain_number);
	used(b, "Ran for, in 7 days", row_int(cells, n, "ran_ms"), 0, milliseconds);
	used(b, "Not done now", row_int(cells, n, "open"), conf->limits.per_author, plain_number);
	if (row_text(cells, n, "cpu_ms") != NULL || conf->limits.author_cpu > 0)
		used(b, "Processor time today", row_int(cells, n, "cpu_ms"), conf->limits.author_cpu, milliseconds);
	if (row_text(cells, n, "egress_bytes") != NULL || conf->limits.author_egress > 0)
		used(b, "Network today", row_int(cells, n, "egress_bytes"), conf->limits.author_egress, bytes);
	buf_str(b, "</dl>");
	if (did[0] != '\0') {
		html(b, "<p class=\"more\"><a href=\"%s/operator?author=", page_base(l->c));
		html_url(b, did);
		html(b, "\" aria-label=\"Jobs of %s\">Jobs</a></p>", handle != NULL ? handle : did);
	}
	buf_str(b, "</li>\n");
	return 0;
}

static int
authors(struct call *c, struct err *e)
{
	int64_t day = clock_wall_ms() / DAY_MS;
	char today[24], since[24];
	const struct desk_arg args[] = { { ":today", today }, { ":since", since }, { ":limit", "100" }, { NULL, NULL } };
	struct list l = { c, 0 };
	struct operator o;
	int rc = operator_enter(c, &o, e);

	if (rc != 1)
		return rc;
	snprintf(today, sizeof today, "%lld", (long long)day);
	snprintf(since, sizeof since, "%lld", (long long)(day - DAYS + 1));
	page_begin(c, "Authors", PAGE_AUTHORS, o.form);
	buf_str(&c->reply.body, "<section><h1>Authors</h1>\n<p class=\"soft\">Whose bundles ran in the last 7 days (UTC), those with most "
				"calls first.</p>\n<ul class=\"cards\">\n");
	if (desk_query(o.store, "page_authors", args, show_author, &l, e) != 0)
		return -1;
	buf_str(&c->reply.body, "</ul>\n");
	if (l.rows == 0)
		buf_str(&c->reply.body, "<p>None.</p>");
	buf_str(&c->reply.body, "</section>\n");
	page_end(c);
	return 0;
}

int
page_authors(struct call *c, struct err *e)
{
	return page_answer(c, authors(c, e), e);
}
