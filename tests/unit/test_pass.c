/* Secrets that somebody shows again. */
#include "tests/t.h"

#include <string.h>

#include "lib/err.h"
#include "lib/pass.h"
#include "lib/store.h"
#include "lib/store_page.h"

#define SECRET "0123456789abcdef0123456789abcdef0123456789abcdef"

TEST(pass_is_read_strictly)
{
	static const struct {
		const char *text;
		int64_t id; /* 0: it is none */
	} rows[] = {
		{ "atrp_1_" SECRET, 1 }, { "atrp_123456789012345678_" SECRET, INT64_C(123456789012345678) },
		{ "atrp_0_" SECRET, 0 }, { "atrp_01_" SECRET, 0 }, { "atrp_-1_" SECRET, 0 }, { "atrp__" SECRET, 0 },
		{ "atrp_1234567890123456789_" SECRET, 0 }, { "atrs_1_" SECRET, 0 }, { "atrp1_" SECRET, 0 }, { "atrp_1" SECRET, 0 },
		{ "atrp_1_" SECRET "0", 0 }, { "atrp_1_0123", 0 }, { "", 0 }, { "atrp", 0 }, { " atrp_1_" SECRET, 0 },
		{ "atrp_1_0123456789ABCDEF0123456789abcdef0123456789abcdef", 0 },
	}, *r;

	for (T_EACH(r, rows)) {
		char secret[PASS_SECRET + 1];
		int64_t id = 0;
		bool good = pass_parse(r->text, "atrp", &id, secret);

		CHECK_INT(good ? id : 0, r->id);
		if (good)
			CHECK_STR(secret, SECRET);
	}
}

TEST(pass_hashes_say_what_they_are_of)
{
	char a[PASS_HASH + 1], b[PASS_HASH + 1], one[PASS_SECRET + 1], two[PASS_SECRET + 1];

	pass_hash("x", "abc", a);
	/* printf x:abc | sha256sum */
	CHECK_STR(a, "05837f54bb4be2238bd03d356e71f77087374ea11630b0d381570120736b210c");
	pass_hash("y", "abc", b);
	CHECK(!pass_same(a, b, PASS_HASH));
	CHECK(pass_same(a, a, PASS_HASH));
	pass_new(one);
	pass_new(two);
	CHECK_INT(strlen(one), PASS_SECRET);
	CHECK(strcmp(one, two) != 0);
}

TEST(page_tokens_and_sessions_end)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	char hash[PASS_HASH + 1], got[PASS_HASH + 1] = "";
	int64_t forever, week, session, other;
	int n;

	pass_hash(PASS_PAGE_OF, SECRET, hash);
	CHECK_INT(page_token_put(s, "a", hash, 1000, 0, &forever, &e), 0);
	CHECK_INT(page_token_put(s, "b", hash, 1000, 5000, &week, &e), 0);
	CHECK_INT(page_token_hash(s, week, 4999, got, &e), 1);
	CHECK_STR(got, hash);
	CHECK_INT(page_token_hash(s, week, 5000, got, &e), 0);
	CHECK_INT(page_token_hash(s, 77, 1, got, &e), 0);
	CHECK_INT(page_session_put(s, forever, hash, 2000, 3000, &session, &e), 0);
	CHECK_INT(page_session_put(s, week, hash, 2000, 90000, &other, &e), 0);
	CHECK_INT(page_session_hash(s, session, 2999, got, &e), 1);
	CHECK_INT(page_session_hash(s, session, 3000, got, &e), 0);
	/* A session does not outlive its token, whether its time is over or it was revoked. */
	CHECK_INT(page_session_hash(s, other, 4999, got, &e), 1);
	CHECK_INT(page_session_hash(s, other, 5000, got, &e), 0);
	CHECK_INT(page_token_revoke(s, forever, 2500, &n, &e), 0);
	CHECK_INT(n, 1);
	CHECK_INT(page_session_hash(s, session, 2600, got, &e), 0);
	CHECK_INT(page_token_hash(s, forever, 2600, got, &e), 0);
	CHECK_INT(page_token_revoke(s, forever, 2600, &n, &e), 0);
	CHECK_INT(n, 0);
	CHECK_INT(page_session_end(s, other, 2600, &e), 0);
	CHECK_INT(page_session_hash(s, other, 2600, got, &e), 0);
	CHECK_INT(page_token_revoke(s, 0, 2700, &n, &e), 0);
	CHECK_INT(n, 1);
}

TEST(page_counts_wrong_tokens_for_a_while)
{
	struct store *s = t_store();
	struct err e = ERR_INIT;
	int64_t tries, since, now;

	for (now = 1000; now < 1005; now++)
		CHECK_INT(page_wrong_add(s, "::1", now - 100, now, &e), 0);
	CHECK_INT(page_wrong_add(s, "10.0.0.1", 1005 - 100, 1005, &e), 0);
	CHECK_INT(page_wrong(s, "::1", 950, &tries, &since, &e), 0);
	CHECK_INT(tries, 5);
	CHECK_INT(since, 1000);
	CHECK_INT(page_wrong(s, "::1", 1000, &tries, &since, &e), 0);
	CHECK_INT(tries, 0);
	CHECK_INT(page_wrong_add(s, "::1", 1100, 1200, &e), 0);
	CHECK_INT(page_wrong(s, "::1", 1100, &tries, &since, &e), 0);
	CHECK_INT(tries, 1);
	CHECK_INT(page_wrong(s, "10.0.0.1", 0, &tries, &since, &e), 0);
	CHECK_INT(tries, 0); /* it was old, and is gone */
}
