/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heat map: a cell for each lane, in the order of CPUs, a line or more for each class and
 * node. The height of the mark is the fill, so it reads without colours, too. A lane that
 * refuses events shows "!".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/shmstat/get.h"
#include "tools/shmstat/watch/format.h"
#include "tools/shmstat/watch/view.h"

#define LABEL 18 /* columns of channel and class */
#define RANGE 17 /* of node and CPUs */
#define WIDE  7  /* of a cell that shows its number, too */

static const char *node_text(const json_t *lane, char *text, size_t size)
{
	if (json_is_integer(json_object_get(lane, "node")))
		snprintf(text, size, "n%lld", get_count(lane, "node"));
	else
		snprintf(text, size, "n?");
	return text;
}

static long long number(const json_t *lane)
{
	return get_true(lane, "side") ? get_count(lane, "lane")
				      : get_count(lane, "cpu");
}

static bool same_line(const json_t *a, const json_t *b)
{
	return !strcmp(get_text(a, "channel"), get_text(b, "channel")) &&
	       !strcmp(get_text(a, "class"), get_text(b, "class")) &&
	       get_true(a, "side") == get_true(b, "side") &&
	       get_count(a, "node") == get_count(b, "node");
}

static int compare(const void *a, const void *b)
{
	const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
	int order = strcmp(get_text(x, "channel"), get_text(y, "channel"));

	if (!order)
		order = strcmp(get_text(x, "class"), get_text(y, "class"));
	if (!order)
		order = (int)get_true(x, "side") - (int)get_true(y, "side");
	if (!order && get_count(x, "node") != get_count(y, "node"))
		order = get_count(x, "node") < get_count(y, "node") ? -1 : 1;
	if (!order)
		order = number(x) < number(y) ? -1 : number(x) > number(y);
	return order;
}

static void draw_cell(struct draw *draw, int row, int x, int width,
		      const json_t *lane)
{
	double fill = get_number(lane, "fill");
	bool drops = get_number(lane, "dropped_per_s") > 0;
	enum style style = drops ? STYLE_BAD : format_heat(fill);

	sheet_put(draw->sheet, row, x, style,
		  drops ? "!"
			: format_level(format_level_of(fill, 1),
				       draw->shown->utf8));
	if (width == WIDE)
		sheet_printf(draw->sheet, row, x + 1, style, "%4.0f%%",
			     fill * 100);
}

/* The lanes of one class on one node, in lines of `room` columns. */
static void draw_line(struct draw *draw, json_t **lanes, size_t count)
{
	int room = draw->sheet->width - LABEL - RANGE - 2, width, fit, row;
	char label[64], range[64], node[24];

	width = room / (int)count >= WIDE ? WIDE
		: room / (int)count >= 2  ? 2
					  : 1;
	fit = room / width > 0 ? room / width : 1;
	for (size_t i = 0; i < count; i += (size_t)fit) {
		size_t last = i + (size_t)fit < count ? i + (size_t)fit - 1
						      : count - 1;

		row = sheet_row(draw->sheet);
		snprintf(label, sizeof(label), "%.30s %.30s",
			 get_text(lanes[i], "channel"),
			 get_text(lanes[i], "class"));
		snprintf(range, sizeof(range), "%s %s %lld-%lld",
			 node_text(lanes[i], node, sizeof(node)),
			 get_true(lanes[i], "side") ? "side" : "cpu",
			 number(lanes[i]), number(lanes[last]));
		if (!i)
			sheet_field(draw->sheet, row, 2, LABEL - 1, STYLE_PLAIN,
				    label);
		sheet_field(draw->sheet, row, LABEL + 2, RANGE - 1, STYLE_DIM,
			    range);
		for (size_t j = i; j <= last; j++)
			draw_cell(draw, row,
				  LABEL + RANGE + 2 + width * (int)(j - i),
				  width, lanes[j]);
	}
}

void draw_heat(struct draw *draw)
{
	struct picked rows;
	size_t first = 0;

	pick_rows(&rows, draw, "lanes", SCREEN_LANES);
	qsort(rows.all, rows.count, sizeof(*rows.all), compare);
	for (size_t i = 1; i <= rows.count; i++) {
		if (i < rows.count && same_line(rows.all[first], rows.all[i]))
			continue;
		draw_line(draw, rows.all + first, i - first);
		first = i;
	}
	if (!rows.count)
		sheet_put(draw->sheet, sheet_row(draw->sheet), 2, STYLE_DIM,
			  *draw->view->filter
				  ? "no lane that the filter lets through"
				  : "no lane");
	pick_free(&rows);
}
