#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/syntax.h"
#include "tests/t.h"

typedef bool question(const char *s, size_t n);

/* Asks about every line of a vector file that is neither empty nor a comment. */
static void
ask_all(const char *file, question *ask, bool expected)
{
	char path[200];
	char *text, *line, *next;
	int cases = 0, wrong = 0;

	snprintf(path, sizeof path, "syntax/%s", file);
	text = t_read_file(t_vector(path), NULL);
	if (text == NULL)
		SKIP("no vectors at %s (AT_RUND_VECTORS)", t_vector(path));
	for (line = text; line != NULL && *line != '\0'; line = next) {
		size_t n = strcspn(line, "\n");

		next = line[n] == '\n' ? line + n + 1 : NULL;
		if (n == 0 || line[0] == '#')
			continue;
		cases++;
		if (ask(line, n) != expected) {
			wrong++;
			t_note("%s: wrong about [%.*s]", file, (int)(n < 120 ? n : 120), line);
		}
	}
	free(text);
	t_note("%s: %d cases", file, cases);
	CHECK(cases > 0);
	CHECK_INT(wrong, 0);
}

#define VECTORS(kind, ask)                                                                    \
	TEST(syntax_##kind##_vectors)                                                         \
	{                                                                                     \
		ask_all(#kind "_syntax_valid.txt", ask, true);                                \
		ask_all(#kind "_syntax_invalid.txt", ask, false);                             \
	}

VECTORS(atidentifier, syntax_at_identifier)
VECTORS(aturi, syntax_aturi)
VECTORS(cid, syntax_cid)
VECTORS(datetime, syntax_datetime)
VECTORS(did, syntax_did)
VECTORS(handle, syntax_handle)
VECTORS(language, syntax_language)
VECTORS(nsid, syntax_nsid)
VECTORS(recordkey, syntax_rkey)
VECTORS(tid, syntax_tid)
VECTORS(uri, syntax_uri)

TEST(syntax_refuses_what_is_well_formed_and_means_nothing)
{
	ask_all("datetime_parse_invalid.txt", syntax_datetime, false);
	ask_all("language_parse_invalid.txt", syntax_language, false);
}

static bool
known(const char *s, bool dev)
{
	return syntax_did_known(s, strlen(s), dev);
}

TEST(syntax_did_of_a_method_we_can_resolve)
{
	CHECK(known("did:plc:7iza6de2dwap2sbkpav7c6c6", false));
	CHECK(!known("did:plc:7iza6de2dwap2sbkpav7c6c", false));
	CHECK(!known("did:plc:7iza6de2dwap2sbkpav7c6c66", false));
	CHECK(!known("did:plc:7iza6de2dwap2sbkpav7c6c1", false));
	CHECK(!known("did:plc:7IZA6de2dwap2sbkpav7c6c6", false));
	CHECK(known("did:web:example.com", false));
	CHECK(!known("did:web:example.com:path", false));
	CHECK(!known("did:web:localhost", false));
	CHECK(known("did:web:localhost", true));
	CHECK(known("did:web:localhost%3A1234", true));
	CHECK(!known("did:web:localhost%3A1234", false));
	CHECK(!known("did:web:localhost%3A01", true));
	CHECK(!known("did:web:localhost%2F", true));
	CHECK(!known("did:web:127.0.0.1", true));
	CHECK(!known("did:web:host.internal", false));
	CHECK(!known("did:key:zQ3shZc2QzApp2oymGvQbzP8eKheVshBHbU4ZYjeXqwSKEn6N", false));
}

TEST(syntax_handle_that_may_be_looked_up)
{
	CHECK(syntax_handle_public("alice.bsky.social", 17, false));
	CHECK(!syntax_handle_public("alice.test", 10, false));
	CHECK(syntax_handle_public("alice.test", 10, true));
	CHECK(!syntax_handle_public("alice.LOCAL", 11, true));
	CHECK(!syntax_handle_public("handle.invalid", 14, true));
	CHECK(!syntax_handle_public("x.onion", 7, true));
}

TEST(syntax_bundle_names_versions_and_endpoints)
{
	char longest[130];

	memset(longest, 'a', sizeof longest);
	CHECK(syntax_bundle_name("hello-world_1.2~x", 17));
	CHECK(!syntax_bundle_name("a:b", 3));
	CHECK(!syntax_bundle_name("", 0));
	CHECK(!syntax_bundle_name(".", 1));
	CHECK(!syntax_bundle_name("..", 2));
	CHECK(syntax_bundle_name("...", 3));
	CHECK(!syntax_bundle_name("a/b", 3));
	CHECK(!syntax_bundle_name("a\0b", 3));
	CHECK(!syntax_bundle_name("a%2e", 4));
	CHECK(syntax_bundle_name(longest, 128));
	CHECK(!syntax_bundle_name(longest, 129));
	CHECK(syntax_version("1.2.0", 5));
	CHECK(syntax_version("latest", 6));
	CHECK(!syntax_version("1.0+x", 5));
	CHECK(syntax_endpoint("listVideos", 10));
	CHECK(syntax_endpoint("$_x-1", 5));
	CHECK(!syntax_endpoint("1x", 2));
	CHECK(!syntax_endpoint("-x", 2));
	CHECK(!syntax_endpoint("a.b", 3));
	CHECK(!syntax_endpoint("", 0));
}

TEST(syntax_handles_are_lowered_in_ascii_only)
{
	char s[] = "Alice.BSKY.Social\xc3\x89";

	syntax_handle_lower(s);
	CHECK_STR(s, "alice.bsky.social\xc3\x89");
}
