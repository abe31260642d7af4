#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "lib/mem.h"
#include "tests/t.h"

TEST(err_says_minus_one_and_what)
{
	struct err e = ERR_INIT;

	CHECK_INT(err_set(&e, ERR_INPUT, "no %s", "name"), -1);
	CHECK_INT(e.kind, ERR_INPUT);
	CHECK_STR(e.text, "no name");
	CHECK_STR(err_name(&e), "InvalidRequest");
	CHECK_INT(err_named(&e, ERR_NOTFOUND, "BundleNotFound", "x"), -1);
	CHECK_STR(err_name(&e), "BundleNotFound");
	CHECK_INT(err_set(NULL, ERR_INPUT, "nobody cares"), -1);
	CHECK_INT(err_wrap(NULL, "nobody"), -1);
}

TEST(err_wrap_keeps_kind_name_and_cause)
{
	struct err e = ERR_INIT;

	err_named(&e, ERR_REMOTE, "UpstreamFailure", "cause");
	CHECK_INT(err_wrap(&e, "fetch %d", 1), -1);
	CHECK_STR(e.text, "fetch 1: cause");
	CHECK_INT(e.kind, ERR_REMOTE);
	CHECK_STR(err_name(&e), "UpstreamFailure");
}

TEST(err_never_overflows)
{
	struct err e = ERR_INIT;
	char *longer = mem_alloc(2000);
	int i;

	memset(longer, 'y', 1999);
	err_set(&e, ERR_INPUT, "%s", longer);
	CHECK_INT(strlen(e.text), sizeof e.text - 1);
	for (i = 0; i < 100; i++)
		err_wrap(&e, "again and again");
	CHECK(strlen(e.text) < sizeof e.text);
	err_wrap(&e, "%s", longer);
	CHECK_INT(strlen(e.text), sizeof e.text - 1);
	err_named(&e, ERR_INPUT, longer, "x");
	CHECK(strlen(e.name) < sizeof e.name);
	errno = ENOENT;
	err_errno(&e, "%s", longer);
	CHECK(strlen(e.text) < sizeof e.text);
	free(longer);
}

TEST(err_errno_tells_the_system_s_reason)
{
	struct err e = ERR_INIT;

	errno = ENOENT;
	CHECK_INT(err_errno(&e, "open %s", "x"), -1);
	CHECK_STR(e.text, "open x: No such file or directory");
	CHECK_INT(e.kind, ERR_INTERNAL);
}

TEST(err_kinds_have_words)
{
	int i;

	for (i = 0; i < ERR_KIND_COUNT; i++) {
		struct err e = { (enum err_kind)i, "", "" };
		CHECK(err_kind_name((enum err_kind)i) != NULL);
		CHECK(err_name(&e)[0] != '\0');
	}
}
