/*
 * 24 hours as small pictures: SVG that stretches to any width, its words beside it in HTML so that they stay readable.
 */
#ifndef FCGI_PAGE_CHART_H
#define FCGI_PAGE_CHART_H

#include <stdint.h>

#include "lib/store_traffic.h"

struct buf;

/* What became of calls, in the words of at-rund-jobs(7), drawn together. */
enum chart_sort { CHART_OK, CHART_FAILED, CHART_LIMIT, CHART_NOT_RUN, CHART_LOST, CHART_SORTS };

#define CHART_SLOTS   96
#define CHART_SLOT_MS INT64_C(900000)

struct chart {
	int64_t since; /* start of the first slot */
	struct traffic slot[CHART_SLOTS], all;
};

/* The window of 24 hours that ends with the slot of now. */
void chart_init(struct chart *c, int64_t now);
/* Takes a row of five minutes; a callback of front_traffic. */
void chart_take(void *chart, const struct traffic *t);

int64_t chart_calls(const struct traffic *t);
int64_t chart_of(const struct traffic *t, enum chart_sort sort);
/* How long a share (0.5, 0.95) of those that waited took at most, in ms, guessed within the histogram's bounds; -1: none. */
int64_t chart_share_ms(const struct traffic *t, double share);
const char *chart_word(enum chart_sort sort);
const char *chart_class(enum chart_sort sort);

void chart_draw_calls(const struct chart *c, struct buf *b);
void chart_draw_waits(const struct chart *c, struct buf *b);
/* The same figures by the hour, in a table. */
void chart_table(const struct chart *c, struct buf *b);

/* One bar of parts, each with its class; nothing when all are 0. */
struct chart_part {
	const char *class_, *word;
	int64_t n;
};
void chart_bar(const struct chart_part *parts, int count, const char *what, struct buf *b);

#endif
