/* The operator's list of jobs: filters, and pages that go on from a row's number, so that the last costs what the first does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/html.h"
#include "fcgi/page_operator.h"
#include "fcgi/route.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/err.h"
#include "lib/job.h"

#define ROWS    50
#define STRETCH 20000 /* rows that one page walks through at most, looking for those that fit */

struct choice {
	const char *value, *word;
};

static const struct choice states[] = { { "", "any" }, { "open", "not done" }, { "queued", "queued" }, { "admitted", "admitted" },
	{ "running", "running" }, { "done", "done" }, { NULL, NULL } };
static const struct choice outcomes[] = { { "", "any" }, { "failed", "all but ok" }, { "ok", "ok" }, { "error", "error" },
	{ "timeout", "timeout" }, { "memory", "memory" }, { "output", "output" }, { "killed", "killed" }, { "refused", "refused" },
	{ "lost", "lost" }, { "expired", "expired" }, { "cancelled", "cancelled" }, { NULL, NULL } };
static const struct choice times[] = { { "", "any time" }, { "1", "the last hour" }, { "24", "24 hours" }, { "168", "7 days" },
	{ NULL, NULL } };

enum field { STATE, OUTCOME, AUTHOR, BUNDLE, SINCE, FIELDS };
static const struct {
	const char *name, *label;
	const struct choice *choices; /* NULL: free text */
} fields[FIELDS] = {
	[STATE] = { "state", "State", states }, [OUTCOME] = { "outcome", "Outcome", outcomes },
	[AUTHOR] = { "author", "Author", NULL }, [BUNDLE] = { "bundle", "Bundle", NULL }, [SINCE] = { "since", "Asked within", times },
};

struct list {
	struct call *c;
	struct buf value[FIELDS]; /* "" for any */
	int64_t before;           /* rows below this one */
	int rows;
	int64_t last;             /* the row shown last */
};

/* --- what is asked for --- */

static bool
known(const struct choice *choices, const char *value)
{
	for (; choices->value != NULL; choices++)
		if (strcmp(choices->value, value) == 0)
			return true;
	return false;
}

static int
read_query(struct list *l, const char *query, struct err *e)
{
	struct buf before = BUF_INIT;
	int i, rc = 0;

	for (i = 0; i < FIELDS; i++) {
		path_param(query, fields[i].name, &l->value[i]);
		buf_str(&l->value[i], "");
		if (fields[i].choices != NULL && !known(fields[i].choices, l->value[i].data))
			rc = err_set(e, ERR_INPUT, "%s: there is no %.40s", fields[i].name, l->value[i].data);
	}
	l->before = INT64_MAX;
	if (path_param(query, "before", &before)) {
		char *end;

		l->before = strtoll(before.data, &end, 10);
		if (before.len == 0 || *end != '\0' || l->before < 1)
			rc = err_set(e, ERR_INPUT, "before: expected the number of a job");
	}
	buf_clear(&before);
	return rc;
}

static void
list_clear(struct list *l)
{
	int i;

	for (i = 0; i < FIELDS; i++)
		buf_clear(&l->value[i]);
}

/* --- showing --- */

static void
show_field(const struct list *l, enum field f, struct buf *b)
{
	const struct choice *x;

	html(b, "<div><label for=\"%s\">%s</label>", fields[f].name, fields[f].label);
	if (fields[f].choices == NULL) {
		html(b, "<input id=\"%s\" name=\"%s\" value=\"%s\" placeholder=\"any\" spellcheck=\"false\">", fields[f].name, fields[f].name,
		    l->value[f].data);
	} else {
		html(b, "<select id=\"%s\" name=\"%s\">", fields[f].name, fields[f].name);
		for (x = fields[f].choices; x->value != NULL; x++)
			html(b, "<option value=\"%s\"%s>%s</option>", x->value, strcmp(x->value, l->value[f].data) == 0 ? " selected" : "",
			    x->word);
		buf_str(b, "</select>");
	}
	buf_str(b, "</div>\n");
}

static void
show_filter(const struct list *l, struct buf *b)
{
	int f;

	html(b, "<form method=\"get\" action=\"%s/operator\" class=\"filter\">\n", page_base(l->c));
	for (f = 0; f < FIELDS; f++)
		show_field(l, (enum field)f, b);
	buf_str(b, "<button>Show</button></form>\n");
}

void
page_job_pill(struct buf *b, const char *state, const char *outcome)
{
	const char *word = outcome != NULL ? outcome : state;
	const char *class_ = outcome == NULL ? "open" : strcmp(outcome, "ok") == 0 ? "good" :
	    strcmp(outcome, "cancelled") == 0 || strcmp(outcome, "refused") == 0 || strcmp(outcome, "expired") == 0 ? "open" : "bad";

	html(b, "<span class=\"pill %s\">%s</span>", class_, word);
}

static int
show_row(void *arg, const struct desk_cell *cells, int n)
{
	struct list *l = arg;
	struct buf *b = &l->c->reply.body;
	const char *start = row_text(cells, n, "start"), *error = row_text(cells, n, "error_name");

	l->rows++;
	l->last = row_int(cells, n, "id");
	html(b, "<li><div><a href=\"%s/operator/job/%s\">%lld</a> ", page_base(l->c), row_text(cells, n, "job"), (long long)l->last);
	page_job_pill(b, row_text(cells, n, "state"), row_text(cells, n, "outcome"));
	html(b, " <b><bdi>%s</bdi></b> / <bdi>%s</bdi></div><div class=\"soft\"><bdi>%s</bdi> ", row_text(cells, n, "bundle"),
	    row_text(cells, n, "endpoint"), row_text(cells, n, "author"));
	html(b, "<span>%s, %s</span> ", row_text(cells, n, "method"), row_text(cells, n, "mode"));
	html_time(b, row_int(cells, n, "created_at"));
	if (row_text(cells, n, "waited") != NULL) {
		buf_str(b, " <span>waited ");
		html_ms(b, row_int(cells, n, "waited"));
		buf_str(b, "</span>");
	}
	if (row_text(cells, n, "ran") != NULL) {
		buf_str(b, " <span>ran ");
		html_ms(b, row_int(cells, n, "ran"));
		html(b, "%s%s</span>", start != NULL ? ", " : "", start != NULL ? start : "");
	}
	if (error != NULL)
		html(b, " <span>%s</span>", error);
	buf_str(b, "</div></li>\n");
	return 0;
}

/* An author may be named by the handle that the scheduler knows them by. */
static int
take_did(void *arg, const struct desk_cell *cells, int n)
{
	struct buf *author = arg;

	(void)n;
	if (cells[0].text != NULL) {
		buf_reset(author);
		buf_str(author, cells[0].text);
	}
	return 1;
}

static int
resolve(const struct list *l, struct operator *o, struct buf *author, struct err *e)
{
	const struct desk_arg args[] = { { ":handle", l->value[AUTHOR].data }, { NULL, NULL } };

	buf_str(author, l->value[AUTHOR].data);
	return strncmp(author->data, "did:", 4) == 0 ? 0 : desk_query(o->store, "desk_handle", args, take_did, author, e);
}

/* NULL for any. */
static const char *
given(const struct list *l, enum field f)
{
	return l->value[f].len > 0 ? l->value[f].data : NULL;
}

static int
take_end(void *arg, const struct desk_cell *cells, int n)
{
	int64_t *end = arg;

	end[0] = cells[0].text != NULL ? strtoll(cells[0].text, NULL, 10) : 0;
	end[1] = n > 1 && cells[1].text != NULL && cells[1].text[0] == '1';
	return 1;
}

static void
show_more(const struct list *l, int64_t before, const char *word)
{
	struct buf *b = &l->c->reply.body;
	int f;

	html(b, "<p class=\"more\"><a href=\"%s/operator?before=%lld", page_base(l->c), (long long)before);
	for (f = 0; f < FIELDS; f++)
		if (l->value[f].len > 0) {
			html(b, "&amp;%s=", fields[f].name);
			html_url(b, l->value[f].data);
		}
	html(b, "\">%s</a></p>\n", word);
}

/* Those that are not done come out of their own index; the rest by a walk that ends. */
static int
show_list(struct list *l, struct operator *o, const char *author, struct err *e)
{
	const char *state = given(l, STATE);
	bool open = state != NULL && strcmp(state, "done") != 0;
	char before[24], stretch[24], since[24] = "";
	int64_t end[2] = { 0, 1 };
	const struct desk_arg args[] = { { ":before", before }, { ":state", state }, { ":author", author[0] != '\0' ? author : NULL },
		{ ":bundle", given(l, BUNDLE) }, { ":since", since[0] != '\0' ? since : NULL }, { ":limit", "50" },
		{ open ? NULL : ":outcome", given(l, OUTCOME) }, { ":stretch", stretch }, { NULL, NULL } };
	struct desk_arg with[sizeof args / sizeof *args], edge[] = { { ":before", before }, { ":stretch", stretch },
		{ ":since", NULL }, { NULL, NULL } };

	snprintf(before, sizeof before, "%lld", (long long)l->before);
	snprintf(stretch, sizeof stretch, "%d", STRETCH);
	memcpy(with, args, sizeof with);
	if (given(l, SINCE) != NULL) {
		snprintf(since, sizeof since, "%lld", (long long)(clock_wall_ms() - strtoll(given(l, SINCE), NULL, 10) * 3600000));
		with[4].value = edge[2].value = since;
	}
	buf_str(&l->c->reply.body, "<ol class=\"jobs\">\n");
	if (desk_query(o->store, open ? "page_jobs_open" : "page_jobs", with, show_row, l, e) != 0 ||
	    (!open && l->rows < ROWS && desk_query(o->store, "page_jobs_end", edge, take_end, end, e) != 0))
		return -1;
	buf_str(&l->c->reply.body, "</ol>\n");
	if (l->rows == 0)
		html(&l->c->reply.body, "<p class=\"soft\">%s</p>\n", end[0] > 1 && end[1] == 0 ? "None among these." : "None.");
	if (l->rows == ROWS)
		show_more(l, l->last, "Older ones");
	else if (end[0] > 1 && end[1] == 0)
		show_more(l, end[0], "Look further back");
	return 0;
}

static int
jobs(struct call *c, struct err *e)
{
	struct list l = { .c = c };
	struct buf author = BUF_INIT;
	struct operator o;
	int rc = operator_enter(c, &o, e);

	if (rc == 1)
		rc = read_query(&l, c->path.query, e) == 0 ? 1 : -1;
	if (rc == 1) {
		page_begin(c, "Jobs", PAGE_JOBS, o.form);
		rc = operator_note(c, &o, e);
		if (rc == 0) {
			buf_str(&c->reply.body, "<section><h1>Jobs</h1>\n");
			show_filter(&l, &c->reply.body);
			rc = resolve(&l, &o, &author, e) == 0 ? show_list(&l, &o, author.data, e) : -1;
			buf_str(&c->reply.body, "</section>\n");
			page_end(c);
		}
	}
	list_clear(&l);
	buf_clear(&author);
	return rc;
}

int
page_jobs(struct call *c, struct err *e)
{
	return page_answer(c, jobs(c, e), e);
}
