/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sheet of styled characters that grows by rows. All that `watch` shows is laid out on
 * sheets, and only terminal.c knows a terminal, so tests read sheets.
 *
 * A cell is one character of UTF-8 that is one column wide. Text that does not fit to the right is
 * cut off. When memory is out, rows are missing.
 */
#ifndef WATCH_SHEET_H
#define WATCH_SHEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum style {
	STYLE_PLAIN,
	STYLE_DIM,
	STYLE_BOLD,
	STYLE_TITLE, /* of a part, or of columns */
	STYLE_GOOD,
	STYLE_WARN,
	STYLE_BAD,
	STYLE_SPARK,
	STYLE_HEAT_LOW,
	STYLE_HEAT_HALF,
	STYLE_HEAT_HIGH,
	STYLE_BAR, /* first and last line */
	STYLES
};

struct cell {
	char glyph[4]; /* with its NUL */
	uint8_t style;
	bool selected;
};

#define SHEET_KEY 176

struct sheet {
	int width, rows;
	struct cell *cells;      /* [rows * width] */
	char (*keys)[SHEET_KEY]; /* of each row: its meaning, or empty */
	int room;
};

void sheet_init(struct sheet *sheet, int width);
void sheet_free(struct sheet *sheet);

/* Adds an empty row. Its number, or -1. */
int sheet_row(struct sheet *sheet);
/* Makes the last row stand for something that can be selected. */
void sheet_key(struct sheet *sheet, const char *key);
/* The column behind what was put. Text in row -1 is thrown away. */
int sheet_put(struct sheet *sheet, int row, int column, enum style style,
	      const char *text);
int sheet_printf(struct sheet *sheet, int row, int column, enum style style,
		 const char *format, ...) __attribute__((format(printf, 5, 6)));
/* In a field: `width` columns, to the left, or with a negative width to the right. */
int sheet_field(struct sheet *sheet, int row, int column, int width,
		enum style style, const char *text);
/* Copies a row onto a row of another sheet of the same width. */
void sheet_copy(struct sheet *to, int to_row, const struct sheet *from,
		int from_row);
/* The row as text without blanks at its end. Owned by the caller, or NULL. */
char *sheet_text(const struct sheet *sheet, int row);

#endif
