#include "fcgi/page_chart.h"

#include <math.h>
#include <string.h>

#include "fcgi/html.h"
#include "lib/buf.h"

#define WIDTH      960 /* units of the picture: ten a slot */
#define SLOT_WIDTH (WIDTH / CHART_SLOTS)
#define HEIGHT     100
#define LEAST      3   /* so that one failure among thousands is seen */
#define PAIRS      (CHART_SLOTS / 2)
#define SLOTS_HOUR 4
#define DECADES    4.0 /* 1 ms to 10 s, a quarter of the height each */

static const struct {
	const char *word, *class_;
} sorts[CHART_SORTS] = {
	[CHART_OK] = { "ended well", "ok" },
	[CHART_FAILED] = { "the bundle failed", "failed" },
	[CHART_LIMIT] = { "a limit was hit", "limit" },
	[CHART_NOT_RUN] = { "refused, expired or cancelled", "not-run" },
	[CHART_LOST] = { "the runner failed", "lost" },
};

const char *
chart_word(enum chart_sort sort)
{
	return sorts[sort].word;
}

const char *
chart_class(enum chart_sort sort)
{
	return sorts[sort].class_;
}

/* --- gathering --- */

void
chart_init(struct chart *c, int64_t now)
{
	int i;

	memset(c, 0, sizeof *c);
	c->since = now - now % CHART_SLOT_MS - (CHART_SLOTS - 1) * CHART_SLOT_MS;
	for (i = 0; i < CHART_SLOTS; i++)
		c->slot[i].at = c->since + i * CHART_SLOT_MS;
}

static void
add(struct traffic *to, const struct traffic *t)
{
	int i;

	for (i = 0; i < OUTCOME_COUNT; i++)
		to->outcome[i] += t->outcome[i];
	for (i = 0; i < START_COUNT; i++)
		to->start[i] += t->start[i];
	for (i = 0; i < TRAFFIC_BOUNDS; i++)
		to->within[i] += t->within[i];
	to->waited += t->waited;
	to->sum_ms += t->sum_ms;
}

void
chart_take(void *chart, const struct traffic *t)
{
	struct chart *c = chart;
	int64_t i = (t->at - c->since) / CHART_SLOT_MS;

	if (t->at < c->since || i >= CHART_SLOTS)
		return;
	add(&c->slot[i], t);
	add(&c->all, t);
}

int64_t
chart_of(const struct traffic *t, enum chart_sort sort)
{
	const int64_t *o = t->outcome;

	switch (sort) {
	case CHART_OK:
		return o[OUTCOME_OK];
	case CHART_FAILED:
		return o[OUTCOME_ERROR];
	case CHART_LIMIT:
		return o[OUTCOME_TIMEOUT] + o[OUTCOME_MEMORY] + o[OUTCOME_OUTPUT] + o[OUTCOME_KILLED];
	case CHART_NOT_RUN:
		return o[OUTCOME_REFUSED] + o[OUTCOME_EXPIRED] + o[OUTCOME_CANCELLED];
	default:
		return o[OUTCOME_LOST];
	}
}

int64_t
chart_calls(const struct traffic *t)
{
	int64_t n = 0;
	int i;

	for (i = OUTCOME_OK; i < OUTCOME_COUNT; i++)
		n += t->outcome[i];
	return n;
}

int64_t
chart_share_ms(const struct traffic *t, double share)
{
	double want = share * (double)t->waited;
	int64_t below = 0, floor_ms = 0;
	int i;

	if (t->waited == 0)
		return -1;
	for (i = 0; i < TRAFFIC_BOUNDS; i++) {
		if ((double)t->within[i] >= want) {
			double part = (want - (double)below) / (double)(t->within[i] - below);
			int64_t ms = floor_ms + (int64_t)(part * (double)(traffic_bound_ms[i] - floor_ms) + 0.5);

			return ms > 0 ? ms : 1;
		}
		below = t->within[i];
		floor_ms = traffic_bound_ms[i];
	}
	return traffic_bound_ms[TRAFFIC_BOUNDS - 1];
}

/* --- drawing --- */

/* 24 hours: three words below each picture. */
static void
hours(struct buf *b)
{
	buf_str(b, "<div class=\"hours\" aria-hidden=\"true\"><span>24 h ago</span><span>18 h</span><span>12 h</span><span>6 h</span>"
		   "<span>now</span></div>");
}

static void
begin(struct buf *b, const char *id, const char *what)
{
	html(b, "<svg class=\"plot\" viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" role=\"img\" aria-labelledby=\"%s\">"
	    "<title id=\"%s\">%s</title>", WIDTH, HEIGHT, id, id, what);
}

static void
legend(struct buf *b, const char *class_, const char *word)
{
	html(b, "<li><svg viewBox=\"0 0 10 10\" aria-hidden=\"true\"><rect class=\"%s\" width=\"10\" height=\"10\" rx=\"3\"/></svg>"
	    "%s</li>", class_, word);
}

/* Of a slot's bar: where the parts up to this one end, from above. */
static int
height_of(int64_t n, int64_t most)
{
	int h = most > 0 ? (int)(n * HEIGHT / most) : 0;

	return n > 0 && h < LEAST ? LEAST : h;
}

static void
bars(const struct chart *c, enum chart_sort sort, int64_t most, int *top, struct buf *b)
{
	int i;

	html(b, "<path class=\"%s\" d=\"", sorts[sort].class_);
	for (i = 0; i < CHART_SLOTS; i++) {
		int h = height_of(chart_of(&c->slot[i], sort), most);

		if (h > top[i])
			h = top[i];
		if (h == 0)
			continue;
		top[i] -= h;
		buf_fmt(b, "M%d %dh%dv%dh-%dz", i * SLOT_WIDTH + 1, top[i], SLOT_WIDTH - 2, h, SLOT_WIDTH - 2);
	}
	buf_str(b, "\"/>");
}

void
chart_draw_calls(const struct chart *c, struct buf *b)
{
	int top[CHART_SLOTS], i;
	int64_t most = 0;

	for (i = 0; i < CHART_SLOTS; i++) {
		top[i] = HEIGHT;
		if (chart_calls(&c->slot[i]) > most)
			most = chart_calls(&c->slot[i]);
	}
	buf_str(b, "<figure><figcaption><b>Calls</b> <span>at most ");
	html_count(b, most);
	buf_str(b, " in 15 minutes</span></figcaption>");
	begin(b, "chart-calls", "Calls in each quarter of an hour of the last 24 hours, by what became of them");
	/* What is rare and bad is drawn first, at the bottom, where it is not lost. */
	for (i = CHART_SORTS - 1; i >= 0; i--)
		if (chart_of(&c->all, (enum chart_sort)i) > 0)
			bars(c, (enum chart_sort)i, most, top, b);
	buf_str(b, "</svg>");
	hours(b);
	buf_str(b, "<ul class=\"legend\">");
	for (i = 0; i < CHART_SORTS; i++)
		if (i == CHART_OK || chart_of(&c->all, (enum chart_sort)i) > 0)
			legend(b, sorts[i].class_, sorts[i].word);
	buf_str(b, "</ul></figure>\n");
}

static int
y_of(int64_t ms)
{
	double y = HEIGHT - log10((double)(ms > 0 ? ms : 1)) / DECADES * HEIGHT;

	return y < 1 ? 1 : (int)y;
}

/* Half hours; where nobody called there is a gap, and what stands alone between two gaps is a short dash. */
static void
line(const struct chart *c, double share, const char *class_, struct buf *b)
{
	bool drawing = false;
	int i;

	html(b, "<path class=\"line %s\" d=\"", class_);
	for (i = 0; i < PAIRS; i++) {
		struct traffic two = c->slot[2 * i];
		int64_t ms;

		add(&two, &c->slot[2 * i + 1]);
		ms = chart_share_ms(&two, share);
		if (ms >= 0)
			buf_fmt(b, drawing ? "L%d %dh%d" : "M%d %dh%d", 2 * i * SLOT_WIDTH + 2, y_of(ms), 2 * SLOT_WIDTH - 4);
		drawing = ms >= 0;
	}
	buf_str(b, "\"/>");
}

void
chart_draw_waits(const struct chart *c, struct buf *b)
{
	int i;

	buf_str(b, "<figure><figcaption><b>Time to an answer</b> <span>");
	buf_str(b, c->all.waited > 0 ? "by half hours" : "nobody waited");
	buf_str(b, "</span></figcaption><div class=\"scaled\">"
		   "<div class=\"scale\" aria-hidden=\"true\"><span>10 s</span><span>1 s</span><span>100 ms</span><span>10 ms</span>"
		   "<span>1 ms</span></div>");
	begin(b, "chart-waits", "How long half of the callers, and 19 of 20, waited at most in each half hour of the last 24 hours");
	buf_str(b, "<path class=\"grid\" d=\"");
	for (i = 0; i <= 4; i++)
		buf_fmt(b, "M0 %dh%d", i * HEIGHT / 4, WIDTH);
	buf_str(b, "\"/>");
	line(c, 0.95, "p95", b);
	line(c, 0.5, "p50", b);
	buf_str(b, "</svg></div>");
	hours(b);
	buf_str(b, "<ul class=\"legend\">");
	legend(b, "p50", "half of the callers");
	legend(b, "p95", "19 of 20");
	buf_str(b, "</ul></figure>\n");
}

void
chart_table(const struct chart *c, struct buf *b)
{
	int i, k, rows = 0;

	buf_str(b, "<details><summary>The same in figures, by the hour</summary><div class=\"wide\" tabindex=\"0\" role=\"region\" "
		   "aria-label=\"Figures by the hour\"><table><thead><tr><th scope=\"col\">Hour (UTC)</th><th scope=\"col\">Calls</th>"
		   "<th scope=\"col\">Well</th><th scope=\"col\">Failed</th><th scope=\"col\">Limit</th><th scope=\"col\">Not run</th>"
		   "<th scope=\"col\">Lost</th><th scope=\"col\">Half</th><th scope=\"col\">19 of 20</th></tr></thead><tbody>\n");
	for (i = 0; i < CHART_SLOTS; i += SLOTS_HOUR) {
		struct traffic hour = { .at = c->slot[i].at };

		for (k = 0; k < SLOTS_HOUR; k++)
			add(&hour, &c->slot[i + k]);
		if (chart_calls(&hour) == 0)
			continue;
		rows++;
		buf_fmt(b, "<tr><th scope=\"row\">%02d:%02d</th><td>", (int)(hour.at / 3600000 % 24), (int)(hour.at / 60000 % 60));
		html_count(b, chart_calls(&hour));
		for (k = 0; k < CHART_SORTS; k++) {
			buf_str(b, "</td><td>");
			html_count(b, chart_of(&hour, (enum chart_sort)k));
		}
		for (k = 0; k < 2; k++) {
			buf_str(b, "</td><td>");
			if (hour.waited > 0)
				html_ms(b, chart_share_ms(&hour, k == 0 ? 0.5 : 0.95));
		}
		buf_str(b, "</td></tr>\n");
	}
	if (rows == 0)
		buf_str(b, "<tr><td colspan=\"9\">No calls in these 24 hours.</td></tr>");
	buf_str(b, "</tbody></table></div></details>\n");
}

void
chart_bar(const struct chart_part *parts, int count, const char *what, struct buf *b)
{
	int64_t all = 0, x = 0;
	int i;

	for (i = 0; i < count; i++)
		all += parts[i].n;
	if (all == 0)
		return;
	html(b, "<svg class=\"bar\" viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"%s\">", what);
	for (i = 0; i < count; i++) {
		int64_t w = parts[i].n * 1000 / all;

		if (parts[i].n > 0 && w < 6)
			w = 6;
		if (x + w > 1000 || (i + 1 == count && w > 0))
			w = 1000 - x;
		if (w > 0)
			buf_fmt(b, "<rect class=\"%s\" x=\"%lld\" width=\"%lld\" height=\"10\"/>", parts[i].class_, (long long)x, (long long)w);
		x += w;
	}
	buf_str(b, "</svg><ul class=\"legend\">");
	for (i = 0; i < count; i++)
		if (parts[i].n > 0) {
			html(b, "<li><svg viewBox=\"0 0 10 10\" aria-hidden=\"true\"><rect class=\"%s\" width=\"10\" height=\"10\" rx=\"3\"/></svg><b>",
			    parts[i].class_);
			html_count(b, parts[i].n);
			html(b, "</b> %s</li>", parts[i].word);
		}
	buf_str(b, "</ul>\n");
}
