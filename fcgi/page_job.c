/* One job as the operator sees it: its way, what it printed, what proved its bundle; never what was sent or answered. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/html.h"
#include "fcgi/page_operator.h"
#include "fcgi/route.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/job.h"

#define LINES      200
#define LOG_BYTES  24576 /* of HTML; what is left is on the next page */
#define LINE_BYTES 4096 /* a longer line is cut: at-rund job logs has it whole */

struct view {
	struct call *c;
	struct operator *o;
	const char *id; /* as in the path */
	bool found, done;
	int64_t row, lines, after;
	char cid[128];
	int64_t last_line;
	int shown;
	bool full;        /* of log lines */
	size_t log_at;    /* where they begin */
};

/* --- its way --- */

/* Accepted, admitted, started, done: a bar of what lay between. */
static void
show_way(const struct desk_cell *cells, int n, struct buf *b)
{
	static const struct {
		const char *column, *word, *class_, *phase;
	} steps[] = { { "created_at", "Accepted", "not-run", NULL }, { "admitted_at", "Admitted", "not-run", "until it was admitted" },
		{ "started_at", "Started", "limit", "until an instance took it" }, { "done_at", "Done", "ok", "until its end" } };
	const char *outcome = row_text(cells, n, "outcome"), *end = outcome != NULL && strcmp(outcome, "ok") != 0 ? "failed" : "ok";
	int64_t at[4], before = 0;
	size_t i;

	for (i = 0; i < 4; i++)
		at[i] = row_int(cells, n, steps[i].column);
	if (at[3] > 0) {
		const struct {
			int64_t from, to;
		} parts[] = { { at[0], at[1] > 0 ? at[1] : at[3] }, { at[1], at[2] > 0 ? at[2] : at[1] > 0 ? at[3] : 0 },
			{ at[2], at[2] > 0 ? at[3] : 0 } };
		int64_t whole = at[3] - at[0] > 0 ? at[3] - at[0] : 1, x = 0;

		buf_str(b, "<svg class=\"bar\" viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" role=\"img\" "
			   "aria-label=\"How its time was spent\">");
		for (i = 0; i < 3; i++) {
			int64_t w = parts[i].to > parts[i].from ? (parts[i].to - parts[i].from) * 1000 / whole : 0;

			if (x + w > 1000)
				w = 1000 - x;
			if (w > 0)
				html(b, "<rect class=\"%s\" x=\"%lld\" width=\"%lld\" height=\"10\"/>", i == 2 ? end : steps[i + 1].class_,
				    (long long)x, (long long)w);
			x += w;
		}
		buf_str(b, "</svg>");
	}
	buf_str(b, "<ol class=\"way\">");
	for (i = 0; i < 4; i++) {
		if (at[i] == 0)
			continue;
		html(b, "<li><svg viewBox=\"0 0 10 10\" aria-hidden=\"true\"><rect class=\"%s\" width=\"10\" height=\"10\" rx=\"5\"/></svg>"
		    "<b>%s</b> ", i == 3 ? end : steps[i].class_, steps[i].word);
		html_time(b, at[i]);
		if (before > 0 && steps[i].phase != NULL) {
			buf_str(b, " <span class=\"soft\">");
			html_ms(b, at[i] - before);
			html(b, " %s</span>", steps[i].phase);
		}
		before = at[i];
		buf_str(b, "</li>");
	}
	buf_str(b, "</ol>\n");
}

/* --- what it is --- */

static void
fact(struct buf *b, const char *what, const char *value)
{
	if (value != NULL && value[0] != '\0')
		html(b, "<div><dt>%s</dt><dd><bdi>%s</bdi></dd></div>\n", what, value);
}

/* What nobody reads in one breath. */
static void
long_fact(struct buf *b, const char *what, const char *value)
{
	if (value != NULL && value[0] != '\0')
		html(b, "<div class=\"long\"><dt>%s</dt><dd><code><bdi>%s</bdi></code></dd></div>\n", what, value);
}

static void
number(struct buf *b, const char *what, int64_t n, const char *unit)
{
	html(b, "<div><dt>%s</dt><dd>", what);
	html_count(b, n);
	html(b, "%s</dd></div>\n", unit);
}

static void
link_to(struct view *v, const char *what, int64_t row)
{
	if (row > 0)
		html(&v->c->reply.body, "<div><dt>%s</dt><dd><a href=\"%s/operator/job/%lld\">job %lld</a></dd></div>\n", what,
		    page_base(v->c), (long long)row, (long long)row);
}

static void
show_facts(struct view *v, const struct desk_cell *cells, int n)
{
	struct buf *b = &v->c->reply.body;
	const char *caller = row_text(cells, n, "caller");

	buf_str(b, "<dl class=\"grid\">");
	long_fact(b, "Author", row_text(cells, n, "author"));
	fact(b, "Version", row_text(cells, n, "version"));
	fact(b, "Method", row_text(cells, n, "method"));
	long_fact(b, "Path after the endpoint", row_text(cells, n, "path"));
	if (row_int(cells, n, "has_query") != 0)
		fact(b, "Query", "yes, not shown");
	fact(b, "Asked by", caller != NULL ? caller : "nobody who said so");
	fact(b, "Asked from", row_text(cells, n, "client"));
	fact(b, "Mode", row_int(cells, n, "task") != 0 ? "a task: told 202" : strcmp(row_text(cells, n, "mode"), "async") == 0 ?
	    "accepted: told 202" : "somebody waits");
	fact(b, "Runtime", row_text(cells, n, "runtime"));
	fact(b, "Wall", row_text(cells, n, "wall"));
	fact(b, "Started", row_text(cells, n, "start"));
	fact(b, "Instance", row_text(cells, n, "instance"));
	if (row_int(cells, n, "attempt") > 0)
		number(b, "Starts", row_int(cells, n, "attempt"), row_int(cells, n, "idempotent") != 0 ? ", idempotent" : "");
	buf_str(b, "<div><dt>Time limit</dt><dd>");
	html_ms(b, row_int(cells, n, "timeout_ms"));
	buf_str(b, "</dd></div>\n");
	if (row_int(cells, n, "has_request") != 0)
		number(b, "Request body", row_int(cells, n, "request_bytes"), " bytes");
	if (row_text(cells, n, "status") != NULL) {
		number(b, "HTTP status", row_int(cells, n, "status"), "");
		number(b, "Answer", row_int(cells, n, "answer_bytes") + row_int(cells, n, "streamed_bytes"),
		    row_int(cells, n, "streamed") != 0 ? " bytes of a stream are kept" : " bytes");
	}
	if (row_int(cells, n, "has_receipt") != 0)
		fact(b, "Receipt", "signed");
	link_to(v, "Again of", row_int(cells, n, "again_of"));
	link_to(v, "Run again as", row_int(cells, n, "again_as"));
	long_fact(b, "Bundle record", row_text(cells, n, "cid"));
	buf_str(b, "</dl>\n");
}

static void
show_buttons(struct view *v, const struct desk_cell *cells, int n)
{
	struct buf *b = &v->c->reply.body, path = BUF_INIT;
	bool cancel = row_int(cells, n, "cancel") != 0;

	buf_str(b, "<div class=\"buttons\">");
	if (!v->done && cancel) {
		buf_str(b, "<p>Its end was asked for.</p>");
	} else if (!v->done || row_int(cells, n, "has_request") != 0) {
		buf_fmt(&path, "/operator/job/%s/%s", v->id, v->done ? "retry" : "cancel");
		operator_form_begin(v->c, v->o, path.data);
		buf_str(b, v->done ? "<button>Run it again</button></form>" : "<button class=\"danger\">Cancel it</button></form>");
	}
	buf_str(b, "</div>\n");
	buf_clear(&path);
}

/* Where its end is told: the host, since the rest of the address may be somebody's secret. */
static void
show_callback(struct view *v, const struct desk_cell *cells, int n)
{
	struct buf *b = &v->c->reply.body, path = BUF_INIT;
	const char *told = row_text(cells, n, "told");

	if (told == NULL)
		return;
	buf_str(b, "<section aria-labelledby=\"callback\"><h2 id=\"callback\">Its callback</h2>\n<dl class=\"grid\">");
	fact(b, "State", told);
	fact(b, "Host", row_text(cells, n, "told_to"));
	number(b, "Attempts", row_int(cells, n, "told_attempts"), "");
	if (row_text(cells, n, "told_status") != NULL)
		number(b, "Last answer", row_int(cells, n, "told_status"), "");
	long_fact(b, "Last error", row_text(cells, n, "told_error"));
	buf_str(b, "</dl>\n");
	if (strcmp(told, "failed") == 0) {
		buf_fmt(&path, "/operator/job/%s/callback-retry", v->id);
		buf_str(b, "<div class=\"buttons\">");
		operator_form_begin(v->c, v->o, path.data);
		buf_str(b, "<button>Tell it again</button></form></div>\n");
	}
	buf_str(b, "</section>\n");
	buf_clear(&path);
}

static int
show_job(void *arg, const struct desk_cell *cells, int n)
{
	struct view *v = arg;
	struct buf *b = &v->c->reply.body;
	const char *error = row_text(cells, n, "error"), *cid = row_text(cells, n, "cid");

	v->found = true;
	v->row = row_int(cells, n, "id");
	v->done = strcmp(row_text(cells, n, "state"), "done") == 0;
	v->lines = row_int(cells, n, "lines");
	if (cid != NULL && strlen(cid) < sizeof v->cid)
		memcpy(v->cid, cid, strlen(cid) + 1);
	html(b, "<section><p class=\"soft\">Job %lld ", (long long)v->row);
	page_job_pill(b, row_text(cells, n, "state"), row_text(cells, n, "outcome"));
	html(b, "</p><h1><bdi>%s</bdi> / <bdi>%s</bdi></h1>\n", row_text(cells, n, "bundle"), row_text(cells, n, "endpoint"));
	if (error != NULL)
		html(b, "<p class=\"note bad\"><b>%s</b>: <bdi>%s</bdi></p>\n", row_text(cells, n, "error_name"), error);
	show_way(cells, n, b);
	show_buttons(v, cells, n);
	buf_str(b, "</section>\n<section aria-labelledby=\"facts\"><h2 id=\"facts\">What it is</h2>\n");
	show_facts(v, cells, n);
	buf_str(b, "</section>\n");
	show_callback(v, cells, n);
	return 1;
}

/* --- what hangs on it --- */

static int
show_attempt(void *arg, const struct desk_cell *cells, int n)
{
	struct view *v = arg;
	struct buf *b = &v->c->reply.body;
	const char *error = row_text(cells, n, "error"), *again = row_text(cells, n, "again_at");

	if (v->shown++ == 0)
		buf_str(b, "<section aria-labelledby=\"starts\"><h2 id=\"starts\">Its starts</h2><ol class=\"jobs\">\n");
	html(b, "<li><div>%s ", row_text(cells, n, "attempt"));
	page_job_pill(b, "", row_text(cells, n, "outcome"));
	html(b, " %s</div><div class=\"soft\"><span>ran ", row_text(cells, n, "started_at"));
	html_ms(b, row_int(cells, n, "ran_ms"));
	html(b, "</span> <bdi>%s</bdi>", error);
	if (again != NULL)
		html(b, " <span>again at %s</span>", again);
	buf_str(b, "</div></li>\n");
	return 0;
}

static int
show_line(void *arg, const struct desk_cell *cells, int n)
{
	struct view *v = arg;
	const char *at = row_text(cells, n, "at"), *level = row_text(cells, n, "level"), *text = row_text(cells, n, "text");
	struct buf *b = &v->c->reply.body;
	size_t bytes = strlen(text);

	v->full = b->len - v->log_at > LOG_BYTES;
	if (v->full)
		return 1;
	v->shown++;
	v->last_line = row_int(cells, n, "line");
	/* 2026-01-01T12:00:00.123Z: the time of day is enough here. */
	html(b, "<li class=\"%s\"><span class=\"soft\">%s %s</span> <bdi>", level, at != NULL && strlen(at) > 12 ? at + 11 : "", level);
	html_bytes(b, text, bytes > LINE_BYTES ? LINE_BYTES : bytes);
	html(b, "</bdi>%s</li>\n", bytes > LINE_BYTES ? " (cut here)" : "");
	return 0;
}

static int
show_log(struct view *v, struct err *e)
{
	char id[24], after[24];
	const struct desk_arg args[] = { { ":id", id }, { ":after", after }, { ":limit", "200" }, { NULL, NULL } };
	struct buf *b = &v->c->reply.body;

	snprintf(id, sizeof id, "%lld", (long long)v->row);
	snprintf(after, sizeof after, "%lld", (long long)v->after);
	v->shown = 0;
	v->log_at = b->len;
	buf_str(b, "<section aria-labelledby=\"log\"><h2 id=\"log\">What it printed</h2>\n");
	if (v->lines == 0) {
		buf_str(b, "<p class=\"soft\">Nothing.</p>");
	} else {
		buf_str(b, "<ol class=\"log\">\n");
		if (desk_query(v->o->store, "desk_logs", args, show_line, v, e) != 0)
			return -1;
		buf_str(b, "</ol>\n");
	}
	if (v->shown == LINES || v->full)
		html(b, "<p class=\"more\"><a href=\"%s/operator/job/%s?after=%lld#log\">More lines</a></p>", page_base(v->c), v->id,
		    (long long)v->last_line);
	buf_str(b, "</section>\n");
	return 0;
}

static int
show_proof(void *arg, const struct desk_cell *cells, int n)
{
	struct view *v = arg;
	struct buf *b = &v->c->reply.body;
	const char *proof = row_text(cells, n, "proof");

	buf_str(b, "<section aria-labelledby=\"proof\"><h2 id=\"proof\">What ran, and what proves it</h2>\n<dl class=\"grid\">");
	long_fact(b, "Record", row_text(cells, n, "uri"));
	long_fact(b, "Its CID", row_text(cells, n, "cid"));
	long_fact(b, "Code", row_text(cells, n, "code"));
	long_fact(b, "Versions that mean it", row_text(cells, n, "versions"));
	long_fact(b, "Revision of the repository", row_text(cells, n, "rev"));
	long_fact(b, "Commit", row_text(cells, n, "commit_cid"));
	long_fact(b, "Fetched", row_text(cells, n, "fetched_at"));
	buf_str(b, "</dl>\n");
	if (proof != NULL && proof[0] != '\0')
		html(b, "<pre tabindex=\"0\"><code>%s</code></pre>", proof);
	else
		buf_str(b, "<p class=\"soft\">It came from a folder of the operator, or was fetched before chains were kept.</p>");
	buf_str(b, "</section>\n");
	return 1;
}

/* --- handlers --- */

/* "42" becomes the address with its nonce. */
static int
go_to_row(void *arg, const struct desk_cell *cells, int n)
{
	struct view *v = arg;
	struct buf where = BUF_INIT;

	(void)n;
	v->found = true;
	buf_fmt(&where, "/operator/job/%s", cells[0].text);
	operator_go(v->c, where.data);
	buf_clear(&where);
	return 1;
}

static int
find_row(struct view *v, struct err *e)
{
	const struct desk_arg args[] = { { ":row", v->id }, { NULL, NULL } };

	if (strspn(v->id, "0123456789") != strlen(v->id) || strlen(v->id) > 18)
		return err_named(e, ERR_INPUT, "InvalidJobId", "this is no id of a job");
	if (desk_query(v->o->store, "page_job_id", args, go_to_row, v, e) != 0)
		return -1;
	return v->found ? 0 : err_named(e, ERR_NOTFOUND, "JobNotFound", "no such job, or it was long ago");
}

static int
show(struct view *v, const struct job_id *id, struct err *e)
{
	char row[24];
	const struct desk_arg args[] = { { ":row", row }, { ":nonce", id->nonce }, { NULL, NULL } };
	const struct desk_arg attempts[] = { { ":id", row }, { NULL, NULL } }, bundle[] = { { ":cid", v->cid }, { NULL, NULL } };
	struct buf title = BUF_INIT;

	snprintf(row, sizeof row, "%lld", (long long)id->row);
	buf_fmt(&title, "Job %s", row);
	page_begin(v->c, title.data, PAGE_NONE, v->o->form);
	buf_clear(&title);
	if (operator_note(v->c, v->o, e) != 0 || desk_query(v->o->store, "page_job", args, show_job, v, e) != 0)
		return -1;
	if (!v->found)
		return err_named(e, ERR_NOTFOUND, "JobNotFound", "no such job, or it was long ago");
	if (desk_query(v->o->store, "desk_attempts", attempts, show_attempt, v, e) != 0)
		return -1;
	if (v->shown > 0)
		buf_str(&v->c->reply.body, "</ol></section>\n");
	if (show_log(v, e) != 0 || (v->cid[0] != '\0' && desk_query(v->o->store, "desk_bundle", bundle, show_proof, v, e) != 0))
		return -1;
	page_end(v->c);
	return 0;
}

static int
job(struct call *c, struct err *e)
{
	struct operator o;
	struct view v = { .c = c, .o = &o, .id = c->path.seg[2] };
	struct buf after = BUF_INIT;
	struct job_id id;
	int rc = operator_enter(c, &o, e);

	if (rc != 1)
		return rc;
	if (!job_id_parse(v.id, &id))
		return find_row(&v, e);
	if (path_param(c->path.query, "after", &after))
		v.after = strtoll(after.data, NULL, 10);
	buf_clear(&after);
	return show(&v, &id, e);
}

int
page_job(struct call *c, struct err *e)
{
	return page_answer(c, job(c, e), e);
}

/* The last segment of the path is the verb. */
static int
press(struct call *c, struct err *e)
{
	struct buf body = BUF_INIT, path = BUF_INIT;
	struct operator o;
	struct view v = { .c = c, .o = &o, .id = c->path.seg[2] };
	struct job_id id;
	char args[48];
	int rc = operator_form(c, &o, &body, e);

	if (rc == 1 && !job_id_parse(v.id, &id)) {
		rc = err_named(e, ERR_INPUT, "InvalidJobId", "this is no id of a job");
	} else if (rc == 1) {
		snprintf(args, sizeof args, "{\"job\":%lld}", (long long)id.row);
		buf_fmt(&path, "/operator/job/%s", v.id);
		rc = operator_order(c, &o, c->path.seg[3], args, path.data, e);
	}
	buf_clear(&body);
	buf_clear(&path);
	return rc;
}

int
page_job_press(struct call *c, struct err *e)
{
	return page_answer(c, press(c, e), e);
}
