#include "scheduler/seen.h"

#include <stdlib.h>

#include "lib/err.h"
#include "lib/mem.h"
#include "tests/t.h"

#define A "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
#define B "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb"

TEST(a_token_is_seen_once_and_by_its_issuer)
{
	struct seen *s = seen_new();

	CHECK(!seen_before(s, A, "n", 1));
	CHECK_INT(seen_add(s, A, "n", 1, 1000, 1, NULL), 0);
	CHECK(!seen_before(s, A, "n", 1)); /* the same job looks again */
	CHECK(seen_before(s, A, "n", 2));
	CHECK(!seen_before(s, B, "n", 2));
	CHECK(!seen_before(s, A, "m", 2));
	/* Where one ends and the other begins is part of it. */
	CHECK(!seen_before(s, A "n", "", 2));
	seen_free(s);
}

TEST(tokens_that_are_over_make_room)
{
	struct seen *s = seen_new();
	int64_t i;

	/* A crowd that lives for ten of its own number. */
	for (i = 1; i <= 100000; i++) {
		char *nonce = mem_fmt("%lld", (long long)i);

		CHECK_INT(seen_add(s, A, nonce, i, i + 10, i, NULL), 0);
		CHECK(seen_before(s, A, nonce, i + 1));
		free(nonce);
	}
	CHECK(seen_before(s, A, "99999", 1));
	seen_free(s);
}
