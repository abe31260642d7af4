/* The instances that live and lately ended, what was asked of the scheduler, and the button that drains. */
#include <string.h>

#include "fcgi/html.h"
#include "fcgi/page_operator.h"
#include "fcgi/route.h"
#include "lib/buf.h"
#include "lib/err.h"

struct list {
	struct call *c;
	struct operator *o;
	int rows;
};

static int
show_instance(void *arg, const struct desk_cell *cells, int n)
{
	struct list *l = arg;
	struct buf *b = &l->c->reply.body;
	const char *state = row_text(cells, n, "state"), *bundle = row_text(cells, n, "bundle");

	l->rows++;
	html(b, "<li><div>%s <span class=\"pill %s\">%s</span> <b>%s</b> behind %s</div><div class=\"soft\">", row_text(cells, n, "id"),
	    strcmp(state, "busy") == 0 || strcmp(state, "warm") == 0 ? "good" : "open", state, row_text(cells, n, "runtime"),
	    row_text(cells, n, "wall"));
	html(b, "<bdi>%s</bdi> <span>", bundle != NULL ? bundle : "no bundle yet");
	html_count(b, row_int(cells, n, "calls"));
	html(b, " calls</span> <span>pid %s</span> since ", row_text(cells, n, "pid"));
	html_time(b, row_int(cells, n, "started_at"));
	buf_str(b, "</div></li>\n");
	return 0;
}

static int
show_ended(void *arg, const struct desk_cell *cells, int n)
{
	struct list *l = arg;
	struct buf *b = &l->c->reply.body;

	l->rows++;
	html(b, "<li><div>%s <b>%s</b> <bdi>%s</bdi></div><div class=\"soft\"><span>", row_text(cells, n, "id"),
	    row_text(cells, n, "runtime"), row_text(cells, n, "why"));
	html_count(b, row_int(cells, n, "calls"));
	buf_str(b, " calls</span> <span>lived ");
	html_ms(b, row_int(cells, n, "ended_at") - row_int(cells, n, "started_at"));
	buf_str(b, "</span> ");
	html_time(b, row_int(cells, n, "ended_at"));
	buf_str(b, "</div></li>\n");
	return 0;
}

static int
show_order(void *arg, const struct desk_cell *cells, int n)
{
	struct list *l = arg;
	struct buf *b = &l->c->reply.body;
	const char *note = row_text(cells, n, "note");

	l->rows++;
	html(b, "<li><div>%s <b>%s</b> <code><bdi>%s</bdi></code></div><div class=\"soft\"><bdi>%s</bdi> ",
	    row_text(cells, n, "id"), row_text(cells, n, "verb"), row_text(cells, n, "args_json"), note != NULL ? note : "not done yet");
	html_time(b, row_int(cells, n, "created_at"));
	buf_str(b, "</div></li>\n");
	return 0;
}

static int
show_rows(struct list *l, const char *id, const char *title, const char *statement, const char *limit, desk_row_fn *fn,
    struct err *e)
{
	const struct desk_arg args[] = { { ":limit", limit }, { NULL, NULL } };
	struct buf *b = &l->c->reply.body;

	l->rows = 0;
	html(b, "<section aria-labelledby=\"%s\"><h2 id=\"%s\">%s</h2>\n<ol class=\"jobs\">\n", id, id, title);
	if (desk_query(l->o->store, statement, args, fn, l, e) != 0)
		return -1;
	buf_str(b, "</ol>\n");
	if (l->rows == 0)
		buf_str(b, "<p class=\"soft\">None.</p>");
	buf_str(b, "</section>\n");
	return 0;
}

static int
show_choice(void *arg, const struct desk_cell *cells, int n)
{
	struct list *l = arg;

	html(&l->c->reply.body, "<option value=\"%s\">%s</option>", row_text(cells, n, "name"), row_text(cells, n, "name"));
	return 0;
}

static int
show_drain(struct list *l, struct err *e)
{
	struct buf *b = &l->c->reply.body;

	buf_str(b, "<section><h1>Pool</h1>\n<p class=\"soft\">Draining ends instances, each when its calls are done; new ones are "
		   "started as calls come. The scheduler itself goes on.</p>\n");
	operator_form_begin(l->c, l->o, "/operator/drain");
	buf_str(b, "<div class=\"filter\"><div><label for=\"runtime\">Runtime</label><select id=\"runtime\" name=\"runtime\">"
		   "<option value=\"\">all</option>");
	if (desk_query(l->o->store, "desk_runtimes", NULL, show_choice, l, e) != 0)
		return -1;
	buf_str(b, "</select></div><button class=\"danger\">Drain</button></div></form></section>\n");
	return 0;
}

static int
pool(struct call *c, struct err *e)
{
	struct operator o;
	struct list l = { c, &o, 0 };
	int rc = operator_enter(c, &o, e);

	if (rc != 1)
		return rc;
	page_begin(c, "Pool", PAGE_POOL, o.form);
	if (operator_note(c, &o, e) != 0 || show_drain(&l, e) != 0 ||
	    show_rows(&l, "live", "Live instances", "page_instances", "100", show_instance, e) != 0 ||
	    show_rows(&l, "ended", "Lately ended", "page_ended", "10", show_ended, e) != 0 ||
	    show_rows(&l, "orders", "Orders", "page_orders", "20", show_order, e) != 0)
		return -1;
	page_end(c);
	return 0;
}

int
page_pool(struct call *c, struct err *e)
{
	return page_answer(c, pool(c, e), e);
}

static int
drain(struct call *c, struct err *e)
{
	struct buf body = BUF_INIT, runtime = BUF_INIT, args = BUF_INIT;
	struct operator o;
	int rc = operator_form(c, &o, &body, e);

	if (rc == 1) {
		buf_char(&args, '{');
		if (path_param(body.data, "runtime", &runtime) && runtime.len > 0) {
			buf_str(&args, "\"runtime\":");
			buf_json(&args, runtime.data, runtime.len < 64 ? runtime.len : 64);
		}
		buf_char(&args, '}');
		rc = operator_order(c, &o, "drain", args.data, "/operator/pool", e);
	}
	buf_clear(&body);
	buf_clear(&runtime);
	buf_clear(&args);
	return rc;
}

int
page_drain(struct call *c, struct err *e)
{
	return page_answer(c, drain(c, e), e);
}
