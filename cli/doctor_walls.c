/* The walls, each tried once as the scheduler would, and what stands around each runtime. */
#include "cli/doctor.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/backend.h"
#include "backends/image.h"
#include "backends/runtime.h"
#include "backends/walls.h"
#include "cli/cli.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/store.h"

enum { FRESH_MS = 15000 };

/* A wall that nobody uses may be down; one that the config asks for by name may not. */
static void
tell_wall(const struct conf *c, const struct backend *b, struct report *r)
{
	struct err e = ERR_INIT;
	struct buf is = BUF_INIT;
	char what[64];

	snprintf(what, sizeof what, "wall %s", b->name);
	if (b->probe(c, &e) == 0) {
		b->describe(c, &is);
		doctor_say(r, DOCTOR_OK, what, NULL, "works: %s", is.data != NULL ? is.data : "");
	} else {
		bool named = c->isolation != NULL && strcmp(c->isolation, b->name) == 0;

		doctor_say(r, named ? DOCTOR_FAILURE : DOCTOR_WARNING, what, doctor_mend(e.text), "%s", e.text);
	}
	buf_clear(&is);
}

/* What the scheduler that runs says of its runtimes; no rows when none does. */
static struct table *
living(const struct conf *c)
{
	struct store *s = access(c->database, F_OK) == 0 ? store_open(c->database, STORE_DESK, NULL) : NULL;
	struct table *t = table_new(), *status = table_new();
	const char *ended, *seen;

	if (s != NULL && desk_query(s, "desk_status", NULL, table_row, status, NULL) == 0 && table_rows(status) > 0 &&
	    (ended = table_cell(status, 0, "ended")) != NULL && strcmp(ended, "0") == 0 &&
	    (seen = table_cell(status, 0, "seen_ms")) != NULL && clock_wall_ms() - strtoll(seen, NULL, 10) < FRESH_MS)
		desk_query(s, "desk_runtimes", NULL, table_row, t, NULL);
	table_free(status);
	store_close(s);
	return t;
}

/* A service has other rights than we: what works here need not work there. */
static bool
tell_other(const struct runtime *x, const struct backend *b, const struct table *live, struct report *r)
{
	char what[64];

	for (size_t i = 0; i < table_rows(live); i++) {
		const char *name = table_cell(live, i, "name"), *wall = table_cell(live, i, "wall");

		if (name == NULL || strcmp(name, x->name) != 0 || wall == NULL || strcmp(wall, b->name) == 0)
			continue;
		snprintf(what, sizeof what, "runtime %.40s", x->name);
		if (strcmp(b->name, "container") == 0)
			doctor_say(r, DOCTOR_WARNING, what, "at-rund systemd install", "the scheduler that runs took the wall %s, while "
			    "container works for its user: the hardened unit keeps podman from its user ids, and isolation = container "
			    "makes another unit", wall);
		else
			doctor_say(r, DOCTOR_WARNING, what, NULL, "the scheduler that runs took the wall %s; a new start would take %s", wall,
			    b->name);
		return true;
	}
	return false;
}

/* Of the runtimes that every runner is offered without a word in its config, some may be absent. */
static void
tell_runtime(const struct conf *c, const struct walls *w, const struct runtime *x, const struct table *live, struct report *r)
{
	const struct backend *b = w != NULL && x->missing == NULL ? walls_of(w, x, NULL, NULL, NULL) : NULL;
	enum verdict bad = c->runtimes.n > 0 ? DOCTOR_FAILURE : DOCTOR_WARNING;
	struct buf key = BUF_INIT;
	struct image m = { 0 };
	char what[64], build[80];

	snprintf(what, sizeof what, "runtime %.40s", x->name);
	snprintf(build, sizeof build, "at-rund build --runtime %.40s", x->name);
	image_key(c, x, &key);
	if (x->executor == NULL || x->command == NULL)
		doctor_say(r, bad, what, NULL, "%s", x->missing);
	else if (b == NULL && x->program == NULL)
		doctor_say(r, bad, what, build, "%s is neither installed nor in an image", x->command);
	else if (b == NULL)
		doctor_say(r, bad, what, NULL, "no wall that the config allows stands around it");
	else if (image_load(&m, c, x->name, NULL) == 0 && strcmp(m.key, key.data) != 0)
		doctor_say(r, DOCTOR_WARNING, what, build, "runs behind the wall %s; its image is of an older definition", b->name);
	else if (!tell_other(x, b, live, r))
		doctor_say(r, DOCTOR_OK, what, NULL, "runs behind the wall %s", b->name);
	image_clear(&m);
	buf_clear(&key);
}

void
doctor_walls(const struct conf *c, struct report *r)
{
	struct runtimes rs = { NULL, 0 };
	struct err e = ERR_INIT;
	struct walls *w = NULL;
	struct table *live;
	const struct backend *b;
	size_t i;

	for (i = 0; (b = backend_at(i)) != NULL; i++)
		if (strcmp(b->name, "none") != 0 || (c->isolation != NULL && strcmp(c->isolation, "none") == 0) || c->dev)
			tell_wall(c, b, r);
	if (runtimes_load(&rs, c, false, &e) != 0) {
		doctor_say(r, DOCTOR_FAILURE, "runtimes", NULL, "%s", e.text);
		return;
	}
	live = living(c);
	w = walls_new(c, &rs, &e);
	if (w == NULL)
		doctor_say(r, DOCTOR_FAILURE, "walls", doctor_mend(e.text), "%s", e.text);
	for (i = 0; i < rs.n; i++)
		tell_runtime(c, w, &rs.item[i], live, r);
	table_free(live);
	walls_free(w);
	runtimes_clear(&rs);
}
