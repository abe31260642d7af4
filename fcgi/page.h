/*
 * The pages for people: one frame, one style sheet, no script.  page_home.c is for everybody; the others are the operator's, and
 * page_sign.c says who that is.
 */
#ifndef FCGI_PAGE_H
#define FCGI_PAGE_H

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct call;
struct err;

/* The style sheet, made of page.css by the Makefile. */
extern const char page_css[];

enum page_tab { PAGE_NONE, PAGE_STATUS, PAGE_JOBS, PAGE_AUTHORS, PAGE_POOL };

/* Begins a page in the reply's body; its headers allow no script and nothing from elsewhere.  form: of whoever has signed in, for
 * the button that signs out; NULL: nobody. */
void page_begin(struct call *c, const char *title, enum page_tab tab, const char *form);
void page_end(struct call *c);

/* What a handler of a page returns: 0 as it is; an error that a person can do something about becomes a page, too. */
int page_answer(struct call *c, int rc, struct err *e);
/* <span> that says how a job is or was; outcome NULL: it is not done. */
void page_job_pill(struct buf *b, const char *state, const char *outcome);

/* web.base_path, "" when there is none; what comes before an absolute path of ours. */
const char *page_base(const struct call *c);
/* Scheme and host as callers see them, and the base path: "https://runner.example.com/run". */
void page_url(const struct call *c, struct buf *out);

#endif
