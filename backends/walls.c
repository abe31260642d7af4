#include "backends/walls.h"

#include <stdlib.h>
#include <string.h>

#include "backends/backend.h"
#include "backends/runtime.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/grant.h"
#include "lib/mem.h"

#define WALLS_MAX 8

struct walls {
	const struct conf *conf;
	const struct runtimes *runtimes;
	struct trial {
		bool tried, works;
		struct err why;
	} trial[WALLS_MAX];
	bool used[WALLS_MAX];
};

static bool
is_auto(const char *word)
{
	return word == NULL || strcmp(word, "auto") == 0;
}

static bool
is_none(const struct backend *b)
{
	return strcmp(b->name, "none") == 0;
}

/* Does the config say this word, or `auto`, anywhere? */
static bool
could_be(const struct conf *c, const struct backend *b)
{
	size_t i;

	if (is_auto(c->isolation) || strcmp(c->isolation, b->name) == 0)
		return true;
	for (i = 0; i < c->walls.runtimes.n; i++)
		if (is_auto(c->walls.runtimes.item[i].value) || strcmp(c->walls.runtimes.item[i].value, b->name) == 0)
			return true;
	for (i = 0; i < c->walls.authors.n; i++)
		if (is_auto(grant_what(c->walls.authors.item[i])) || strcmp(grant_what(c->walls.authors.item[i]), b->name) == 0)
			return true;
	return false;
}

static const char *
word_for(const struct conf *c, const char *runtime, const char *author, const char *name)
{
	const char *word = author != NULL ? grant_find(&c->walls.authors, author, name) : NULL;
	size_t i;

	for (i = 0; word == NULL && i < c->walls.runtimes.n; i++)
		if (strcmp(c->walls.runtimes.item[i].key, runtime) == 0)
			word = c->walls.runtimes.item[i].value;
	return word != NULL ? word : c->isolation;
}

/* 0: this wall works, and around this runtime. */
static int
stands(const struct walls *w, size_t i, const struct runtime *r, struct err *e)
{
	const struct trial *t = &w->trial[i];

	if (!t->works)
		return t->tried ? err_set(e, t->why.kind, "%s", t->why.text) : err_set(e, ERR_INTERNAL, "it was not tried");
	return backend_at(i)->fits(w->conf, r, e);
}

static const struct backend *
strongest(const struct walls *w, const struct runtime *r, struct err *e)
{
	struct buf said = BUF_INIT;
	const struct backend *b;
	size_t i;

	for (i = 0; (b = backend_at(i)) != NULL; i++) {
		struct err why = ERR_INIT;

		if (is_none(b) && !w->conf->dev)
			continue;
		if (stands(w, i, r, &why) == 0) {
			buf_clear(&said);
			return b;
		}
		buf_fmt(&said, "%s%s: %.160s", said.len > 0 ? "; " : "", b->name, why.text);
	}
	err_set(e, ERR_INPUT, "isolation = auto: no wall works here for %s (%.330s)%s", r->name, said.len > 0 ? said.data : "",
	    w->conf->dev ? "" : ", and none is only chosen by name: --dev on your own machine, or isolation = none");
	buf_clear(&said);
	return NULL;
}

static const struct backend *
by_name(const struct walls *w, const char *word, const struct runtime *r, struct err *e)
{
	const struct backend *b;
	size_t i;

	for (i = 0; (b = backend_at(i)) != NULL; i++) {
		if (strcmp(b->name, word) != 0)
			continue;
		if (stands(w, i, r, e) == 0)
			return b;
		err_wrap(e, "isolation = %s", word);
		return NULL;
	}
	err_set(e, ERR_INPUT, "isolation = %s is not built into this version", word);
	return NULL;
}

const struct backend *
walls_of(const struct walls *w, const struct runtime *r, const char *author, const char *name, struct err *e)
{
	const char *word = word_for(w->conf, r->name, author, name);

	return is_auto(word) ? strongest(w, r, e) : by_name(w, word, r, e);
}

bool
walls_uses(const struct walls *w, const struct backend *b)
{
	size_t i;

	for (i = 0; backend_at(i) != NULL && backend_at(i) != b; i++)
		;
	return backend_at(i) != NULL && w->used[i];
}

void
walls_passed(const struct walls *w, struct buf *out)
{
	size_t i;

	for (i = 0; backend_at(i) != NULL; i++)
		if (w->trial[i].tried && !w->trial[i].works)
			buf_fmt(out, "%s: %s\n", backend_at(i)->name, w->trial[i].why.text);
}

/* --- the beginning --- */

static void
use(struct walls *w, const struct backend *b)
{
	size_t i;

	for (i = 0; b != NULL && backend_at(i) != NULL; i++)
		w->used[i] |= backend_at(i) == b;
}

/* The wall a runtime gets, also where only some author's bundles get one.  0, or e says why there is none at all. */
static int
settle(struct walls *w, const struct runtime *r, struct err *e)
{
	const struct backend *b = walls_of(w, r, NULL, NULL, e);
	bool any = b != NULL;
	size_t i;

	use(w, b);
	for (i = 0; i < w->conf->walls.authors.n; i++) {
		const char *word = grant_what(w->conf->walls.authors.item[i]);

		b = is_auto(word) ? strongest(w, r, NULL) : by_name(w, word, r, NULL);
		use(w, b);
		any |= b != NULL;
	}
	return any ? 0 : -1;
}

static int
settle_all(struct walls *w, struct runtimes *rs, struct err *e)
{
	struct err first = ERR_INIT;
	size_t i, n = 0;

	for (i = 0; i < rs->n; i++) {
		struct err why = ERR_INIT;

		if (rs->item[i].missing == NULL && settle(w, &rs->item[i], &why) != 0)
			rs->item[i].missing = mem_str(why.text);
		else if (rs->item[i].missing == NULL)
			n++;
		if (first.kind == ERR_NONE && why.kind != ERR_NONE)
			first = why;
	}
	if (n > 0 || first.kind == ERR_NONE)
		return 0; /* no definition can be read: another matter, told elsewhere */
	return err_set(e, first.kind, "%s", first.text);
}

struct walls *
walls_new(const struct conf *c, struct runtimes *rs, struct err *e)
{
	struct walls *w = mem_alloc(sizeof *w);
	const struct backend *b;
	size_t i;

	w->conf = c;
	w->runtimes = rs;
	for (i = 0; (b = backend_at(i)) != NULL; i++) {
		struct trial *t = &w->trial[i];

		t->tried = could_be(c, b);
		t->works = t->tried && b->probe(c, &t->why) == 0;
	}
	if (settle_all(w, rs, e) != 0)
		goto fail;
	for (i = 0; (b = backend_at(i)) != NULL; i++)
		if (is_none(b) && w->used[i] && backend_none_allowed(c, e) != 0)
			goto fail;
	return w;
fail:
	walls_free(w);
	return NULL;
}

void
walls_free(struct walls *w)
{
	free(w);
}
