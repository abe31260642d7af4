#include "tests/t.h"

#include <string.h>

#include "lib/conf.h"
#include "lib/grant.h"

TEST(a_grant_says_who_and_what)
{
	static const struct {
		const char *text;
		bool path, name;
	} row[] = {
		{ "* /srv/data", true, false },
		{ "did:plc:ewvi7nxzyoun6zhxrhs64oiz /srv/data", true, false },
		{ "did:web:example.com/hello /srv/data.x/y-z", true, false },
		{ "local/hello /opt", true, false },
		{ "local REGION", false, true },
		{ "* _a1", false, true },
		{ "/srv/data", false, false },
		{ "did:plc:ewvi7nxzyoun6zhxrhs64oiz/ /srv", false, false },
		{ "somebody /srv", false, false },
		{ "** /srv", false, false },
		{ "* srv", false, true }, /* a name like any other */
		{ "* /", false, false },
		{ "* /etc", false, false },
		{ "* /proc/1", false, false },
		{ "* /tmp/x", false, false },
		{ "* /job/x", false, false },
		{ "* /srv/", false, false },
		{ "* /srv//x", false, false },
		{ "* /srv/./x", false, false },
		{ "* /srv/..", false, false },
		{ "* /srv/../etc", false, false },
		{ "* /srv/.hidden", true, false },
		{ "* LD_PRELOAD", false, false },
		{ "* AT_RUND_HOME", false, false },
		{ "* 1A", false, false },
		{ "* A-B", false, false },
		{ "* ", false, false },
		{ "", false, false },
	}, *x;

	for (T_EACH(x, row)) {
		if (grant_is_path(x->text) != x->path || grant_is_name(x->text) != x->name)
			CHECK_STR(x->text, "");
	}
}

TEST(a_grant_holds_for_whom_it_names_and_for_no_path_beside)
{
	static const char *const items[] = { "did:plc:a /srv/a", "did:plc:a/x /srv/ax", "* /srv/all" };
	const struct conf_list l = { (char **)(uintptr_t)items, 3 };
	static const struct {
		const char *author, *name, *path, *want;
	} row[] = {
		{ "did:plc:a", "y", "/srv/a", "/srv/a" },
		{ "did:plc:a", "y", "/srv/a/b/c", "/srv/a" },
		{ "did:plc:a", "y", "/srv/a/../b", NULL },
		{ "did:plc:a", "y", "/srv/a/.", NULL },
		{ "did:plc:a", "y", "/srv/ab", NULL },
		{ "did:plc:a", "y", "/srv", NULL },
		{ "did:plc:a", "x", "/srv/ax", "/srv/ax" },
		{ "did:plc:a", "y", "/srv/ax", NULL },
		{ "did:plc:a", "xx", "/srv/ax", NULL },
		{ "did:plc:a", NULL, "/srv/ax", NULL },
		{ "did:plc:ab", "x", "/srv/a", NULL },
		{ "did:plc", "x", "/srv/a", NULL },
		{ NULL, NULL, "/srv/a", NULL },
		{ "did:plc:b", "x", "/srv/all/y", "/srv/all" },
	}, *x;

	for (T_EACH(x, row)) {
		const char *got = grant_path(&l, x->author, x->name, x->path);

		CHECK_STR(got != NULL ? got : "", x->want != NULL ? x->want : "");
	}
}
