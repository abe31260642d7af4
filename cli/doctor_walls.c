/* The walls, each tried once as the scheduler would, and what stands around each runtime. */
#include "cli/doctor.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "backends/backend.h"
#include "backends/image.h"
#include "backends/runtime.h"
#include "backends/walls.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"

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

/* Of the runtimes that every runner is offered without a word in its config, some may be absent. */
static void
tell_runtime(const struct conf *c, const struct walls *w, const struct runtime *x, struct report *r)
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
	else
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
	const struct backend *b;
	size_t i;

	for (i = 0; (b = backend_at(i)) != NULL; i++)
		if (strcmp(b->name, "none") != 0 || (c->isolation != NULL && strcmp(c->isolation, "none") == 0) || c->dev)
			tell_wall(c, b, r);
	if (runtimes_load(&rs, c, false, &e) != 0) {
		doctor_say(r, DOCTOR_FAILURE, "runtimes", NULL, "%s", e.text);
		return;
	}
	w = walls_new(c, &rs, &e);
	if (w == NULL)
		doctor_say(r, DOCTOR_FAILURE, "walls", doctor_mend(e.text), "%s", e.text);
	for (i = 0; i < rs.n; i++)
		tell_runtime(c, w, &rs.item[i], r);
	walls_free(w);
	runtimes_clear(&rs);
}
