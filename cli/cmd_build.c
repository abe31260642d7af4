/* build: the images of runtimes. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "backends/engine.h"
#include "backends/image.h"
#include "backends/runtime.h"
#include "cli/build.h"
#include "cli/owner.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"

static void
add_result(struct table *t, const char *name, const struct built *x)
{
	char *bytes = mem_fmt("%lld", (long long)x->bytes), *took = mem_fmt("%lld", (long long)x->took_ms);
	const struct desk_cell cells[] = { { "runtime", name, false }, { "image", x->id, false },
		{ "state", x->fresh ? "up to date" : x->same ? "unchanged" : "built", false }, { "bytes", bytes, true },
		{ "took_ms", took, true } };

	table_row(t, cells, sizeof cells / sizeof cells[0]);
	free(bytes);
	free(took);
}

/* Nothing to make it of, and no wish to: a definition of one's own for a program that is on the host. */
static bool
has_packages(const struct conf *conf, const struct runtime *r)
{
	return image_with_nix(conf, r) || r->debian.n + r->npm.n > 0;
}

static int
build_all(struct cli *c, const struct conf *conf, const struct runtimes *rs, const char *only, struct table *t, int *code)
{
	struct engine x = { 0 };
	struct err e = ERR_INIT;
	bool engine = engine_find(conf, &x, NULL) == 0;
	int n = 0;

	if (!engine)
		cli_say(c, "no container engine is installed: what is built serves the wall sandbox only");
	for (size_t i = 0; i < rs->n; i++) {
		const struct runtime *r = &rs->item[i];
		struct built out;

		if (only != NULL ? strcmp(only, r->name) != 0 : !has_packages(conf, r))
			continue;
		n++;
		if (r->command == NULL || !has_packages(conf, r)) {
			err_set(&e, ERR_INPUT, "%s: %s", r->name, r->command == NULL ? r->missing :
			    r->nix.n > 0 ? "its definition names packages of nixpkgs only, and build.nixpkgs is not set" :
			    "its definition names no packages: debian, npm");
			*code = cli_fail(c, &e);
		} else if (build_image(c, conf, r, engine ? &x : NULL, cli_option(c, "force") != NULL, &out, &e) != 0) {
			*code = cli_fail(c, &e);
		} else {
			add_result(t, r->name, &out);
		}
	}
	engine_clear(&x);
	return n;
}

int
cmd_build(struct cli *c)
{
	const char *only = cli_option(c, "runtime");
	struct runtimes rs = { NULL, 0 };
	struct table *t = table_new();
	struct err e = ERR_INIT;
	int code = 0;
	struct conf *conf = cli_conf(c, true, &code);

	if (conf == NULL)
		goto out;
	owner_become(conf);
	if (runtimes_load(&rs, conf, false, &e) != 0) {
		code = cli_fail_as(c, EX_CONFIG, &e);
		goto out;
	}
	if (build_all(c, conf, &rs, only, t, &code) == 0) {
		err_set(&e, ERR_NOTFOUND, only != NULL ? "no runtime %s is offered: [runtimes] names them" :
		    "no runtime with packages is offered", only);
		code = cli_fail(c, &e);
	}
	if (table_rows(t) > 0)
		table_print(c, t, "images", "runtime state image bytes took_ms");
out:
	runtimes_clear(&rs);
	table_free(t);
	conf_free(conf);
	return code;
}
