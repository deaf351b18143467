/* SPDX-License-Identifier: Apache-2.0 */
/* Which columns a table has, and how wide. Numbers to the right, words to the left. */
#include "tools/shmstat/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GAP      2
#define CUT_SOFT 16 /* of a name, before a column is left out */
#define CUT_MIN  8  /* then */

struct shape {
	const struct column *columns;
	int count;
	bool right[COLUMNS_MAX];
	bool out[COLUMNS_MAX];
	size_t exact[COLUMNS_MAX];
	size_t scaled[COLUMNS_MAX]; /* with large counts as 12.3M */
	size_t cut[COLUMNS_MAX];    /* with long names cut, too */
	const size_t *widths;       /* the ones that are used */
};

static bool is_number(const json_t *rows, const struct column *column)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const json_t *value = row_get(row, column->key);

		if (value && !json_is_number(value) && !json_is_null(value))
			return false;
	}
	return true;
}

static void measure(struct shape *s, const json_t *rows)
{
	char cell[CELL_BYTES];
	const json_t *row;
	size_t i;

	for (int c = 0; c < s->count; c++) {
		const struct column *column = &s->columns[c];

		s->right[c] = is_number(rows, column);
		for (int scaled = 0; scaled < 2; scaled++) {
			size_t *width = scaled ? &s->scaled[c] : &s->exact[c];

			*width = strlen(column->title);
			json_array_foreach(rows, i, row)
			{
				cell_print(cell, row, column, scaled);
				if (strlen(cell) > *width)
					*width = strlen(cell);
			}
		}
	}
}

static bool fits(const struct shape *s, const size_t *widths, size_t width)
{
	size_t total = 0;

	for (int c = 0; c < s->count; c++)
		if (!s->out[c])
			total += widths[c] + (total ? GAP : 0);
	return total <= width;
}

/* The one to be left out next: of the highest rank, the one to the right. -1: none. */
static int least(const struct shape *s, int from_rank)
{
	int found = -1;

	for (int c = 0; c < s->count; c++)
		if (!s->out[c] && s->columns[c].rank >= from_rank &&
		    (found < 0 || s->columns[c].rank >= s->columns[found].rank))
			found = c;
	return found;
}

/* A column of words that is longer than that. -1: there is none. */
static int longest(const struct shape *s, size_t than)
{
	int found = -1;

	for (int c = 0; c < s->count; c++)
		if (!s->out[c] && !s->right[c] && s->cut[c] > than &&
		    s->cut[c] > strlen(s->columns[c].title) &&
		    (found < 0 || s->cut[c] > s->cut[found]))
			found = c;
	return found;
}

/* Numbers scaled, and long names cut, the longest first, to `least_width` at least. */
static bool cut(struct shape *s, size_t least_width, size_t width)
{
	int c;

	memcpy(s->cut, s->scaled, sizeof(s->cut));
	while (!fits(s, s->cut, width) && (c = longest(s, least_width)) >= 0)
		s->cut[c]--;
	s->widths = s->cut;
	return fits(s, s->cut, width);
}

/* Narrow ones that were left out before a wide one may have room now. */
static void fill(struct shape *s, size_t width)
{
	for (int rank = 2; rank < RANK_WIDE; rank++)
		for (int c = 0; c < s->count; c++) {
			if (!s->out[c] || s->columns[c].rank != rank)
				continue;
			s->out[c] = false;
			s->out[c] = !fits(s, s->widths, width);
		}
}

static void shrink(struct shape *s, size_t width)
{
	int c;

	while (!fits(s, s->exact, width) && (c = least(s, RANK_WIDE)) >= 0)
		s->out[c] = true;
	while (!fits(s, s->exact, width) && !cut(s, CUT_SOFT, width) &&
	       (c = least(s, 2)) >= 0)
		s->out[c] = true;
	if (fits(s, s->exact, width))
		s->widths = s->exact;
	else if (!cut(s, CUT_SOFT, width))
		cut(s, CUT_MIN, width);
	fill(s, width);
}

static void print_padded(const char *cell, size_t width, bool right, bool last)
{
	if (right)
		printf("%*s", (int)width, cell);
	else
		printf("%-*s", last ? 0 : (int)width, cell);
	fputs(last ? "\n" : "  ", stdout);
}

/* The titles, or with `row` its cells. */
static void print_line(const struct shape *s, const json_t *row)
{
	char cell[CELL_BYTES];
	int last = s->count - 1;

	while (last > 0 && s->out[last])
		last--;
	for (int c = 0; c <= last; c++) {
		size_t width = s->widths[c];

		if (s->out[c])
			continue;
		if (row)
			cell_print(cell, row, &s->columns[c],
				   s->widths != s->exact);
		else
			strcpy(cell, s->columns[c].title);
		cell_cut(cell, width);
		print_padded(cell, width, s->right[c], c == last);
	}
}

int table_print(const json_t *rows, const struct column *columns,
		const struct table_style *style)
{
	struct shape s = {.columns = columns};
	const json_t *row;
	int left_out = 0;
	size_t i;

	while (s.count < COLUMNS_MAX && columns[s.count].title)
		s.count++;
	measure(&s, rows);
	s.widths = s.exact;
	if (style->width)
		shrink(&s, style->width);
	if (style->titles)
		print_line(&s, NULL);
	json_array_foreach(rows, i, row) print_line(&s, row);
	for (int c = 0; c < s.count; c++)
		left_out += s.out[c];
	return left_out;
}

/* Breaks a value behind a comma or a space where it must. */
static void print_wrapped(const char *text, size_t indent, size_t width)
{
	size_t room = width > indent + 20 ? width - indent : 0;

	while (room && strlen(text) > room) {
		size_t at = room;

		while (at && text[at - 1] != ',' && text[at - 1] != ' ')
			at--;
		if (!at)
			at = room;
		printf("%.*s\n%*s", (int)at, text, (int)indent, "");
		text += at;
	}
	puts(text);
}

void table_print_object(const json_t *object, const struct column *columns,
			const struct table_style *style)
{
	char cell[CELL_BYTES];

	for (const struct column *c = columns; c->title; c++) {
		cell_print(cell, object, c, false);
		if (style->titles)
			printf("%-18s ", c->title);
		print_wrapped(cell, style->titles ? 19 : 0, style->width);
	}
}
