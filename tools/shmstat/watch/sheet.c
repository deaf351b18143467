/* SPDX-License-Identifier: Apache-2.0 */
/* See sheet.h. */
#include "tools/shmstat/watch/sheet.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sheet_init(struct sheet *sheet, int width)
{
	*sheet = (struct sheet){.width = width > 0 ? width : 1};
}

void sheet_free(struct sheet *sheet)
{
	free(sheet->cells);
	free(sheet->keys);
	*sheet = (struct sheet){.width = sheet->width};
}

static bool grow(struct sheet *sheet)
{
	int room = sheet->room ? 2 * sheet->room : 64;
	size_t bytes = (size_t)room * (size_t)sheet->width;
	void *cells = realloc(sheet->cells, bytes * sizeof(*sheet->cells));
	void *keys;

	if (!cells)
		return false;
	sheet->cells = cells;
	keys = realloc(sheet->keys, (size_t)room * sizeof(*sheet->keys));
	if (!keys)
		return false;
	sheet->keys = keys;
	sheet->room = room;
	return true;
}

static struct cell *row_cells(const struct sheet *sheet, int row)
{
	return sheet->cells + (size_t)row * (size_t)sheet->width;
}

int sheet_row(struct sheet *sheet)
{
	struct cell *cells;

	if (sheet->rows == sheet->room && !grow(sheet))
		return -1;
	cells = row_cells(sheet, sheet->rows);
	for (int i = 0; i < sheet->width; i++)
		cells[i] = (struct cell){.glyph = " "};
	sheet->keys[sheet->rows][0] = 0;
	return sheet->rows++;
}

void sheet_key(struct sheet *sheet, const char *key)
{
	if (sheet->rows)
		snprintf(sheet->keys[sheet->rows - 1], SHEET_KEY, "%s", key);
}

/* Bytes of the character, 1 to 3. Others than UTF-8 are one byte each. */
static size_t glyph_bytes(const char *text)
{
	unsigned char c = (unsigned char)*text;
	size_t bytes = c >= 0xe0 && c < 0xf0   ? 3
		       : c >= 0xc2 && c < 0xe0 ? 2
					       : 1;

	for (size_t i = 1; i < bytes; i++)
		if (((unsigned char)text[i] & 0xc0) != 0x80)
			return 1;
	return bytes;
}

static void set_glyph(struct cell *cell, const char *text, size_t bytes)
{
	unsigned char c = (unsigned char)*text;

	memset(cell->glyph, 0, sizeof(cell->glyph));
	/* No control character, and no piece of one, gets onto a terminal. */
	if (bytes == 1 && (c < ' ' || c > '~'))
		cell->glyph[0] = '?';
	else
		memcpy(cell->glyph, text, bytes);
}

int sheet_put(struct sheet *sheet, int row, int column, enum style style,
	      const char *text)
{
	size_t bytes;

	for (; *text; text += bytes, column++) {
		bytes = glyph_bytes(text);
		if (row < 0 || row >= sheet->rows || column < 0 ||
		    column >= sheet->width)
			continue;
		set_glyph(&row_cells(sheet, row)[column], text, bytes);
		row_cells(sheet, row)[column].style = (uint8_t)style;
	}
	return column;
}

int sheet_printf(struct sheet *sheet, int row, int column, enum style style,
		 const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return sheet_put(sheet, row, column, style, text);
}

static int columns_of(const char *text)
{
	int columns = 0;

	for (; *text; text += glyph_bytes(text))
		columns++;
	return columns;
}

int sheet_field(struct sheet *sheet, int row, int column, int width,
		enum style style, const char *text)
{
	int room = width < 0 ? -width : width, length = columns_of(text);
	char cut[256];
	size_t used = 0;

	for (int i = 0; *text && i < room && used + 4 < sizeof(cut); i++) {
		size_t bytes = glyph_bytes(text);

		memcpy(cut + used, text, bytes);
		used += bytes;
		text += bytes;
	}
	cut[used] = 0;
	sheet_put(sheet, row,
		  width < 0 && length < room ? column + room - length : column,
		  style, cut);
	return column + room;
}

void sheet_copy(struct sheet *to, int to_row, const struct sheet *from,
		int from_row)
{
	if (to_row < 0 || from_row < 0 || to->width != from->width)
		return;
	memcpy(row_cells(to, to_row), row_cells(from, from_row),
	       (size_t)to->width * sizeof(struct cell));
	memcpy(to->keys[to_row], from->keys[from_row], SHEET_KEY);
}

char *sheet_text(const struct sheet *sheet, int row)
{
	char *text = malloc((size_t)sheet->width * 3 + 1);
	size_t used = 0, end = 0;

	if (!text)
		return NULL;
	for (int i = 0; i < sheet->width; i++) {
		const struct cell *cell = &row_cells(sheet, row)[i];
		size_t bytes = strlen(cell->glyph);

		memcpy(text + used, cell->glyph, bytes);
		used += bytes;
		if (strcmp(cell->glyph, " ") != 0)
			end = used;
	}
	text[end] = 0;
	return text;
}
