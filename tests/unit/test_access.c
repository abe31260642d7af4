#include "lib/access.h"

#include <stdlib.h>
#include <string.h>

#include "lib/conf.h"
#include "lib/err.h"
#include "lib/mem.h"
#include "tests/t.h"

#define ME    "did:plc:meeeeeeeeeeeeeeeeeeeeeee"
#define ALICE "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
#define BOB   "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb"
#define EVE   "did:plc:eeeeeeeeeeeeeeeeeeeeeeee"
#define LIST  "at://" ME "/app.bsky.graph.list/3lonbndhf722s"

/* The operator follows Alice and Bob; Alice and Eve follow back; Bob is on the list; of "did:web:new.test" nothing is known. */
static enum access_fact
graph(void *arg, enum access_edge edge, const char *list, const char *did)
{
	(void)arg;
	if (strcmp(did, "did:web:new.test") == 0)
		return FACT_UNKNOWN;
	switch (edge) {
	case EDGE_FOLLOWED:
		return strcmp(did, ALICE) == 0 || strcmp(did, BOB) == 0 ? FACT_YES : FACT_NO;
	case EDGE_FOLLOWS:
		return strcmp(did, ALICE) == 0 || strcmp(did, EVE) == 0 ? FACT_YES : FACT_NO;
	default:
		return strcmp(list, LIST) == 0 && strcmp(did, BOB) == 0 ? FACT_YES : FACT_NO;
	}
}

TEST(access_is_as_the_mode_says)
{
	static const struct {
		const char *section, *did;
		enum access_said said;
		const char *why;
	} cases[] = {
		{ "mode = open", EVE, ACCESS_YES, "everybody may (access.mode = open)" },
		{ "mode = open\nblocklist = " EVE, EVE, ACCESS_NO, EVE " is on access.blocklist" },
		{ "mode = allowlist", EVE, ACCESS_NO, "not on access.allowlist" },
		{ "mode = allowlist", ME, ACCESS_YES, "runs this runner" },
		{ "mode = allowlist\nblocklist = " ME, ME, ACCESS_NO, "is on access.blocklist" },
		{ "mode = allowlist\nallowlist = " EVE, EVE, ACCESS_YES, "is on access.allowlist" },
		{ "mode = allowlist\nallowlist = " EVE "\nblocklist = " EVE, EVE, ACCESS_NO, "is on access.blocklist" },
		{ "mode = blocklist\nblocklist = " EVE, EVE, ACCESS_NO, "is on access.blocklist" },
		{ "mode = blocklist\nblocklist = " EVE, BOB, ACCESS_YES, "is not on access.blocklist" },
		{ "mode = follows", ALICE, ACCESS_YES, "is followed by the operator" },
		{ "mode = follows", EVE, ACCESS_NO, "is not followed by the operator" },
		{ "mode = follows\nallowlist = " EVE, EVE, ACCESS_YES, "is on access.allowlist" },
		{ "mode = follows\nblocklist = " ALICE, ALICE, ACCESS_NO, "is on access.blocklist" },
		{ "mode = follows", "did:web:new.test", ACCESS_NOT_KNOWN, "not known yet" },
		{ "mode = mutuals", ALICE, ACCESS_YES, "follows the operator" },
		{ "mode = mutuals", BOB, ACCESS_NO, "does not follow the operator" },
		{ "mode = mutuals", EVE, ACCESS_NO, "is not followed by the operator" },
		{ "mode = mutuals\nallowlist = " BOB, BOB, ACCESS_YES, "is on access.allowlist" },
		{ "mode = mutuals\nblocklist = " ALICE, ALICE, ACCESS_NO, "is on access.blocklist" },
		{ "mode = list\nlist = " LIST, BOB, ACCESS_YES, "is on the list" },
		{ "mode = list\nlist = " LIST, ALICE, ACCESS_NO, "is not on the list" },
		{ "mode = list\nlist = " LIST "\nallowlist = " ALICE, ALICE, ACCESS_YES, "is on access.allowlist" },
		{ "mode = list\nlist = " LIST "\nblocklist = " BOB, BOB, ACCESS_NO, "is on access.blocklist" },
	}, *c;
	const struct access_facts facts = { graph, NULL };

	for (T_EACH(c, cases)) {
		char *text = mem_fmt("did = " ME "\n[access]\n%s\n", c->section), why[ACCESS_WHY];
		struct err e = ERR_INIT;
		struct conf *conf = conf_parse("config.ini", text, strlen(text), "/h", NULL, &e);
		struct access a;

		CHECK_STR(e.text, "");
		a = access_authors(conf);
		CHECK_INT(access_says(&a, c->did, &facts, why), c->said);
		CHECK_INT(access_says(&a, c->did, &facts, NULL), c->said);
		if (strstr(why, c->why) == NULL)
			CHECK_STR(why, c->why);
		conf_free(conf);
		free(text);
	}
}

TEST(callers_are_judged_by_their_own_section)
{
	const char *text = "did = " ME "\n[access]\nmode = open\n[callers]\nmode = known\nblocklist = " EVE "\n";
	struct conf *c = conf_parse("config.ini", text, strlen(text), "/h", NULL, NULL);
	struct access a = access_callers(c);
	const struct access_facts facts = { graph, NULL };
	char why[ACCESS_WHY];

	CHECK_INT(access_says(&a, NULL, &facts, why), ACCESS_ANONYMOUS);
	CHECK(strstr(why, "callers.mode = known") != NULL);
	CHECK_INT(access_says(&a, BOB, &facts, why), ACCESS_YES);
	CHECK_INT(access_says(&a, EVE, &facts, why), ACCESS_NO);
	conf_free(c);
}
