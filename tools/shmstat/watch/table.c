/* SPDX-License-Identifier: Apache-2.0 */
/* See table.h. */
#include "tools/shmstat/watch/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/shmstat/watch/format.h"

#define MARGIN   2 /* of rows, for the mark of the selected one */
#define REST_MAX 48

void table_begin(struct table *table, struct draw *draw,
		 const struct tcolumn *columns)
{
	int sheet = draw->sheet->width, used = MARGIN, x = MARGIN, rest = -1;

	*table = (struct table){.draw = draw, .columns = columns};
	for (int i = 0; columns[i].title && i < TABLE_COLUMNS; i++) {
		if (sheet < columns[i].from)
			continue;
		table->width[i] = abs(columns[i].width);
		used += table->width[i] + 1;
		if (!columns[i].width)
			rest = i;
	}
	if (rest >= 0)
		table->width[rest] = sheet - used < 0          ? 0
				     : sheet - used > REST_MAX ? REST_MAX
							       : sheet - used;
	table->row = sheet_row(draw->sheet);
	for (int i = 0; columns[i].title && i < TABLE_COLUMNS; i++) {
		if (!table->width[i])
			continue;
		table->x[i] = x;
		x += table->width[i] + 1;
		table_text(table, i, STYLE_TITLE, columns[i].title);
	}
}

void table_row(struct table *table, const char *key)
{
	table->row = sheet_row(table->draw->sheet);
	if (key)
		sheet_key(table->draw->sheet, key);
}

void table_text(struct table *table, int column, enum style style,
		const char *text)
{
	int width = table->width[column];

	if (!width)
		return;
	if (table->columns[column].width < 0)
		width = -width;
	sheet_field(table->draw->sheet, table->row, table->x[column], width,
		    style, *text ? text : "-");
}

static enum style style_of(enum style style, double n)
{
	return style == STYLE_PLAIN && !(n > 0) ? STYLE_DIM : style;
}

void table_count(struct table *table, int column, enum style style, double n)
{
	char text[FORMAT_BYTES];

	table_text(table, column, style_of(style, n), format_count(text, n));
}

void table_rate(struct table *table, int column, enum style style, double n)
{
	char text[FORMAT_BYTES];

	table_text(table, column, style_of(style, n), format_rate(text, n));
}

void table_us(struct table *table, int column, enum style style, double ns)
{
	char text[FORMAT_BYTES];

	table_text(table, column, style_of(style, ns), format_us(text, ns));
}

void table_spark(struct table *table, int column, const char *key,
		 const char *name)
{
	const struct shown *shown = table->draw->shown;
	double points[RATES_POINTS];
	size_t count;

	if (!table->width[column])
		return;
	count = rates_history(shown->rates, key, name, points, RATES_POINTS);
	format_spark(table->draw->sheet, table->row, table->x[column],
		     table->width[column], points, count, shown->utf8);
}

void table_bar(struct table *table, int column, double part)
{
	int width = table->width[column];
	char text[FORMAT_BYTES] = "-";
	int x;

	if (width < 6)
		return;
	x = format_bar(table->draw->sheet, table->row, table->x[column],
		       width - 5, part, format_heat(part),
		       table->draw->shown->utf8);
	if (isfinite(part))
		snprintf(text, sizeof(text), "%.0f%%", part * 100);
	sheet_field(table->draw->sheet, table->row, x, -5, format_heat(part),
		    text);
}
