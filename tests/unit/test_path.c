/* What the front door makes of a request target: taken apart once, refused when a web server might read it otherwise. */
#include <stdlib.h>
#include <string.h>

#include "fcgi/path.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "tests/t.h"

static const char *
name_of(const char *uri)
{
	static struct err e;
	struct path p = PATH_INIT;
	int rc;

	memset(&e, 0, sizeof e);
	rc = path_parse(uri, "", 8192, &p, &e);
	path_clear(&p);
	return rc == 0 ? "" : err_name(&e);
}

TEST(path_is_split_into_segments_rest_and_query)
{
	struct path p = PATH_INIT;
	struct err e = ERR_INIT;

	CHECK(path_parse("/bundle/did:plc:abc/hello/1.2.0/list/more/pa%20th?a=b&c", "", 8192, &p, &e) == 0);
	CHECK_INT(p.n, 5);
	CHECK_STR(p.seg[0], "bundle");
	CHECK_STR(p.seg[1], "did:plc:abc");
	CHECK_STR(p.seg[2], "hello");
	CHECK_STR(p.seg[3], "1.2.0");
	CHECK_STR(p.seg[4], "list");
	CHECK_STR(p.rest, "/more/pa th");
	CHECK_STR(p.query, "a=b&c");
	path_clear(&p);
}

TEST(path_may_end_with_a_slash)
{
	struct path p = PATH_INIT;

	CHECK(path_parse("/bundle/a.b/n/latest/app/", "", 8192, &p, NULL) == 0);
	CHECK_STR(p.seg[4], "app");
	CHECK_STR(p.rest, "/");
	path_clear(&p);
	CHECK(path_parse("/", "", 8192, &p, NULL) == 0);
	CHECK_INT(p.n, 1);
	CHECK_STR(p.seg[0], "");
	path_clear(&p);
}

TEST(path_segments_are_decoded_once)
{
	struct path p = PATH_INIT;

	CHECK(path_parse("/bundle/did%3Aplc%3Aabc/n/%6catest/e/a%252Fb", "", 8192, &p, NULL) == 0);
	CHECK_STR(p.seg[1], "did:plc:abc");
	CHECK_STR(p.seg[3], "latest");
	CHECK_STR(p.rest, "/a%2Fb");
	path_clear(&p);
}

TEST(path_that_a_server_might_clean_is_refused)
{
	static const char *const bad[] = { "", "x", "*", "http://h/x", "//x", "/a//b", "/./a", "/a/.", "/..", "/a/../b",
		"/a/%2e%2e/b", "/a/%2E/b", "/a/.%2e/b", "/a%2Fb", "/a%2fb", "/a%5Cb", "/a%00", "/%", "/%4", "/%zz", "/%0a",
		"/a b", "/a\tb", "/a#b", "/%ff", "/\xff", "/\xc0\xaf", "/%7f", "/a/b//", NULL };
	size_t i;

	for (i = 0; bad[i] != NULL; i++)
		CHECK_STR(name_of(bad[i]), "InvalidPath");
}

TEST(path_with_dots_in_names_is_fine)
{
	CHECK_STR(name_of("/a/.well-known/..."), "");
	CHECK_STR(name_of("/a/b.c/1.2.0"), "");
	CHECK_STR(name_of("/a/\xc3\xa4"), "");
	CHECK_STR(name_of("/a?x=/../%2e%00//"), "");
}

TEST(path_longer_than_the_limit_is_414)
{
	struct path p = PATH_INIT;
	struct err e = ERR_INIT;

	CHECK(path_parse("/123456789", "", 9, &p, &e) == -1);
	CHECK_STR(err_name(&e), "UriTooLong");
	CHECK(strstr(e.text, "limits.url") != NULL);
	path_clear(&p);
}

TEST(path_base_is_cut_at_a_segment)
{
	struct path p = PATH_INIT;
	struct err e = ERR_INIT;

	CHECK(path_parse("/run/health?x", "/run", 99, &p, NULL) == 0);
	CHECK_STR(p.seg[0], "health");
	path_clear(&p);
	CHECK(path_parse("/run", "/run", 99, &p, NULL) == 0);
	CHECK_STR(p.seg[0], "");
	path_clear(&p);
	CHECK(path_parse("/runner/health", "/run", 99, &p, &e) == -1);
	CHECK_INT(e.kind, ERR_NOTFOUND);
	path_clear(&p);
	CHECK(path_parse("/health", "/run", 99, &p, &e) == -1);
	path_clear(&p);
	/* The document of a did:web lies where the DID says, and nothing else does. */
	CHECK(path_parse("/.well-known/did.json?x", "/run", 99, &p, NULL) == 0);
	CHECK_STR(p.seg[1], "did.json");
	path_clear(&p);
	CHECK(path_parse("/.well-known/did.json/x", "/run", 99, &p, &e) == -1);
	path_clear(&p);
	CHECK(path_parse("/.well-known/x", "/run", 99, &p, &e) == -1);
	path_clear(&p);
}

static void
check_param(const char *query, const char *name, const char *want)
{
	struct buf b = BUF_INIT;

	if (path_param(query, name, &b))
		CHECK_STR(b.data, want != NULL ? want : "(absent)");
	else
		CHECK(want == NULL);
	buf_clear(&b);
}

TEST(path_param_decodes_a_form)
{
	check_param("author=did%3Aplc%3Aa&b=1", "author", "did:plc:a");
	check_param("a=x+y%20z", "a", "x y z");
	check_param("&&a=1&a=2", "a", "1");
	check_param("a", "a", "");
	check_param("ab=1", "a", NULL);
	check_param("", "a", NULL);
	check_param("a=%4", "a", "%4");
	check_param("a=%41", "a", "A");
	check_param("a=%", "a", "%");
	check_param("a=x%00y", "a", "x\001y");
}

TEST(path_query_loses_only_named_parameters)
{
	static const char *const own[] = { "author", "path", NULL };
	struct buf b = BUF_INIT;

	path_query_without("author=a&x=%20+&path=/p&y&authors=1", own, &b);
	CHECK_STR(b.data, "x=%20+&y&authors=1");
	buf_clear(&b);
	path_query_without("author=a", own, &b);
	CHECK_STR(b.data, "");
	buf_clear(&b);
}

static const char *
target_name(const char *author, const char *bundle, const char *version, const char *endpoint, bool dev)
{
	static struct err e;
	struct target t = { (char *)author, (char *)bundle, (char *)version, (char *)endpoint, (char *)"", (char *)"" };

	memset(&e, 0, sizeof e);
	return target_check(&t, dev, &e) == 0 ? "" : err_name(&e);
}

TEST(target_parts_have_their_own_error_names)
{
	static const char plc[] = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

	CHECK_STR(target_name(plc, "hello", "latest", "list", false), "");
	CHECK_STR(target_name("alice.example.com", "hello", "1.0.0", "list", false), "");
	CHECK_STR(target_name("did:web:example.com", "hello", "1.0.0", "list", false), "");
	CHECK_STR(target_name("did:plc:short", "hello", "latest", "list", false), "InvalidDid");
	CHECK_STR(target_name("did:", "hello", "latest", "list", false), "InvalidDid");
	CHECK_STR(target_name("did:key:zQ3shZc2QzApp2oymGvQbzP8eKheVshBHbU4ZYjeXqwSKEn6N", "h", "latest", "l", false),
	    "UnsupportedDidMethod");
	CHECK_STR(target_name("alice", "hello", "latest", "list", false), "InvalidHandle");
	CHECK_STR(target_name("a_b.example.com", "hello", "latest", "list", false), "InvalidHandle");
	CHECK_STR(target_name("local", "hello", "latest", "list", false), "InvalidHandle");
	CHECK_STR(target_name("local", "hello", "latest", "list", true), "");
	CHECK_STR(target_name(plc, "he llo", "latest", "list", false), "InvalidBundleName");
	CHECK_STR(target_name(plc, "a:b", "latest", "list", false), "InvalidBundleName");
	CHECK_STR(target_name(plc, "hello", "1/2", "list", false), "InvalidVersion");
	CHECK_STR(target_name(plc, "hello", "latest", "9 lives", false), "InvalidEndpoint");
	CHECK_STR(target_name("", "hello", "latest", "list", false), "InvalidRequest");
	CHECK_STR(target_name(plc, "", "latest", "list", false), "InvalidRequest");
}
