/* The ledger's side of the social graph; what is asked of servers is tried by tests/e2e/test_access.py. */
#include <stdlib.h>

#include "lib/err.h"
#include "lib/store.h"
#include "lib/store_graph.h"
#include "tests/t.h"

#define ME "did:plc:meeeeeeeeeeeeeeeeeeeeeee"
static char a[] = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", b[] = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb", c[] = "did:web:c.example.com";

TEST(a_set_holds_whom_the_last_whole_reading_met)
{
	struct store *s = t_store();
	char *first[] = { a, b }, *second[] = { b, c };
	struct work_graph g, same;

	CHECK_INT(work_graph_open(s, "follows", ME, &g, NULL), 0);
	CHECK(g.owner == NULL && g.checked_at == 0);
	CHECK_INT(work_graph_page(s, g.id, 1, ME, first, 2, NULL), 0);
	CHECK_INT(work_graph_done(s, g.id, 1, NULL, 1000, NULL), 0);
	CHECK_INT(work_graph_has(s, g.id, a, NULL), 1);
	CHECK_INT(work_graph_has(s, g.id, c, NULL), 0);
	/* Half a reading adds, and takes nothing away; a failure too. */
	CHECK_INT(work_graph_page(s, g.id, 2, ME, second, 2, NULL), 0);
	CHECK_INT(work_graph_failed(s, g.id, "down", 2000, NULL), 0);
	CHECK_INT(work_graph_has(s, g.id, a, NULL), 1);
	CHECK_INT(work_graph_has(s, g.id, c, NULL), 1);
	CHECK_INT(work_graph_done(s, g.id, 2, NULL, 3000, NULL), 0);
	CHECK_INT(work_graph_has(s, g.id, a, NULL), 0);
	CHECK_INT(work_graph_has(s, g.id, b, NULL), 1);
	/* The next scheduler finds it. */
	CHECK_INT(work_graph_open(s, "follows", ME, &same, NULL), 0);
	CHECK_INT(same.id, g.id);
	CHECK_INT(same.reading, 2);
	CHECK_INT(same.checked_at, 3000);
	CHECK_STR(same.owner, ME);
	free(same.owner);
}

TEST(who_follows_is_remembered_for_each_operator)
{
	struct store *s = t_store();
	int64_t at = 0;
	bool follows = true;

	CHECK_INT(work_follower_get(s, a, ME, &follows, &at, NULL), 0);
	CHECK_INT(work_follower_put(s, a, ME, true, 10, NULL), 0);
	CHECK_INT(work_follower_put(s, a, ME, false, 20, NULL), 0);
	CHECK_INT(work_follower_get(s, a, ME, &follows, &at, NULL), 1);
	CHECK(!follows && at == 20);
	CHECK_INT(work_follower_get(s, a, b, &follows, &at, NULL), 0);
}
