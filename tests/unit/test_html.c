/* What strangers wrote, on a page. */
#include "tests/t.h"

#include <string.h>

#include "fcgi/html.h"
#include "fcgi/page_chart.h"
#include "lib/buf.h"

TEST(html_escapes_whatever_is_put_in)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "plain, ünï", "plain, ünï" },
		{ "<script>alert(1)</script>", "&#60;script&#62;alert(1)&#60;/script&#62;" },
		{ "\" onload='x' &amp;", "&#34; onload=&#39;x&#39; &#38;amp;" },
		{ "a\tb\nc", "a\tb\nc" },
		{ "\x1b[2J\x7f\r", "\xef\xbf\xbd[2J\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xc2\x85|\xc3", "\xef\xbf\xbd|\xef\xbf\xbd" },        /* a control of two bytes; a sequence that breaks off */
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* half a pair */
		{ "", "" },
	}, *r;

	for (T_EACH(r, rows)) {
		struct buf b = BUF_INIT;

		buf_str(&b, "");
		html_text(&b, r->in);
		CHECK_STR(b.data, r->out);
		buf_clear(&b);
	}
}

TEST(html_formats_and_escapes)
{
	struct buf b = BUF_INIT;

	html(&b, "<p class=\"%s\">%d %lld %zu 100%%</p>", "\"><b>", -7, 1234567890123LL, (size_t)5);
	CHECK_STR(b.data, "<p class=\"&#34;&#62;&#60;b&#62;\">-7 1234567890123 5 100%</p>");
	buf_reset(&b);
	html_url(&b, "did:plc:a/b?c=\"d\"&e%");
	CHECK_STR(b.data, "did:plc:a%2Fb%3Fc%3D%22d%22%26e%25");
	buf_clear(&b);
}

TEST(html_numbers_for_people)
{
	static const struct {
		int64_t n;
		const char *count, *ms;
	} rows[] = { { 0, "0", "0\xc2\xa0ms" }, { 999, "999", "999\xc2\xa0ms" }, { 1234, "1,234", "1.2\xc2\xa0s" },
		{ 119999, "119,999", "119\xc2\xa0s" }, { 120000, "120,000", "2.0\xc2\xa0min" }, { 1234567, "1,234,567", "20\xc2\xa0min" },
		{ 172800000, "172,800,000", "2.0\xc2\xa0" "d" } }, *r;

	for (T_EACH(r, rows)) {
		struct buf b = BUF_INIT;

		html_count(&b, r->n);
		CHECK_STR(b.data, r->count);
		buf_reset(&b);
		html_ms(&b, r->n);
		CHECK_STR(b.data, r->ms);
		buf_clear(&b);
	}
}

TEST(chart_takes_24_hours_and_no_more)
{
	const int64_t now = INT64_C(1764000000000);
	struct traffic t = { .outcome = { [OUTCOME_OK] = 2, [OUTCOME_TIMEOUT] = 1, [OUTCOME_EXPIRED] = 4, [OUTCOME_LOST] = 1 } };
	struct chart c;

	chart_init(&c, now);
	for (t.at = now - now % TRAFFIC_MS - 400 * TRAFFIC_MS; t.at <= now + 10 * TRAFFIC_MS; t.at += TRAFFIC_MS)
		chart_take(&c, &t);
	CHECK_INT(c.slot[0].at, c.since);
	CHECK_INT(chart_calls(&c.slot[0]), 3 * 8);
	CHECK_INT(chart_of(&c.slot[CHART_SLOTS - 2], CHART_LIMIT), 3);
	CHECK_INT(chart_of(&c.slot[5], CHART_NOT_RUN), 12);
	CHECK_INT(chart_of(&c.all, CHART_LOST), chart_of(&c.all, CHART_OK) / 2);
	CHECK(chart_calls(&c.all) <= 8 * 3 * CHART_SLOTS);
}

TEST(chart_guesses_shares_within_the_bounds)
{
	struct traffic t = { .waited = 0 };
	int i;

	CHECK_INT(chart_share_ms(&t, 0.5), -1);
	t.waited = 100;
	for (i = 0; i < TRAFFIC_BOUNDS; i++)
		t.within[i] = traffic_bound_ms[i] >= 25 ? 90 : traffic_bound_ms[i] >= 10 ? 50 : 0;
	CHECK_INT(chart_share_ms(&t, 0.5), 10);
	CHECK_INT(chart_share_ms(&t, 0.7), 18);     /* half of the way from 10 to 25 */
	CHECK_INT(chart_share_ms(&t, 0.95), 30000); /* longer than the last bound */
}

TEST(chart_draws_nothing_and_something)
{
	struct chart c;
	struct traffic t = { .outcome = { [OUTCOME_OK] = 1 }, .waited = 1 };
	struct chart_part none[] = { { "ok", "well", 0 } }, two[] = { { "ok", "well", 100000 }, { "failed", "badly", 1 } };
	struct buf b = BUF_INIT;

	chart_init(&c, INT64_C(1764000000000));
	chart_draw_calls(&c, &b);
	chart_draw_waits(&c, &b);
	chart_table(&c, &b);
	CHECK(strstr(b.data, "nan") == NULL && strstr(b.data, "No calls in these 24 hours") != NULL);
	t.at = c.since;
	chart_take(&c, &t);
	buf_reset(&b);
	chart_draw_calls(&c, &b);
	CHECK(strstr(b.data, "M1 0h8v100h-8z") != NULL);
	buf_reset(&b);
	buf_str(&b, "");
	chart_bar(none, 1, "x", &b);
	CHECK_STR(b.data, "");
	chart_bar(two, 2, "x", &b);
	CHECK(strstr(b.data, "<rect class=\"failed\" x=\"999\" width=\"1\"") != NULL);
	buf_clear(&b);
}
