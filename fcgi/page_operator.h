/*
 * The operator's pages: who may see them, and what their forms and buttons share.
 *
 * A token (at-rund page token) opens them: in "Authorization: Bearer", or once in a form, which makes a session, whose secret
 * lies in a cookie that only these paths are sent, over TLS or to this machine, and not when another site asks.  Forms carry a
 * number that only the session's own pages know.
 */
#ifndef FCGI_PAGE_OPERATOR_H
#define FCGI_PAGE_OPERATOR_H

#include <stdbool.h>
#include <stdint.h>

#include "fcgi/page.h"
#include "lib/store_desk.h"

struct buf;
struct call;
struct err;
struct store;

struct operator {
	bool in, by_cookie;
	int64_t session;
	char form[33];   /* of this session's forms; "" with Bearer, which needs none */
	struct store *store;
};

/* 1: it is the operator, and o is filled; 0: the answer says how to sign in; -1: e is the answer. */
int operator_enter(struct call *c, struct operator *o, struct err *e);
/* The same for a form of ours, whose body is read (and is the caller's to clear, whatever comes): forged ones are refused. */
int operator_form(struct call *c, struct operator *o, struct buf *body, struct err *e);

/* Leaves an order, waits a moment for its note, and sends the browser on to path (below the base), where it is shown. */
int operator_order(struct call *c, struct operator *o, const char *verb, const char *args_json, const char *path, struct err *e);
/* Shows the order that the query names, if any. */
int operator_note(struct call *c, struct operator *o, struct err *e);
/* "See Other": path is below the base. */
void operator_go(struct call *c, const char *path);
/* <form method="post"> with the session's number, open; path is below the base. */
void operator_form_begin(struct call *c, const struct operator *o, const char *path);

/* A cell of a row by its column's name: NULL when it is NULL or not there. */
const char *row_text(const struct desk_cell *cells, int n, const char *name);
int64_t row_int(const struct desk_cell *cells, int n, const char *name); /* 0 for NULL */

#endif
