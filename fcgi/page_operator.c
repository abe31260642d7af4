#include "fcgi/page_operator.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fcgi/html.h"
#include "fcgi/request.h"
#include "fcgi/route.h"
#include "fcgi/waiter.h"
#include "fcgi/writer.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/err.h"
#include "lib/json.h"

#define NOTE_MS 2000 /* so long a button waits for the scheduler */
#define LOOK_MS 20

/* --- rows --- */

static const struct desk_cell *
cell(const struct desk_cell *cells, int n, const char *name)
{
	int i;

	for (i = 0; i < n; i++)
		if (strcmp(cells[i].name, name) == 0)
			return &cells[i];
	return NULL;
}

const char *
row_text(const struct desk_cell *cells, int n, const char *name)
{
	const struct desk_cell *x = cell(cells, n, name);

	return x != NULL ? x->text : NULL;
}

int64_t
row_int(const struct desk_cell *cells, int n, const char *name)
{
	const char *text = row_text(cells, n, name);

	return text != NULL ? strtoll(text, NULL, 10) : 0;
}

/* --- answers --- */

void
operator_go(struct call *c, const char *path)
{
	struct buf where = BUF_INIT;

	buf_fmt(&where, "%s%s", page_base(c), path);
	c->reply.status = 303;
	reply_header(&c->reply, "Location", where.data);
	reply_header(&c->reply, "Cache-Control", "no-store");
	buf_clear(&where);
}

void
operator_form_begin(struct call *c, const struct operator *o, const char *path)
{
	html(&c->reply.body, "<form method=\"post\" action=\"%s%s\"><input type=\"hidden\" name=\"form\" value=\"%s\">", page_base(c),
	    path, o->form);
}

/* --- orders --- */

static void
wait_for_note(struct operator *o, int64_t order)
{
	const struct timespec pause = { 0, LOOK_MS * 1000000L };
	int64_t until = clock_mono_ms() + NOTE_MS;
	struct err e = ERR_INIT;
	bool done = false;
	char *note;

	while (!done && clock_mono_ms() < until) {
		if (desk_order_look(o->store, order, &done, &note, &e) != 0)
			return;
		free(note);
		if (!done)
			nanosleep(&pause, NULL);
	}
}

int
operator_order(struct call *c, struct operator *o, const char *verb, const char *args_json, const char *path, struct err *e)
{
	struct buf where = BUF_INIT;
	int64_t order;

	if (desk_order(o->store, verb, args_json, &order, e) != 0)
		return -1;
	writer_ring(c->door->writer);
	wait_for_note(o, order);
	buf_fmt(&where, "%s%corder=%lld", path, strchr(path, '?') != NULL ? '&' : '?', (long long)order);
	operator_go(c, where.data);
	buf_clear(&where);
	return 0;
}

/* "again as job 42-...": a link to it. */
static void
show_note(struct call *c, const char *note)
{
	static const char again[] = "again as job ";
	struct job_id id;

	if (strncmp(note, again, strlen(again)) == 0 && job_id_parse(note + strlen(again), &id))
		html(&c->reply.body, "again as <a href=\"%s/operator/job/%s\">job %lld</a>", page_base(c), note + strlen(again),
		    (long long)id.row);
	else
		html_text(&c->reply.body, note);
}

static int
tell_note(void *arg, const struct desk_cell *cells, int n)
{
	struct call *c = arg;
	struct buf *b = &c->reply.body;
	bool done = row_int(cells, n, "done") != 0;

	html(b, "<p class=\"note %s\" role=\"status\"><b>%s</b>: ", done ? "good" : "", row_text(cells, n, "verb"));
	if (done)
		show_note(c, row_text(cells, n, "note") != NULL ? row_text(cells, n, "note") : "done");
	else
		buf_str(b, "left for the scheduler, which has not answered yet");
	buf_str(b, "</p>\n");
	return 1;
}

int
operator_note(struct call *c, struct operator *o, struct err *e)
{
	struct buf id = BUF_INIT;
	int rc = 0;

	if (path_param(c->path.query, "order", &id) && id.len > 0 && id.len < 19 && strspn(id.data, "0123456789") == id.len) {
		const struct desk_arg args[] = { { ":id", id.data }, { NULL, NULL } };

		rc = desk_query(o->store, "page_order", args, tell_note, c, e);
	}
	buf_clear(&id);
	return rc;
}
